"""What is learnt of providers: circuit breakers and speed, by a clock that the test sets."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import exp, inf, log, nan
from pathlib import Path

import anyio
import pytest

from tests.support import postgres
from ziggie_image_mcp.billing.usage_report import PictureCount
from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ContentRefused,
    DependencyMissing,
    EngineCrashed,
    ImageError,
    InvalidOutput,
    ModelMissing,
    ModelUnusable,
    OutcomeUnknown,
    OutOfMemory,
    OverBudget,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    StorageError,
)
from ziggie_image_mcp.routing.circuit_breaker import (
    EVERY_MODEL,
    after_failure,
    is_open,
    open_breaker,
)
from ziggie_image_mcp.routing.history import (
    PROBE_SECONDS,
    PROBING,
    History,
    default_file,
)
from ziggie_image_mcp.routing.latency import bucket, learnt_load, learnt_seconds
from ziggie_image_mcp.routing.types import CircuitBreaker, HistorySnapshot, Latency

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DOWN = ProviderTimeout("a", "it does not answer")
CLOSED = CircuitBreaker(provider="a", model="m")


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def history(tmp_path: Path, chance: float = 0.0) -> History:
    return History(tmp_path / "state" / "experience.sqlite3", chance=lambda: chance)


def open_for(breaker: CircuitBreaker, now: datetime) -> float:
    """Seconds."""
    return 0.0 if breaker.open_until is None else (breaker.open_until - now).total_seconds()


def fail(
    breaker: CircuitBreaker, times: Sequence[float], error: ProviderError = DOWN
) -> CircuitBreaker:
    for seconds in times:
        breaker = after_failure(breaker, error, after(seconds), 0.0)
    return breaker


# What counts


@pytest.mark.parametrize(
    "error",
    [
        ProviderTimeout("a", "x"),
        EngineCrashed("a", "x"),
        InvalidOutput("a", "x"),
        ModelUnusable("a", "x"),
        OutcomeUnknown("a", "x"),
        ProviderError("a", "x"),
    ],
    ids=lambda e: e.code,
)
async def test_the_third_failure_in_a_row_opens_the_breaker_of_its_model(
    tmp_path: Path, error: ProviderError
) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        seen: list[CircuitBreaker | None] = []
        for _ in range(3):
            await learnt.failed("a", "m", error, NOON)
            seen.append(open_breaker(await learnt.snapshot(), "a", "m", NOON))
        last = await learnt.snapshot()

    opened = CircuitBreaker(
        provider="a",
        model="m",
        failures=3,
        opens=1,
        open_until=after(30),
        code=error.code,
        reason="x",
    )
    assert seen == [None, None, opened]
    assert open_breaker(last, "a", "other", NOON) is None
    assert open_breaker(last, "b", "m", NOON) is None


@pytest.mark.parametrize(
    "error",
    [ProviderUnavailable("a", "x"), EngineCrashed("a", "x", scope="provider")],
    ids=lambda e: e.code,
)
async def test_what_says_that_no_model_would_do_better_opens_the_breaker_of_the_provider(
    tmp_path: Path, error: ProviderError
) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        for model in ("m", "n", "m"):
            await learnt.failed("a", model, error, NOON)
        last = await learnt.snapshot()

    opened = open_breaker(last, "a", "other", NOON)
    assert opened is not None
    assert opened.model == EVERY_MODEL
    assert open_breaker(last, "b", "m", NOON) is None


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemory("a", "x"),
        RequestRejected("a", "x"),
        ContentRefused("a", "x"),
        ModelMissing("a", "x"),
        DependencyMissing("a", "x"),
        OverBudget("x"),
        StorageError("x"),
    ],
    ids=lambda e: e.code,
)
async def test_what_says_nothing_of_the_providers_health_never_counts(
    tmp_path: Path, error: ImageError
) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        for _ in range(4):
            await learnt.failed("a", "m", error, NOON)

        assert await learnt.snapshot() == HistorySnapshot()


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, 30), (12.5, 12.5), (300, 300), (86_400, 300), (inf, 300), (nan, 30), (0, 0), (-5, 0)],
)
async def test_a_rate_limit_opens_at_once_for_as_long_as_the_provider_asks(
    tmp_path: Path, retry_after: float | None, seconds: float
) -> None:
    async with aclosing(history(tmp_path, chance=1.0)) as learnt:
        await learnt.failed("a", "m", RateLimited("a", "slow down", retry_after=retry_after), NOON)
        breaker = (await learnt.snapshot()).breakers["a", "m"]

    assert breaker == replace(
        CLOSED, open_until=after(seconds), code="RATE_LIMITED", reason="slow down"
    )


@pytest.mark.parametrize(
    "error", [AuthenticationFailed("a", "bad key."), PaymentRequired("a", "no credit.")]
)
async def test_a_refused_key_or_an_empty_account_opens_for_the_whole_provider(
    tmp_path: Path, error: ProviderError
) -> None:
    async with aclosing(history(tmp_path, chance=1.0)) as learnt:
        await learnt.failed("a", "m", error, NOON)
        snapshot = await learnt.snapshot()

    breaker = open_breaker(snapshot, "a", "any model", after(299))
    assert breaker is not None
    assert (breaker.model, breaker.code, breaker.open_until) == (
        EVERY_MODEL,
        error.code,
        after(300),
    )
    assert breaker.reason == (
        f"{error} Every model of a is left alone for 5 min, because a change of the key or "
        "the account cannot be seen from here."
    )
    assert open_breaker(snapshot, "a", "m", after(300)) is None
    assert open_breaker(snapshot, "b", "m", NOON) is None


def test_a_long_reason_is_cut() -> None:
    breaker = after_failure(CLOSED, ProviderError("a", "x" * 5000), NOON, 0.0)

    assert breaker.reason == "x" * 297 + "..."


# Time


def test_each_opening_in_a_row_is_longer_up_to_five_minutes() -> None:
    breaker, now, lengths = fail(CLOSED, [0, 0]), NOON, list[float]()
    for _ in range(12):
        breaker = after_failure(breaker, DOWN, now, 0.0)
        lengths.append(open_for(breaker, now))
        assert breaker.open_until is not None
        now = breaker.open_until

    assert lengths == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


def test_jitter_makes_an_opening_longer_by_its_share() -> None:
    once, often = fail(CLOSED, [0, 0]), replace(CLOSED, failures=99, opens=40)

    assert open_for(after_failure(once, DOWN, NOON, 0.1), NOON) == pytest.approx(33)
    assert open_for(after_failure(often, DOWN, NOON, 0.1), NOON) == pytest.approx(330)


async def test_of_those_that_cost_money_one_tries_a_half_open_breaker(tmp_path: Path) -> None:
    async with aclosing(History(tmp_path / "x.sqlite3")) as learnt:
        for _ in range(3):
            await learnt.failed("a", "m", DOWN, NOON)
        while_open = await learnt.may_try("a", "m", after(1))
        two = [await learnt.may_try("a", "m", after(40)) for _ in range(2)]
        shown = (await learnt.snapshot()).breakers["a", "m"]
        other = await learnt.may_try("a", "other", after(40))
        its_prober_died = await learnt.may_try("a", "m", after(40 + PROBE_SECONDS))
        await learnt.failed("a", "m", RequestRejected("a", "no"), after(101))
        blameless = await learnt.may_try("a", "m", after(102))
        await learnt.failed("a", "m", DOWN, after(103))
        again = (await learnt.snapshot()).breakers["a", "m"]
        await learnt.may_try("a", "m", after(200))
        await learnt.succeeded("a", "m", bucket="1MP", seconds_per_image=1.0, now=after(201))
        healed = await learnt.snapshot()

    assert not while_open
    assert two == [True, False]
    assert (shown.code, is_open(shown, after(41))) == (PROBING, True)
    assert other
    assert its_prober_died
    assert blameless
    assert (again.opens, again.code) == (2, DOWN.code)
    assert 60 <= open_for(again, after(103)) <= 66
    assert not healed.breakers


async def test_a_database_that_is_gone_keeps_nobody_from_trying(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite3").mkdir()
    async with aclosing(History(tmp_path / "x.sqlite3")) as learnt:
        assert await learnt.may_try("a", "m", NOON)


async def test_jitter_is_drawn_for_each_opening(tmp_path: Path) -> None:
    source = random.Random(1)
    async with aclosing(History(tmp_path / "x.sqlite3", chance=source.random)) as learnt:
        for model in ("m", "n"):
            for _ in range(3):
                await learnt.failed("a", model, DOWN, NOON)
        snapshot = await learnt.snapshot()

    lengths = [open_for(b, NOON) for b in snapshot.breakers.values()]
    assert len(set(lengths)) == 2
    assert all(30 <= length <= 33 for length in lengths)


@pytest.mark.parametrize(
    ("before", "error", "at", "expected"),
    [
        # half-open: one failure suffices
        ([0, 0, 0], DOWN, 30, (4, 2, 90)),
        ([0, 0, 0], DOWN, 5000, (4, 2, 5060)),
        # open: what was on its way only counts
        ([0, 0, 0], DOWN, 29, (4, 1, 30)),
        # a wait that the provider asks for is neither a failure nor an opening by failures
        ([0, 0, 0], RateLimited("a", "x", retry_after=10), 30, (3, 1, 40)),
        ([0, 0], RateLimited("a", "x", retry_after=10), 0, (2, 0, 10)),
        # and nothing makes an opening shorter
        ([0, 0, 0], RateLimited("a", "x", retry_after=5), 1, (3, 1, 30)),
        ([0, 0, 0], RateLimited("a", "x", retry_after=100), 1, (3, 1, 101)),
    ],
)
def test_a_failure_after_others(
    before: list[float], error: ProviderError, at: float, expected: tuple[int, int, float]
) -> None:
    breaker = after_failure(fail(CLOSED, before), error, after(at), 0.0)

    assert (breaker.failures, breaker.opens, open_for(breaker, NOON)) == expected


def test_after_a_rate_limit_it_takes_three_failures_again() -> None:
    limited = after_failure(CLOSED, RateLimited("a", "x", retry_after=10), NOON, 0.0)

    assert fail(limited, [20, 20]) == replace(
        CLOSED, failures=2, code=DOWN.code, reason="it does not answer"
    )
    assert open_for(fail(limited, [20, 20, 20]), after(20)) == 30


@pytest.mark.parametrize(
    ("until", "opened"),
    [
        (None, False),
        (after(-1), False),
        (NOON, False),
        (after(1), True),
        (after(330), True),
        (after(331), False),  # the clock was wrong when this was written
    ],
)
def test_a_breaker_is_open_until_its_time_has_passed(until: datetime | None, opened: bool) -> None:
    assert is_open(replace(CLOSED, open_until=until), NOON) is opened


# Success


async def test_a_success_closes_the_breakers_of_its_model_and_provider(tmp_path: Path) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        for model in ("m", "n"):
            for _ in range(3):
                await learnt.failed("a", model, DOWN, NOON)
        await learnt.failed("a", "m", AuthenticationFailed("a", "x"), NOON)
        await learnt.failed("b", "m", AuthenticationFailed("b", "x"), NOON)
        await learnt.succeeded("a", "m", bucket="x", seconds_per_image=1, now=after(30))
        kept = set((await learnt.snapshot()).breakers)
        await learnt.failed("a", "m", DOWN, after(31))
        again = (await learnt.snapshot()).breakers["a", "m"]

    assert kept == {("a", "n"), ("b", EVERY_MODEL)}
    assert (again.failures, again.opens, again.open_until) == (1, 0, None)


async def test_a_success_does_not_cut_short_the_wait_that_a_provider_asked_for(
    tmp_path: Path,
) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        await learnt.failed("a", "m", DOWN, NOON)
        await learnt.failed("a", "m", RateLimited("a", "x", retry_after=60), NOON)
        await learnt.succeeded("a", "m", bucket="x", seconds_per_image=1, now=after(59))
        waiting = (await learnt.snapshot()).breakers["a", "m"]
        await learnt.succeeded("a", "m", bucket="x", seconds_per_image=1, now=after(60))
        over = await learnt.snapshot()

    assert (waiting.failures, waiting.open_until) == (0, after(60))
    assert over.breakers == {}


COUNT = PictureCount(
    day=NOON.date(),
    provider="a",
    model="m",
    where="vendor",
    task="text_to_image",
    width=64,
    height=32,
    pictures=2,
    timed=2,
    seconds=3.0,
)


async def test_the_pictures_of_an_attempt_count_once_and_by_kind(tmp_path: Path) -> None:
    count = COUNT
    earlier = replace(count, day=NOON.date() - timedelta(days=3), seconds=1.0)
    async with aclosing(history(tmp_path)) as learnt:
        nothing = await learnt.pictures(NOON.date())
        for attempt, one in (
            ("job-1.0.0", count),
            ("job-1.0.0", replace(count, timed=0, seconds=0.0)),
            ("job-2.0.0", count),
            ("job-3.0.0", replace(count, height=64)),
            ("job-4.0.0", earlier),
        ):
            await learnt.count(attempt, one)
        since, recent = await learnt.pictures(NOON.date())
        _, every = await learnt.pictures(earlier.day)

    assert nothing == (None, [])
    assert since == earlier.day
    assert recent == [
        replace(count, pictures=4, timed=2, seconds=3.0),
        replace(count, height=64),
    ]
    assert every == [earlier, *recent]


async def test_seconds_are_learnt_as_a_moving_mean_of_logarithms(tmp_path: Path) -> None:
    seen: list[float] = []
    async with aclosing(history(tmp_path)) as learnt:
        for seconds in (10, 20, 5):
            await learnt.succeeded("a", "m", bucket="x", seconds_per_image=seconds, now=NOON)
            seen.append((await learnt.snapshot()).latencies["a", "m", "x"].seconds)
        await learnt.succeeded("a", "m", bucket="y", seconds_per_image=99, now=NOON)
        snapshot = await learnt.snapshot()

    second = 0.5 * log(10) + 0.5 * log(20)
    third = 0.5 * second + 0.5 * log(5)
    assert seen == pytest.approx([10, exp(second), exp(third)])
    learnt_of_x = learnt_seconds(snapshot, "a", "m", "x")
    assert learnt_of_x is not None
    assert learnt_of_x.seconds == pytest.approx(exp(third))
    assert snapshot.latencies["a", "m", "y"] == Latency(
        provider="a", model="m", bucket="y", seconds=99, samples=1
    )


@pytest.mark.parametrize("seconds", [0, -1, inf, nan])
async def test_a_time_that_cannot_be_is_not_learnt_but_the_success_counts(
    tmp_path: Path, seconds: float
) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        await learnt.failed("a", "m", DOWN, NOON)
        await learnt.succeeded("a", "m", bucket="x", seconds_per_image=seconds, now=NOON)

        assert await learnt.snapshot() == HistorySnapshot()
        assert learnt.trouble is None


async def test_failures_leave_what_was_learnt_of_speed_alone(tmp_path: Path) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        await learnt.succeeded("a", "m", bucket="x", seconds_per_image=3, now=NOON)
        before = (await learnt.snapshot()).latencies
        for error in (DOWN, DOWN, DOWN, RateLimited("a", "x"), AuthenticationFailed("a", "x")):
            await learnt.failed("a", "m", error, NOON)

        assert (await learnt.snapshot()).latencies == before


async def test_cold_runs_teach_loading_and_nothing_about_warm_ones(tmp_path: Path) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        teach = partial(learnt.succeeded, "a", "m", bucket="x", now=NOON)
        await teach(seconds_per_image=2, load_seconds=9)
        first = await learnt.snapshot()
        await teach(seconds_per_image=1)
        await teach(seconds_per_image=2, load_seconds=9)
        last = await learnt.snapshot()

    def seen(snapshot: HistorySnapshot) -> list[float]:
        warm = learnt_seconds(snapshot, "a", "m", "x")
        cold = learnt_seconds(snapshot, "a", "m", "x", cold=True)
        load = learnt_load(snapshot, "a", "m")
        assert warm is not None
        assert cold is not None
        assert load is not None
        return [warm.seconds, cold.seconds, load]

    assert seen(first) == [2, 2, 9]  # what a cold run took is better than a guess
    assert seen(last) == pytest.approx([1, 2, 9])
    assert learnt_seconds(last, "a", "m", "y") is None
    assert learnt_load(last, "a", "n") is None


async def test_a_file_of_before_loads_were_learnt_is_taken_up(tmp_path: Path) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        await learnt.succeeded("a", "m", bucket="x", seconds_per_image=1, now=NOON)
    with closing(sqlite3.connect(tmp_path / "state" / "experience.sqlite3")) as older:
        older.execute("DROP TABLE experience_2_loads")

    async with aclosing(history(tmp_path)) as learnt:
        before = await learnt.snapshot()
        await learnt.succeeded("a", "m", bucket="x", seconds_per_image=2, load_seconds=9, now=NOON)
        after_load = await learnt.snapshot()

    assert learnt.trouble is None
    assert before.latencies["a", "m", "x"].seconds == 1
    assert learnt_load(after_load, "a", "m") == 9


async def test_a_run_whose_time_says_nothing_teaches_no_speed(tmp_path: Path) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        await learnt.failed("a", "m", DOWN, NOON)
        await learnt.succeeded("a", "m", bucket="x", seconds_per_image=None, now=NOON)

        assert await learnt.snapshot() == HistorySnapshot()


@pytest.mark.parametrize(
    ("width", "height", "steps", "name"),
    [
        (1024, 1024, None, "1MP"),
        (1024, 1024, 1, "1MP/1"),
        (1024, 1024, 4, "1MP/4"),
        (1216, 832, 8, "1MP/8"),
        (1344, 768, 9, "1MP/16"),
        (512, 512, 20, "0.25MP/32"),
        (512, 768, 32, "0.5MP/32"),
        (1536, 1536, 33, "2MP/64"),
        (2048, 2048, 50, "4MP/64"),
        (64, 64, 0, "0.00390625MP/1"),
    ],
)
def test_runs_alike_in_size_and_steps_share_a_bucket(
    width: int, height: int, steps: int | None, name: str
) -> None:
    assert bucket(width, height, steps) == name


# Reset


@pytest.mark.parametrize(("provider", "kept"), [(None, set[str]()), ("a", {"b"}), ("c", {*"ab"})])
async def test_reset_closes_breakers_and_keeps_the_rest(
    tmp_path: Path, provider: str | None, kept: set[str]
) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        for name in ("a", "b"):
            await learnt.failed(name, "m", DOWN, NOON)
            await learnt.failed(name, "m", PaymentRequired(name, "x"), NOON)
        await learnt.succeeded("a", "n", bucket="x", seconds_per_image=3, now=NOON)
        await learnt.failed("a", "m", PaymentRequired("a", "x"), NOON)
        await learnt.reset(provider)
        snapshot = await learnt.snapshot()

    assert {name for name, _ in snapshot.breakers} == kept
    assert len(snapshot.latencies) == 1


# The database


def test_importing_the_history_imports_no_sqlalchemy() -> None:
    code = (
        "import sys, ziggie_image_mcp.routing.history as h; h.History('sqlite:////nowhere/at/all');"
        "print([m for m in ('sqlalchemy', 'psycopg', 'psutil', 'sqlite3') if m in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"


async def test_what_was_learnt_outlives_its_process(tmp_path: Path) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        await learnt.failed("a", "m", DOWN, NOON)
        await learnt.succeeded("a", "n", bucket="x", seconds_per_image=0.1, now=NOON)
        before = await learnt.snapshot()
        await learnt.aclose()
        reopened = await learnt.snapshot()
    async with aclosing(history(tmp_path)) as another:
        after_restart = await another.snapshot()

    assert before == reopened == after_restart
    assert len(before.breakers) == len(before.latencies) == 1


async def test_two_servers_see_what_the_other_learnt(tmp_path: Path) -> None:
    async with aclosing(history(tmp_path)) as one, aclosing(history(tmp_path)) as two:
        await one.failed("a", "m", DOWN, NOON)
        await two.failed("a", "m", DOWN, NOON)
        await one.failed("a", "m", DOWN, NOON)
        seen = open_breaker(await two.snapshot(), "a", "m", NOON)
        await two.succeeded("a", "m", bucket="x", seconds_per_image=2, now=NOON)
        after_success = await one.snapshot()

    assert seen is not None
    assert seen.failures == 3
    assert after_success.breakers == {}


WORKER = """
import sys
from datetime import UTC, datetime
import anyio
from ziggie_image_mcp.errors import ProviderTimeout
from ziggie_image_mcp.routing.history import History

