"""What pages say by hand is what the code says."""

from __future__ import annotations

import re

import pytest

from tools.docs import models_table
from tools.packages import manifests
from tools.packages.manifests import ROOT
from ziggie_image_mcp.inventory.model_facts import entries
from ziggie_image_mcp.inventory.registry import load_types

PRIVACY = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_lines_for_developers_run_in_the_environment_that_holds_the_tools(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    (block,) = (block for block in blocks if "ruff check" in block)

    assert "/bin/activate" in block.partition("ruff check")[0]


@pytest.mark.parametrize("name", ["README.md", "docs/install.md"])
def test_whoever_shall_build_a_wheel_is_told_to_install_the_builder(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")

    assert re.findall(r"(\S*)python -m build", text) == [".venv/bin/"]
    assert ".venv/bin/pip install build && .venv/bin/python -m build" in text


def test_what_starts_only_when_published_is_said_to_until_then() -> None:
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    ways = [line for line in text.splitlines() if line.startswith(("| a plugin", "| an extension"))]

    is_unpublished = manifests.owner_in() == manifests.OWNER
    assert len(ways) == 2
    for way in ways:
        assert ("does not start before the package is published" in way) == is_unpublished
    assert ("The package is not on the public index yet" in text) == is_unpublished


def test_the_table_of_models_is_the_catalogues() -> None:
    text = models_table.PAGE.read_text(encoding="utf-8")

    assert text == models_table.page(), "run tools/docs/models_table.py"


def test_the_table_gives_two_models_of_the_same_parts_the_same_memory() -> None:
    facts = {entry.id: entry for entry in entries()}
    rows = {row["id"]: row for row in models_table.rows()}
    large, turbo = facts["sd35-large"], rows["sd35-large-turbo"]

    assert (turbo["vram_full_gb"], turbo["vram_offload_gb"]) == (30.5, 17.8)
    assert large.vram_bytes == facts["sd35-large-turbo"].vram_bytes


def test_the_table_tells_a_models_licence_from_that_of_its_pictures() -> None:
    (row,) = (line for line in models_table.page().splitlines() if "`flux1-dev`" in line)

    assert "the model not commercially; [its pictures](https://" in row
    assert '"except as expressly prohibited"' in row
    assert "third-party pages that quote it, 2026-" in row


def test_every_vendor_is_told_with_the_address_to_which_prompts_go() -> None:
    vendors = {name: kind for name, kind in load_types().usable.items() if kind.info.key_names}

    assert len(vendors) > 10
    for name, kind in vendors.items():
        field = kind.Settings.model_fields["base_url"]
        where = "the address of your own function" if field.is_required() else f"`{field.default}`"
        keys = ", ".join(f"`{key}`" for key in kind.info.key_names)
        assert f"| `{name}` | {where} | {keys} |" in PRIVACY
