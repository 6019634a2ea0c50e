"""A cancel holds whoever dies, and a database that is down for a moment delays a job."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from tests.support.calls import client, data, said
from tests.support.factory import service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.jobs.device_queue import DeviceQueue
from ziggie_image_mcp.jobs.leases import Leases, lease_folder, queue_database
from ziggie_image_mcp.jobs.records import JobSpec
from ziggie_image_mcp.jobs.running import RunningJobs
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider import Model
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.request import ImageRequest

JOB = "job-e3b0c442-00000000000000000000000000000001"


def a_job(made: Service) -> JobSpec:
    return JobSpec(
        id=JOB,
        requests=(ImageRequest(prompt="a cat", width=64, height=64),),
        constraints=constraints_of(made.config),
        accepted=datetime.now(UTC),
    )


async def test_a_cancel_that_a_dying_process_did_not_hear_holds_in_the_one_that_takes_the_job_up(
    tmp_path: Path,
) -> None:
    fake = FakeProvider()
    asked = service(tmp_path, fake, role=Role.CLIENT)
    await asked.scheduler.submit(a_job(asked))
    rows = queue_database(tmp_path / "lines.sqlite3")
    dying = Leases(lease_folder(tmp_path, None), rows, shared=False)
    await dying.acquire()
    queue = DeviceQueue(rows, dying, RunningJobs())
    await queue.enter(JOB, 10)
    async with client(asked) as session, anyio.create_task_group() as group:
        group.start_soon(session.call_tool, "cancel_job", {"job_id": JOB})
        while not await queue.cancelled([JOB]):
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    await asked.aclose()
    dying.release(leaves_jobs=True)
    await rows.aclose()

    async with client(service(tmp_path, fake, role=Role.SERVER)) as session:
        answer = await session.call_tool("get_job", {"job_id": JOB, "wait_seconds": 20})

    assert "[CANCELLED]" in said(answer)
    assert fake.seen == []


def hide_the_queue(folder: Path) -> None:
    with sqlite3.connect(folder / "lines.sqlite3") as rows:
        rows.execute("ALTER TABLE lines_1_turns RENAME TO hidden")
    rows.close()


def show_the_queue(folder: Path) -> None:
    with sqlite3.connect(folder / "lines.sqlite3") as rows:
        rows.execute("ALTER TABLE hidden RENAME TO lines_1_turns")
    rows.close()


async def until_it_says(session: Client, word: str) -> None:
    with anyio.fail_after(10):
        while True:
            answer = await session.call_tool("get_job", {"job_id": JOB, "wait_seconds": 0})
            if word in data(answer).get("doing", ""):
                return
            await anyio.sleep(0.02)


class Hiding(FakeProvider):
    """Takes the queue away at one moment of a job."""

    def __init__(self, folder: Path, moment: str) -> None:
        super().__init__(models=[model("fake", "a", device="gpu")])
        self._folder = folder
        self._moment = moment

    def _hide(self, moment: str) -> None:
        if moment == self._moment:
            self._moment = ""
            hide_the_queue(self._folder)

    async def list_models(self) -> Sequence[Model]:
        self._hide("before it waits for its device")
        return await super().list_models()

    async def submit(self, request: Any, model: Any, run: Any) -> Any:
        self._hide("while its picture is made")
        return await super().submit(request, model, run)


async def test_a_database_that_is_down_when_a_job_enters_delays_it(tmp_path: Path) -> None:
    fake = FakeProvider()
    asked = service(tmp_path, fake, role=Role.CLIENT)
    await asked.scheduler.submit(a_job(asked))
    await asked.scheduler.get(JOB)  # it makes the tables
    await asked.aclose()
    hide_the_queue(tmp_path)
    async with client(service(tmp_path, fake, role=Role.SERVER)) as session:
        await until_it_says(session, "waiting: The device queue")
        show_the_queue(tmp_path)
        view = data(await session.call_tool("get_job", {"job_id": JOB, "wait_seconds": 20}))

    assert Path(view["images"][0]["path"]).is_file()


async def test_a_database_that_is_down_when_a_job_joins_its_devices_queue_delays_it(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, Hiding(tmp_path, "before it waits for its device"))
    await made.scheduler.submit(a_job(made))
    async with client(made) as session:
        await until_it_says(session, "waiting: The device queue")
        show_the_queue(tmp_path)
        view = data(await session.call_tool("get_job", {"job_id": JOB, "wait_seconds": 20}))

    assert Path(view["images"][0]["path"]).is_file()


async def test_a_picture_is_given_although_its_job_cannot_leave_and_the_device_is_free_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = service(tmp_path, Hiding(tmp_path, "while its picture is made"))
    await made.scheduler.submit(a_job(made))
    async with client(made) as session:
        first = data(await session.call_tool("get_job", {"job_id": JOB, "wait_seconds": 20}))
        show_the_queue(tmp_path)
        ask = {"prompt": "a dog", "width": 64, "height": 64, "wait_seconds": 20}
        second = data(await session.call_tool("generate_image", ask))
    rows = queue_database(tmp_path / "lines.sqlite3")
    left = await rows.read(lambda tables: tables.entries())
    await rows.aclose()

    assert Path(first["images"][0]["path"]).is_file()
    assert Path(second["images"][0]["path"]).is_file()
    assert left == []
    assert "leaves its device's queue later" in caplog.text
