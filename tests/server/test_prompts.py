"""Prompts lead to one call that works, and their arguments are completed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.types import INVALID_PARAMS, PromptReference, ResourceTemplateReference, TextContent

from tests.server.test_callers import client, image_id, serving
from tests.support.factory import opener, service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.assets.contract import KINDS
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.server.tools import make_server

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
STYLES = {"Water Colour": {"prompt": "{prompt}, watercolour"}, "woodcut": {"steps": 9}}


def lora(name: str, provider: str = "fake") -> Any:
    return replace(model(provider, name), role="lora", tasks={})


def made(folder: Path, **config: Any) -> Service:
    loras = [lora("pixel-art"), lora("paper"), lora("soft pixels")]
    one = FakeProvider("one", models=[model("one", "stars"), lora("inks", "one")])
    fake = FakeProvider(models=[model(id="stars"), model(id="moons"), *loras])
    return service(folder, fake, one, styles=STYLES, **config)


def here(folder: Path, mode: str) -> Client:
    return Client(make_server(opener(made(folder))), mode=mode)


async def words(session: Client, name: str, **arguments: str) -> str:
    (message,) = (await session.get_prompt(name, arguments)).messages
    assert isinstance(message.content, TextContent)
    return message.content.text


@ERAS
async def test_a_picture_brief_says_what_to_call(mode: str, tmp_path: Path) -> None:
    async with here(tmp_path, mode) as session:
        bare = await words(session, "make_picture", subject="a fox")
        full = await words(
            session,
            "make_picture",
            subject="a fox",
            model="stars",
            style="water-colour",
            aspect_ratio="16:9",
            loras="paper:0.5",
        )
        with pytest.raises(MCPError, match="subject"):
            await session.get_prompt("make_picture", {})

    assert bare.startswith("Call generate_image to make this picture: a fox\n")
    assert (
        "generate_image with model 'stars' and style 'Water Colour' and aspect_ratio '16:9' "
        "and loras 'paper:0.5' to make this picture: a fox"
    ) in full


@ERAS
async def test_the_call_of_an_asset_set_makes_one_of_each(mode: str, tmp_path: Path) -> None:
    wish = {"subjects": "a coin, a key", "kind": "tile", "size": "32x32", "palette": "pico-8"}
    async with here(tmp_path, mode) as session:
        text = await words(session, "make_assets", **wish)
        asset = re.search("asset '(.+?)'", text)
        prompt = re.search(r"to the letter: (.+)\n", text)
        assert asset is not None
        assert prompt is not None
        arguments = {"prompt": prompt[1], "asset": asset[1], "dry_run": True}
        plan = await session.call_tool("generate_image", arguments)
        one = await words(session, "make_assets", subjects="a red coin")

    assert prompt[1] == "{a coin|a key}"
    assert asset[1] == "kind=tile size=32x32 palette=pico-8"
    assert isinstance(plan.content[0], TextContent)
    assert '"prompts":["a coin","a key"]' in plan.content[0].text
    assert "to the letter: a red coin\n" in one
    assert "asset 'kind=sprite'" in one


@ERAS
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("make_assets", {"subjects": "a coin", "kind": "statue"}, "kind"),
        ("make_assets", {"subjects": "a coin", "size": "big"}, "size"),
        ("make_assets", {"subjects": " , "}, "subjects=' , ' cannot be used: 1 to 16"),
        ("make_assets", {"subjects": "a{b, x|y"}, "braces, bars"),
        ("make_in_style", {"style": "watercolor", "subject": "x"}, "mean 'Water Colour'"),
        ("make_in_style", {"style": " ", "subject": "x"}, "give the name of a style"),
        ("make_picture", {"style": "oil", "subject": "x"}, "styles: Water Colour, woodcut"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_what_can(
    name: str, arguments: dict[str, str], message: str, mode: str, tmp_path: Path
) -> None:
    async with here(tmp_path, mode) as session:
        with pytest.raises(MCPError, match=re.escape(message)) as refused:
            await session.get_prompt(name, arguments)

    assert refused.value.error.code == INVALID_PARAMS


async def test_a_style_is_named_as_the_settings_have_it(tmp_path: Path) -> None:
    async with here(tmp_path, "auto") as session:
        text = await words(session, "make_in_style", style="watercolour", subject="a barn")

    assert text.startswith("Call generate_image with style 'Water Colour' to make this picture")


@ERAS
async def test_arguments_are_completed(mode: str, tmp_path: Path) -> None:
    async with here(tmp_path, mode) as session:
        saved = image_id(await session.call_tool("generate_image", {"prompt": "x"}))
        template = (await session.list_resource_templates()).resource_templates[0]
        pictures = ResourceTemplateReference(type="ref/resource", uri=template.uri_template)
        wishes: list[tuple[str | ResourceTemplateReference, str, str, dict[str, str]]] = [
            (pictures, "image_id", saved[:9], {}),
            (pictures, "image_id", "zz", {}),
            (pictures, "max", "1", {}),
            ("make_picture", "model", "ST", {}),
            ("make_picture", "model", "", {"provider": "one"}),
            ("make_picture", "provider", "fa", {}),
            ("make_picture", "subject", "", {}),
            ("make_picture", "loras", "pix", {}),
            ("make_picture", "loras", "paper:0.5, in", {}),
            ("make_picture", "loras", "", {"provider": "one"}),
            ("make_in_style", "style", "WOOD", {}),
            ("make_assets", "kind", "", {}),
            ("make_assets", "palette", "pico", {}),
            ("nope", "model", "", {}),
        ]
        answers: list[list[str]] = []
        for what, name, value, others in wishes:
            ref = PromptReference(type="ref/prompt", name=what) if isinstance(what, str) else what
            argument = {"name": name, "value": value}
            answer = await session.complete(ref, argument, context_arguments=others)
            answers.append(answer.completion.values)

    assert answers == [
        [saved],
        [],
        ["1024", "1568", "512"],
        ["stars"],
        ["stars"],
        ["fake"],
        [],
        ["pixel-art", "soft pixels"],
        ["paper:0.5, inks"],
        ["inks"],
        ["woodcut"],
        list(KINDS),
        ["pico-8"],
        [],
    ]


async def test_no_more_are_given_than_the_protocol_allows(tmp_path: Path) -> None:
    many = [model(id="stars"), *(lora(f"lora-{number:03}") for number in range(130))]
    server = make_server(opener(service(tmp_path, FakeProvider(models=many))))
    async with Client(server) as session:
        ref = PromptReference(type="ref/prompt", name="make_picture")
        answer = (await session.complete(ref, {"name": "loras", "value": "lora-"})).completion

    assert len(answer.values) == 100
    assert (answer.total, answer.has_more) == (130, True)


async def test_over_http_a_prompt_is_given_and_completed_too(tmp_path: Path) -> None:
    async with serving(made(tmp_path)) as url, client(url, "alice") as alice:
        text = await words(alice, "make_in_style", style="woodcut", subject="a barn")
        ref = PromptReference(type="ref/prompt", name="make_in_style")
        answer = await alice.complete(ref, {"name": "style", "value": "w"})

    assert "style 'woodcut'" in text
    assert answer.completion.values == ["Water Colour", "woodcut"]
