"""`speed` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_main import run

pytestmark = pytest.mark.usefixtures("warm")


def test_what_pictures_took_is_listed_and_drawn(tmp_path: Path, config: Path) -> None:
    nothing = run("speed", "--png", str(tmp_path / "none.png"), config=config)
    for steps in ("1", "8"):
        made = run("generate", "a red star", "--steps", steps, config=config)
        assert made.returncode == 0, made.stderr
    listed = run("speed", config=config)
    files = ("--svg", str(tmp_path / "s.svg"), "--png", str(tmp_path / "s.png"))
    data = json.loads(run("speed", "--json", *files, config=config).stdout)
    first = json.loads(run("speed", "--json", "--rows", "1", config=config).stdout)

    assert "Nothing was measured yet" in nothing.stdout
    assert "Nothing was drawn" in nothing.stderr
    assert not (tmp_path / "none.png").exists()
    paces = {row["what"]: row for row in data["speeds"]}
    assert paces.pop("loading the model")["runs"] == 2, "each command loads it"
    assert all(what.endswith(", the first after loading") for what in paces)
    assert [row["runs"] for row in paces.values()] == [1, 1], "of one step, and of 8"
    assert all(row["model"].startswith("builtin/") for row in data["speeds"])
    assert all(row["seconds"] > 0 for row in data["speeds"])
    assert first["speeds"] == data["speeds"][:1]
    assert listed.stdout.count("█") or listed.stdout.count("#")
    assert all(row["what"] in listed.stdout for row in data["speeds"])
    drawn = (tmp_path / "s.svg").read_text(encoding="utf-8")
    assert all(f"{row['model']}: {row['what']}" in drawn for row in data["speeds"])
    with Image.open(tmp_path / "s.png") as image:
        assert image.width == 1000
