"""Read what a GGUF file says of itself, without the gguf package.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from ziggie_image_providers.diffusers.weights import Damaged

MAGIC = b"GGUF"
MOST_PAIRS = 10_000
MOST_TEXT = 2**20
ARCHITECTURE = "general.architecture"

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by the number of its type."""
_TEXT, _LIST = 8, 9

_FAMILIES = {
    "sd1": "sd1",
    "sdxl": "sdxl",
    "sd3": "sd3",
    "flux": "flux1",
    "lumina2": "lumina",
    "qwen_image": "qwen-image",
    "hidream": "hidream",
}
"""As city96's converter for ComfyUI writes the architecture."""


def family(path: Path) -> str | None:
    """The family of a transformer in GGUF; None where it is of none that makes pictures.

    Raises:
        Damaged: It is no GGUF file, or cut off.
        OSError: It cannot be read.
    """
    stat = path.stat()
    return _FAMILIES.get(_architecture(path, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=1024)
def _architecture(path: Path, size: int, mtime_ns: int) -> str:
    del size, mtime_ns  # only keys of the cache
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise Damaged(f"{path.name} is no GGUF file")
        version, _, pairs = _unpack(file, "<IQQ")
        if version not in (2, 3) or pairs > MOST_PAIRS:
            raise Damaged(f"{path.name} is of a GGUF version that is not known ({version})")
        for _ in range(pairs):
            key = _text(file)
            (kind,) = _unpack(file, "<I")
            if key == ARCHITECTURE and kind == _TEXT:
                return _text(file)
            _skip(file, kind)
    return ""


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _TEXT:
        _text(file)
    elif kind == _LIST:
        inner, count = _unpack(file, "<IQ")
        if inner in _SIZES:
            file.seek(_SIZES[inner] * count, 1)
        else:
            for _ in range(count):
                _skip(file, inner)
    elif kind in _SIZES:
        file.seek(_SIZES[kind], 1)
    else:
        raise Damaged(f"its header has a value of an unknown kind ({kind})")


def _text(file: BinaryIO) -> str:
    (length,) = _unpack(file, "<Q")
    if length > MOST_TEXT:
        raise Damaged("its header has a text without an end")
    raw = file.read(length)
    if len(raw) < length:
        raise Damaged("it is cut off within its header")
    return raw.decode("utf-8", errors="replace")


def _unpack(file: BinaryIO, form: str) -> tuple[int, ...]:
    raw = file.read(struct.calcsize(form))
    if len(raw) < struct.calcsize(form):
        raise Damaged("it is cut off within its header")
    return struct.unpack(form, raw)
