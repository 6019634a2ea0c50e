"""docs/engines/diffusers.md says what the provider's data say."""

from __future__ import annotations

from pathlib import Path

from ziggie_image_providers.diffusers.families import PIPELINES, VARIANTS, Family
from ziggie_image_providers.diffusers.samplers import SAMPLERS, SCHEDULERS

PAGE = Path(__file__).parents[2] / "docs" / "engines" / "diffusers.md"


def classes() -> str:
    """The table of classes and tasks; the page has it word for word."""
    head = "| class | family | text | picture | mask | references | LoRAs | ControlNet | tiles"
    head += " | steps, guidance |"
    rows = [head, "|---" * 10 + "|", *(row(name, family) for name, family in PIPELINES.items())]
    return "\n".join(rows)


def row(name: str, family: Family) -> str:
    references = f"{family.references}" if family.references else ""
    cells = (
        f"`{name}`",
        family.name,
        yes(family.text),
        yes(family.image_to_image),
        yes(family.inpaint),
        "IP-Adapter" if family.ip_adapter else references,
        yes(family.loras),
        yes(family.controls if family.text else family.inpaint_controls),
        yes(family.seamless),
        f"{family.steps}, {family.guidance:g}",
    )
    return "| " + " | ".join(cells) + " |"


def yes(value: object) -> str:
    return "yes" if value else ""


def test_the_page_has_the_table_of_classes() -> None:
    assert classes() in PAGE.read_text(encoding="utf-8"), f"write this:\n{classes()}"


def test_the_page_names_every_sampler_and_scheduler() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert [name for name in (*SAMPLERS, *SCHEDULERS) if f"`{name}`" not in page] == []


def test_a_class_that_edits_by_references_has_no_strength_to_lose() -> None:
    for name, family in PIPELINES.items():
        if family.references:
            assert family.image_to_image == name, name


def test_every_variant_is_of_a_family_that_there_is() -> None:
    families = {family.name for family in PIPELINES.values()} | {"sd2"}

    assert {variant.family for variant in VARIANTS} <= families
    assert {v.sampler for v in VARIANTS} <= {"", *SAMPLERS}
    assert {v.scheduler for v in VARIANTS} <= {"", *SCHEDULERS}
