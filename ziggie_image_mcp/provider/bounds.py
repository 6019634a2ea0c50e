"""How much of an answer is read and decoded: no more than what was asked for can need."""

from __future__ import annotations

from ziggie_image_mcp.provider.nouns import ProviderRequest
from ziggie_image_mcp.provider.pictures import MAX_BYTES, MAX_PIXELS

PIXEL_FACTOR = 4
"""So many times the pixels that were asked for are still looked at: twice the sides."""

LEAST_PIXELS = 2048 * 2048
"""So many are always looked at, so that the error can say which size came."""

PLAIN_BYTES = 32 * 2**20
"""Of an answer in which no picture is expected: a listing, where a job stands."""

ERROR_BYTES = 2**20
"""Of a failing answer; what comes after that is left, as the status has said it."""

MAX_VALUES = 1_000_000
"""Of JSON. A value of two bytes takes some hundred once it is read."""

_BYTES_PER_PIXEL = 2
"""With PIXEL_FACTOR 8 for each that was asked for: 16 bits a channel that nothing compresses."""

_SLACK = 2**20


def most_pixels(request: ProviderRequest) -> int:
    """The most pixels that one picture of the answer may have."""
    times = request.factor or 1
    asked = request.width * request.height * times * times
    return min(MAX_PIXELS, max(LEAST_PIXELS, PIXEL_FACTOR * asked))


def picture_bytes(request: ProviderRequest) -> int:
    """The most bytes that one picture of the answer may have."""
    return min(MAX_BYTES, _BYTES_PER_PIXEL * most_pixels(request) + _SLACK)


def answer_bytes(request: ProviderRequest) -> int:
    """The most bytes of an answer that holds all its pictures in base64."""
    return request.num_images * picture_bytes(request) * 4 // 3 + _SLACK


def values_in(content: bytes | bytearray) -> int:
    """About how many values JSON has, without reading it; 0 for what is no list and no object."""
    if content[:64].lstrip()[:1] not in (b"{", b"["):
        return 0
    return sum(map(content.count, (b"[", b"{", b",", b":")))
