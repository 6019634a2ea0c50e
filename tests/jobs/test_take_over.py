"""A job whose server died: what is said of it meanwhile, and how long it took in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from tests.e2e.test_broken_state import ASK, assert_made, begun, needs_posix, server
from tests.support.factory import service
from tests.support.wire import Wire
from ziggie_image_mcp.jobs.executor import worth_trying
from ziggie_image_mcp.jobs.records import Choice, JobSpec, dump
from ziggie_image_mcp.jobs.scheduler import silent
from ziggie_image_mcp.provider.testing import FakeProvider
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.request import ImageRequest


@needs_posix
def test_a_dead_servers_job_is_listed_as_such_and_its_seconds_go_on(tmp_path: Path) -> None:
    with server(tmp_path) as first:  # for its config, and to have all imported once
        assert_made(first.call(1, "generate_image", ASK))
    command = ["-m", "tests.support.plain_server", "--config", str(tmp_path / "config.json")]
    started = time.monotonic()
    with Wire([sys.executable, *command]) as dying:
        dying.hello()
        started = time.monotonic()
        job_id = begun(dying, tmp_path)
        os.kill(dying.process.pid, signal.SIGKILL)
        dying.process.wait()
    listed = [jobs_list(tmp_path), jobs_list(tmp_path)]
    with server(tmp_path) as heir:
        took = time.monotonic() - started
        (tmp_path / "go").touch()
        done = assert_made(heir.call(1, "get_job", {"job_id": job_id, "wait_seconds": 30}))

    for line in listed:
        assert "its process died" in line
    assert done["seconds"] >= took - 1, "it counts from its first start"


def jobs_list(folder: Path) -> str:
    """What `jobs list` says, wide enough for one job a line."""
    config = ["--config", str(folder / "config.json"), "jobs", "list"]
    listed = subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", *config],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "250"},
    )
    (line,) = [line for line in listed.stdout.splitlines() if "slow" in line]
    return line


@pytest.mark.parametrize(("age", "least", "most"), [(100.0, 100.0, 130.0), (-100.0, 0.0, 30.0)])
async def test_seconds_count_from_the_first_start_and_never_run_backwards(
    age: float, least: float, most: float, tmp_path: Path
) -> None:
    made = service(tmp_path, FakeProvider())
    request = ImageRequest(prompt="a cat", width=64, height=64, seed=1)
    routes = worth_trying(await made.plan(request))
    chosen = Choice(routes=routes, begun=datetime.now(UTC) - timedelta(seconds=age))
    spec = JobSpec(
        id="job-e3b0c442-00000000000000000000000000000001",
        requests=(request,),
        constraints=constraints_of(made.config),
        accepted=datetime.now(UTC),
        carried={"choose-0": dump(chosen)},
    )

    await made.scheduler.submit(spec)
    with anyio.fail_after(30):
        view = await made.scheduler.wait(spec.id, 30, silent)

    assert view is not None
    assert view.outcome is not None
    assert least <= view.outcome.results[0].seconds <= most
