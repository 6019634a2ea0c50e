"""docs/settings.md lists what the code reads, and no more."""

from __future__ import annotations

import re

import pytest

from tools.docs import settings_page
from ziggie_image_mcp.config import loader
from ziggie_image_mcp.config.config import ENV_PREFIX, Config
from ziggie_image_mcp.inventory.registry import load_types

KEYS = [row for row in settings_page.keys(Config) if "[]" not in row[0]]


def test_the_page_is_current() -> None:
    text = settings_page.PAGE.read_text(encoding="utf-8")

    assert text == settings_page.page(), "run tools/docs/settings_page.py"


@pytest.mark.parametrize(("path", "names"), [row[:2] for row in KEYS], ids=[r[0] for r in KEYS])
def test_a_key_is_found_by_its_name_and_by_its_variable(path: str, names: tuple[str, ...]) -> None:
    """Both readings of the code lead to the key that the page names."""
    dotted = path.replace("NAME", "name")
    variable = ENV_PREFIX + "__".join(names)
    where = tuple(dotted.split("."))

    if path != "$schema":
        assert loader.setting_named(dotted)[0] == where
    assert loader.overriding(where, {variable: "1"}) == [variable]


def test_every_setting_says_what_it_is_for() -> None:
    silent = [
        path for path, _, field in settings_page.keys(Config) if not settings_page.words(field)
    ]
    for name, kind in load_types().usable.items():
        silent += [
            f"{name}.{key}"
            for key in kind.Settings.model_fields
            if not settings_page.attribute_words(kind.Settings, key)
        ]

    assert not silent


def test_what_is_written_by_hand_names_only_keys_that_there_are() -> None:
    text = settings_page.PAGE.read_text(encoding="utf-8").partition(settings_page.BEGIN)[0]
    table = text.partition("## What every")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert len(named) > 20
    assert set(named) <= {path.partition(".")[0].partition("[")[0] for path, _, _ in KEYS} | {
        "routes"
    }
