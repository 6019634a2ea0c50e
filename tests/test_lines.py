"""Who is next on a device, and that nobody runs beside another."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import postgres
from ziggie_image_mcp.lines import STREAK_CAP, Lines, Turn, choose

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AFTER = timedelta(seconds=8)


def turn(job_id: str, model: str = "a", age: float = 0.0, priority: int = 0) -> Turn:
    joined = int((NOW - timedelta(seconds=age)).timestamp() * 1_000_000)
    return Turn(
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
        ([turn("1")], "", 0, "1"),
        ([turn("1", age=1), turn("2", age=2)], "", 0, "2"),
        ([turn("2", age=1), turn("1", age=1)], "", 0, "1"),
        ([turn("1", "b", age=90), turn("2", "a")], "a", 3, "2"),
        ([turn("1", "b", age=90), turn("2", "a")], "a", STREAK_CAP, "1"),
        ([turn("1", "a"), turn("2", "a")], "a", STREAK_CAP, "1"),
        ([turn("1", "b", age=15), turn("2", "c"), turn("3", "c", age=9)], "a", 1, "3"),
        ([turn("1", "b", age=25), turn("2", "c"), turn("3", "c", age=9)], "a", 1, "1"),
        ([turn("1", "a", age=90), turn("2", "b", priority=10)], "a", 1, "2"),
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
def test_who_is_next(waiting: Sequence[Turn], loaded: str, streak: int, chosen: str) -> None:
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
    coming, here, found = deque(arrivals), list[tuple[float, str]](), list[float]()
    clock, loaded, streak = 0.0, "", 0
    while coming or here:
        if not here:
            clock = max(clock, coming[0][0])
        while coming and coming[0][0] <= clock:
            here.append(coming.popleft())
        turns = [turn(str(i), m, age=clock - at) for i, (at, m) in enumerate(here)]
        place = int(choose(turns, loaded, streak, NOW).job_id) if loaded_first else 0
        at, model = here.pop(place)
        found.append(clock - at)
        clock += 6 + (15 if model != loaded else 0)
        streak = streak + 1 if model == loaded else 1
        loaded = model
    return found


@pytest.fixture(scope="module")
def server() -> Generator[postgres.Server]:
    postgres.skip_where_absent()
    with postgres.server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/lines.sqlite3"
    running: postgres.Server = request.getfixturevalue("server")
    schema = f"lines{abs(hash(str(tmp_path))):x}"
    running.run(f"CREATE SCHEMA {schema}")
    return running.url(schema)


@asynccontextmanager
async def processes(database: str, *names: str) -> AsyncGenerator[list[Lines]]:
    made = [Lines(database, name) for name in names]
    yield made
    for lines in made:
        await lines.aclose()


async def stand(lines: Lines, job_id: str, **facts: Any) -> bool:
    await lines.join(job_id, facts.get("priority", 0), NOW)
    return await lines.wait(job_id, "gpu", facts.get("model", "a"), facts.get("seconds", 4.0), NOW)


async def test_one_runs_and_the_next_is_told_in_its_own_process(database: str) -> None:
    async with processes(database, "one", "other") as (one, other):
        assert await stand(one, "1")
        assert not await stand(other, "2")
        assert await one.grant("gpu", NOW) is None
        assert await one.release("1", NOW) == "2"
        assert [(t.job_id, t.state) for t in await other.mine()] == [("2", "running")]
        assert [(t.job_id, t.state) for t in await one.mine()] == [("1", "preparing")]
        await one.leave("1")
        assert await one.mine() == []


async def test_the_line_says_how_long_a_newcomer_waits(database: str) -> None:
    async with processes(database, "one") as (one,):
        await stand(one, "1", seconds=10.0)
        await stand(one, "2", seconds=4.0, model="b")
        line = (await one.snapshot(NOW + timedelta(seconds=7)))["gpu"]

    assert (line.running, line.waiting, line.seconds, line.model) == (1, 1, 7.0, "a")


async def test_the_job_that_is_cancelled_while_it_waits_is_passed_over(database: str) -> None:
    async with processes(database, "one", "other") as (one, other):
        await stand(one, "1")
        await stand(one, "2")
        await stand(one, "3")
        assert await other.cancel("2")
        assert not await other.cancel("4")
        assert await one.release("1", NOW) == "3"
        assert [t.cancel for t in await one.mine() if t.job_id == "2"] == [True]


async def test_the_silent_are_claimed_once_and_buried(database: str) -> None:
    later = NOW + timedelta(seconds=30)
    async with processes(database, "dead", "one", "other") as (dead, one, other):
        await dead.beat(NOW)
        await stand(dead, "1")
        await one.beat(later)
        await other.beat(later)
        assert await one.stale(later, AFTER) == ["dead"]
        assert [await x.claim("dead", later, AFTER) for x in (one, other)] == [True, False]
        assert await one.stale(later, AFTER) == ["dead"], "until it is buried"
        assert await other.claim("dead", later + timedelta(seconds=20), AFTER), "its claimer died"
        await other.bury("dead")
        assert await one.stale(later, AFTER) == []
        assert await stand(one, "2"), "the device is free again"


async def test_what_a_process_says_of_a_job_that_another_took_up_is_not_heard(
    database: str,
) -> None:
    async with processes(database, "late", "heir") as (late, heir):
        assert await stand(late, "1")
        await heir.bury("late")
        assert await stand(heir, "1")
        await late.progress("1", 0.9, "nearly there")
        assert await late.release("1", NOW) is None
        await late.leave("1")
        assert await late.mine() == []
        (turn,) = await heir.mine()

    assert (turn.state, turn.fraction, turn.message) == ("running", 0.0, "")


async def test_a_request_id_stands_for_its_first_job(database: str) -> None:
    async with processes(database, "one", "other") as (one, other):
        assert await one.request("me", "r", "print", "job-1", NOW) == ("job-1", "print")
        assert await other.request("me", "r", "other", "job-2", NOW) == ("job-1", "print")
        assert await other.request("you", "r", "other", "job-2", NOW) == ("job-2", "other")
        assert await one.forget(NOW + timedelta(seconds=1)) == 2
