"""A job that brings down its process again and again ends; one that only waited is no such job."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import anyio

from tests.support.factory import service
from ziggie_image_mcp.jobs.executor import MAX_RECOVERIES
from ziggie_image_mcp.jobs.leases import queue_database
from ziggie_image_mcp.jobs.records import JobSpec
from ziggie_image_mcp.jobs.scheduler import silent
from ziggie_image_mcp.provider.testing import FakeProvider
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.request import ImageRequest

JOB = "job-e3b0c442-00000000000000000000000000000001"


async def test_a_job_that_brought_down_its_process_too_often_ends_and_says_so(
    tmp_path: Path,
) -> None:
    fake = FakeProvider()
    made = service(tmp_path, fake)
    rows = queue_database(tmp_path / "lines.sqlite3")
    await rows.write(lambda tables: tables.put_recoveries(JOB, MAX_RECOVERIES + 1))
    spec = JobSpec(
        id=JOB,
        requests=(ImageRequest(prompt="a cat"),),
        constraints=constraints_of(made.config),
        accepted=datetime.now(UTC),
    )

    await made.scheduler.submit(spec)
    with anyio.fail_after(20):
        view = await made.scheduler.wait(JOB, 20, silent)
    kept = await rows.read(lambda tables: tables.recoveries(JOB))
    await rows.aclose()

    assert view is not None
    assert view.outcome is not None
    assert [failure.code for failure in view.outcome.failures] == ["JOB_LOST"]
    assert fake.seen == []
    assert kept == 0
