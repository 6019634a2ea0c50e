"""A caller who leaves before he has a job_id: the job ends with him, unless he can ask again."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client

from tests.support.factory import opener, service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.jobs.records import JobSpec
from ziggie_image_mcp.provider import Generation, Model, ProviderRequest, Run
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.leaving import LOOK_SECONDS
from ziggie_image_mcp.server.tools import make_server

Mode = Literal["auto", "legacy"]
ASK: dict[str, Any] = {"prompt": "a cat"}


async def until_all_have_ended(made: Service) -> list[str]:
    """The statuses of all jobs, once none of them is open."""
    with anyio.fail_after(20):
        while True:
            views = await made.scheduler.select()
            if all(view.ended for view in views):
                return [view.status for view in views]
            await anyio.sleep(0.02)


@asynccontextmanager
async def over_http(made: Service) -> AsyncGenerator[str]:
    """The service behind a loopback port: the URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = make_server(opener(made)).streamable_http_app()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="on"))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve)
        with anyio.fail_after(20):
            while not server.started:
                await anyio.sleep(0.01)
        yield f"http://127.0.0.1:{port}/mcp"
        server.should_exit = True


async def leave_at(client: Client, words: str, **arguments: Any) -> None:
    """Call, and leave as soon as the call tells so."""

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        if words in (message or ""):
            scope.cancel()

    with anyio.CancelScope() as scope:
        await client.call_tool("generate_image", ASK | arguments, progress_callback=hear)


@pytest.mark.parametrize("words", ["choosing a route", "halfway"])
async def test_a_job_ends_with_an_http_client_that_goes_away(words: str, tmp_path: Path) -> None:
    engine = FakeProvider(answers=[None])
    made = service(tmp_path, engine)
    async with over_http(made) as url, Client(url) as client:
        await leave_at(client, words)
        statuses = await until_all_have_ended(made)

    assert statuses in ([], ["cancelled"])
    assert engine.cancelled == len(engine.seen)


async def legacy_session(http: httpx2.AsyncClient, url: str) -> dict[str, str]:
    """The headers of a session of the handshake era."""
    hello = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    headers = {"Accept": "application/json, text/event-stream"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    answer = await http.post(url, json=call, headers=headers)
    headers["mcp-session-id"] = answer.headers["mcp-session-id"]
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await http.post(url, json=ready, headers=headers)
    return headers


async def test_a_client_of_the_handshake_era_that_drops_its_connection_has_gone_away_too(
    tmp_path: Path,
) -> None:
    engine = FakeProvider(answers=[None])
    made = service(tmp_path, engine)
    params = {"name": "generate_image", "arguments": ASK}
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    async with over_http(made) as url, httpx2.AsyncClient() as http:
        headers = await legacy_session(http, url)
        async with http.stream("POST", url, json=call, headers=headers):
            with anyio.fail_after(20):
                while not engine.seen:
                    await anyio.sleep(0.01)
        statuses = await until_all_have_ended(made)

    assert statuses == ["cancelled"]
    assert engine.cancelled == 1


async def test_what_is_paid_for_is_finished_although_the_connection_broke(tmp_path: Path) -> None:
    class Slow(FakePaidProvider):
        """It has the picture when the connection is long gone."""

        def __init__(self) -> None:
            super().__init__()
            self.asked, self.gone = anyio.Event(), anyio.Event()

        async def collect(
            self, remote_id: str, request: ProviderRequest, model: Model, run: Run
        ) -> Generation:
            self.asked.set()
            await self.gone.wait()
            return await super().collect(remote_id, request, model, run)

    vendor = Slow()
    made = service(tmp_path, vendor)
    params = {"name": "generate_image", "arguments": ASK | {"allow_paid": True}}
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    async with over_http(made) as url, httpx2.AsyncClient() as http:
        headers = await legacy_session(http, url)
        async with http.stream("POST", url, json=call, headers=headers):
            with anyio.fail_after(20):
                await vendor.asked.wait()
        await anyio.sleep(LOOK_SECONDS + 0.5)
        vendor.gone.set()
        statuses = await until_all_have_ended(made)

    assert statuses == ["done"]
    assert vendor.cancelled == []


async def test_a_job_with_a_request_id_goes_on_for_whoever_asks_again(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    async with over_http(made) as url, Client(url) as client:
        await leave_at(client, "halfway", request_id="mine")
        statuses = await until_all_have_ended(made)
        again = await client.call_tool("generate_image", ASK | {"request_id": "mine"})

    assert statuses == ["done"]
    assert not again.is_error


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_is_cancelled_at_whatever_moment_leaves_no_job_behind(
    mode: Mode, tmp_path: Path
) -> None:
    engine = FakeProvider(answers=[None] * 100)
    made = service(tmp_path, engine)
    async with Client(make_server(opener(made)), mode=mode) as client:
        for turns in (*range(0, 60, 6), *range(60, 300, 30)):
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "generate_image", ASK)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        statuses = await until_all_have_ended(made)

    assert set(statuses) <= {"cancelled"}
    assert engine.cancelled == len(engine.seen)


async def submit_and_leave(made: Service, folder: Path) -> None:
    """Submit a job while somebody else holds the database, and leave before that is over."""
    spec = JobSpec(
        id="job-e3b0c442-1",
        requests=(ImageRequest(prompt="a cat"),),
        constraints=constraints_of(made.config),
        accepted=datetime.now(UTC),
    )
    await made.scheduler.open()
    other = sqlite3.connect(folder / "jobs.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as group:
        group.start_soon(made.scheduler.submit, spec)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
        other.execute("COMMIT")
    other.close()


async def test_a_job_is_taken_on_whole_or_not_when_its_caller_leaves_meanwhile(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, FakeProvider())

    await submit_and_leave(made, tmp_path)

    assert set(await until_all_have_ended(made)) <= {"cancelled"}


async def test_what_was_left_in_the_last_moment_is_withdrawn_before_the_end_and_opens_nothing_after(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, FakeProvider())

    await submit_and_leave(made, tmp_path)
    await made.aclose()

    with pytest.raises(StorageError, match="ending"):
        await made.scheduler.open()
    next_one = service(tmp_path, FakeProvider())
    assert {view.status for view in await next_one.scheduler.select()} <= {"cancelled"}
