"""The arguments of a request: declared once, and the same on every surface."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from typing import Any, cast, get_args

import pytest
import typer
from mcp.server.mcpserver import MCPServer

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.cli.main import app
from ziggie_image_mcp.jobs import batch_file
from ziggie_image_mcp.jobs.result_cache import cache_key
from ziggie_image_mcp.provider import Lora, ProviderRequest
from ziggie_image_mcp.provider.testing import model
from ziggie_image_mcp.routing.request import (
    DeclaredArgument,
    ImageRequest,
    Surface,
    declared_arguments,
    fingerprint,
    set_fields,
)
from ziggie_image_mcp.server.mcp_server import Open
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.storage.types import InputImage

ASK = ImageRequest(prompt="a cat")
OTHER: dict[str, Any] = {
    "prompt": "a dog",
    "negative_prompt": "rain",
    "width": 64,
    "height": 64,
    "aspect_ratio": "16:9",
    "num_images": 2,
    "seed": 0,
    "steps": 4,
    "guidance_scale": 2.5,
    "sampler": "euler",
    "scheduler": "normal",
    "model": "sdxl",
    "provider": "local",
    "quality": "draft",
    "preference": "speed",
    "max_cost_usd": 0.1,
    "allow_paid": True,
    "output_format": "webp",
    "file_name": "cat",
    "strength": 0.5,
    "loras": (Lora(id="pixel-art", weight=0.8),),
    "transparent": True,
    "seamless": True,
    "upscale": 2,
    "remove_background": True,
    "pixel_size": 8,
    "colors": 16,
    "palette": "pico-8",
    "trim": True,
    "pad": 2,
    "resample": "nearest",
    "asset": "kind=sprite size=32x32 palette=pico-8",
    "slice": "4x2",
    "sheet": "godot",
    "columns": 4,
    "animation": "gif",
    "fps": 8,
    "icons": "ico",
    "style": "watercolour",
}
"""For each argument a value that is not its default."""
WRITTEN = {"loras": "pixel-art:0.8"}
"""As a caller writes it, where JSON has no such value."""
OF_THE_CALL = {
    "generate": {"references", "control", "like", "dry_run", "wait_seconds", "request_id"},
    "edit": {
        *("image", "mask", "expand", "references", "control"),
        *("dry_run", "wait_seconds", "request_id"),
    },
    "process": {"image", "wait_seconds"},
}
"""What belongs to the call, and not to the request."""
KINDS: tuple[Surface, ...] = get_args(Surface)


def names(kind: Surface) -> set[str]:
    return {argument.name for argument in declared_arguments(kind)}


def command(name: str) -> Any:
    commands: Any = typer.main.get_command(app)
    return commands.commands[name]


async def schema(kind: str) -> dict[str, Any]:
    async def closed() -> Service:
        raise AssertionError("listing the tools opens nothing")

    opener: Open = closed
    server: MCPServer[Open] = make_server(opener)
    (tool,) = [t for t in await server.list_tools() if t.name == f"{kind}_image"]
    return tool.input_schema


def test_there_is_another_value_for_every_argument() -> None:
    assert set().union(*map(names, KINDS)) == set(OTHER)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_tool_takes_each_declared_argument_and_describes_it(
    kind: Surface,
) -> None:
    properties = (await schema(kind))["properties"]

    assert set(properties) == names(kind) | OF_THE_CALL[kind]
    assert [n for n, p in properties.items() if not p.get("description")] == []
    for argument in declared_arguments(kind):
        assert properties[argument.name]["description"] == argument.about


@pytest.mark.parametrize("kind", KINDS)
async def test_the_tool_asks_for_nothing_but_what_must_be_given(
    kind: Surface,
) -> None:
    needed = {a.name for a in declared_arguments(kind) if a.default is inspect.Parameter.empty}

    required = set((await schema(kind))["required"])

    assert required == needed | ({"image"} if kind != "generate" else set())


@pytest.mark.parametrize("name", ["generate", "plan", "edit", "process"])
def test_the_command_has_each_declared_argument_as_an_option(name: str) -> None:
    kind: Surface = "generate" if name == "plan" else cast(Surface, name)
    parameters = {p.name: p for p in command(name).params}

    for argument in declared_arguments(kind):
        parameter = parameters[argument.name]
        assert parameter.help == argument.about
        if argument.name != "prompt":
            assert set(argument.options) <= {*parameter.opts, *parameter.secondary_opts}


def test_a_batch_takes_each_declared_argument_but_the_yes_to_paying() -> None:
    assert set(batch_file.TYPES) == names("generate") - {"allow_paid"}


@pytest.mark.parametrize("argument", declared_arguments("generate"), ids=lambda a: a.name)
def test_a_line_of_a_batch_sets_the_argument(argument: DeclaredArgument) -> None:
    if argument.name == "allow_paid":
        pytest.skip("said once for the whole batch, by --budget")

    line = json.dumps(
        {"prompt": "a cat", argument.name: WRITTEN.get(argument.name, OTHER[argument.name])}
    )
    ((request,),) = [[item.request for item in batch_file.read(line)]]

    assert getattr(request, argument.name) == OTHER[argument.name]


@pytest.mark.parametrize("name", sorted(OTHER))
def test_an_argument_that_is_set_changes_the_fingerprint(name: str) -> None:
    changed = replace(ASK, **{name: OTHER[name]})

    assert fingerprint([changed]) != fingerprint([ASK])
    assert set(set_fields(changed)) == {"prompt", name}


def test_the_pictures_of_a_request_change_its_fingerprint() -> None:
    picture = InputImage(id="20261128-0123456789abcdef", width=64, height=64)
    edit = replace(ASK, image=picture)
    masked = replace(edit, mask=picture)

    assert len({fingerprint([r]) for r in (ASK, edit, masked)}) == 3


def test_what_is_not_set_does_not_change_the_fingerprint() -> None:
    """A field that a later version adds leaves the fingerprints of older requests as they are."""
    spelled_out = ImageRequest(
        prompt="a cat", negative_prompt="", width=None, num_images=1, allow_paid=False, seed=None
    )

    assert fingerprint([spelled_out]) == fingerprint([ASK])
    assert set_fields(ASK) == {"prompt": "a cat"}
    assert fingerprint([ASK]) == "v2-76bb484ce3076373551bbc38"


def test_a_whole_number_and_its_fraction_are_one_guidance() -> None:
    whole, fraction = replace(ASK, guidance_scale=7), replace(ASK, guidance_scale=7.0)

    assert fingerprint([whole]) == fingerprint([fraction])


def test_the_order_of_requests_counts() -> None:
    dog = replace(ASK, prompt="a dog")

    assert fingerprint([ASK, dog]) != fingerprint([dog, ASK])
    assert fingerprint([ASK]) != fingerprint([ASK, ASK])


SENT = (
    *("prompt", "negative_prompt", "width", "num_images", "seed", "steps", "guidance_scale"),
    *("sampler", "scheduler", "strength", "image_id", "mask_id"),
)


@pytest.mark.parametrize("field", SENT)
def test_what_a_provider_is_asked_for_changes_the_key_of_the_cached_result(field: str) -> None:
    request = ProviderRequest(
        prompt="a cat",
        negative_prompt="",
        width=1024,
        height=1024,
        num_images=1,
        seed=7,
        steps=20,
        guidance_scale=5.0,
    )
    other = replace(request, **{field: OTHER.get(field, "20261128-0123456789abcdef")})

    keys = {cache_key(r, model(), "png", "") for r in (request, other)}

    assert len(keys) == 2
