"""A server that is told to end finishes what is paid for, or leaves it to another, and says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.types import CallToolResult

from tests.e2e.test_end_to_end import server, text
from tests.e2e.test_http import ACCEPT, HELLO, serving_process
from tests.support.fake_vendors import Answer, FakeVendor, Seen, openai_pictures, predicting
from tests.support.wire import Wire
from ziggie_image_mcp.billing.ledger import Ledger
from ziggie_image_mcp.billing.types import Hold
from ziggie_image_mcp.provider.testing import picture

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it sends POSIX signals")

MODEL = "gpt-image-2"
ASK = {"prompt": "a cat", "model": MODEL, "request_id": "r-1"}
TOLD = {"prompt": "a cat", "wait_seconds": 60}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdefghijklmnopqrstuvwxyz0123")
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_0123456789abcdefghijklmnopqrstuvwxyz0")


def config(name: str, url: str) -> dict[str, Any]:
    return {
        "provider": name,
        "providers": {name: {"baseUrl": url, "local": False}, "comfyui": {"enabled": False}},
        "budget": {"perDay": 1},
        "allowPaidFallback": "withinBudget",
    }


class Synchronous:
    """OpenAI, whose answer comes when the test says so."""

    def __init__(self) -> None:
        self.asked, self.ready = threading.Event(), threading.Event()

    def __call__(self, seen: Seen) -> Answer:
        if seen.method == "POST":
            self.asked.set()
            self.ready.wait(60)
            return Answer(body=openai_pictures(picture(1024, 1024)))
        return Answer(body={"object": "list", "data": [{"id": MODEL}]})


def holds(folder: Path) -> list[Hold]:
    async def read() -> list[Hold]:
        data = folder / "home" / "xdg_data_home" / "ziggie-image-mcp"
        ledger = Ledger(data / "ledger.sqlite3")
        try:
            return await ledger.holds()
        finally:
            await ledger.aclose()

    return anyio.run(read)


def close_stdin(wire: Wire) -> None:
    assert wire.process.stdin is not None
    wire.process.stdin.close()


def terminate(wire: Wire) -> None:
    wire.process.send_signal(signal.SIGTERM)


def interrupt(wire: Wire) -> None:
    wire.process.send_signal(signal.SIGINT)


def close_and_terminate(wire: Wire) -> None:
    """As MCP clients do."""
    close_stdin(wire)
    time.sleep(0.3)
    terminate(wire)


def begin(wire: Wire, arguments: dict[str, Any]) -> None:
    params = {"name": "generate_image", "arguments": arguments}
    wire.send({"id": 7, "method": "tools/call", "params": params})


def end(wire: Wire, timeout: float = 20) -> int:
    code = wire.process.wait(timeout)
    wire.__exit__()
    return code


@pytest.mark.parametrize(
    "how", [close_stdin, terminate, interrupt, close_and_terminate], ids=lambda f: f.__name__
)
def test_a_synchronous_call_that_is_paid_for_is_finished(
    how: Callable[[Wire], None], tmp_path: Path
) -> None:
    script = Synchronous()
    with FakeVendor(script) as vendor:
        with server(tmp_path, **config("openai", vendor.url)) as wire:
            wire.hello()
            begin(wire, ASK)
            assert script.asked.wait(30)
            how(wire)
            time.sleep(0.7)
            assert wire.process.poll() is None, "it left"
            script.ready.set()
            code = end(wire)
        with server(tmp_path, **config("openai", vendor.url)) as wire:
            wire.hello()
            again = wire.call(1, "generate_image", ASK)
            wire.end()

    said = wire_text(wire)
    assert code == 0
    assert [h.state for h in holds(tmp_path)] == ["settled"]
    assert Path(json.loads(text(again))["images"][0]["path"]).is_file()
    assert len([line for line in vendor.asked if line.startswith("POST")]) == 1
    assert "Traceback" not in said


def wire_text(wire: Wire) -> str:
    return wire.stderr.decode()


def test_it_says_what_it_waits_for_and_the_answer_still_reaches_the_client(tmp_path: Path) -> None:
    script = Synchronous()
    with (
        FakeVendor(script) as vendor,
        server(tmp_path, **config("openai", vendor.url)) as wire,
    ):
        wire.hello()
        begin(wire, TOLD | {"model": MODEL})
        assert script.asked.wait(30)
        terminate(wire)
        script.ready.set()
        answer = wire.answer(7)
        code = end(wire)

    assert code == 0
    assert not answer["result"].get("isError"), text(answer)
    first, second = wire_text(wire).splitlines()
    assert first.startswith("Leaving when what is paid for has come: job-")
    assert second.startswith("What was paid for has come, and is kept: job-")


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    script = Synchronous()
    with (
        FakeVendor(script) as vendor,
        server(tmp_path, **config("openai", vendor.url)) as wire,
    ):
        wire.hello()
        begin(wire, ASK)
        assert script.asked.wait(30)
        interrupt(wire)
        time.sleep(0.3)
        interrupt(wire)
        end(wire, 10)
        script.ready.set()

    assert "no answer has come; the next server asks the vendor" in wire_text(wire)
    assert [h.state for h in holds(tmp_path)] == ["submitted"]
    with server(tmp_path, **config("openai", "http://127.0.0.1:9")) as wire:
        wire.hello()
        again = wire.call(1, "generate_image", ASK)
    assert text(again).startswith("[OUTCOME_UNKNOWN]")


def test_what_can_be_fetched_later_is_fetched_by_a_process_that_outlives_the_client(
    tmp_path: Path,
) -> None:
    ready = threading.Event()

    with FakeVendor(predicting(ready)) as vendor:
        with server(tmp_path, **config("replicate", vendor.url)) as wire:
            wire.hello()
            begin(wire, {"prompt": "a cat"})
            while not any(line.startswith("GET") for line in vendor.asked):
                time.sleep(0.02)
            close_stdin(wire)
            code = end(wire)
        ready.set()
        limit = time.monotonic() + 40
        while holds(tmp_path)[0].state == "submitted" and time.monotonic() < limit:
            time.sleep(0.2)

    assert code == 0
    assert "another server, or a process that was started for it, fetches it: job-" in wire_text(
        wire
    )
    assert [h.state for h in holds(tmp_path)] == ["settled"]
    assert len([line for line in vendor.asked if line.startswith("POST")]) == 1
    assert not [line for line in vendor.asked if line.endswith("/cancel")]
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 1


@pytest.mark.parametrize("how", [interrupt, terminate], ids=lambda f: f.__name__)
def test_an_idle_server_ends_at_once_and_says_nothing(
    how: Callable[[Wire], None], tmp_path: Path
) -> None:
    with server(tmp_path, providers={"comfyui": {"enabled": False}}) as wire:
        wire.hello()
        wire.call(1, "check_hardware", {})
        how(wire)
        code = end(wire, 5)

    assert (code, wire_text(wire)) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_http_server_ends_at_once_although_a_client_listens(number: int) -> None:
    with serving_process() as (url, process):
        hello = httpx2.post(url, json=HELLO, headers=ACCEPT)
        session = ACCEPT | {"Mcp-Session-Id": hello.headers["mcp-session-id"]}
        with httpx2.stream("GET", url, headers=session):
            process.send_signal(number)
            code = process.wait(5)
        assert process.stderr is not None
        said = process.stderr.read().decode()

    assert code == 0
    assert "Traceback" not in said


def test_a_busy_http_server_answers_what_is_paid_for_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, told = Synchronous(), list[CallToolResult]()

    async def ask(url: str) -> None:
        async with Client(url) as client:
            told.append(await client.call_tool("generate_image", TOLD | {"model": MODEL}))

    with FakeVendor(script) as vendor:
        settings = {"output": {"directory": str(tmp_path / "pictures")}}
        file = tmp_path / "config.json"
        file.write_text(json.dumps(settings | config("openai", vendor.url)), encoding="utf-8")
        monkeypatch.setenv("ZIGGIE_IMAGE_CONFIG", str(file))
        with serving_process() as (url, process):
            client = threading.Thread(target=anyio.run, args=(ask, url))
            client.start()
            assert script.asked.wait(30)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert process.poll() is None, "it left"
            script.ready.set()
            client.join(20)
            code = process.wait(10)

    assert code == 0
    assert not told[0].is_error


def test_a_client_that_dies_with_all_its_pipes_loses_nothing_that_is_paid_for(
    tmp_path: Path,
) -> None:
    script = Synchronous()
    with FakeVendor(script) as vendor:
        with server(tmp_path, **config("openai", vendor.url)) as started:
            command: Any = started.process.args
        pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, **pipes) as process:
            stdin: Any = process.stdin
            lines: list[dict[str, Any]] = [
                {"id": 0, "method": "initialize", "params": HELLO["params"]},
                {"method": "notifications/initialized"},
                {
                    "id": 7,
                    "method": "tools/call",
                    "params": {"name": "generate_image", "arguments": ASK},
                },
            ]
            for line in lines:
                stdin.write(json.dumps({"jsonrpc": "2.0"} | line).encode() + b"\n")
            stdin.flush()
            assert script.asked.wait(30)
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe is not None
                pipe.close()
            time.sleep(0.7)
            script.ready.set()
            code = process.wait(20)

    assert code == 0
    assert [h.state for h in holds(tmp_path)] == ["settled"]
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 1
