"""Braces in a prompt through the client: alternatives make one picture each, all else is text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from tests.support.factory import opener, service
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.server.tools import make_server


def text(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def call(folder: Path, fake: FakeProvider, *calls: dict[str, Any]) -> list[CallToolResult]:
    async with Client(make_server(opener(service(folder, fake)))) as session:
        return [await session.call_tool("generate_image", arguments) for arguments in calls]


@pytest.mark.parametrize(
    "prompt",
    [
        'a poster with the code "if (x) {a|b}" on it',
        "a template {{ name|upper }} on a card",
        r"a blackboard with \frac{a|b}{c}",
        "`{ls|wc}` on a screen",
        'a label {"kind": "a|b"}',
        "sun{flower|set}",
        "a {red|blue car",
    ],
)
async def test_what_is_not_unmistakably_alternatives_is_one_whole_prompt_and_said(
    prompt: str, tmp_path: Path
) -> None:
    fake = FakeProvider(models=[model(price=10_000)])
    wish = {"prompt": prompt, "allow_paid": True}
    plan, answer = await call(tmp_path, fake, wish | {"dry_run": True}, wish)

    assert [request.prompt for request in fake.seen] == [prompt]
    for told in (plan, answer):
        note = json.loads(text(told))["notes"][-1]
        assert "was left in the prompt as it is" in note
        assert "{red|dark blue}" in note


async def test_alternatives_make_a_picture_each_and_equal_ones_are_one(tmp_path: Path) -> None:
    fake = FakeProvider()
    several = {"prompt": r"a {red|{dark|pale} blue|\{red\|blue\}} car"}
    alike = {"prompt": "a {red|red} car"}
    answers = await call(tmp_path, fake, several, alike)

    ways = ["a red car", "a dark blue car", "a pale blue car", "a {red|blue} car"]
    assert [request.prompt for request in fake.seen] == [*ways, "a red car"]
    assert len(json.loads(text(answers[0]))["results"]) == 4
    assert "notes" not in json.loads(text(answers[1]))


@pytest.mark.parametrize(
    ("prompt", "fix"),
    [
        ("a {2::red|blue} car", "no weights"),
        ("a {red|0.5::blue} car", "no weights"),
        ("a {2$$red|blue|green} car", "no counts"),
        ("a {1-2$$ and $$red|blue} car", "no counts"),
        ("a {red|blue} car {on|off", "never closes"),
    ],
)
async def test_alternatives_that_cannot_be_honoured_are_refused_with_the_way_out(
    prompt: str, fix: str, tmp_path: Path
) -> None:
    fake = FakeProvider()
    wish = {"prompt": prompt}
    for refused in await call(tmp_path, fake, wish, wish | {"dry_run": True}):
        assert refused.is_error
        assert text(refused).startswith("[INVALID_REQUEST] prompt=")
        assert fix in text(refused)

    assert fake.seen == []
