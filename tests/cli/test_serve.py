"""`serve`: what cannot be served is said in one line, before anything is."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("warm")


def refused(*arguments: str, **env: str) -> str:
    """The one line on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", "serve", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | env,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--port", "9000"], "--port concerns"),
        (["--host", "::1", "--path", "/x"], "--host, --path concern"),
        (["--allowed-host", "a", "--allowed-origin", "https://a"], "--allowed-host, --allowed-"),
        (["--stateless"], "--stateless concerns"),
    ],
)
def test_what_concerns_http_is_refused_without_it(arguments: list[str], names: str) -> None:
    line = refused(*arguments)

    assert names in line
    assert "HTTP only: add --http" in line


def test_a_port_in_use_is_said_before_serving() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refused("--http", "--port", str(port))

    assert f"127.0.0.1:{port} cannot be listened on" in line
    assert "Choose another --port" in line


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        ("192.0.2.1", "192.0.2.1:8765 cannot be listened on.*address of this machine"),
        ("2001:db8::1", r"\[2001:db8::1\]:8765 cannot.*--host"),
        ("no.such.name.invalid", "Give --host a name or an address"),
        ("a" * 80, "no name of a host|address of this machine"),
    ],
)
def test_an_address_of_elsewhere_is_refused(host: str, fix: str) -> None:
    line = refused("--http", "--host", host, "--allowed-host", "a", ZIGGIE_IMAGE_TOKEN="t")

    assert re.search(fix, line)
    assert "Serving" not in line


@pytest.mark.parametrize(
    ("arguments", "env", "named"),
    [
        ((), {"ZIGGIE_IMAGE_TOKENS": "alice"}, "ZIGGIE_IMAGE_TOKENS"),
        ((), {"ZIGGIE_IMAGE_TOKEN": " "}, "ZIGGIE_IMAGE_TOKEN"),
        ((), {"ZIGGIE_IMAGE_TOKENS": " "}, "ZIGGIE_IMAGE_TOKENS"),
        (("--path", "x y"), {}, "--path"),
        (("--allowed-origin", "x"), {}, "--allowed-origin"),
        (("--allowed-host", "http://x"), {}, "--allowed-host"),
    ],
)
def test_a_setting_that_is_none_is_refused(
    arguments: tuple[str, ...], env: dict[str, str], named: str
) -> None:
    line = refused("--http", *arguments, **env)

    assert line.startswith("[CONFIG_INVALID]")
    assert named in line


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize(
    ("host", "shown"),
    [("::1", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.2", "127.0.0.2"), ("LOCALHOST", "localhost")],
)
def test_it_says_that_it_serves_once_it_listens_with_ipv6_in_brackets(
    host: str, shown: str
) -> None:
    """All that is loopback needs no token, however it is written."""
    with socket.socket(socket.AF_INET6) as free:
        free.bind(("::1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ziggie_image_mcp", "serve", "--http", "--host", host]
    command += ["--port", str(port), "--path", "/images/mcp/"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            with socket.create_connection((shown.strip("[]"), port), timeout=10):
                pass
        finally:
            server.terminate()
            server.wait(10)

    assert line == f"Serving MCP at http://{shown}:{port}/images/mcp\n"
