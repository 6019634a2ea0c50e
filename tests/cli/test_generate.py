"""`generate` and `plan` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_main import run

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with the tiny model only."""
    settings = {
        "output": {"directory": str(tmp_path / "pictures")},
        "providers": {"comfyui": {"enabled": False}},
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


def test_alternatives_make_a_picture_each_as_over_mcp(tmp_path: Path, config: Path) -> None:
    made = run("generate", "a {red|blue} star, {{ a|b }}", "--steps", "1", config=config)

    assert made.returncode == 0, made.stderr
    files = sorted((tmp_path / "pictures").rglob("*.json"))
    prompts = {json.loads(file.read_text(encoding="utf-8"))["prompt"] for file in files}
    assert prompts == {"a red star, {{ a|b }}", "a blue star, {{ a|b }}"}
    assert made.stdout.count("note: {{ a|b }} was left in the prompt as it is") == 2


def test_a_plan_is_that_of_each_alternative(config: Path) -> None:
    plan = run("plan", "a {red|blue} star", config=config)
    data = json.loads(run("plan", "a {red|blue} star", "--json", config=config).stdout)
    refused = run("plan", "a {2$$red|blue} star", config=config)

    assert "Each of 2 prompts takes such a route." in plan.stdout
    assert data["prompts"] == ["a red star", "a blue star"]
    assert refused.returncode == 1
    assert "[INVALID_REQUEST] prompt=" in refused.stderr
