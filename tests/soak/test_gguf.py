"""FLUX.1 in GGUF by its published names: half a billion numbers, too many for each run."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.support.diffusers_calls import build_models, picture, worker_for
from ziggie_image_providers.diffusers.scan import find

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers", "gguf")),
        reason='needs pip install "ziggie-image-mcp[local]"',
    ),
]


def difference(one: bytes, other: bytes) -> float:
    """Mean difference of two pictures, of 255."""
    first, second = (Image.open(io.BytesIO(png)).convert("RGB") for png in (one, other))
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3


@pytest.mark.timeout(900)
async def test_flux_in_gguf_makes_the_picture_of_the_folder_that_it_was_written_from(
    tmp_path: Path,
) -> None:
    build_models("tests.support.flux_gguf", tmp_path)
    parts = {id: model.parts["transformer"] for id, model in find([tmp_path], None).items()}

    async with worker_for(tmp_path, dtype="float32") as provider:
        whole = await picture(provider, "flux", steps=1)
        eight = await picture(provider, "flux-Q8_0.gguf", steps=1)
        four = await picture(provider, "flux-Q4_0.gguf", steps=1)
        other = await picture(provider, "flux", steps=1, seed=8)

    assert difference(eight, whole) < 1
    assert difference(eight, whole) < difference(four, whole) < difference(other, whole)
    assert parts["flux-Q8_0.gguf"].bytes == pytest.approx(parts["flux"].bytes * 34 / 64, rel=0.02)
    assert parts["flux-Q4_0.gguf"].bytes == pytest.approx(parts["flux"].bytes * 18 / 64, rel=0.02)
