"""Jobs through the outermost surface: waiting, asking again, cancelling, and who may see them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from tests.e2e.test_end_to_end import LONG, server, text, until_it_steps
from tests.support.fake_comfyui import FakeComfyUI
from tests.support.fake_vendors import Answer, FakeVendor, Seen, predicting, prediction
from tests.support.wire import Wire
from ziggie_image_mcp.app.application import Application
from ziggie_image_mcp.billing.ledger import Ledger
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_mcp.server.tools import make_server

NO_COMFYUI = {"providers": {"comfyui": {"enabled": False}}}
STAR = {"prompt": "a red star on a black background"}
SHORT = STAR | {"steps": 2}
STOPPED_WITHIN = 2.0
MOVED_WITHIN = 10.0

pytestmark = pytest.mark.usefixtures("warm")


def data(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text(answer))
    return found


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_after_wait_seconds_the_answer_is_a_job_and_get_job_gives_the_picture(
    tmp_path: Path,
) -> None:
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        first = data(wire.call(1, "generate_image", SHORT | {"wait_seconds": 0}))
        answer = wire.call(2, "get_job", {"job_id": first["job_id"]})
        again = wire.call(3, "get_job", {"job_id": first["job_id"], "wait_seconds": 0})
        code = wire.end()

    assert first["status"] in ("queued", "running")
    assert "get_job" in first["next"]
    assert [c["type"] for c in answer["result"]["content"]] == ["text", "image", "resource_link"]
    assert Path(data(answer)["images"][0]["path"]).is_file()
    assert data(again) == data(answer)
    assert code == 0


def test_a_request_id_makes_a_repeat_the_same_job(tmp_path: Path) -> None:
    ask = SHORT | {"request_id": "r-1"}
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        first = data(wire.call(1, "generate_image", ask))
        second = data(wire.call(2, "generate_image", ask))
        other = wire.call(3, "generate_image", ask | {"prompt": "a blue moon"})

    assert second["job_id"] == first["job_id"]
    assert second["images"] == first["images"]
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 1
    assert other["result"]["isError"]
    assert "request_id='r-1'" in text(other)


def test_a_repeat_survives_the_server(tmp_path: Path) -> None:
    ask = SHORT | {"request_id": "r-2"}
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        first = data(wire.call(1, "generate_image", ask))
        wire.end()
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        assert data(wire.call(1, "generate_image", ask)) == first


def test_alternatives_in_a_prompt_make_a_picture_each(tmp_path: Path) -> None:
    ask = SHORT | {"prompt": "a {red|blue} star on a {black|white} background"}
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        planned = data(wire.call(1, "generate_image", ask | {"dry_run": True}))
        answer = wire.call(2, "generate_image", ask)
        many = wire.call(3, "generate_image", ask | {"num_images": 5})

    made = data(answer)["results"]
    assert len(planned["prompts"]) == len(made) == 4
    assert [c["type"] for c in answer["result"]["content"]].count("image") == 4
    assert len({r["images"][0]["path"] for r in made}) == 4
    assert "at most 4 of each: its alternatives make 4 prompts" in text(many)


def test_a_job_that_nobody_knows_is_said(tmp_path: Path) -> None:
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        for tool in ("get_job", "cancel_job"):
            answer = wire.call(1, tool, {"job_id": "job-1"})
            assert answer["result"]["isError"]
            assert "[JOB_NOT_FOUND]" in text(answer)


def test_a_dead_servers_job_moves_to_an_idle_one(tmp_path: Path) -> None:
    with server(tmp_path, **NO_COMFYUI) as heir:
        heir.hello()
        job_id = job_of_a_killed_server(tmp_path)
        died = time.monotonic()
        leases = tmp_path / "home" / "xdg_data_home" / "ziggie-image-mcp"
        while list(leases.rglob("slot-0.name")):
            assert time.monotonic() - died < MOVED_WITHIN
            time.sleep(0.1)
        answer = heir.call(2, "get_job", {"job_id": job_id, "wait_seconds": 60})

    assert Path(data(answer)["images"][0]["path"]).is_file()
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 1


def job_of_a_killed_server(folder: Path) -> str:
    with server(folder, **NO_COMFYUI) as wire:
        wire.hello()
        found = data(wire.call(1, "generate_image", STAR | {"steps": 100, "wait_seconds": 1}))
        os.kill(wire.process.pid, signal.SIGKILL)
        wire.process.wait()
    return str(found["job_id"])


def test_a_client_that_leaves_while_its_job_runs_finds_it_when_it_comes_back(
    tmp_path: Path,
) -> None:
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        first = data(wire.call(1, "generate_image", STAR | {"steps": 60, "wait_seconds": 0.5}))
        assert wire.end() == 0
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        answer = wire.call(1, "get_job", {"job_id": first["job_id"], "wait_seconds": 60})

    assert Path(data(answer)["images"][0]["path"]).is_file()


def test_what_a_killed_server_had_made_of_several_prompts_is_kept_and_the_rest_is_made(
    tmp_path: Path,
) -> None:
    wish = {"prompt": "a {red|blue|green} star", "seed": 3, "steps": 100, "wait_seconds": 0}
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        job_id = data(wire.call(1, "generate_image", wish))["job_id"]
        while not (made := list((tmp_path / "pictures").rglob("*.png"))):
            time.sleep(0.05)
        time.sleep(0.5)  # it is at the second one by now
        os.kill(wire.process.pid, signal.SIGKILL)
        wire.process.wait()
    first = made[0].stat().st_mtime_ns
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        found = data(wire.call(1, "get_job", {"job_id": job_id, "wait_seconds": 60}))

    assert "failures" not in found
    assert len({r["images"][0]["path"] for r in found["results"]}) == 3
    assert made[0].stat().st_mtime_ns == first


class Comfy(FakeComfyUI):
    """Its pictures are real ones; of models it has one."""

    async def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, object]:
        if path == "/api/view":
            return 200, picture(512, 512)
        if path == "/api/models/checkpoints":
            return 200, ["v1-5-pruned.safetensors"]
        if path.startswith("/api/models/"):
            return 200, []
        return await super()._answer(method, path, body)


def until_written_down(folder: Path, comfy: FakeComfyUI, count: int) -> None:
    """Wait until the engine has so many prompts, and the server has noted whose they are."""
    rows = sqlite3.connect(next(folder.rglob("lines.sqlite3")))
    noted = "SELECT count(*) FROM jobs_3_remote_jobs"
    while len(comfy.prompts) < count or not rows.execute(noted).fetchone()[0]:
        time.sleep(0.02)
    rows.close()


@pytest.mark.parametrize("meanwhile", ["it goes on", "it finishes", "it is restarted"])
async def test_a_batch_at_comfyui_of_a_killed_server_goes_on_where_it_was(
    meanwhile: str, tmp_path: Path
) -> None:
    async with Comfy(ending="hangs") as comfy:
        config: dict[str, Any] = {
            "providers": {
                "comfyui": {"baseUrl": comfy.url, "maxBatch": 1},
                "diffusers": {"enabled": False},
            }
        }

        def begin() -> str:
            with server(tmp_path, **config) as first:
                first.hello()
                wish = {"prompt": "a cat", "num_images": 3, "seed": 5, "wait_seconds": 1}
                job_id = data(first.call(1, "generate_image", wish))["job_id"]
                until_written_down(tmp_path, comfy, 3)
                os.kill(first.process.pid, signal.SIGKILL)
                return str(job_id)

        job_id = await anyio.to_thread.run_sync(begin)
        posted = [prompt["prompt_id"] for prompt in comfy.prompts]
        comfy.ending = "completed"
        if meanwhile == "it is restarted":
            comfy.forget()
        if meanwhile == "it finishes":
            comfy.finish()

        def go_on() -> dict[str, Any]:
            with server(tmp_path, **config) as second:
                second.hello()
                return data(second.call(1, "get_job", {"job_id": job_id, "wait_seconds": 60}))

        made: list[dict[str, Any]] = []
        async with anyio.create_task_group() as group:
            if meanwhile == "it goes on":

                async def later() -> None:
                    await anyio.sleep(4)
                    comfy.finish()

                group.start_soon(later)
            made.append(await anyio.to_thread.run_sync(go_on))

    (found,) = made
    assert [image["seed"] for image in found["images"]] == [5, 6, 7]
    again = [prompt["prompt_id"] for prompt in comfy.prompts[3:]]
    assert len(posted) == 3
    assert again == (posted if meanwhile == "it is restarted" else []), "the very same prompts"


async def test_what_comfyui_makes_for_a_job_that_was_cancelled_is_stopped(tmp_path: Path) -> None:
    async with Comfy(ending="hangs") as comfy:
        config: dict[str, Any] = {
            "providers": {
                "comfyui": {"baseUrl": comfy.url, "maxBatch": 1},
                "diffusers": {"enabled": False},
            }
        }

        def work() -> dict[str, Any]:
            with server(tmp_path, **config) as first:
                first.hello()
                wish = {"prompt": "a cat", "num_images": 2, "wait_seconds": 1}
                job_id = data(first.call(1, "generate_image", wish))["job_id"]
                until_written_down(tmp_path, comfy, 2)
                os.kill(first.process.pid, signal.SIGKILL)
            with server(tmp_path, **config) as second:
                second.hello()
                return data(second.call(1, "cancel_job", {"job_id": job_id}))

        ended = await anyio.to_thread.run_sync(work)

        assert ended["status"] == "cancelled"
        with anyio.fail_after(STOPPED_WITHIN):
            while comfy.running or comfy.pending:
                await anyio.sleep(0.05)
    assert len(comfy.prompts) == 2


@pytest.mark.parametrize("edit", [{}, {"enabled": False}], ids=["as before", "switched off"])
async def test_a_paid_job_of_a_killed_server_is_collected_and_never_sent_again(
    edit: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_0123456789abcdefghijklmnopqrstuvwxyz0")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    ready = threading.Event()

    with FakeVendor(predicting(ready)) as vendor:
        config = {
            "provider": "replicate",
            "providers": {
                "replicate": {"baseUrl": vendor.url, "local": False},
                "comfyui": {"enabled": False},
            },
            "budget": {"perDay": 1},
            "allowPaidFallback": "withinBudget",
        }
        with server(tmp_path, **config) as first:
            first.hello()
            wish = {"prompt": "a cat", "wait_seconds": 1}
            job_id = data(first.call(1, "generate_image", wish))["job_id"]
            while not any(line.startswith("GET") for line in vendor.asked):
                time.sleep(0.05)
            os.kill(first.process.pid, signal.SIGKILL)
        ready.set()
        providers: Any = config["providers"]
        providers["replicate"] |= edit
        with server(tmp_path, **config | {"provider": "auto"}) as second:
            second.hello()
            answer = second.call(1, "get_job", {"job_id": job_id, "wait_seconds": 60})

    found = data(answer)
    ledger = Ledger(tmp_path / "home" / "xdg_data_home" / "ziggie-image-mcp" / "ledger.sqlite3")
    (hold,) = await ledger.holds()
    await ledger.aclose()
    assert Path(found["images"][0]["path"]).is_file()
    assert len([line for line in vendor.asked if line.startswith("POST")]) == 1
    assert (hold.state, hold.actual) == ("settled", round(found["cost_usd"] * 1e6))


def test_cancel_job_stops_the_tiny_model(tmp_path: Path) -> None:
    with server(tmp_path, **NO_COMFYUI) as wire:
        wire.hello()
        job_id = begin(wire, LONG)
        started = time.monotonic()
        answer = data(wire.call(8, "cancel_job", {"job_id": job_id}))
        took = time.monotonic() - started
        free = wire.call(9, "generate_image", SHORT)

    assert answer["status"] == "cancelled"
    assert took < STOPPED_WITHIN
    assert not free["result"].get("isError"), text(free)


def begin(wire: Wire, ask: dict[str, Any]) -> str:
    """Begin a job and see it step, by its progress."""
    params = {"name": "get_job", "_meta": {"progressToken": "p"}}
    job_id = str(data(wire.call(1, "generate_image", ask | {"wait_seconds": 0}))["job_id"])
    arguments = {"job_id": job_id, "wait_seconds": 60}
    wire.send({"id": 2, "method": "tools/call", "params": params | {"arguments": arguments}})
    until_it_steps(wire)
    return job_id


def test_another_process_may_cancel_it(tmp_path: Path) -> None:
    with server(tmp_path, **NO_COMFYUI) as one, server(tmp_path, **NO_COMFYUI) as other:
        one.hello()
        other.hello()
        other.call(1, "get_job", {"job_id": "job-0"})  # its database is open
        job_id = begin(one, LONG)
        started = time.monotonic()
        answer = data(other.call(2, "cancel_job", {"job_id": job_id}))
        took = time.monotonic() - started
        ended = one.answer(2)

    assert answer["status"] == "cancelled"
    assert took < STOPPED_WITHIN
    assert "[CANCELLED]" in text(ended)


@asynccontextmanager
async def in_memory(folder: Path, **config: Any) -> AsyncGenerator[Client]:
    settings = {"output": {"directory": str(folder / "pictures")}} | config
    file = folder / "config.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    async with Application(file) as app, Client(make_server(app.service)) as client:
        yield client


def said(result: CallToolResult) -> dict[str, Any]:
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    found: dict[str, Any] = json.loads(result.content[0].text)
    return found


async def test_cancel_job_stops_comfyui(tmp_path: Path) -> None:
    async with FakeComfyUI(ending="hangs") as comfy:
        api = {"type": "comfyui", "url": comfy.url}
        async with in_memory(tmp_path, api=api, provider="comfyui") as client:
            ask = {"prompt": "a cat", "wait_seconds": 1, "model": "v1-5-pruned.safetensors"}
            job = said(await client.call_tool("generate_image", ask))
            with anyio.fail_after(60):
                while not comfy.prompts:
                    await anyio.sleep(0.02)
            with anyio.fail_after(STOPPED_WITHIN):
                ended = said(await client.call_tool("cancel_job", {"job_id": job["job_id"]}))

        assert ended["status"] == "cancelled"
        assert any("cancel" in asked or "interrupt" in asked for asked in comfy.seen)


async def test_cancel_job_stops_a_cloud_job_and_says_that_nobody_knows_its_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_0123456789abcdefghijklmnopqrstuvwxyz0")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")

    def busy(seen: Seen) -> Answer:
        return Answer(
            status=201 if seen.method == "POST" else 200,
            body=prediction("processing", f"http://{seen.headers['host']}"),
        )

    with FakeVendor(busy) as vendor:
        providers = {
            "replicate": {"baseUrl": vendor.url, "local": False},
            "comfyui": {"enabled": False},
        }
        config = {"provider": "replicate", "providers": providers}
        budget = {"budget": {"perDay": 1}, "allowPaidFallback": "withinBudget"}
        async with in_memory(tmp_path, **config, **budget) as client:
            ask = {"prompt": "a cat", "wait_seconds": 1}
            job = said(await client.call_tool("generate_image", ask))
            with anyio.fail_after(20):
                while not any(asked.startswith("GET ") for asked in vendor.asked):
                    await anyio.sleep(0.02)
            with anyio.fail_after(STOPPED_WITHIN):
                ended = said(await client.call_tool("cancel_job", {"job_id": job["job_id"]}))

        assert ended["status"] == "cancelled"
        assert any(path.endswith("/cancel") for path in vendor.asked)
    ledger = Ledger(tmp_path / "home" / "xdg_data_home" / "ziggie-image-mcp" / "ledger.sqlite3")
    (hold,) = await ledger.holds()
    await ledger.aclose()
    assert hold.state == "unknown"
