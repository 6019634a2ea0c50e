from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.support.factory import service
from ziggie_image_mcp.errors import InvalidOutput
from ziggie_image_mcp.provider import ProviderRequest
from ziggie_image_mcp.provider.bounds import (
    LEAST_PIXELS,
    answer_bytes,
    most_pixels,
    picture_bytes,
    values_in,
)
from ziggie_image_mcp.provider.pictures import MAX_BYTES, MAX_PIXELS
from ziggie_image_mcp.provider.testing import FakeProvider, picture
from ziggie_image_mcp.routing.request import ImageRequest


def asked(width: int, height: int, n: int = 1, factor: int | None = None) -> ProviderRequest:
    return ProviderRequest(prompt="a", width=width, height=height, num_images=n, factor=factor)


def test_a_picture_of_noise_as_asked_for_fits_in_what_is_read() -> None:
    out = io.BytesIO()
    Image.frombytes("RGBA", (1024, 1024), os.urandom(4 * 2**20)).save(out, "PNG")
    request = asked(1024, 1024, 4)

    assert len(out.getvalue()) < picture_bytes(request)
    assert 4 * len(out.getvalue()) * 4 // 3 < answer_bytes(request)


@pytest.mark.parametrize(
    ("request_", "pixels"),
    [
        (asked(64, 64), LEAST_PIXELS),
        (asked(1024, 1024), 2048 * 2048),
        (asked(1920, 1088), 4 * 1920 * 1088),
        (asked(512, 512, factor=4), 4 * 2048 * 2048),
        (asked(8192, 8192), MAX_PIXELS),
    ],
)
def test_the_bound_follows_from_the_size_that_was_asked_for(
    request_: ProviderRequest, pixels: int
) -> None:
    assert most_pixels(request_) == pixels
    assert picture_bytes(request_) <= MAX_BYTES


def test_values_are_counted_in_json_alone() -> None:
    assert values_in(b' {"a": [1, 2]}') == 4
    assert values_in(b"\x89PNG,,,,[[[[") == 0


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ((3000, 2000), "a picture of 3000x2000, more than 4 million pixels"),
        ((2048, 2048), "made 2048x2048, and 1024x1024 was asked for"),
    ],
)
async def test_a_picture_far_larger_than_asked_for_is_refused_by_its_head(
    size: tuple[int, int], why: str, tmp_path: Path
) -> None:
    made = service(tmp_path, FakeProvider("a", answers=[picture(*size)] * 2))

    with pytest.raises(InvalidOutput, match=why):
        await made.generate(ImageRequest(prompt="a cat", width=1024, height=1024))
