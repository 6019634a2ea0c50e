"""The Dockerfile and the compose file: right by their checkers, and what they start works."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.fake_comfyui import FakeComfyUI

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = SERVICES["ziggie-image-mcp"]
ENGINES = {name: s for name, s in SERVICES.items() if name.startswith("comfyui-")}
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
TOKEN = "a-token-of-the-test-0123456789abcdef"


def checked(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ("hadolint", "Dockerfile"),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"),
    ],
)
def test_the_checkers_find_nothing(command: tuple[str, ...]) -> None:
    path = Path(sys.executable).with_name(command[0])
    result = checked(str(path), *command[1:])

    assert result.returncode == 0, result.stdout + result.stderr


def test_all_that_the_image_copies_is_let_in_and_nothing_else() -> None:
    copied = {
        source
        for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    let_in = (ROOT / ".dockerignore").read_text("utf-8").splitlines()

    assert {f"!{path}" for path in copied} == {line for line in let_in if line.startswith("!")}
    assert let_in[0] == "*"
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("name", [*ENGINES])
def test_each_engine_is_where_our_server_looks_and_open_to_this_machine_only(name: str) -> None:
    engine = ENGINES[name]
    url = httpx2.URL(OURS["environment"]["ZIGGIE_IMAGE_PROVIDERS__COMFYUI__BASE_URL"])

    assert engine["networks"]["default"]["aliases"] == [url.host]
    assert engine["profiles"] == [name.removeprefix("comfyui-")]
    assert engine["ports"] == [f"127.0.0.1:{url.port}:{url.port}"]
    assert "latest" not in engine["image"].partition(":")[2]


def test_models_are_shared_at_one_path() -> None:
    mounts = [v.split(":") for v in OURS["volumes"] if v.startswith("./models")]

    assert mounts == [["./models", "/root/ComfyUI/models", "ro"]]
    for engine in ENGINES.values():
        assert "./models:/root/ComfyUI/models" in engine["volumes"]


def instruction(name: str) -> list[str]:
    """The words of ENTRYPOINT or CMD."""
    words: list[str] = json.loads(re.findall(rf"^{name} (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    return words


async def test_what_the_image_starts_serves_who_has_the_token(tmp_path: Path) -> None:
    """The very command and variables; but for the port, the folders and where ComfyUI is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    async with FakeComfyUI() as comfy:
        env = {k: v for k, v in os.environ.items() if not k.startswith("ZIGGIE_IMAGE")}
        env |= OURS["environment"] | {
            "HOME": str(tmp_path),
            "ZIGGIE_IMAGE_OUTPUT__DIRECTORY": str(tmp_path / "pictures"),
            "ZIGGIE_IMAGE_TOKEN": TOKEN,
            "ZIGGIE_IMAGE_ENGINE_HOSTS": "localhost",
            "ZIGGIE_IMAGE_PROVIDERS__COMFYUI__BASE_URL": comfy.url,
        }
        assert instruction("ENTRYPOINT") == ["ziggie-image-mcp"]
        command = [sys.executable, "-m", "ziggie_image_mcp", *instruction("CMD"), "--port", port]
        server = await asyncio.create_subprocess_exec(
            *command, env=env, cwd=tmp_path, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await is_healthy(url)
            async with httpx2.AsyncClient() as stranger:
                assert (await stranger.post(f"{url}/mcp", json={})).status_code == 401
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx2.AsyncClient(headers=headers) as http:
                transport = streamable_http_client(f"{url}/mcp", http_client=http)
                async with Client(transport) as client:
                    told = await client.call_tool("list_models", {"provider": "comfyui"})
        finally:
            server.terminate()
            await asyncio.wait_for(server.wait(), 20)

    assert told.structured_content is not None
    assert {row["provider"] for row in told.structured_content["models"]} == {"comfyui"}


async def is_healthy(url: str) -> None:
    """Wait for it as the image's HEALTHCHECK does."""
    path = re.findall(r"8765(/\w+)", DOCKERFILE)[0]
    async with httpx2.AsyncClient() as http:
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await http.get(url + path)).status_code == 200:
                        return
                except httpx2.ConnectError:
                    await asyncio.sleep(0.1)
