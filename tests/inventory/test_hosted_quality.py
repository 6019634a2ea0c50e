from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.factory import service
from ziggie_image_mcp.inventory.hosted_models import hosted_quality
from ziggie_image_mcp.inventory.registry import load_types
from ziggie_image_mcp.routing.request import ImageRequest

DRAWS_NOTHING_NEW = ("upscale", "remove", "esrgan", "control", "bria", "runware:109", "inpaint")


@pytest.mark.parametrize(
    ("id", "quality"),
    [
        ("gpt-image-2.6-flare", 9.8),
        ("openai/gpt-image-2.5-flare", 9.7),
        ("google/gemini-nano-banana-2.1", 9.6),
        ("fal-ai/flux/schnell", 9.0),
        ("fal-ai/flux-pro/kontext/max", 9.5),
        ("black-forest-labs/FLUX.2-pro", 9.6),
        ("bfl:flux@3-image-klein", 9.5),
        ("somebody/a-model", None),
    ],
)
def test_a_model_of_a_vendor_is_judged_by_its_name(id: str, quality: float | None) -> None:
    assert hosted_quality(id) == quality


def test_every_model_of_the_tables_that_draws_is_judged() -> None:
    unjudged = [
        f"{name}/{id}"
        for name, kind in load_types().usable.items()
        if name not in ("builtin", "diffusers")
        for id in getattr(kind, "table", {})
        if hosted_quality(id) is None and not any(word in id for word in DRAWS_NOTHING_NEW)
    ]

    assert unjudged == []


async def test_high_quality_finds_a_vendors_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    off = {name: {"enabled": False} for name in ("builtin", "comfyui", "diffusers")}
    made = service(tmp_path, providers=off)

    plan = await made.plan(ImageRequest(prompt="a cat", quality="high", allow_paid=True))

    assert plan.candidates[0].model.provider == "openai"
    assert plan.candidates[0].model.quality == 9.7


async def test_nano_banana_2_1_is_what_gemini_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIzaSy0123456789abcdef")
    off = {name: {"enabled": False} for name in ("builtin", "comfyui", "diffusers", "a1111")}
    made = service(tmp_path, providers=off)

    plan = await made.plan(ImageRequest(prompt="a red fox in the snow", allow_paid=True))

    assert plan.candidates[0].model.id == "gemini-nano-banana-2.1"
