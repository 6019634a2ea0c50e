"""What engines work on is remembered for who takes a job up, and stopped when nobody will."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from tests.support.comfyui_answers import silence
from tests.support.factory import service
from ziggie_image_mcp.billing.types import FreeCall
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.jobs.leases import queue_database
from ziggie_image_mcp.jobs.records import JobSpec
from ziggie_image_mcp.jobs.remote_jobs import RemoteJobs
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider import (
    CancelOutcome,
    EngineCrashed,
    GeneratedImage,
    Generation,
    ImageError,
    InvalidOutput,
    Model,
    ProviderRequest,
    RemoteJob,
    Resolution,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.testing import FakeProvider, model, picture
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.request import ImageRequest

JOB = "job-e3b0c442-1"


class Engine(FakeProvider):
    """Free; it notes what it is told to stop, and may fail at it."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__("engine", models=[model("engine", seconds=0.1)])
        self.stopped: list[str] = []
        self._fails = fails

    async def cancel(self, remote_id: str) -> CancelOutcome:
        self.stopped.append(remote_id)
        if self._fails:
            raise RuntimeError("a bug")
        return CancelOutcome(state="stopped")


@asynccontextmanager
async def opened(folder: Path, engine: Engine) -> AsyncGenerator[RemoteJobs]:
    rows = queue_database(folder / "lines.sqlite3")
    try:
        yield RemoteJobs(rows, Registry(Config(), folder, extra=[engine]))
    finally:
        await rows.aclose()


async def test_an_id_is_found_by_the_key_of_its_run_in_another_process(tmp_path: Path) -> None:
    async with opened(tmp_path, Engine()) as first:
        await first.remember(f"{JOB}.0.0", JOB, "engine", "number 7")
        await first.remember(f"{JOB}.0.0", JOB, "engine", "number 8")
    async with opened(tmp_path, Engine()) as second:
        assert await second.find(f"{JOB}.0.0") == "number 8"
        assert await second.find(f"{JOB}.0.1") == ""


@pytest.mark.parametrize("fails", [False, True], ids=["it stops", "it has a bug"])
async def test_what_nobody_waits_for_is_stopped_once(fails: bool, tmp_path: Path) -> None:
    engine = Engine(fails=fails)
    async with opened(tmp_path, engine) as jobs:
        await jobs.remember("a", JOB, "engine", "one")
        await jobs.remember("b", JOB, "engine", "two")
        await jobs.remember("c", "job-other", "engine", "three")
        await jobs.remember("d", JOB, "gone", "four")

        await jobs.stop([JOB])
        await jobs.stop([JOB])

        assert sorted(engine.stopped) == ["one", "two"]
        assert await jobs.find("a") == ""
        assert await jobs.find("c") == "three"


async def test_a_job_that_is_cancelled_while_no_process_has_it_is_stopped_at_its_engine(
    tmp_path: Path,
) -> None:
    engine = Engine()
    made = service(tmp_path, engine)
    spec = JobSpec(
        id=JOB,
        requests=(ImageRequest(prompt="a cat"),),
        constraints=constraints_of(made.config),
        accepted=datetime.now(UTC),
    )
    await made.scheduler.submit(spec, at=datetime.now(UTC) + timedelta(hours=1))
    async with opened(tmp_path, engine) as jobs:
        await jobs.remember(f"{JOB}.0.0", JOB, "engine", "number 7")

    view = await made.scheduler.cancel(JOB)

    assert view is not None
    assert view.status == "cancelled"
    assert engine.stopped == ["number 7"]


async def test_a_job_that_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = Engine()
    made = service(tmp_path, engine)
    view = await made.start([ImageRequest(prompt="a cat")])
    async with opened(tmp_path, engine) as jobs:
        await jobs.remember("a", view.id, "engine", "number 7")
        await made.job(view.id, 30)

        assert await jobs.find("a") == ""
    assert engine.stopped == []


