"""Read what a safetensors file tells beside the shapes of its tensors: metadata, single numbers."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from ziggie_image_providers.diffusers.weights import read_header

MOST_BYTES = 1 << 16
"""Of a tensor whose numbers are read."""

_HALF_OF_FLOAT = 16
"""Bits that BF16 leaves out of a float."""

_FORMATS = {"F16": "e", "F32": "f", "F64": "d", "BF16": "H", "I64": "q", "I32": "i"}
"""As `struct` has them; BF16 by its bits."""


def metadata(path: Path) -> Mapping[str, str]:
    """What a trainer or a program wrote into a file that `weights.shapes` has read.

    Raises:
        OSError: It cannot be read.
    """
    stat = path.stat()
    return _metadata(path, stat.st_size, stat.st_mtime_ns)


def numbers(path: Path, tensor: str) -> tuple[float, ...]:
    """The numbers of a small tensor in a file that `weights.shapes` has read.

    Args:
        path: The file.
        tensor: Its name.

    Returns:
        All of them; none where there is no such tensor, or it is too large or of another format.

    Raises:
        OSError: It cannot be read.
    """
    stat = path.stat()
    return _numbers(path, stat.st_size, stat.st_mtime_ns, tensor)


@lru_cache(maxsize=1024)
def _metadata(path: Path, size: int, mtime_ns: int) -> Mapping[str, str]:
    del mtime_ns  # only a key of the cache
    about: object = read_header(path, size)[0].get("__metadata__")
    named = cast("dict[str, Any]", about) if isinstance(about, dict) else {}
    return {name: str(value) for name, value in named.items()}


@lru_cache(maxsize=1024)
def _numbers(path: Path, size: int, mtime_ns: int, tensor: str) -> tuple[float, ...]:
    del mtime_ns
    header, start = read_header(path, size)
    entry: Any = header.get(tensor)
    if entry is None or entry["dtype"] not in _FORMATS:
        return ()
    first, last = entry["data_offsets"]
    if not 0 <= first < last <= first + MOST_BYTES:
        return ()
    with path.open("rb") as file:
        file.seek(start + first)
        raw = file.read(last - first)
    form = _FORMATS[entry["dtype"]]
    values = [one for (one,) in struct.iter_unpack(f"<{form}", raw)]
    if entry["dtype"] == "BF16":
        return tuple(_float(one << _HALF_OF_FLOAT) for one in values)
    return tuple(values)


def _float(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])
