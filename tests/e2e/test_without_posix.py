"""Server and command line where our own code finds nothing that only POSIX has.

Not a Windows: `sys.platform`, the libraries and the file system are this machine's. See
`tests/support/as_windows` for what is taken away, and docs/windows.md for what that shows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from tests.e2e.test_http import serving_process
from tests.support.wire import OURS, Wire

pytestmark = [
    pytest.mark.usefixtures("cold"),
    pytest.mark.skipif(sys.platform != "linux", reason="the names are taken away from Linux"),
]
FOLDER = Path(__file__).parents[1] / "support" / "as_windows"


@pytest.fixture(autouse=True)
def less(cold: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))


def run(*words: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", *words],
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        encoding=env.get("PYTHONIOENCODING", "utf-8"),
        timeout=60,
        check=False,
    )


PROBE = """
import sys
tried = {"__name__": "ziggie_image_mcp.tried"}
for line in (
    "import os; os.fork", "from os import killpg", "import signal; signal.SIGKILL",
    "import fcntl", "import pwd", "import socket; socket.AF_UNIX",
    "import os; held = open('a', 'w'); open('b', 'w').close(); os.replace('b', 'a')",
    "import asyncio; asyncio.new_event_loop().add_signal_handler(2, print)",
):
    try:
        exec(line, dict(tried))
    except (AttributeError, ImportError, PermissionError, NotImplementedError) as e:
        print(type(e).__name__)
    else:
        print("still here:", line)
import os
os.fork, os.uname()
"""


def test_the_names_are_gone_for_us_and_stay_for_the_libraries(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert ended.stdout.split() == [
        "AttributeError",
        "ImportError",
        "AttributeError",
        "ImportError",
        "ImportError",
        "AttributeError",
        "PermissionError",
        "NotImplementedError",
    ]


def test_a_server_on_stdio_makes_a_picture_and_leaves_in_order() -> None:
    with Wire(OURS) as wire:
        wire.hello()
        tools = wire.ask(1, "tools/list", {})["result"]["tools"]
        made = wire.call(2, "generate_image", {"prompt": "a red circle", "seed": 1})["result"]
        image = json.loads(made["content"][0]["text"])["images"][0]
        again = wire.call(3, "view_image", {"image_id": image["id"]})["result"]
        machine = wire.call(4, "check_hardware", {})["result"]

        assert wire.end() == 0

    assert len(tools) == 8
    assert Path(image["path"]).exists()
    assert not any(answer.get("isError") for answer in (made, again, machine))
    assert b"Traceback" not in wire.stderr


def test_a_server_over_http_answers_and_ends() -> None:
    async def use(url: str) -> tuple[int, Any]:
        async with Client(url) as session:
            listed = await session.list_tools()
            made = await session.call_tool("generate_image", {"prompt": "a red circle"})
            return len(listed.tools), made

    with serving_process() as (url, server):
        tools, made = anyio.run(use, url)
        server.terminate()
        code = server.wait(20)
        said = server.stderr.read() if server.stderr else b""

    assert tools == 8
    assert not made.is_error
    assert code == 0
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    "words",
    [
        ["config", "init"],
        ["config", "check"],
        ["hardware", "--json"],
        ["models"],
        ["plan", "a red circle"],
        ["doctor"],
        ["spend"],
        ["keys", "list"],
        ["jobs", "list"],
        ["client-config"],
        ["client-config", "codex", "--write"],
        ["client-config", "cursor", "--write"],
    ],
    ids=" ".join,
)
def test_the_command_line_works(words: list[str]) -> None:
    ended = run(*words)

    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_key_is_kept_replaced_and_deleted() -> None:
    kept = [run("keys", "set", "openai", stdin=f"sk-{n}\n").returncode for n in range(2)]
    listed = run("keys", "list").stdout
    gone = run("keys", "delete", "openai")

    assert kept == [0, 0]
    assert "file" in listed
    assert gone.returncode == 0, gone.stderr


WORKER = """
import asyncio
from ziggie_image_providers.diffusers import cpu_share
from ziggie_image_providers.diffusers.process import Child

async def main():
    cpu_share.be_nice()
    first = await Child.start()
    await first.stop(10)
    second = await Child.start()
    second.kill()
    await second.stop(10)
    print(first.alive, second.alive)

asyncio.run(main())
"""


def test_a_worker_of_local_models_is_started_asked_to_leave_and_killed() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WORKER],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.stdout.split() == ["False", "False"], ended.stderr


def test_a_console_of_windows_gets_text_that_it_can_show() -> None:
    prompt = "für © 画 😀 [red] :cat:"
    picture = run("generate", prompt, "--seed", "1", PYTHONIOENCODING="cp1252")
    jobs = run("jobs", "list", PYTHONIOENCODING="cp437")
    as_json = run("jobs", "list", "--json", PYTHONIOENCODING="cp437")

    for ended in (picture, jobs, as_json):
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
    assert prompt in json.dumps(json.loads(as_json.stdout), ensure_ascii=False)
    assert "[red]" in jobs.stdout