async def main():
    learnt = History(sys.argv[1], lock_timeout=60)
    await learnt.snapshot()
    print("ready", flush=True)
    sys.stdin.readline()
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    for _ in range(50):
        await learnt.failed("a", "m", ProviderTimeout("a", "down"), now)
    assert learnt.trouble is None, learnt.trouble
    await learnt.aclose()

anyio.run(main)
"""


def start_worker(database: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_no_failure_is_lost_when_four_processes_count_at_once(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/experience.sqlite3"
    workers = [start_worker(database) for _ in range(4)]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    said = [worker.communicate(timeout=120)[1] for worker in workers]
    async with aclosing(History(database)) as learnt:
        breaker = (await learnt.snapshot()).breakers["a", "m"]

    assert [(worker.returncode, text) for worker, text in zip(workers, said, strict=True)] == [
        (0, "")
    ] * 4
    assert (breaker.failures, breaker.opens) == (200, 1)


async def test_names_and_messages_of_any_characters_are_kept(tmp_path: Path) -> None:
    async with aclosing(history(tmp_path)) as learnt:
        await learnt.failed("a", "m\udc80", ProviderError("a", "nul \0, half \ud83d"), NOON)
        await learnt.succeeded("a", "n\0", bucket="x", seconds_per_image=1, now=NOON)
        await learnt.failed("a", "m\udc80", ProviderError("a", "nul \0, half \ud83d"), NOON)
        breaker = next(iter((await learnt.snapshot()).breakers.values()))

    assert learnt.trouble is None
    assert (breaker.failures, breaker.reason) == (2, r"nul \0, half \ud83d")


async def test_the_same_story_on_postgres() -> None:
    postgres.skip_where_absent()
    with postgres.server() as server:
        url = server.url("public")
        async with aclosing(History(url)) as one, aclosing(History(url)) as two:
            async with anyio.create_task_group() as tasks:
                for learnt in (one, two):
                    for _ in range(20):
                        tasks.start_soon(learnt.failed, "a", "m", DOWN, NOON)
            counted = (await two.snapshot()).breakers["a", "m"].failures
            await one.failed("a", "n", ProviderError("a", "nul \0"), NOON)
            await one.succeeded("a", "m", bucket="x", seconds_per_image=2.5, now=NOON)
            snapshot = await two.snapshot()
            for learnt in (one, two):
                await learnt.count("job-1.0.0", replace(COUNT, model="nul \0"))
                await learnt.count("job-2.0.0", COUNT)
            await one.count("job-3.0.0", COUNT)
            pictures = await two.pictures(NOON.date())
            await two.reset()
            troubles = (one.trouble, two.trouble)

            assert troubles == (None, None)
            assert counted == 40
            assert pictures == (
                NOON.date(),
                [
                    replace(COUNT, pictures=4, timed=4, seconds=6.0),
                    replace(COUNT, model=r"nul \0"),
                ],
            )
            assert set(snapshot.breakers) == {("a", "n")}
            assert snapshot.latencies["a", "m", "x"].seconds == 2.5
            assert (await one.snapshot()).breakers == {}


# Trouble


def under_a_file(tmp_path: Path) -> str | Path:
    (tmp_path / "file").write_text("", encoding="utf-8")
    return tmp_path / "file" / "experience.sqlite3"


def a_folder(tmp_path: Path) -> str | Path:
    return f"sqlite:///{tmp_path}"


def damaged(tmp_path: Path) -> str | Path:
    path = tmp_path / "experience.sqlite3"
    path.write_bytes(b"this is no database " * 100)
    return path


def no_url(tmp_path: Path) -> str | Path:
    return "experience.sqlite3"


def another_kind(tmp_path: Path) -> str | Path:
    return "mysql://me@host/name"


@pytest.mark.parametrize(
    ("database", "said"),
    [
        (under_a_file, "cannot be used"),
        (a_folder, "cannot be used"),
        (damaged, "file is not a database"),
        (no_url, "is no SQLAlchemy URL"),
        (another_kind, "only sqlite and postgresql"),
    ],
)
async def test_without_a_database_nothing_is_read_and_kept_and_nothing_fails(
    tmp_path: Path, database: Callable[[Path], str | Path], said: str
) -> None:
    async with aclosing(History(database(tmp_path))) as learnt:
        before = learnt.trouble
        await learnt.failed("a", "m", DOWN, NOON)
        await learnt.succeeded("a", "m", bucket="x", seconds_per_image=1, now=NOON)
        await learnt.reset()

        assert before is None
        assert await learnt.snapshot() == HistorySnapshot()
        assert learnt.trouble is not None
        assert learnt.trouble.startswith("Nothing is learnt from the runs just now: ")
        assert said in learnt.trouble
        assert learnt.trouble.count("Nothing") == 1


async def test_damage_to_the_default_file_says_that_it_may_be_deleted() -> None:
    default_file().parent.mkdir(parents=True)
    default_file().write_bytes(b"this is no database " * 100)
    async with aclosing(History(default_file())) as learnt:
        await learnt.snapshot()

    assert learnt.trouble is not None
    assert learnt.trouble.startswith(
        f"Nothing is learnt from the runs just now ({default_file()} may be deleted; it is made "
        "anew): "
    )


async def test_a_database_that_failed_is_left_alone_for_a_minute_then_tried_again(
    tmp_path: Path,
) -> None:
    clock = [0.0]
    path = damaged(tmp_path)
    async with aclosing(History(path, clock=lambda: clock[0])) as learnt:
        await learnt.failed("a", "m", DOWN, NOON)
        Path(path).unlink()
        clock[0] = 59.9
        await learnt.failed("a", "m", DOWN, NOON)
        resting = learnt.trouble
        clock[0] = 60.0
        await learnt.failed("a", "m", DOWN, NOON)
        breakers = (await learnt.snapshot()).breakers

    assert resting is not None
    assert learnt.trouble is None
    assert breakers["a", "m"].failures == 1


async def test_a_lock_that_is_not_given_up_costs_one_wait(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "experience.sqlite3"
    async with aclosing(History(path, lock_timeout=0.01, clock=lambda: 0.0)) as learnt:
        await learnt.failed("a", "m", DOWN, NOON)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await learnt.failed("a", "m", DOWN, NOON)
        locked = learnt.trouble
        other.execute("ROLLBACK")
        other.close()

    assert locked is not None
    assert "Another process holds it" in locked


async def test_tables_of_other_columns_are_left_alone(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "experience.sqlite3"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE experience_1_breakers (something TEXT)")
    other.close()
    async with aclosing(History(path)) as learnt:
        await learnt.failed("a", "m", DOWN, NOON)

        assert await learnt.snapshot() == HistorySnapshot()
        assert learnt.trouble is not None
