"""Tell a whole SentencePiece model from one that is cut off, without the package that reads it.

Such a file is one Protocol Buffers message, which tells no length of its own: it is whole where its
last field ends with it. Source: sentencepiece_model.proto (`ModelProto`: `pieces = 1`) and
protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

_PIECE = 1 << 3 | 2
"""The key of a piece: field 1, with a length."""

_SHORT = 0x80
"""Below it a varint has one byte."""

_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5
_FIXED = {_FIXED_64: 8, _FIXED_32: 4}
_VARINT_BYTES = 10
"""At most."""


def is_whole_model(data: bytes) -> bool:
    """Whether a file's content is fields from its first byte to its last, and has pieces.

    One that is cut between two fields passes: nothing in it tells.
    """
    at, end, pieces = 0, len(data), 0
    try:
        while at < end:
            if data[at] == _PIECE:
                pieces += 1
                if data[at + 1] < _SHORT:  # nearly all of up to 250,000
                    at += 2 + data[at + 1]
                    continue
            key, at = _varint(data, at)
            kind = key & 7
            if kind == _VARINT:
                _, at = _varint(data, at)
            elif kind == _LENGTH:
                size, at = _varint(data, at)
                at += size
            else:
                at += _FIXED[kind]
    except (IndexError, KeyError):  # it ends within a number, or holds no fields
        return False
    return at == end and pieces > 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins here, and where the next thing does."""
    value = 0
    for place in range(_VARINT_BYTES):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < _SHORT:
            return value, at + place + 1
    raise IndexError("no varint is so long")
