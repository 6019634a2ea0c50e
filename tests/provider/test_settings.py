from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from ziggie_image_mcp.provider import FREE, Buckets, FreeSize, PriceBook, PromptLimit, Rate, When
from ziggie_image_mcp.provider.settings import (
    HttpSettings,
    ModelRow,
    ProviderSettings,
    merge_rows,
    settings_for,
    table,
)

Settings = settings_for("https://api.acme.test/v1", key="ACME_KEY")


class StyledRow(ModelRow):
    styles: tuple[str, ...] = ()


def rates(row: ModelRow) -> tuple[Rate, ...]:
    prices = row.prices("vendor")
    assert isinstance(prices, PriceBook)
    return prices.rates


# Sections


def test_a_section_is_written_in_camel_case() -> None:
    section = Settings.model_validate(
        {"baseUrl": "https://eu.acme.test/", "keyName": "OTHER_KEY", "timeout": 5, "local": False}
    )

    assert section.base_url == "https://eu.acme.test"
    assert (section.key_name, section.timeout, section.local) == ("OTHER_KEY", 5, False)


def test_a_section_has_the_vendors_address_and_key_by_default() -> None:
    section = Settings.model_validate({})

    assert (section.base_url, section.key_name) == ("https://api.acme.test/v1", "ACME_KEY")
    assert Settings.model_validate({"keyName": None}).key_name is None


@pytest.mark.parametrize(
    "section",
    [
        {"unknown": 1},
        {"timeout": 0},
        {"baseUrl": "acme.test"},
        {"baseUrl": "ftp://acme.test"},
        {"baseUrl": "https://acme.test/?key=s3cret"},
        {"baseUrl": "https://acme.test/#s3cret"},
        {"baseUrl": "https://"},
        {"baseUrl": "https://acme.test:99999999"},
        {"keyName": "sk-s3cret"},
        {"models": {"m": {"priceUsd": -1}}},
        {"models": {"m": {"surprise": 1}}},
        {"headers": {"X": 1}},
    ],
)
def test_what_makes_no_sense_is_refused_without_quoting_it(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate(section)

    assert "s3cret" not in str(error.value)


def test_nothing_secret_stands_in_a_repr() -> None:
    section = HttpSettings(
        base_url="https://me:p4ss@acme.test", headers={"X-Key": SecretStr("s3cret")}
    )

    assert "p4ss" not in repr(section)
    assert "s3cret" not in repr(section)


def test_sections_do_not_change() -> None:
    with pytest.raises(ValidationError):
        ProviderSettings().timeout = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_rows_may_hold_more_than_the_usual() -> None:
    settings = settings_for("https://acme.test", key=None, row=StyledRow)

    section = settings.model_validate({"models": {"m": {"styles": ["vivid"]}}})

    assert section.models["m"].styles == ("vivid",)
    assert section.key_name is None


# Rows


def test_a_row_says_its_sizes() -> None:
    free = ModelRow(native_width=512, max_ratio=2, multiple_of=16).sizes()
    listed = ModelRow(shapes={"1:1": (1024, 1024), "2:1": (1408, 704)}, exact_shapes=False).sizes()

    assert isinstance(free, FreeSize)
    assert (free.native_width, free.max_ratio, free.multiple_of) == (512, 2, 16)
    assert isinstance(listed, Buckets)
    assert [(b.name, b.width, b.height) for b in listed.sizes] == [
        ("1:1", 1024, 1024),
        ("2:1", 1408, 704),
    ]
    assert not listed.exact


def test_a_row_says_its_prices() -> None:
    row = ModelRow.model_validate(
        {
            "rates": [
                {"unit": "megapixel", "microUsd": 5, "roundsUp": True, "quality": "low"},
                {"unit": "second", "microUsd": 1, "expected": 3, "most": 9, "tasks": ["inpaint"]},
            ],
            "asOf": "2026-11-01",
            "source": "their page",
        }
    )

    prices = row.prices("vendor")

    assert isinstance(prices, PriceBook)
    assert (prices.as_of, prices.source, prices.live) == (date(2026, 11, 1), "their page", False)
    assert prices.rates == (
        Rate(unit="megapixel", micro_usd=5, rounds_up=True, when=When(quality="low")),
        Rate(
            unit="second",
            micro_usd=1,
            expected=3,
            most=9,
            when=When(tasks=frozenset(["inpaint"])),
        ),
    )


def test_a_price_of_nothing_is_free_but_at_a_vendor() -> None:
    row = ModelRow(price_usd=0)

    assert row.prices("this_machine") is FREE
    assert row.prices("own_network") is FREE
    assert rates(row) == (Rate(unit="image", micro_usd=0),)
    assert rates(ModelRow()) == ()


def test_a_row_says_how_much_of_a_prompt_is_read() -> None:
    limit = PromptLimit(count=1000, unit="characters", beyond="refused")

    assert ModelRow(max_prompt=1000).prompt_limit() == limit
    assert ModelRow().prompt_limit() is None


# What the user knows better

KNOWN = {
    "m": ModelRow(
        title="M", price_usd=0.04, as_of=date(2026, 11, 1), source="their page", quality=7
    )
}


def test_a_row_of_the_user_changes_what_it_says_and_nothing_else() -> None:
    merged = merge_rows(KNOWN, {"m": ModelRow(title="Mine")})

    assert merged["m"] == KNOWN["m"].model_copy(update={"title": "Mine"})
    assert merge_rows(KNOWN, {}) == KNOWN


def test_a_price_of_the_user_has_no_age() -> None:
    row = merge_rows(KNOWN, {"m": ModelRow(price_usd=0.01)})["m"]

    assert (row.price_usd, row.as_of, row.source) == (0.01, None, "your config")


def test_rates_of_the_user_take_the_place_of_a_price() -> None:
    own = ModelRow.model_validate({"rates": [{"unit": "request", "microUsd": 3}]})

    row = merge_rows(KNOWN, {"m": own})["m"]

    assert rates(row) == (Rate(unit="request", micro_usd=3),)


def test_the_user_may_add_a_model() -> None:
    merged = merge_rows(KNOWN, {"new": ModelRow(price_usd=0.1)})

    assert list(merged) == ["m", "new"]
    assert merged["new"].source == "your config"


def test_a_table_lies_beside_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "acme_table"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    rows = {"m": {"priceUsd": 0.04, "shapes": {"1:1": [512, 512]}}}
    (package / "models.json").write_text(json.dumps(rows), encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    found = table("acme_table", ModelRow)

    assert found["m"].shapes == {"1:1": (512, 512)}
    assert table("acme_table", ModelRow) is found
