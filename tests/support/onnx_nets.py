"""Write small ONNX networks as bytes, in the wire format of protocol buffers, without onnx."""

from __future__ import annotations

import struct

FLOAT32 = 1


def cut_out_net(
    side: int | None = 32,
    *,
    channels: int = 3,
    weights: tuple[float, ...] = (8.0, -8.0, 0.0),
    sigmoid: bool = True,
) -> bytes:
    """A network of one convolution of a pixel: what is red rather than green stands out.

    Args:
        side: Of the picture that it takes; None leaves it open.
        channels: Of the same.
        weights: For each channel.
        sigmoid: Give a share of 0 to 1, or else logits, as BiRefNet does.
    """
    raw = struct.pack(f"<{channels}f", *(weights * channels)[:channels])
    kernel = b"".join(_number(1, n) for n in (1, channels, 1, 1))
    kernel += _number(2, FLOAT32) + _text(8, "w") + _bytes(9, raw)
    inner = "x" if sigmoid else "mask"
    conv = _text(1, "picture") + _text(1, "w") + _text(2, inner) + _text(4, "Conv")
    nodes = _bytes(1, conv)
    if sigmoid:
        nodes += _bytes(1, _text(1, "x") + _text(2, "mask") + _text(4, "Sigmoid"))
    graph = nodes + _text(2, "net") + _bytes(5, kernel)
    graph += _bytes(11, _value("picture", (1, channels, side, side)))
    graph += _bytes(12, _value("mask", (1, 1, side, side)))
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _text(1, "") + _number(2, 13))


def _value(name: str, shape: tuple[int | None, ...]) -> bytes:
    dims = b"".join(
        _bytes(1, _text(2, "side") if length is None else _number(1, length)) for length in shape
    )
    tensor = _number(1, FLOAT32) + _bytes(2, dims)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _varint(value: int) -> bytes:
    head = bytearray()
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    return bytes([*head, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
