"""Read what a GGUF file says of itself, without the gguf package.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3).
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ziggie_image_providers.diffusers.weights import Damaged, Part, Tensors

MAGIC = b"GGUF"
VERSIONS = (2, 3)
"""Those that the package gguf reads too."""
MOST_PAIRS = 10_000
MOST_TENSORS = 100_000
MOST_TEXT = 2**20
MOST_SIDES = 8
MOST_DEPTH = 4
"""Of lists in lists."""
ARCHITECTURE = "general.architecture"
ALIGNMENT = "general.alignment"

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by the number of its type."""
_U32, _TEXT, _LIST = 4, 8, 9


class OtherVersion(Exception):
    """Raised when a GGUF file is of a version that nothing here reads."""


class _Format(NamedTuple):
    """How numbers are packed: so many of them in a block, of so many bytes."""

    name: str
    numbers: int
    bytes: int


_FORMATS = {
    0: _Format("F32", 1, 4),
    1: _Format("F16", 1, 2),
    2: _Format("Q4_0", 32, 18),
    3: _Format("Q4_1", 32, 20),
    6: _Format("Q5_0", 32, 22),
    7: _Format("Q5_1", 32, 24),
    8: _Format("Q8_0", 32, 34),
    9: _Format("Q8_1", 32, 40),
    10: _Format("Q2_K", 256, 84),
    11: _Format("Q3_K", 256, 110),
    12: _Format("Q4_K", 256, 144),
    13: _Format("Q5_K", 256, 176),
    14: _Format("Q6_K", 256, 210),
    15: _Format("Q8_K", 256, 292),
    16: _Format("IQ2_XXS", 256, 66),
    17: _Format("IQ2_XS", 256, 74),
    18: _Format("IQ3_XXS", 256, 98),
    19: _Format("IQ1_S", 256, 50),
    20: _Format("IQ4_NL", 32, 18),
    21: _Format("IQ3_S", 256, 110),
    22: _Format("IQ2_S", 256, 82),
    23: _Format("IQ4_XS", 256, 136),
    24: _Format("I8", 1, 1),
    25: _Format("I16", 1, 2),
    26: _Format("I32", 1, 4),
    27: _Format("I64", 1, 8),
    28: _Format("F64", 1, 8),
    29: _Format("IQ1_M", 256, 56),
    30: _Format("BF16", 1, 2),
    34: _Format("TQ1_0", 256, 54),
    35: _Format("TQ2_0", 256, 66),
    39: _Format("MXFP4", 32, 17),
    40: _Format("NVFP4", 64, 36),
    41: _Format("Q1_0", 128, 18),
}
"""By the number of a tensor's type: GGML_QUANT_SIZES of the gguf package 0.19.0."""

_BY_NAME = {one.name: one for one in _FORMATS.values()}

_FLOATS = ("F32", "F16", "BF16")
_QUANTISED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL")
_K_QUANTISED = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS")

READ = frozenset((*_FLOATS, *_QUANTISED, *_K_QUANTISED))
"""What diffusers 0.42.1 turns back into numbers (quantizers/gguf/utils.py)."""

_PLAIN = ("F32", "F16")
"""What it loads as numbers of the format that it computes with, and not as they are."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file begins with."""

    architecture: str
    """As its converter calls it; empty where it says none."""
    tensors: Tensors
    """Format and shape by name, the shape as torch has it."""

    @property
    def unread(self) -> tuple[str, ...]:
        """Formats of its tensors that diffusers does not read."""
        return tuple(sorted({form for form, _ in self.tensors.values()} - READ))


def read(path: Path) -> Header:
    """Read the header of a GGUF file.

    Raises:
        Damaged: It is no GGUF file, or cut off.
        OtherVersion: It is whole as far as one can tell, and another download would be the same.
        OSError: It cannot be read.
    """
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


def part(tensors: Tensors) -> Part:
    """Add up what tensors take in memory: what is quantised stays as it is in the file."""
    sizes = {name: _held(form, shape) for name, (form, shape) in tensors.items()}
    return Part(
        parameters=sum(math.prod(shape) for _, shape in tensors.values()),
        bytes=sum(sizes.values()),
        largest=max(sizes.values(), default=0),
    )


def _held(form: str, shape: tuple[int, ...]) -> int:
    return 2 * math.prod(shape) if form in _PLAIN else _size(_BY_NAME[form], shape)


def _size(form: _Format, shape: tuple[int, ...]) -> int:
    return -(-math.prod(shape) // form.numbers) * form.bytes


@lru_cache(maxsize=1024)
def _read(path: Path, size: int, mtime_ns: int) -> Header:
    del mtime_ns  # only a key of the cache
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise Damaged(f"{path.name} is no GGUF file")
        (version,) = _unpack(file, "<I")
        if version not in VERSIONS:
            raise OtherVersion(f"{path.name} is of GGUF version {version}")
        count, pairs = _unpack(file, "<QQ")
        if pairs > MOST_PAIRS or count > MOST_TENSORS:
            raise Damaged(f"its header tells of {count} tensors and {pairs} values")
        architecture, alignment = "", 32
        for _ in range(pairs):
            key = _text(file)
            (kind,) = _unpack(file, "<I")
            if key == ARCHITECTURE and kind == _TEXT:
                architecture = _text(file)
            elif key == ALIGNMENT and kind == _U32:
                (alignment,) = _unpack(file, "<I")
            else:
                _skip(file, kind)
        tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
        end = 0
        for _ in range(count):
            name, form, shape, offset = _tensor(file)
            tensors[name] = form.name, shape
            end = max(end, offset + _size(form, shape))
        start = -(-file.tell() // max(1, alignment)) * max(1, alignment)
    if start + end > size and count:
        raise Damaged(f"{path.name} is shorter than its header says")
    return Header(architecture=architecture, tensors=tensors)


def _tensor(file: BinaryIO) -> tuple[str, _Format, tuple[int, ...], int]:
    """Name, format, shape, and where it begins."""
    name = _text(file)
    (sides,) = _unpack(file, "<I")
    if sides > MOST_SIDES:
        raise Damaged(f"its header has a tensor of {sides} dimensions")
    shape = _unpack(file, f"<{sides}Q")
    kind, offset = _unpack(file, "<IQ")
    if kind not in _FORMATS:
        raise Damaged(f"its header has a tensor of an unknown type ({kind})")
    return name, _FORMATS[kind], shape[::-1], offset


def _skip(file: BinaryIO, kind: int, depth: int = 0) -> None:
    if depth > MOST_DEPTH:
        raise Damaged("its header has lists in lists without an end")
    if kind == _TEXT:
        _text(file)
    elif kind == _LIST:
        inner, count = _unpack(file, "<IQ")
        if inner in _SIZES:
            _pass(file, _SIZES[inner] * count)
        else:
            for _ in range(count):
                _skip(file, inner, depth + 1)
    elif kind in _SIZES:
        _pass(file, _SIZES[kind])
    else:
        raise Damaged(f"its header has a value of an unknown kind ({kind})")


def _pass(file: BinaryIO, count: int) -> None:
    if count > os.fstat(file.fileno()).st_size - file.tell():
        raise Damaged("it is cut off within its header")
    file.seek(count, os.SEEK_CUR)


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
