"""What is known of models by name, and where each figure comes from."""

from __future__ import annotations

import json
from datetime import date
from importlib import resources
from typing import Any

import pytest

from ziggie_image_mcp.inventory import model_facts
from ziggie_image_mcp.inventory.hosted_models import hosted_quality
from ziggie_image_mcp.provider.testing import model

FIGURES = (
    "license",
    "commercial_use",
    "default_steps",
    "default_guidance",
    "native_px",
    "vram_gb",
    "denoiser_b",
    "weights_gb",
    "passes",
    "quality",
    "seconds",
)
REPORT = {
    "flux1-dev": 9.5,
    "flux1-schnell": 9.0,
    "sd35-large": 9.0,
    "sd35-medium": 8.5,
    "sdxl-base": 8.0,
    "sd15": 7.0,
    "hidream-i1-full": 9.0,
    "pixart-sigma": 8.5,
    "playground-v2.5": 9.0,
    "deepfloyd-if": 9.0,
}
"""The source report's table Model Quality Comparison."""


def table() -> dict[str, Any]:
    text = (resources.files("ziggie_image_mcp.inventory") / "models.json").read_text(
        encoding="utf-8"
    )
    found: dict[str, Any] = json.loads(text)
    return found


def test_every_figure_names_its_source_and_every_source_its_date() -> None:
    found = table()
    dated = {k: date.fromisoformat(s["date"]) for k, s in found["sources"].items() if s["what"]}
    used: set[str] = set()
    for row in found["models"]:
        sources: dict[str, Any] = row["from"]
        for figure in FIGURES:
            if figure == "seconds":
                tiers: dict[str, str] = sources.get(figure, {})
                assert set(row[figure]) == set(tiers), row["id"]
                used |= set(tiers.values())
            else:
                assert (row[figure] is None) == (figure not in sources), (row["id"], figure)
                used |= {sources[figure]} if figure in sources else set()

    assert used == set(dated)


def test_every_model_of_the_report_has_its_row_with_its_quality() -> None:
    sources = {row["id"]: row["from"].get("quality") for row in table()["models"]}
    reported = {id for id, source in sources.items() if source == "report-quality"}

    assert {e.id: e.quality for e in model_facts.entries() if e.id in reported} == REPORT


def test_every_model_is_judged_but_one_that_only_refines() -> None:
    assert [e.id for e in model_facts.entries() if e.quality is None] == ["sdxl-refiner"]


def test_a_model_is_as_good_at_a_vendor_as_here() -> None:
    for entry in model_facts.entries():
        assert hosted_quality(entry.hub_id) in (None, entry.quality), entry.id


@pytest.mark.parametrize(
    ("file", "row"),
    [
        ("sd_xl_base_1.0.safetensors", "sdxl-base"),
        ("v1-5-pruned-emaonly.safetensors", "sd15"),
        ("flux1-schnell-fp8.safetensors", "flux1-schnell"),
        ("black-forest-labs/FLUX.1-dev", "flux1-dev"),
        ("Tongyi-MAI/Z-Image-Turbo", "z-image-turbo"),
        ("folder\\sd3.5_large_turbo.safetensors", "sd35-large-turbo"),
        ("juggernautXL_v9.safetensors", None),
    ],
)
def test_a_file_is_recognised_by_its_name(file: str, row: str | None) -> None:
    found = model_facts.recognise(file)

    assert (found.id if found else None) == row


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("SD XL", "sdxl"),
        ("stable diffusion 1.5", "sd1"),
        ("FLUX.1", "flux1"),
        ("flux schnell", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_family_is_known(name: str, family: str) -> None:
    assert model_facts.family(name) == family


def test_every_family_that_has_a_name_has_models() -> None:
    assert {model_facts.family(f) for f in table()["families"]} <= {
        e.family for e in model_facts.entries()
    }


def test_what_a_provider_says_is_not_overruled() -> None:
    found = model_facts.enrich(
        model(id="sd_xl_base_1.0.safetensors", license="Mine", quality=1.0, steps=9)
    )

    assert (found.license, found.quality, found.defaults.steps) == ("Mine", 1.0, 9)
    assert (found.family, found.title) == ("sdxl", "SDXL base 1.0")
    assert "sdxl" in found.aliases