class Slow(Engine):
    """It works on a request until it is told to be ready."""

    def __init__(self, ready: anyio.Event) -> None:
        super().__init__()
        self.calls: list[str] = []
        self._ready = ready

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        self.calls.append("submit")
        return RemoteJob(id="number 7")

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        self.calls.append(f"collect {remote_id}")
        await self._ready.wait()
        return Generation(
            images=(GeneratedImage(data=picture(request.width, request.height), seed=1),)
        )

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        return Resolution(state="running", remote_id=remote_id)


async def until_collecting(engine: Slow) -> None:
    with anyio.fail_after(30):
        while "collect number 7" not in engine.calls:
            await anyio.sleep(0.01)


async def test_what_a_server_leaves_behind_when_it_ends_goes_on_at_the_engine(
    tmp_path: Path,
) -> None:
    first = Slow(anyio.Event())
    made = service(tmp_path, first, role=Role.SERVER)
    view = await made.start([ImageRequest(prompt="a cat")])
    await until_collecting(first)
    await made.aclose()
    ready = anyio.Event()
    ready.set()
    second = Slow(ready)
    made = service(tmp_path, second, role=Role.SERVER)

    ended = await made.job(view.id, 30)

    assert ended.status == "done"
    assert first.stopped == []
    assert (first.calls, second.calls) == (["submit", "collect number 7"], ["collect number 7"])


async def test_what_is_cancelled_is_stopped_at_the_engine(tmp_path: Path) -> None:
    engine = Slow(anyio.Event())
    made = service(tmp_path, engine)
    view = await made.start([ImageRequest(prompt="a cat")])
    await until_collecting(engine)

    ended = await made.cancel(view.id)

    assert ended.status == "cancelled"
    assert engine.stopped == ["number 7"]


async def test_what_takes_longer_than_the_deadline_is_stopped_at_the_engine(
    tmp_path: Path,
) -> None:
    engine = Slow(anyio.Event())
    made = service(tmp_path, engine, deadline=1)

    with pytest.raises(ImageError, match="longer than 1 s"):
        await made.generate(ImageRequest(prompt="a cat"))

    assert engine.stopped == ["number 7"]


class Twice(Slow):
    """Its first picture is none; the second is under way when its caller's process ends."""

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        self.calls.append(f"submit {run.key}")
        return RemoteJob(id=run.key)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        if not remote_id.endswith("+"):
            raise InvalidOutput(self.name, "it is black")
        return await super().collect("number 7", request, model, run)

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        return Resolution(state="running" if key.endswith("+") else "failed", remote_id=key)


async def test_a_second_try_is_found_again_by_the_process_that_takes_the_job_up(
    tmp_path: Path,
) -> None:
    first = Twice(anyio.Event())
    made = service(tmp_path, first, role=Role.SERVER)
    view = await made.start([ImageRequest(prompt="a cat")])
    await until_collecting(first)
    await made.aclose()
    ready = anyio.Event()
    ready.set()
    second = Twice(ready)
    made = service(tmp_path, second, role=Role.SERVER)

    ended = await made.job(view.id, 30)

    assert ended.status == "done"
    assert first.calls == [f"submit {view.id}.0.0", f"submit {view.id}.0.0+", "collect number 7"]
    assert second.calls == ["collect number 7"]


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "taken up by another"])
async def test_what_fails_is_stopped_only_while_the_run_is_ours(ours: bool, tmp_path: Path) -> None:
    class Failing(Engine):
        async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
            return RemoteJob(id="number 7")

        async def collect(
            self, remote_id: str, request: ProviderRequest, model: Model, run: Run
        ) -> Generation:
            raise EngineCrashed(self.name, "it does not answer")

    async def remember(remote_id: str) -> None:
        pass

    engine = Failing()
    made = service(tmp_path, engine)
    (free,) = await engine.list_models()
    request = ProviderRequest(prompt="a cat", width=64, height=64)
    run = Run(key="a", progress=silence, is_ours=lambda: ours)
    with pytest.raises(EngineCrashed):
        async with made.billing.charge(FreeCall(key="a", remember=remember)) as charge:
            await charge.generate(engine, request, free, run)

    assert engine.stopped == (["number 7"] if ours else [])
