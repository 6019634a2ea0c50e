"""A machine on which only the demo model can make pictures: what it does, and what it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from tests.cli.test_main import run
from tests.support.factory import opener, service
from ziggie_image_mcp.errors import ModelMissing, ProviderUnavailable
from ziggie_image_mcp.inventory import recommend
from ziggie_image_mcp.provider import Provider
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.tools import make_server

ADVICE = "A real model for this machine: Stable Diffusion 1.5 (CreativeML OpenRAIL-M, 2.8 GB"
COMMAND = "ziggie-image-mcp models pull sd15"
DEMO = model("demo", id="tiny", demo=True, quality=1.0, seconds=1.0, commercial_use=True)
UPSCALER = model("demo", id="upscaler", tasks=("upscale",))


def demo() -> FakeProvider:
    return FakeProvider("demo", models=[DEMO, UPSCALER])


def real(**facts: Any) -> FakeProvider:
    return FakeProvider("real", models=[model("real", id="sdxl", **facts)])


async def call(
    folder: Path, tool: str, *providers: Provider, config: dict[str, Any] | None = None, **wish: Any
) -> CallToolResult:
    made = service(folder, *providers, **(config or {}))
    async with Client(make_server(opener(made))) as session:
        answer = await session.call_tool(tool, wish)
    await made.aclose()
    return answer


def text_of(answer: CallToolResult) -> str:
    assert isinstance(answer.content[0], TextContent)
    return answer.content[0].text


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"dry_run": True},
        {"model": "tiny"},
        {"quality": "standard"},
        {"model": "tiny", "quality": "high"},
        {"provider": "local"},
    ],
    ids=str,
)
async def test_every_answer_tells_how_to_get_a_real_model(
    tmp_path: Path, wish: dict[str, Any]
) -> None:
    answer = await call(tmp_path, "generate_image", demo(), prompt="a cat", **wish)

    data = json.loads(text_of(answer))
    data = data["candidates"][0] if "candidates" in data else data
    (advice,) = [note for note in data["notes"] if ADVICE in note]
    assert COMMAND in advice
    missed = [note for note in data["notes"] if "is not reached" in note]
    assert len(missed) == ("quality" in wish)


@pytest.mark.parametrize(
    "wish",
    [{"quality": "high"}, {"model": "flux1-dev"}, {"model": "sdxl"}, {"provider": "cloud"}],
    ids=str,
)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_the_demo_cannot_serve_in_earnest_is_refused_with_the_advice(
    tmp_path: Path, wish: dict[str, Any], dry_run: bool
) -> None:
    answer = await call(tmp_path, "generate_image", demo(), prompt="a cat", dry_run=dry_run, **wish)

    text = text_of(answer)
    assert ADVICE in text
    assert COMMAND in text.replace('\\"', '"')
    if dry_run:
        assert json.loads(text)["candidates"] == []
    else:
        assert answer.is_error
        assert text.startswith("[NO_ROUTE]")


NEVER: dict[str, Any] = {"allowPaidFallback": "never"}
HOME: dict[str, Any] = {"privacy": "local_only"}
DEAR: dict[str, Any] = {"where": "vendor", "price": 40_000}


@pytest.mark.parametrize(
    ("others", "config", "wish", "serves"),
    [
        ([], {}, {}, True),
        ([real()], {}, {}, False),
        ([real(tasks=("upscale",))], {}, {}, True),
        ([real(state="missing")], {}, {}, True),
        ([FakePaidProvider()], {}, {}, False),  # it is asked about
        ([FakePaidProvider()], NEVER, {}, True),
        ([FakePaidProvider()], HOME, {}, True),
        ([FakePaidProvider()], {}, {"provider": "local"}, True),
        ([FakePaidProvider()], {}, {"max_cost_usd": 0}, True),
        ([FakePaidProvider()], {"provider": "local"}, {}, True),
        ([FakePaidProvider()], {"models": {"model": {"enabled": False}}}, {}, True),
        ([real(license="x", commercial_use=False)], {"commercialUse": True}, {}, True),
        ([real()], NEVER, {}, False),
        ([real(), FakePaidProvider()], HOME, {}, False),
    ],
)
async def test_models_that_nothing_would_ever_let_run_do_not_stand_in_the_demos_way(
    tmp_path: Path,
    others: Sequence[Provider],
    config: dict[str, Any],
    wish: dict[str, Any],
    serves: bool,
) -> None:
    made = service(tmp_path, demo(), *others, **config)

    plan = await made.plan(ImageRequest(prompt="a cat", **wish))

    assert ("tiny" in [c.model.id for c in plan.candidates]) == serves
    if not serves:
        codes = {x.code for r in plan.rejected if r.model == "tiny" for x in r.reasons}
        assert codes == {"DEMO_ONLY"}


async def test_a_paid_route_that_may_be_asked_about_is_offered_as_before(tmp_path: Path) -> None:
    answer = await call(tmp_path, "generate_image", demo(), FakePaidProvider(), prompt="a cat")

    assert answer.is_error
    assert text_of(answer).startswith("[PAID_CONSENT_REQUIRED]")
    assert ADVICE not in text_of(answer)


async def test_a_folder_of_models_that_is_empty_does_not_stand_in_its_way(tmp_path: Path) -> None:
    empty = FakeProvider("folder", down=ModelMissing("folder", "no model is there"))
    down = FakeProvider("engine", down=ProviderUnavailable("engine", "refused"))
    request = ImageRequest(prompt="a cat")

    plans = [await service(tmp_path, demo(), one).plan(request) for one in (empty, down)]

    assert [bool(plan.candidates) for plan in plans] == [True, False]
    assert ADVICE in plans[0].advice
    assert plans[1].advice == ""  # it may have a model, once it answers


async def test_a_demo_is_no_local_generation(tmp_path: Path) -> None:
    hardware = await call(tmp_path, "check_hardware", demo())
    listing = await call(tmp_path, "list_models", demo())
    with_real = await call(tmp_path, "check_hardware", demo(), real())

    data = json.loads(text_of(hardware))
    assert data["local"]["possible"] is False
    assert "no real local model" in data["local"]["text"]
    assert data["automatic"]["route"] == "demo/tiny"
    assert "demo model" in data["automatic"]["text"]
    assert data["engines"][0]["detail"].startswith("1 usable of 2 models, the demo among them")
    assert ADVICE in data["real_model"]
    assert ADVICE in json.loads(text_of(listing))["real_model"]
    assert json.loads(text_of(with_real))["real_model"] == ""
    assert json.loads(text_of(with_real))["local"]["possible"] is True


async def test_a_user_who_keeps_prompts_at_home_is_not_sent_to_a_vendor(tmp_path: Path) -> None:
    small = replace(recommend.current_setup(vendors=True), packages=True)
    assert small.vendors

    made = service(tmp_path, demo(), **HOME)
    context = await made.snapshot(ImageRequest(prompt="a cat"))

    assert context.setup.vendors is False


@pytest.mark.usefixtures("warm")
def test_the_command_line_tells_it_too(tmp_path: Path) -> None:
    settings = {
        "output": {"directory": str(tmp_path / "pictures")},
        "providers": {"comfyui": {"enabled": False}, "diffusers": {"useHubCache": False}},
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings), encoding="utf-8")
    where = (" models pull ", "ComfyUI on a machine")  # by what this machine is

    commands = {
        name: run(*name.split(), config=config)
        for name in (
            "hardware",
            "models",
            "plan star",
            "doctor --skip-picture",
            "generate star --steps 1",
            "generate star --quality high",
            "plan star --model flux1-dev",
        )
    }

    for name, done in commands.items():
        assert any(word in done.stdout + done.stderr for word in where), name
    assert "[NO_ROUTE]" in commands["generate star --quality high"].stderr
    assert commands["generate star --quality high"].returncode == 1
    assert "[ ] Use local generation" in commands["hardware"].stdout
    assert "no real model is here" in commands["doctor --skip-picture"].stdout


@pytest.mark.parametrize(
    ("settings", "cloud", "automatic"),
    [
        ({}, "paid/model: about", "paid/model: about"),
        ({"provider": "local"}, "paid/model: about", "paid/model: about"),
        ({"provider": "cloud"}, "paid/model: about", "paid/model: about"),
        ({"budget": {"perDay": 0}}, "Not possible now: paid/model: OVER_BUDGET", "Not possible"),
        ({"allowPaidFallback": "never"}, "PAID_FORBIDDEN", "Not possible now"),
    ],
)
async def test_each_box_tells_what_its_mode_would_do_whichever_is_set(
    settings: dict[str, Any], cloud: str, automatic: str, tmp_path: Path
) -> None:
    made = service(tmp_path, FakePaidProvider(), **settings)
    async with Client(make_server(opener(made))) as session:
        machine = (await session.call_tool("check_hardware", {})).structured_content

    assert machine is not None
    assert cloud in machine["cloud"]["text"]
    assert automatic in machine["automatic"]["text"]
