"""Who is next on a device, and that nobody runs beside another."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support import postgres
from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.jobs.device_queue import DeviceQueue, everywhere
from ziggie_image_mcp.jobs.leases import Leases, queue_database
from ziggie_image_mcp.jobs.queue_order import STREAK_CAP, QueueEntry, choose
from ziggie_image_mcp.jobs.running import RunningJob, RunningJobs
from ziggie_image_mcp.provider import ProviderRequest
from ziggie_image_mcp.provider.testing import model
from ziggie_image_mcp.routing.types import Candidate
from ziggie_image_mcp.storage import engine

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GPU = everywhere("gpu")
REQUEST = ProviderRequest(
    prompt="a cat",
    negative_prompt="",
    width=64,
    height=64,
    num_images=1,
    seed=1,
    steps=None,
    guidance_scale=None,
)
ROUTE = Candidate(
    model=model("fake", "a", device="gpu"),
    request=REQUEST,
    score=0.0,
    cost_micro_usd=0,
    seconds=9.0,
    wait_seconds=5.0,
    why="",
)


def entry(job_id: str, model: str = "a", age: float = 0.0, priority: int = 0) -> QueueEntry:
    joined = int((NOW - timedelta(seconds=age)).timestamp() * 1_000_000)
    return QueueEntry(
        job_id=job_id,
        executor="me",
        device="gpu",
        model=model,
        priority=priority,
        seconds=4.0,
        joined=joined,
        state="waiting",
        granted=0,
        cancel=False,
        fraction=0.0,
        message="",
    )


@pytest.mark.parametrize(
    ("waiting", "loaded", "streak", "chosen"),
    [
        ([entry("1")], "", 0, "1"),
        ([entry("1", age=1), entry("2", age=2)], "", 0, "2"),
        ([entry("2", age=1), entry("1", age=1)], "", 0, "1"),
        ([entry("1", "b", age=90), entry("2", "a")], "a", 3, "2"),
        ([entry("1", "b", age=90), entry("2", "a")], "a", STREAK_CAP, "1"),
        ([entry("1", "a"), entry("2", "a")], "a", STREAK_CAP, "1"),
        ([entry("1", "b", age=15), entry("2", "c"), entry("3", "c", age=9)], "a", 1, "3"),
        ([entry("1", "b", age=25), entry("2", "c"), entry("3", "c", age=9)], "a", 1, "1"),
        ([entry("1", "a", age=90), entry("2", "b", priority=10)], "a", 1, "2"),
    ],
    ids=[
        "the only one",
        "the oldest",
        "the id decides between equals",
        "the loaded model first",
        "until its streak is long enough",
        "where nobody else waits it goes on",
        "two that wait weigh more than one",
        "an old one weighs more than two",
        "priority before all",
    ],
)
def test_who_is_next(waiting: Sequence[QueueEntry], loaded: str, streak: int, chosen: str) -> None:
    assert choose(waiting, loaded, streak, NOW).job_id == chosen


def test_loaded_first_halves_the_wait_and_nobody_waits_for_ever() -> None:
    """Three models 6:3:1, load 15 s, run 6 s, an arrival every 14 s: simulated seconds."""
    chance = random.Random(4)
    clock, arrivals = 0.0, list[tuple[float, str]]()
    for _ in range(2000):
        clock += chance.expovariate(1 / 14)
        arrivals.append((clock, chance.choices("abc", (6, 3, 1))[0]))

    fifo, first = waits(arrivals, loaded_first=False), waits(arrivals, loaded_first=True)

    assert sum(first) < sum(fifo) / 2
    assert max(first) < 600


def waits(arrivals: Sequence[tuple[float, str]], *, loaded_first: bool) -> list[float]:
    coming, here, waited = deque(arrivals), list[tuple[float, str]](), list[float]()
    clock, loaded, streak = 0.0, "", 0
    while coming or here:
        if not here:
            clock = max(clock, coming[0][0])
        while coming and coming[0][0] <= clock:
            here.append(coming.popleft())
        entries = [entry(str(i), m, age=clock - at) for i, (at, m) in enumerate(here)]
        place = int(choose(entries, loaded, streak, NOW).job_id) if loaded_first else 0
        at, model = here.pop(place)
        waited.append(clock - at)
        clock += 6 + (15 if model != loaded else 0)
        streak = streak + 1 if model == loaded else 1
        loaded = model
    return waited


@pytest.fixture(scope="module")
def server() -> Generator[postgres.Server]:
    postgres.skip_where_absent()
    with postgres.server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/queue.sqlite3"
    running: postgres.Server = request.getfixturevalue("server")
    schema = f"queue{abs(hash(str(tmp_path))):x}"
    running.run(f"CREATE SCHEMA {schema}")
    return running.url(schema)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Process:
    """One that shares the database: it sees nothing else of the others."""

    queue: DeviceQueue
    leases: Leases
    running: dict[str, RunningJob]
    clock: Clock

    async def states(self) -> list[tuple[str, str]]:
        return [(e.job_id, e.state) for e in await self.queue.own_entries()]


@asynccontextmanager
async def processes(database: str, folder: Path, count: int) -> AsyncGenerator[list[Process]]:
    async with AsyncExitStack() as stack:
        group: list[Process] = []
        for number in range(count):
            rows = queue_database(database)
            leases = Leases(folder / f"host-{number}", rows, shared=True)
            stack.push_async_callback(rows.aclose)
            await leases.acquire()
            stack.callback(leases.release)
            clock, running = Clock(), RunningJobs()
            queue = DeviceQueue(rows, leases, running, clock)
            group.append(Process(queue, leases, running, clock))
        yield group


async def enqueue(process: Process, job_id: str, **facts: Any) -> bool:
    await process.queue.enter(job_id, facts.get("priority", 0))
    model, seconds = facts.get("model", "a"), facts.get("seconds", 4.0)
    return await process.queue.enqueue(job_id, GPU, model, seconds)


async def test_one_runs_and_the_next_is_told_in_its_own_process(
    database: str, tmp_path: Path
) -> None:
    async with processes(database, tmp_path, 2) as (one, other):
        assert await enqueue(one, "1")
        assert not await enqueue(other, "2")
        assert await one.queue.grant(GPU) is None
        assert await one.queue.release("1") == "2"
        assert await other.states() == [("2", "running")]
        assert await one.states() == [("1", "preparing")]
        await one.queue.leave("1")
        assert await one.states() == []


async def test_a_job_has_the_device_alone_for_the_time_of_a_block(
    database: str, tmp_path: Path
) -> None:
    log: list[str] = []
    async with processes(database, tmp_path, 1) as (one,):

        async def run(job_id: str) -> None:
            job = one.running[job_id] = RunningJob(job_id)
            await one.queue.enter(job_id, 0)
            async with one.queue.acquire(job, ROUTE):
                log.append(f"{job_id} begins, {job.message}")
                (expected,) = {e.seconds for e in await one.queue.own_entries() if e.device}
                assert expected == 4.0
                while job_id == "1" and not one.running.get("2", job).device:
                    await anyio.sleep(0.005)  # until the other one waits
                await anyio.sleep(0.05)
                log.append(f"{job_id} ends")

        async with anyio.create_task_group() as group:
            group.start_soon(run, "1")
            while not log:
                await anyio.sleep(0.005)
            group.start_soon(run, "2")

        assert await one.states() == [("1", "preparing"), ("2", "preparing")]
    assert log == ["1 begins, ", "1 ends", "2 begins, waiting for gpu", "2 ends"]


async def test_a_device_is_free_again_when_the_one_that_waits_or_runs_is_cancelled(
    database: str, tmp_path: Path
) -> None:
    async with processes(database, tmp_path, 1) as (one,):

        async def run(job: RunningJob) -> None:
            one.running[job.id] = job
            await one.queue.enter(job.id, 0)
            with job.scope:
                async with one.queue.acquire(job, ROUTE):
                    await anyio.sleep_forever()

        jobs, first = [RunningJob(str(number)) for number in range(3)], list[tuple[str, str]]()
        async with anyio.create_task_group() as group:
            for number, job in enumerate(jobs):
                group.start_soon(run, job)
                while len(first) <= number or "preparing" in [state for _, state in first]:
                    await anyio.sleep(0.005)
                    first = await one.states()
            jobs[1].scope.cancel()
            jobs[0].scope.cancel()
            while not jobs[2].granted.is_set():
                await anyio.sleep(0.005)
            jobs[2].scope.cancel()

    assert first == [("0", "running"), ("1", "waiting"), ("2", "waiting")]


async def test_the_queue_says_how_long_a_newcomer_waits(database: str, tmp_path: Path) -> None:
    async with processes(database, tmp_path, 2) as (one, idle):
        await enqueue(one, "1", seconds=10.0)
        await enqueue(one, "2", seconds=4.0, model="b")
        one.clock.now = NOW + timedelta(seconds=7)
        status = (await one.queue.statuses())["gpu"]

        assert (status.running, status.waiting, status.seconds, status.model) == (1, 1, 7.0, "a")
        assert await idle.queue.statuses() == {}, "before its first job"


async def test_so_many_calls_of_a_provider_run_at_once_as_the_config_bounds(
    database: str, tmp_path: Path
) -> None:
    place = "provider:paid"
    async with processes(database, tmp_path, 2) as (one, other):
        for process in (one, other):
            process.queue.concurrency = {"paid": 2}

        async def begin(process: Process, job_id: str) -> bool:
            await process.queue.enter(job_id, 0)
            return await process.queue.enqueue(job_id, place, "", 4.0)

        begun = [await begin(one, "1")]
        free = (await one.queue.statuses())[place]
        begun += [await begin(other, "2"), await begin(one, "3"), await begin(other, "4")]
        full = (await one.queue.statuses())[place]

        assert begun == [True, True, False, False]
        assert (free.running, free.seconds) == (1, 0.0), "there is room for one more"
        assert (full.running, full.waiting, full.seconds) == (2, 2, 8.0), "four of 4 s, two at once"
        assert full.own_models == frozenset()
        assert await other.queue.release("2") == "3", "the oldest, in whatever process"
        assert await one.queue.grant(place) is None
        one.queue.concurrency = {}
        assert await one.queue.grant(place) == "4", "nothing bounds it any more"


async def test_the_doctor_can_read_it_from_end_to_end(database: str, tmp_path: Path) -> None:
    async with processes(database, tmp_path, 1) as (one,):
        await one.queue.enter("1", 0)

        assert re.search("undamaged|answers", engine.examine(database, "device queue"))

    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    with pytest.raises(StorageError, match=r"device queue 127\.0\.0\.1/nothing cannot be used"):
        engine.examine(nowhere, "device queue")


async def test_the_job_that_is_cancelled_while_it_waits_is_passed_over(
    database: str, tmp_path: Path
) -> None:
    async with processes(database, tmp_path, 2) as (one, other):
        await enqueue(one, "1")
        await enqueue(one, "2")
        await enqueue(one, "3")
        assert await other.queue.cancel("2") == one.leases.owner
        assert await other.queue.cancel("4") == ""
        assert await one.queue.release("1") == "3"
        assert [e.cancel for e in await one.queue.own_entries() if e.job_id == "2"] == [True]


async def test_the_device_of_a_dead_process_is_free_when_it_is_forgotten(
    database: str, tmp_path: Path
) -> None:
    async with processes(database, tmp_path, 3) as (dead, one, other):
        await enqueue(dead, "1")
        name = dead.leases.owner
        assert await one.leases.dead() == [name], "it has a job, and its heart never beat"
        assert [await x.leases.claim(name) for x in (one, other)] == [True, False]
        assert not await enqueue(one, "2"), "until all it had is taken up"
        await one.leases.forget_dead_process(name)
        assert await one.leases.dead() == []
        assert await one.queue.grant(GPU) == "2"


async def test_what_a_process_says_of_a_job_that_another_took_up_is_not_heard(
    database: str, tmp_path: Path
) -> None:
    async with processes(database, tmp_path, 2) as (late, heir):
        assert await enqueue(late, "1")
        await heir.leases.forget_dead_process(late.leases.owner)
        assert await enqueue(heir, "1")
        await late.queue.report("1", 0.9, "nearly there")
        assert await late.queue.release("1") is None
        await late.queue.leave("1")
        assert await late.states() == []
        (entry,) = await heir.queue.own_entries()

    assert (entry.state, entry.fraction, entry.message) == ("running", 0.0, "")


async def test_a_request_id_stands_for_its_first_job(database: str, tmp_path: Path) -> None:
    async with processes(database, tmp_path, 2) as (one, other):
        asked = [
            await process.queue.job_of_request(*words)
            for process, words in (
                (one, ("me", "r", "print", "job-1")),
                (other, ("me", "r", "other", "job-2")),
                (other, ("you", "r", "other", "job-2")),
            )
        ]

        assert asked == [("job-1", "print"), ("job-1", "print"), ("job-2", "other")]
        assert await one.queue.forget_requests(NOW + timedelta(seconds=1)) == 2
