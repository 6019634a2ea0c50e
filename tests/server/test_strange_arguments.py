"""What no file or text is, as an argument: each call is answered, typed and in one line."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from tests.support.factory import opener, service
from ziggie_image_mcp.provider.testing import FakeProvider, model, picture
from ziggie_image_mcp.server.tools import make_server

TASKS = ("text_to_image", "image_to_image", "inpaint")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="these are no files of Windows")


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    """A folder of things that are no pictures, and one that is."""
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    os.mkfifo(inputs / "pipe")
    (inputs / "zero").symlink_to("/dev/zero")
    (inputs / "folder").mkdir()
    (inputs / "circle").symlink_to(inputs / "circle")
    (inputs / "good.png").write_bytes(picture())
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(inputs)  # a socket's path must be short
        listener.bind("socket")
        os.chdir(here)
        yield inputs


def text(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


@POSIX
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pipe", "it is a pipe, and no file"),
        ("socket", "it is a socket, and no file"),
        ("folder", "it is a folder, and no file"),
        ("circle", "it "),
        ("a\0b", "it is no path (embedded null byte)"),
        ("n" * 300, "File name too long"),
        ("~nosuchuser/x", "it is no path"),
        ("zero", "only files below"),
    ],
)
async def test_what_is_no_regular_file_is_refused_at_once(
    name: str, reason: str, folder: Path, tmp_path: Path
) -> None:
    path = name if name.startswith("~") else f"{folder}/{name}"
    good = f"{folder}/good.png"
    made = service(
        tmp_path, FakeProvider(models=[model(tasks=TASKS)]), inputDirectories=[str(folder)]
    )
    async with Client(make_server(opener(made))) as session:
        for wish in (
            {"image": path},
            {"image": good, "mask": path},
            {"image": good, "references": path},
        ):
            refused = await session.call_tool("edit_image", {"prompt": "x"} | wish)
            field = list(wish)[-1]
            assert refused.is_error
            assert text(refused).startswith(f"[INVALID_REQUEST] {field}=")
            assert reason in text(refused)
            assert "\n" not in text(refused)


@POSIX
async def test_a_device_below_an_input_directory_is_refused(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider(models=[model(tasks=TASKS)]), inputDirectories=["/dev"])
    async with Client(make_server(opener(made))) as session:
        answer = await session.call_tool("edit_image", {"prompt": "x", "image": "/dev/zero"})

    assert "it is a device, and no file" in text(answer)


HALF = "a \ud800 b"
CALLS: dict[str, dict[str, Any]] = {
    "generate_image": {"prompt": "x"},
    "edit_image": {"prompt": "x", "image": "20261123-0123456789abcdef"},
    "process_image": {"image": "20261123-0123456789abcdef", "upscale": 2},
    "list_models": {},
    "view_image": {"image_id": "20261123-0123456789abcdef"},
    "get_job": {"job_id": "job-1"},
    "cancel_job": {"job_id": "job-1"},
    "check_hardware": {},
}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_half_a_character_in_any_argument_is_named(
    mode: Literal["auto", "legacy"], tmp_path: Path
) -> None:
    fake = FakeProvider()
    async with Client(make_server(opener(service(tmp_path, fake))), mode=mode) as session:
        tools = (await session.list_tools()).tools
        asked = 0
        for tool in tools:
            for name in [*tool.input_schema["properties"], "no \udfff such"]:
                value: Any = [HALF] if name == "expand" else HALF
                answer = await session.call_tool(tool.name, CALLS[tool.name] | {name: value})
                assert answer.is_error
                assert text(answer).startswith(f"[INVALID_ARGUMENT] {name.split()[0]}")
                assert "half a character" in text(answer)
                asked += 1

    assert asked > 40
    assert fake.seen == []
