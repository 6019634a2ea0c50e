"""A database that another process holds: every call has its answer in time, and the reason."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult

from tests.support.calls import client, data, said
from tests.support.factory import service
from ziggie_image_mcp.billing.ledger import Ledger
from ziggie_image_mcp.jobs.monitor import TICK_SECONDS
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider

WAIT = 0.5
ALLOWED = 6.0
"""Seconds of a busy machine. The lock itself is held until the call has been answered."""
WITHIN = WAIT + ALLOWED
ASK: dict[str, Any] = {"prompt": "a cat", "width": 64, "height": 64, "wait_seconds": WAIT}
PATIENT = ASK | {"wait_seconds": 20}


@contextmanager
def held(file: Path) -> Generator[Callable[[], None]]:
    """The file as another process holds it, until the block ends or what is given is called."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield other.close
    finally:
        other.close()


async def timed(session: Client, tool: str, ask: dict[str, Any]) -> tuple[CallToolResult, float]:
    started = time.monotonic()
    return await session.call_tool(tool, ask), time.monotonic() - started


async def a_database(folder: Path) -> None:
    """Make the files as a server does, which leaves."""
    made = service(folder, FakeProvider())
    async with client(made) as session:
        await session.call_tool("generate_image", PATIENT)
    await made.aclose()


@pytest.mark.parametrize("opened", [True, False], ids=["while it runs", "at its first call"])
async def test_a_call_that_cannot_be_taken_on_says_why_in_time_and_leaves_nothing_behind(
    opened: bool, tmp_path: Path
) -> None:
    await a_database(tmp_path)
    fake = FakeProvider()
    async with client(service(tmp_path, fake)) as session:
        if opened:
            await session.call_tool("generate_image", PATIENT)
        begun = len(fake.seen)
        with held(tmp_path / "jobs.sqlite3"):
            answer, took = await timed(session, "generate_image", ASK)
        after = await session.call_tool("generate_image", PATIENT)

    assert took < WITHIN
    assert answer.is_error
    assert "[STORAGE_FAILED]" in said(answer)
    assert "locked" in said(answer)
    assert "Another process holds it" in said(answer)
    assert Path(data(after)["images"][0]["path"]).is_file()
    assert len(fake.seen) == begun + 1, "the job that was refused never ran"


async def test_a_request_id_that_could_not_be_taken_on_is_made_when_it_is_asked_again(
    tmp_path: Path,
) -> None:
    ask = ASK | {"request_id": "r-1"}
    async with client(service(tmp_path, FakeProvider())) as session:
        await session.call_tool("generate_image", PATIENT)
        with held(tmp_path / "jobs.sqlite3"):
            refused = await session.call_tool("generate_image", ask)
        made = data(await session.call_tool("generate_image", ask | {"wait_seconds": 20}))
        again = data(await session.call_tool("generate_image", ask | {"wait_seconds": 20}))

    assert "[STORAGE_FAILED]" in said(refused)
    assert again["images"] == made["images"]


async def test_a_job_that_was_taken_on_still_runs_although_nobody_can_look(tmp_path: Path) -> None:
    async with client(service(tmp_path, FakeProvider())) as session:
        first = data(await session.call_tool("generate_image", PATIENT))
        ask = {"job_id": first["job_id"], "wait_seconds": WAIT}
        with held(tmp_path / "jobs.sqlite3"):
            answer, took = await timed(session, "get_job", ask)
        done = data(await session.call_tool("get_job", ask | {"wait_seconds": 20}))

    assert took < WITHIN
    assert data(answer)["status"] == "running"
    assert data(answer)["job_id"] == first["job_id"]
    assert "locked" in data(answer)["doing"]
    assert done["images"] == first["images"]


async def test_what_is_asked_of_a_job_of_another_process_fails_in_time_with_the_reason(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, FakeProvider())
    async with client(made) as session:
        job_id = data(await session.call_tool("generate_image", PATIENT))["job_id"]
    await made.aclose()
    async with client(service(tmp_path, FakeProvider())) as session:
        with held(tmp_path / "jobs.sqlite3"):
            ask = {"job_id": job_id, "wait_seconds": WAIT}
            answer, took = await timed(session, "get_job", ask)
        done = data(await session.call_tool("get_job", {"job_id": job_id}))

    assert took < WITHIN
    assert "[STORAGE_FAILED]" in said(answer)
    assert "locked" in said(answer)
    assert Path(done["images"][0]["path"]).is_file()


@pytest.mark.parametrize("request_id", ["", "r-1"], ids=["without", "with"])
async def test_a_queue_that_is_held_delays_a_job_and_not_the_answer(
    request_id: str, tmp_path: Path
) -> None:
    ask = ASK | {"request_id": request_id, "wait_seconds": 1}
    async with client(service(tmp_path, FakeProvider())) as session:
        await session.call_tool("generate_image", PATIENT)
        with held(tmp_path / "lines.sqlite3"):
            answer, took = await timed(session, "generate_image", ask)
        done = await session.call_tool("generate_image", ask | {"wait_seconds": 20})

    assert took < 1 + ALLOWED
    assert "another process" in said(answer).lower()
    assert Path(data(done)["images"][0]["path"]).is_file()


async def test_a_ledger_that_is_held_keeps_only_paid_models_away(tmp_path: Path) -> None:
    await Ledger(tmp_path / "ledger.sqlite3").spending(datetime.now(UTC))
    made = service(tmp_path, FakeProvider(), FakePaidProvider())
    async with client(made) as session:
        with held(tmp_path / "ledger.sqlite3"):
            free = await session.call_tool("generate_image", PATIENT)
            ask = ASK | {"provider": "paid", "allow_paid": True}
            paid, took = await timed(session, "generate_image", ask)
        after = await session.call_tool("generate_image", ask | {"wait_seconds": 20})

    assert data(free)["provider"] == "fake"
    assert took < WITHIN
    assert "[STORAGE_FAILED]" in said(paid)
    assert "Another process holds it" in said(paid)
    assert data(after)["provider"] == "paid"


async def test_a_call_that_is_cancelled_does_not_wait_for_a_ledger_that_is_held(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    await ledger.spending(datetime.now(UTC))
    with held(tmp_path / "ledger.sqlite3"):
        started = time.monotonic()
        with anyio.move_on_after(0.1):
            await ledger.release("hold", "it was not needed")
        await ledger.aclose()
        took = time.monotonic() - started

    assert took < 2.0


async def test_a_trouble_that_lasts_is_warned_of_less_and_less_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = service(tmp_path, FakeProvider(answers=[None]))
    async with client(made) as session:
        await session.call_tool("generate_image", ASK)
        with sqlite3.connect(tmp_path / "lines.sqlite3") as rows:
            rows.execute("ALTER TABLE lines_1_turns RENAME TO hidden")
        rows.close()
        with anyio.fail_after(10):
            while "could not be looked after" not in caplog.text:
                await anyio.sleep(0.02)
        await anyio.sleep(4 * TICK_SECONDS)
        warnings = caplog.text.count("could not be looked after")

    assert warnings == 1
