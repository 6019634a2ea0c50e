"""`generate` and `plan` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_main import run
from tests.support.calls import client, said
from tests.support.factory import service
from ziggie_image_mcp.provider.testing import FakeProvider

pytestmark = pytest.mark.usefixtures("warm")


def test_alternatives_make_a_picture_each_as_over_mcp(tmp_path: Path, config: Path) -> None:
    made = run("generate", "a {red|blue} star, {{ a|b }}", "--steps", "1", config=config)

    assert made.returncode == 0, made.stderr
    files = sorted((tmp_path / "pictures").rglob("*.json"))
    prompts = {json.loads(file.read_text(encoding="utf-8"))["prompt"] for file in files}
    assert prompts == {"a red star, {{ a|b }}", "a blue star, {{ a|b }}"}
    assert made.stderr.count("note: {{ a|b }} was left in the prompt as it is") == 2


def test_a_plan_is_that_of_each_alternative(config: Path) -> None:
    plan = run("plan", "a {red|blue} star", config=config)
    data = json.loads(run("plan", "a {red|blue} star", "--json", config=config).stdout)
    refused = run("plan", "a {2$$red|blue} star", config=config)

    assert "Each of 2 prompts takes such a route." in plan.stdout
    assert data["prompts"] == ["a red star", "a blue star"]
    assert refused.returncode == 1
    assert "[INVALID_REQUEST] prompt=" in refused.stderr


WRONG = {
    "--steps": ("steps", "few"),
    "--width": ("width", "wide"),
    "--quality": ("quality", "best"),
    "--aspect": ("aspect_ratio", "9:1"),
    "--seed": ("seed", "18446744073709551615"),
    "--count": ("num_images", "40"),
    "--max-cost": ("max_cost_usd", "cheap"),
    "--format": ("output_format", "gif"),
}


async def test_what_cannot_be_meant_is_refused_in_the_words_of_the_tools(
    tmp_path: Path, config: Path
) -> None:
    """And what means one thing is taken, as `--seed -1` and `--format .JPG`."""
    async with client(service(tmp_path / "tools", FakeProvider())) as session:
        for option, (name, value) in WRONG.items():
            shown = run("plan", "x", option, value, config=config)
            answer = await session.call_tool("generate_image", {"prompt": "x", name: value})
            assert shown.returncode == 1
            assert said(answer) in " ".join(shown.stderr.split()), option
            assert "leave it out" in said(answer)
    taken = [
        "--seed=-1",
        "--format",
        ".JPG",
        "--aspect",
        "square",
        "--steps",
        "2.0",
        "-p",
        "Builtin",
    ]
    plan = run("plan", "x", *taken, "--json", config=config)

    assert json.loads(plan.stdout)["candidates"][0]["steps"] == 2


def test_a_style_of_the_config_is_an_option_and_listed(tmp_path: Path, config: Path) -> None:
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["styles"] = {"inked": {"prompt": "{prompt}, in ink", "seed": 7}}
    config.write_text(json.dumps(settings), encoding="utf-8")

    made = run("generate", "a star", "--style", "inked", "--steps", "1", config=config)
    unknown = run("generate", "a star", "--style", "oil", config=config)
    listed = run("models", config=config)

    assert made.returncode == 0, made.stderr
    assert "note: style inked: prompt, seed" in made.stderr
    assert "seed: 7" in made.stderr
    (file,) = (tmp_path / "pictures").rglob("*.json")
    recipe = json.loads(file.read_text(encoding="utf-8"))
    assert (recipe["prompt"], recipe["Style"]) == ("a star, in ink", "inked")
    assert unknown.returncode == 1
    assert "style='oil' cannot be used: styles: inked" in unknown.stderr
    assert "Styles: inked" in listed.stdout


def test_a_file_is_made_again_without_a_prompt(tmp_path: Path, config: Path) -> None:
    options = ("--steps", "1", "-o", str(tmp_path / "one.png"))
    one = run("generate", "a star", *options, config=config)
    two = run(
        *("generate", "--like", str(tmp_path / "one.png"), "-o", str(tmp_path / "two.png")),
        config=config,
    )
    none = run("generate", config=config)

    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    assert "note: like one.png (ziggie-image-mcp): prompt, model" in two.stderr
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert none.returncode == 1
    assert "The argument 'prompt' is missing" in none.stderr
