"""Every paid provider has a page, whose table of models and prices is the code's own."""

from __future__ import annotations

from typing import Any

import pytest

from tools import provider_pages

PAID = provider_pages.paid()


@pytest.mark.parametrize("name", sorted(PAID))
def test_a_page_has_the_key_and_the_models_with_prices_and_days(name: str) -> None:
    kind: Any = PAID[name]
    text = (provider_pages.PAGES / f"{name}.md").read_text(encoding="utf-8")

    assert kind.info.key_names[0] in text
    if kind.table:
        assert provider_pages.BEGIN in text
        assert text == provider_pages.page(name, kind), "run tools/provider_pages.py"
    for word in ("## Money", "## Unverified"):
        assert word in text


def test_the_list_of_pages_names_them_all() -> None:
    index = (provider_pages.PAGES / "README.md").read_text(encoding="utf-8")

    for name, kind in PAID.items():
        assert f"({name}.md)" in index
        assert kind.info.key_names[0] in index


@pytest.mark.parametrize("name", sorted(PAID))
def test_every_price_says_where_and_when_it_was_read(name: str) -> None:
    for id, row in PAID[name].table.items():
        priced = row.rates or row.price_usd is not None
        assert row.source, f"{id} has no source"
        assert not priced or row.as_of is not None, f"{id} has a price without a day"
