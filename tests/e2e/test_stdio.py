"""The wire of the real process: versions, cancellation, end of input, and a clean stdout."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.wire import Wire

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "diffusers", "transformers", "PIL", "sqlalchemy", "dbos", "typer")
MODERN_META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture(autouse=True)
def no_comfyui_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever listens on ComfyUI's own port is none of this test's business."""
    monkeypatch.setenv("ZIGGIE_IMAGE_PROVIDERS__COMFYUI__BASE_URL", "http://127.0.0.1:9")


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_each_version_of_the_handshake_era_is_spoken(version: str) -> None:
    with Wire() as wire:
        hello = wire.hello(version)
        tools = wire.ask(1, "tools/list", {})
        code = wire.end()

    assert hello["result"]["protocolVersion"] == version
    assert hello["result"]["serverInfo"]["name"] == "ziggie-image-mcp"
    assert [t["name"] for t in tools["result"]["tools"]] == [
        "generate_image",
        "edit_image",
        "process_image",
        "list_models",
        "check_hardware",
        "view_image",
        "get_job",
        "cancel_job",
    ]
    assert code == 0


def test_the_modern_era_is_spoken_without_a_handshake() -> None:
    with Wire() as wire:
        found = wire.ask(1, "server/discover", {"_meta": MODERN_META})
        tools = wire.ask(2, "tools/list", {"_meta": MODERN_META})
        code = wire.end()

    assert "2026-07-28" in found["result"]["supportedVersions"]
    assert len(tools["result"]["tools"]) == 8
    assert code == 0


def test_nothing_heavy_is_imported_before_initialize_is_answered() -> None:
    script = (
        "import sys, atexit, anyio\n"
        "from ziggie_image_mcp.server.transport import serve_stdio\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('HEAVY', [m for m in heavy if m in sys.modules],"
        " len(sys.modules), file=sys.stderr))\n"
        "anyio.run(serve_stdio)\n"
    )
    with Wire([sys.executable, "-c", script]) as wire:
        wire.hello()
        wire.ask(1, "tools/list", {})
        wire.end()

    (line,) = [x for x in wire.stderr.decode().splitlines() if x.startswith("HEAVY")]
    assert line.startswith("HEAVY [] ")
    assert int(line.split()[-1]) < 1000


def test_the_end_of_input_ends_the_server() -> None:
    with Wire() as wire:
        wire.hello()
        started = time.monotonic()
        code = wire.end()

    assert code == 0
    assert time.monotonic() - started < 5


def test_a_hundred_noisy_calls_leave_stdout_to_the_protocol() -> None:
    with Wire([sys.executable, "-m", "tests.support.noisy_server"]) as wire:
        wire.hello()
        for number in range(1, 101):
            arguments = {"prompt": "x", "width": 64, "height": 64, "seed": number // 100}
            answer = wire.call(number, "generate_image", arguments)
            assert not answer["result"].get("isError"), answer
        code = wire.end()

    assert code == 0
    assert len(wire.lines) >= 101
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in wire.lines)
    assert b"native noise" in wire.stderr


def test_a_wrong_config_does_not_stop_the_server_and_is_told(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"prefernce": "cost"}', encoding="utf-8")
    command = [sys.executable, "-m", "ziggie_image_mcp", "--config", str(file)]
    with Wire(command) as wire:
        wire.hello()
        wrong = wire.call(1, "check_hardware", {})
        off = {"comfyui": {"enabled": False}}
        right_config = {"preference": "cost", "providers": off}
        file.write_text(json.dumps(right_config), encoding="utf-8")
        right = wire.call(2, "check_hardware", {})
        wire.end()

    assert wrong["result"]["isError"]
    assert "`preference`" in wrong["result"]["content"][0]["text"]
    assert not right["result"].get("isError")


