"""Read what an ONNX file takes and gives, without loading it.

Protocol buffers' wire format (protobuf.dev/programming-guides/encoding), the fields of onnx.proto:
ModelProto.graph 7; GraphProto.initializer 5, input 11, output 12; ValueInfoProto.name 1, type 2;
TypeProto.tensor_type 1; Tensor.elem_type 1, shape 2; TensorShapeProto.dim 1; Dimension.dim_value 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

FLOAT32 = 1
"""`TensorProto.DataType`."""

MAX_HEAD = 1 << 16
"""Bytes of one description: a longer one is none."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """What goes into a graph, or comes out of it."""

    name: str
    kind: int
    """As `FLOAT32`."""
    shape: tuple[int | None, ...]
    """None where a length is left open."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The inputs that a graph must be given, and its outputs."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_graph(path: Path) -> Graph | None:
    """The graph of a file; None where it is no ONNX file. Its weights are passed over.

    Raises:
        OSError: It cannot be read.
    """
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    weights: set[str] = set()
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            for number, end in _messages(file, size):
                if number != 7:
                    continue
                for part, stop in _messages(file, end):
                    if part in (11, 12):
                        tensor = _tensor(_bytes(file, stop))
                        (inputs if part == 11 else outputs).append(tensor)
                    elif part == 5:
                        weights.add(_name(file, stop))
    except (ValueError, IndexError):
        return None
    needed = tuple(tensor for tensor in inputs if tensor.name not in weights)
    return Graph(inputs=needed, outputs=tuple(outputs)) if needed and outputs else None


def _messages(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """The numbers and ends of the messages up to `end`; the file stands at the beginning of each.

    Raises:
        ValueError: What stands there is no protocol buffer.
    """
    while (place := file.tell()) < end:
        key = _varint(file)
        number, wire = key >> 3, key & 7
        if wire == 0:
            _varint(file)
            continue
        if wire in (1, 5):
            file.seek(8 if wire == 1 else 4, 1)
            continue
        if wire != 2 or not number:
            raise ValueError(f"no protocol buffer at {place}")
        length = _varint(file)
        stop = file.tell() + length
        if stop > end:
            raise ValueError(f"it ends within the message at {place}")
        yield number, stop
        file.seek(stop)


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)[0]
        value |= (byte & 127) << shift
        if byte < 128:
            return value
    raise ValueError("a number without an end")


def _bytes(file: BinaryIO, stop: int) -> bytes:
    length = stop - file.tell()
    if length > MAX_HEAD:
        raise ValueError("a description that is too long")
    return file.read(length)


def _name(file: BinaryIO, stop: int) -> str:
    """Of a tensor of weights (TensorProto.name 8)."""
    for number, end in _messages(file, stop):
        if number == 8:
            return _bytes(file, end).decode("utf-8", "replace")
    return ""


def _tensor(message: bytes) -> Tensor:
    name, kind, shape = "", 0, list[int | None]()
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            name = value.decode("utf-8", "replace")
        if number != 2 or not isinstance(value, bytes):
            continue
        for tensor in (v for n, v in _fields(value) if n == 1 and isinstance(v, bytes)):
            for part, inner in _fields(tensor):
                if part == 1 and isinstance(inner, int):
                    kind = inner
                if part == 2 and isinstance(inner, bytes):
                    dims = [v for n, v in _fields(inner) if n == 1 and isinstance(v, bytes)]
                    shape = [_length(dim) for dim in dims]
    return Tensor(name=name, kind=kind, shape=tuple(shape))


def _length(dim: bytes) -> int | None:
    return next((v for n, v in _fields(dim) if n == 1 and isinstance(v, int) and v > 0), None)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a short message: numbers and bytes."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        value, place = _number(message, place)
        if key & 7 == 0:
            yield key >> 3, value
        elif key & 7 == 2:
            yield key >> 3, message[place : place + value]
            place += value
        else:
            raise ValueError("a field of another kind")


def _number(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
