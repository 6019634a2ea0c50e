"""`plan --on`: what another machine would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.cli.test_main import run
from ziggie_image_mcp.cli.main import app


def plan(*words: str) -> Result:
    return CliRunner().invoke(app, ["plan", *words])


def test_the_answer_is_that_of_plan_with_the_machine_beside_it() -> None:
    data: dict[str, Any] = json.loads(plan("a fox", "--on", "rtx 3060", "--json").stdout)

    assert data["on"]["card"] == "RTX 3060"
    assert (data["on"]["ram_gib"], data["on"]["tier"]) == (16, "recommended")
    assert data["on"]["speed"] == pytest.approx(0.39)
    assert "RTX 3060" in data["on"]["speed_from"]
    assert "catalogue" in data["models"]
    assert data["dry_run"] is True
    assert {"provider", "model", "size", "expected_seconds", "why"} <= data["candidates"][0].keys()
    assert all(one["reasons"] for one in data["rejected"])


def test_a_file_says_the_same_and_options_win_over_it(tmp_path: Path) -> None:
    file = tmp_path / "pc.json"
    file.write_text('{"card": "RTX 4090 24GB", "ram": 64, "os": "windows"}', encoding="utf-8")

    by_name = plan("--on", "RTX 4090", "--ram", "64", "--os", "Windows", "--json")
    by_file = plan("--on", str(file), "--json")
    smaller = json.loads(plan("--on", str(file), "--ram", "8", "--json").stdout)

    assert json.loads(by_file.stdout) == json.loads(by_name.stdout)
    assert smaller["on"]["ram_gib"] == 8
    assert len(smaller["rejected"]) > len(json.loads(by_file.stdout)["rejected"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--on", "RTX 4071"], "known cards near it: RTX 4070"),
        (["--on", "RTX 4090 12GB"], "RTX 4090 is sold with 24 GB"),
        (["--on", "RTX 4090", "--os", "BeOS"], "one of Linux, Windows, Darwin"),
        (["--on", "RTX 4090", "--ram", "-1"], "give GiB, above 0"),
        (["--on", "RTX 4090", "--ram", "nan"], "give GiB, above 0"),
        (["--on", "Apple M3 36GB", "--ram", "16"], "shares one memory"),
        (["--on", "nowhere.json"], "name a file that is there"),
        (["--ram", "16"], "name the other machine's card by --on"),
        (["--on", "RTX 4090", "--steps", "0"], "steps"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], says: str) -> None:
    refused = plan(*words)

    assert refused.exit_code == 1
    assert refused.stderr.startswith("[INVALID_REQUEST] ")
    assert says in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ('{"ram": 8}', "card: Field required"),
        ('{"card": "RTX 4090", "vram": 8}', "vram: Extra inputs are not permitted"),
        ('{"card": "RTX 4090", "ram": "8"}', "ram: Input should be a valid number"),
    ],
)
def test_a_file_that_says_no_machine_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "pc.json"
    file.write_text(text, encoding="utf-8")

    refused = plan("--on", str(file))

    assert refused.exit_code == 1
    assert says in " ".join(refused.stderr.split())


def test_where_nothing_fits_it_ends_with_code_1_and_says_why() -> None:
    refused = plan("--on", "GTX 1060", "--model", "flux dev", "--json")

    data = json.loads(refused.stdout)
    assert refused.exit_code == 1
    assert data["candidates"] == []
    flux = [r for r in data["rejected"] if r["model"] == "black-forest-labs/FLUX.1-dev"]
    assert [x["code"] for r in flux for x in r["reasons"]] == ["MEMORY_INSUFFICIENT"]


def test_the_stages_of_deepfloyd_if_are_one_model_of_the_catalogue() -> None:
    words = ("--on", "RTX 4090", "--ram", "32", "--model", "deepfloyd", "--json")

    (candidate,) = json.loads(plan("a fox", *words).stdout)["candidates"]
    other = json.loads(plan("a fox", *words, "--width", "1040", "--height", "1040").stdout)

    assert (candidate["model"], candidate["size"]) == ("DeepFloyd/IF-I-XL-v1.0", "1024x1024")
    assert any("non-commercial research" in note for note in candidate["notes"])
    assert [one["size"] for one in other["candidates"]] != ["1040x1040"]


def test_nothing_is_opened_or_written(config: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    shown = run("plan", "--on", "Apple M3 Max 36GB", config=config)

    assert shown.returncode == 0, shown.stderr
    assert "On Apple M3 Max, 36 GiB of RAM, Darwin" in shown.stdout
    assert sorted(tmp_path.rglob("*")) == before