NO_MESSAGES: dict[str, tuple[str, int | str | None, int]] = {
    "no JSON": ("{nope", None, -32700),
    "a batch": ("[]", None, -32600),
    "a text": ('"x"', None, -32600),
    "digits": ("9" * 5_000, None, -32600),
    "brackets": ("[" * 2_000 + "]" * 2_000, None, -32600),
    "brackets within": (
        f'{{"jsonrpc":"2.0","method":"tools/call","params":{{"id":1,"a":{"[" * 2000}'
        f'{"]" * 2000}}},"id":7}}',
        7,
        -32600,
    ),
    "no version": ('{"id":8,"method":"tools/list"}', 8, -32600),
    "a list of parameters": (
        '{"jsonrpc":"2.0","id":"a","method":"ping","params":[1]}',
        "a",
        -32600,
    ),
    "no name": ('{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"nam":1}}', 9, -32602),
    "a strange method": ('{"jsonrpc":"2.0","id":10,"method":"no/such"}', 10, -32601),
    "a strange prompt": (
        '{"jsonrpc":"2.0","id":11,"method":"prompts/get","params":{"name":"nope"}}',
        11,
        -32602,
    ),
    "a strange picture": (
        '{"jsonrpc":"2.0","id":12,"method":"resources/read","params":{"uri":"image://x"}}',
        12,
        -32602,
    ),
}


def test_what_is_no_message_is_answered_and_survived_without_a_traceback() -> None:
    answers: dict[str, tuple[object, object]] = {}
    with Wire() as wire:
        wire.hello()
        stdin = wire.process.stdin
        assert stdin is not None
        for what, (line, _, _) in NO_MESSAGES.items():
            stdin.write(line.encode() + b"\n")
            stdin.flush()
            answer = wire.receive()
            answers[what] = answer["id"], answer["error"]["code"]
        stdin.write(b'\n{"jsonrpc":"2.0","method":"notifications/cancelled","params":[1]}\n')
        tools = wire.ask(1, "tools/list", {})
        seed = "9" * 5_000
        stdin.write(
            b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"generate_image",'
            b'"arguments":{"prompt":"x","seed":' + seed.encode() + b"}}}\n"
        )
        stdin.flush()
        digits = wire.answer(2)
        wire.end()

    assert answers == {what: (id_, code) for what, (_, id_, code) in NO_MESSAGES.items()}
    assert "result" in tools
    assert "seed=" in digits["result"]["content"][0]["text"]
    assert "Traceback" not in wire.stderr.decode()


def test_verbose_tells_of_each_request_and_nothing_of_what_it_holds() -> None:
    command = [sys.executable, "-m", "ziggie_image_mcp", "serve", "--verbose"]
    with Wire(command) as wire:
        wire.hello()
        wire.call(1, "view_image", {"image_id": "secret"})
        wire.ask(2, "tools/list", {})
        wire.ask(3, "no\nsuch", {})
        wire.end()

    told = [re.sub(r"\d+ ms", "N ms", line) for line in wire.stderr.decode().splitlines()]
    assert told == [
        "initialize: ok, N ms, local",
        "tools/call view_image: error, N ms, local",
        "tools/list: ok, N ms, local",
        r"'no\nsuch': error -32601, N ms, local",
    ]


def test_looking_around_never_imports_the_engine_of_the_jobs() -> None:
    script = (
        "import sys, atexit, anyio\n"
        "from ziggie_image_mcp.server.transport import serve_stdio\n"
        "atexit.register(lambda: print('JOBS', 'dbos' in sys.modules, file=sys.stderr))\n"
        "anyio.run(serve_stdio)\n"
    )
    with Wire([sys.executable, "-c", script]) as wire:
        wire.hello()
        for tool in ("list_models", "check_hardware"):
            assert not wire.call(1, tool, {})["result"].get("isError")
        plan = wire.call(2, "generate_image", {"prompt": "x", "dry_run": True})
        wire.end()

    assert not plan["result"].get("isError")
    assert "JOBS False" in wire.stderr.decode()


def test_a_message_with_half_a_character_is_answered() -> None:
    with Wire() as wire:
        wire.hello()
        prompt = wire.call(1, "generate_image", {"prompt": "a \ud800 b", "dry_run": True})
        nested = wire.call(2, "edit_image", {"prompt": "x", "image": "x", "expand": ["\udc00"]})
        tool = wire.ask(3, "tools/call", {"name": "\ud800", "arguments": {}})
        resource = wire.ask(4, "resources/read", {"uri": "image://\ud800"})
        method = wire.ask(5, "\ud800", {})
        whole = wire.call(6, "view_image", {"image_id": "\ud83d\ude00"})
        code = wire.end()

    for answer in (prompt, nested):
        assert answer["result"]["isError"]
        assert "[INVALID_ARGUMENT]" in answer["result"]["content"][0]["text"]
        assert "half a character" in answer["result"]["content"][0]["text"]
    for answer in (tool, resource, method):
        assert "error" in answer or answer["result"]["isError"]
    assert "IMAGE_NOT_FOUND" in whole["result"]["content"][0]["text"]
    assert code == 0
