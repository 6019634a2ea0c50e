"""The main job in the real process over stdio, and what goes wrong around it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.wire import Wire

LONG = {"prompt": "a red star on a black background", "steps": 500}


@pytest.fixture(autouse=True)
def no_comfyui_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever listens on ComfyUI's own port is none of this test's business."""
    monkeypatch.setenv("ZIGGIE_IMAGE_PROVIDERS__COMFYUI__BASE_URL", "http://127.0.0.1:9")


def server(folder: Path, **config: Any) -> Wire:
    settings = {"output": {"directory": str(folder / "pictures")}} | config
    file = folder / "config.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return Wire([sys.executable, "-m", "ziggie_image_mcp", "--config", str(file)])


def text(answer: dict[str, Any]) -> str:
    return str(answer["result"]["content"][0]["text"])


def until_it_steps(wire: Wire) -> None:
    """Wait for the first word of progress that names a step."""
    while True:
        message = wire.receive()
        if message.get("method") == "notifications/progress" and (
            "step" in message["params"].get("message", "")
        ):
            return


@pytest.fixture
def no_comfyui() -> dict[str, Any]:
    return {"providers": {"comfyui": {"enabled": False}}}


@pytest.mark.usefixtures("cold")
def test_a_prompt_becomes_a_picture(tmp_path: Path, no_comfyui: dict[str, Any]) -> None:
    with server(tmp_path, **no_comfyui) as wire:
        wire.hello()
        answer = wire.call(1, "generate_image", {"prompt": "a red star on a black background"})
        code = wire.end()

    data = json.loads(text(answer))
    assert Path(data["images"][0]["path"]).is_relative_to(tmp_path / "pictures")
    assert Path(data["images"][0]["path"]).is_file()
    assert [c["type"] for c in answer["result"]["content"]] == ["text", "image", "resource_link"]
    assert "structuredContent" not in answer["result"]
    assert data["cost_usd"] == 0
    assert code == 0


@pytest.mark.usefixtures("warm")
def test_cancelling_mid_run_stops_the_model_and_frees_it(
    tmp_path: Path, no_comfyui: dict[str, Any]
) -> None:
    params = {"name": "generate_image", "arguments": LONG, "_meta": {"progressToken": "p"}}
    with server(tmp_path, **no_comfyui) as wire:
        wire.hello()
        wire.send({"id": 1, "method": "tools/call", "params": params})
        until_it_steps(wire)
        wire.send({"method": "notifications/cancelled", "params": {"requestId": 1}})
        after = wire.call(2, "generate_image", {"prompt": "a red star on a black background"})
        heard = [json.loads(line) for line in wire.lines]
        code = wire.end()

    assert not after["result"].get("isError"), text(after)
    assert 1 not in [message.get("id") for message in heard]
    progress = [m["params"]["progress"] for m in heard if "progress" in m.get("params", {})]
    assert max(progress) < 0.9  # it did not go on to the end behind the caller's back
    assert code == 0
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 1


@pytest.mark.usefixtures("warm")
def test_the_end_of_input_mid_run_ends_server_and_worker(
    tmp_path: Path, no_comfyui: dict[str, Any]
) -> None:
    params = {"name": "generate_image", "arguments": LONG, "_meta": {"progressToken": "p"}}
    with server(tmp_path, **no_comfyui) as wire:
        wire.hello()
        wire.send({"id": 1, "method": "tools/call", "params": params})
        until_it_steps(wire)
        code = wire.end(15)

    assert code == 0
    assert list((tmp_path / "pictures").rglob("*.png")) == []


@pytest.mark.usefixtures("warm")
def test_what_goes_wrong_is_said_and_the_server_goes_on(tmp_path: Path) -> None:
    dead = {"api": {"type": "comfyui", "url": "http://127.0.0.1:9"}, "provider": "comfyui"}
    calls: list[tuple[dict[str, Any], list[str]]] = [
        ({"prompt": "x"}, ["[NO_ROUTE]", "PROVIDER_UNAVAILABLE", "127.0.0.1:9"]),
        ({"prompt": "x", "model": "no-such-model"}, ["[NO_ROUTE]", "no-such-model"]),
        ({"prompt": "x", "colour": "red"}, ["[INVALID_ARGUMENT]", "'colour'"]),
        ({"prompt": ""}, ["[INVALID_REQUEST]", "prompt"]),
        ({"prompt": "x", "width": 20_000, "height": 64}, ["width=20000", "16384"]),
    ]
    with server(tmp_path, **dead) as wire:
        wire.hello()
        answers = [wire.call(i, "generate_image", c) for i, (c, _) in enumerate(calls, 1)]
        alive = wire.call(99, "check_hardware", {})
        code = wire.end()

    for answer, (_, parts) in zip(answers, calls, strict=True):
        assert answer["result"]["isError"]
        for part in parts:
            assert part in text(answer)
    assert not alive["result"].get("isError")
    assert list((tmp_path / "pictures").rglob("*.*")) == []
    assert code == 0


@pytest.mark.usefixtures("warm")
def test_a_picture_folder_that_cannot_be_written_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with server(tmp_path, output={"directory": str(tmp_path / "file" / "pictures")}) as wire:
        wire.hello()
        answer = wire.call(1, "generate_image", {"prompt": "x"})

    assert answer["result"]["isError"]
    assert "[STORAGE_FAILED]" in text(answer)
    assert "output.directory" in text(answer)
