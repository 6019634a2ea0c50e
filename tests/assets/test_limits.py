"""What would take too much memory or time is refused before it is begun."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ziggie_image_mcp.assets.finish import Finish, finish
from ziggie_image_mcp.assets.icons import make_icons
from ziggie_image_mcp.assets.tracing import trace
from ziggie_image_mcp.errors import InvalidRequest


def test_icons_of_a_long_picture_are_not_laid_on_its_huge_square() -> None:
    with pytest.raises(InvalidRequest, match="65535x65535") as e:
        make_icons(Image.new("RGB", (65_535, 20)), "ico")

    assert e.value.field == "icons"


@pytest.mark.parametrize(
    ("wanted", "count", "field"),
    [
        (Finish(width=16_384, height=16_384), 1, "width"),
        (Finish(width=4096, height=4096), 16, "width"),
        (Finish(pad=4096), 16, "pad"),
    ],
)
def test_pictures_that_would_grow_too_large_together_are_refused(
    wanted: Finish, count: int, field: str
) -> None:
    with pytest.raises(InvalidRequest, match="80 million") as e:
        finish([Image.new("RGB", (16, 16))] * count, wanted)

    assert e.value.field == field


def test_noise_is_not_drawn_as_a_million_shapes() -> None:
    pytest.importorskip("vtracer")
    pixels = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)

    with pytest.raises(InvalidRequest, match="edges between pixels"):
        trace(Image.fromarray(pixels), sharp=True)
