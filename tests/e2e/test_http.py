"""Streamable HTTP: who may come in, and from where."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import httpx2
import pytest
from mcp import Client

from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.server.transport import serve_http
from ziggie_image_mcp.server.web_app import Place

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}

pytestmark = pytest.mark.usefixtures("warm")


@contextmanager
def serving(token: str = "") -> Generator[str]:
    """The real server on a free loopback port: its URL."""
    with serving_process(token) as (url, _):
        yield url


@contextmanager
def serving_process(token: str = "") -> Generator[tuple[str, subprocess.Popen[bytes]]]:
    """The same, with its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | ({"ZIGGIE_IMAGE_TOKEN": token} if token else {})
    command = [sys.executable, "-m", "ziggie_image_mcp", "serve", "--http", "--port", str(port)]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE) as server:
        try:
            _wait_until_open(port)
            yield f"http://127.0.0.1:{port}/mcp", server
        finally:
            server.terminate()
            server.wait(10)


def _wait_until_open(port: int) -> None:
    async def knock() -> None:
        with anyio.fail_after(30):
            while True:
                try:
                    async with await anyio.connect_tcp("127.0.0.1", port):
                        return
                except OSError:
                    await anyio.sleep(0.05)

    anyio.run(knock)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_are_served(mode: str) -> None:
    async def look(url: str) -> list[str]:
        async with Client(url, mode=mode) as session:
            return [t.name for t in (await session.list_tools()).tools]

    with serving() as url:
        names = anyio.run(look, url)

    assert "generate_image" in names


def test_strangers_are_kept_out() -> None:
    with serving() as url:
        good = httpx2.post(url, json=HELLO, headers=ACCEPT)
        host = httpx2.post(url, json=HELLO, headers=ACCEPT | {"Host": "evil.example"})
        origin = httpx2.post(url, json=HELLO, headers=ACCEPT | {"Origin": "http://evil.example"})

    assert (good.status_code, host.status_code, origin.status_code) == (200, 421, 403)


def test_a_token_is_asked_for_when_one_is_set() -> None:
    with serving("open sesame") as url:
        none = httpx2.post(url, json=HELLO, headers=ACCEPT)
        wrong = httpx2.post(url, json=HELLO, headers=ACCEPT | {"Authorization": "Bearer nope"})
        right = httpx2.post(
            url, json=HELLO, headers=ACCEPT | {"Authorization": "Bearer open sesame"}
        )

    assert (none.status_code, wrong.status_code, right.status_code) == (401, 401, 200)


@pytest.mark.parametrize(
    ("token", "hosts", "said"),
    [
        ("", (), "ZIGGIE_IMAGE_TOKEN"),
        ("t", (), "--allowed-host"),
        ("", ("pictures.lan",), "ZIGGIE_IMAGE_TOKEN"),
    ],
)
async def test_it_does_not_listen_beyond_this_machine_unguarded(
    token: str, hosts: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token:
        monkeypatch.setenv("ZIGGIE_IMAGE_TOKEN", token)

    with pytest.raises(ConfigError, match=said):
        await serve_http(host="0.0.0.0", place=Place(allowed_hosts=hosts))
