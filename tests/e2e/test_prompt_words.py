"""Notes about the words of a prompt, as callers of the tools and of the command line get them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import TextContent

from tests.cli.test_main import run
from tests.support.factory import opener, service
from ziggie_image_mcp.provider import Model
from ziggie_image_mcp.provider.testing import OPTIONS, FakeProvider, model, picture
from ziggie_image_mcp.routing.request import ImageRequest, declared_arguments
from ziggie_image_mcp.server.tools import make_server

CUTOUT = "a red fox, transparent background"
TILE = "seamless texture of bricks"
SIGN = 'a sign that says "OPEN"'
REAL_ALPHA = "transparent: true asks for real alpha; words in the prompt ('transparent background')"


def able(*options: str, **facts: Any) -> Model:
    return model(options=[*OPTIONS, *options], tasks=("text_to_image", "image_to_image"), **facts)


async def notes(folder: Path, *models: Model, tool: str = "generate_image", **wish: Any) -> str:
    """The notes of a call, or of its dry run, as one text."""
    fake = FakeProvider(models=models)
    made = service(folder, fake, inputDirectories=[str(folder)])
    async with Client(make_server(opener(made))) as session:
        answer = await session.call_tool(tool, wish)
    await made.aclose()
    assert isinstance(answer.content[0], TextContent)
    assert not answer.is_error, answer.content[0].text
    data = json.loads(answer.content[0].text)
    if "candidates" in data:
        data = data["candidates"][0]
    return " / ".join(data.get("notes", []))


@pytest.mark.parametrize("dry_run", [True, False])
async def test_the_note_names_the_argument_where_a_route_here_can(
    tmp_path: Path, dry_run: bool
) -> None:
    can, cannot = able("transparent"), able()
    gone = replace(can, id="gone", state="missing")

    said = await notes(tmp_path, can, prompt=CUTOUT, dry_run=dry_run)
    nobody = await notes(tmp_path, cannot, gone, prompt=CUTOUT, dry_run=dry_run)

    assert said == f"{REAL_ALPHA} do not"
    assert nobody == said, "where no model has it, it is keyed"


async def test_nothing_is_said_where_the_argument_is_set_or_the_words_mean_another_thing(
    tmp_path: Path,
) -> None:
    can = able("transparent")

    assert await notes(tmp_path, can, prompt=CUTOUT, transparent=True, dry_run=True) == ""
    assert await notes(tmp_path, can, prompt="a transparent glass") == ""


async def test_an_argument_that_is_not_declared_is_not_named(tmp_path: Path) -> None:
    said = await notes(tmp_path, able("seamless"), prompt=TILE, dry_run=True)
    declared = {argument.name for argument in declared_arguments("generate")}

    assert ("seamless: true" in said) == ("seamless" in declared)
    assert "edges that meet" in said


async def test_words_to_be_read_are_said_to_be_nobodys_promise(tmp_path: Path) -> None:
    real = await notes(tmp_path, able(), prompt=SIGN)
    demo = await notes(tmp_path, able(demo=True), prompt=SIGN)

    assert "model may misspell" in real
    assert "'sign that says \"OPEN\"'" in real
    assert demo.startswith("no letters can be read in what the demo model makes")


async def test_an_edit_is_told_so_too(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(picture())
    image = str(tmp_path / "in.png")

    said = await notes(
        tmp_path,
        able("transparent"),
        tool="edit_image",
        image=image,
        prompt="remove the background",
    )

    assert "no route here gives real alpha" in said


async def test_a_plan_and_a_job_of_several_prompts_say_it_of_each(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())

    view = await made.generate_all([ImageRequest(prompt=p) for p in (CUTOUT, "a fox", SIGN)])

    assert view.outcome is not None
    said = [" / ".join(result.notes) for result in view.outcome.results]
    assert "real alpha" in said[0]
    assert said[1] == ""
    assert "misspell" in said[2]


@pytest.mark.usefixtures("warm")
def test_the_command_line_says_it_in_its_plan(tmp_path: Path) -> None:
    settings = {
        "output": {"directory": str(tmp_path / "pictures")},
        "providers": {"comfyui": {"enabled": False}},
    }
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")

    plan = run("plan", CUTOUT, config=tmp_path / "config.json")

    assert "note: transparent: true asks for real alpha" in plan.stdout + plan.stderr
