"""What licences ask: every catalogued model has one that is known, and its facts agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import client, data
from tests.support.factory import service
from tools import licence_page
from ziggie_image_mcp.inventory.licences import find_licence, licences
from ziggie_image_mcp.inventory.model_facts import Entry, data_beside, entries
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider
from ziggie_image_mcp.provider.testing import model as fake_model

ASK = {"prompt": "a cat", "width": 64, "height": 64, "wait_seconds": 20}
SD35 = "Stability AI Community License"


@pytest.mark.parametrize("entry", entries(), ids=lambda e: e.id)
def test_the_licence_of_a_catalogued_model_is_known_and_agrees_with_its_row(entry: Entry) -> None:
    licence = find_licence(entry.license)

    assert licence is not None
    assert (licence.weights == "noncommercial") == (not entry.commercial_use)


@pytest.mark.parametrize(
    "row", data_beside("recommended_models.json")["models"], ids=lambda row: row["id"]
)
def test_so_is_that_of_a_recommended_model(row: dict[str, Any]) -> None:
    licence = find_licence(row["license"])

    assert licence is not None
    assert (licence.weights == "noncommercial") == (not row["commercial"])


def test_whoever_may_not_use_it_freely_is_told_the_condition() -> None:
    for licence in licences():
        assert (licence.weights == "anyone") == (not licence.condition)
        assert licence.url.startswith("https://")
        assert licence.source


def test_the_page_has_the_table_of_the_data() -> None:
    text = licence_page.PAGE.read_text(encoding="utf-8")

    assert text == licence_page.page(), "run tools/licence_page.py"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("Apache License 2.0", "Apache-2.0"),
        ("mit", "MIT"),
        ("openrail++", "CreativeML OpenRAIL++-M"),
        ("creativeml-openrail-m", "CreativeML OpenRAIL-M"),
        ("stabilityai-ai-community", SD35),
        ("flux-1-dev-non-commercial-license", "FLUX.1 [dev] Non-Commercial License"),
        ("Permitted by nobody", None),
        ("other", None),
        ("", None),
    ],
)
def test_a_licence_is_known_by_the_names_that_are_in_use(spelling: str, name: str | None) -> None:
    found = find_licence(spelling)

    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("facts", "config", "is_told"),
    [
        ({"license": SD35}, {}, True),
        ({"license": SD35}, {"models": {"model": {"commercialUse": True}}}, False),
        ({"license": "Apache-2.0"}, {}, False),
        ({"license": "a licence of one's own"}, {}, False),
        ({}, {}, False),
    ],
    ids=["a condition", "the user has a licence", "free", "unknown", "none"],
)
async def test_a_result_and_the_list_of_models_tell_the_condition(
    facts: dict[str, Any], config: dict[str, Any], is_told: bool, tmp_path: Path
) -> None:
    provider = FakeProvider(models=[fake_model(**facts)])
    async with client(service(tmp_path, provider, **config)) as session:
        planned = data(await session.call_tool("generate_image", ASK | {"dry_run": True}))
        made = data(await session.call_tool("generate_image", ASK))
        listed = data(await session.call_tool("list_models", {}))

    notes = [note for note in made.get("notes", []) if note.startswith("licence")]
    assert any("below USD 1 million" in note for note in notes) == is_told
    assert len(notes) == is_told
    assert [
        note for note in planned["candidates"][0].get("notes", []) if "licence" in note
    ] == notes
    condition = listed["models"][0]["license_condition"]
    assert ("below USD 1 million" in condition) == (facts.get("license") == SD35)


async def test_of_what_a_vendor_makes_the_vendors_own_terms_hold(tmp_path: Path) -> None:
    provider = FakePaidProvider(license=SD35)
    async with client(service(tmp_path, provider, budget={"perDay": 1})) as session:
        made = data(await session.call_tool("generate_image", ASK | {"allow_paid": True}))

    assert made["provider"] == "paid"
    assert not any("licence" in note for note in made.get("notes", []))
