"""What a call of a provider costs is written down, however the call ends."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.charge import SETTLE_SECONDS, Billing, Charge, Checkpoint, pass_by
from ziggie_image_mcp.billing.ledger import Ledger
from ziggie_image_mcp.billing.types import ChargeTask, FreeCall, Hold
from ziggie_image_mcp.errors import (
    ContentRefused,
    EngineCrashed,
    InvalidOutput,
    OutcomeUnknown,
    OverBudget,
    ProviderBroken,
    ProviderError,
    ProviderUnavailable,
    StorageError,
)
from ziggie_image_mcp.provider import (
    CANCEL_SECONDS,
    NO_COST,
    UNKNOWN_COST,
    CancelOutcome,
    Cost,
    GeneratedImage,
    Generation,
    Model,
    ProviderRequest,
    RemoteJob,
    Resolution,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model, picture

PRICE = 40_000
TASK = ChargeTask(id="job-1.0.0", provider="paid", model="model", images=1, estimate=PRICE)
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


class Owner:
    """Of processes of which one is alive: this one."""

    def __init__(self, name: str = "me") -> None:
        self._name = name

    async def acquire(self) -> str:
        return self._name

    async def alive(self, owner: str) -> bool | None:
        return owner == self._name


class Killed(Exception):
    """The process is gone."""


def die_at(checkpoint: str) -> Checkpoint:
    def die(name: str) -> None:
        if name == checkpoint:
            raise Killed

    return die


@asynccontextmanager
async def billing(
    folder: Path,
    *,
    owner: str = "me",
    caps: Caps | None = None,
    lock_timeout: float = 30,
    checkpoint: Checkpoint = pass_by,
) -> AsyncGenerator[Billing]:
    ledger = Ledger(folder / "ledger.sqlite3", lock_timeout=lock_timeout)
    one = Billing(ledger, caps or Caps(), Owner(owner), checkpoint)
    try:
        yield one
    finally:
        await one.aclose()


async def silent(fraction: float, message: str) -> None:
    pass


async def forget(remote_id: str) -> None:
    pass


async def call(charge: Charge, provider: FakePaidProvider | FakeProvider) -> Generation:
    run = Run(key=charge.key, progress=silent)
    return await charge.generate(provider, REQUEST, model(provider.name), run)


async def holds(one: Billing) -> list[tuple[str, str, int | None]]:
    return [(h.id, h.state, h.actual) for h in await one.ledger.holds()]


async def only_hold(one: Billing) -> Hold:
    (hold,) = await one.ledger.holds()
    return hold


async def test_a_call_that_succeeds_is_settled_at_what_it_cost(tmp_path: Path) -> None:
    provider = FakePaidProvider(price=35_000)
    async with billing(tmp_path) as one:
        async with one.charge(TASK) as charge:
            before = await only_hold(one)
            await call(charge, provider)
            during = await only_hold(one)
        after = await only_hold(one)

    assert (before.state, during.state) == ("reserved", "submitted")
    assert (after.state, after.actual, after.owner, after.remote_id) == (
        "settled",
        35_000,
        "me",
        TASK.id,
    )
    assert charge.cost == 35_000
    assert provider.charged == {TASK.id: 35_000}


async def test_a_free_call_writes_nothing(tmp_path: Path) -> None:
    async with billing(tmp_path) as one:
        async with one.charge(FreeCall(key="job-1.0.0", remember=forget)) as charge:
            await call(charge, FakeProvider())

    assert charge.cost == 0
    assert not (tmp_path / "ledger.sqlite3").exists()


async def test_what_a_cap_forbids_is_not_sent(tmp_path: Path) -> None:
    entered = False
    async with billing(tmp_path, caps=Caps(per_day=PRICE - 1)) as one:
        with pytest.raises(OverBudget):
            async with one.charge(TASK):
                entered = True

        assert await holds(one) == []
    assert not entered


def charged(amount: int) -> ContentRefused:
    error = ContentRefused("paid", "made, and then refused")
    error.charged = amount
    return error


@pytest.mark.parametrize(
    ("error", "state", "actual", "cost"),
    [
        (charged(7_000), "settled", 7_000, 7_000),
        (ContentRefused("paid", "no"), "released", None, 0),
        (ProviderUnavailable("paid", "down"), "released", None, 0),
        (OutcomeUnknown("paid", "no answer came"), "unknown", None, 40_000),
    ],
    ids=["charged all the same", "refused", "not there", "unknown"],
)
async def test_a_call_that_fails_costs_what_its_error_says(
    tmp_path: Path, error: ProviderError, state: str, actual: int | None, cost: int
) -> None:
    charges: list[Charge] = []
    async with billing(tmp_path) as one:

        async def work() -> None:
            async with one.charge(TASK) as charge:
                charges.append(charge)
                await call(charge, FakePaidProvider(answers=[error]))

        with pytest.raises(type(error)):
            await work()
        hold = await only_hold(one)

    assert (hold.state, hold.actual, charges[0].cost) == (state, actual, cost)


async def test_pictures_that_are_lost_on_our_side_are_paid(tmp_path: Path) -> None:
    charges: list[Charge] = []
    async with billing(tmp_path) as one:
        with suppress(InvalidOutput):
            async with one.charge(TASK) as charge:
                charges.append(charge)
                await call(charge, FakePaidProvider())
                raise InvalidOutput("paid", "this is no picture")

        assert await holds(one) == [(TASK.id, "settled", PRICE)]
    assert charges[0].cost == PRICE


@pytest.mark.parametrize("sent", [False, True])
async def test_an_interrupted_call_is_unknown_once_it_was_sent_and_released_before(
    tmp_path: Path, sent: bool
) -> None:
    provider = FakePaidProvider(answers=[None])
    async with billing(tmp_path) as one:
        async with anyio.create_task_group() as group:

            async def work() -> None:
                async with one.charge(TASK) as charge:
                    if sent:
                        await call(charge, provider)
                    await anyio.sleep_forever()

            group.start_soon(work)
            while not provider.charged if sent else not await holds(one):
                await anyio.sleep(0.005)
            group.cancel_scope.cancel()
        hold = await only_hold(one)

    assert hold.state == ("unknown" if sent else "released")
    assert hold.note == "interrupted (CancelledError)"
    assert provider.cancelled == (["hang"] if sent else [])


async def test_a_bug_after_the_send_is_unknown(tmp_path: Path) -> None:
    class Broken(FakePaidProvider):
        async def collect(
            self, remote_id: str, request: ProviderRequest, model: Model, run: Run
        ) -> Generation:
            raise KeyError("a bug")

    async with billing(tmp_path) as one:
        with pytest.raises(ProviderBroken, match=r"has a bug \(KeyError\)"):
            async with one.charge(TASK) as charge:
                await call(charge, Broken())

        assert (await only_hold(one)).state == "unknown"


async def test_a_call_that_cost_nothing_is_made_again_under_another_key(tmp_path: Path) -> None:
    provider = FakePaidProvider(answers=[ProviderUnavailable("paid", "down")])
    async with billing(tmp_path) as one:
        with pytest.raises(ProviderUnavailable):
            async with one.charge(TASK) as charge:
                await call(charge, provider)
        async with one.charge(TASK) as charge:
            await call(charge, provider)

        assert await holds(one) == [
            (f"{TASK.id}+", "settled", PRICE),
            (TASK.id, "released", None),
        ]
    assert provider.submitted == [TASK.id, f"{TASK.id}+"]


async def test_a_call_that_was_sent_before_a_crash_is_collected(tmp_path: Path) -> None:
    provider = FakePaidProvider()
    async with billing(tmp_path, owner="dead") as dead:
        await dead.reservations.reserve(TASK)
        await dead.ledger.submit(TASK.id, owner="dead")
        await provider.submit(REQUEST, model("paid"), Run(key=TASK.id, progress=silent))
    async with billing(tmp_path) as one:
        async with one.charge(TASK) as charge:
            assert charge.sent
            await call(charge, provider)

        assert await holds(one) == [(TASK.id, "settled", PRICE)]
    assert provider.submitted == [TASK.id]


async def test_a_call_of_which_the_vendor_knows_nothing_after_a_crash_is_not_sent_again(
    tmp_path: Path,
) -> None:
    provider = FakePaidProvider()
    async with billing(tmp_path, owner="dead") as dead:
        await dead.reservations.reserve(TASK)
        await dead.ledger.submit(TASK.id, owner="dead")
    async with billing(tmp_path) as one:
        with pytest.raises(OutcomeUnknown, match="may still be on its way"):
            async with one.charge(TASK) as charge:
                await call(charge, provider)

        assert await holds(one) == [(TASK.id, "unknown", None)]
    assert provider.submitted == []


@pytest.mark.parametrize("actual", [None, 35_000], ids=["not settled yet", "settled already"])
async def test_pictures_that_are_there_after_a_crash_cost_what_is_known(
    tmp_path: Path, actual: int | None
) -> None:
    async with billing(tmp_path, owner="dead") as dead:
        await dead.reservations.reserve(TASK)
        await dead.ledger.submit(TASK.id, owner="dead")
        if actual is not None:
            await dead.ledger.settle(TASK.id, actual)
    async with billing(tmp_path) as one:
        async with one.charge(TASK) as charge:
            charge.already_delivered()

        assert await holds(one) == [(TASK.id, "settled", actual or PRICE)]
    assert charge.cost == (actual or PRICE)


async def test_what_a_vendor_told_outlives_a_process_that_died_before_it_settled(
    tmp_path: Path,
) -> None:
    with suppress(Killed):
        async with billing(tmp_path, owner="dead", checkpoint=die_at("collected")) as dead:
            charge = Charge(dead, await dead.reservations.reserve(TASK))
            await call(charge, FakePaidProvider(price=35_000))
    async with billing(tmp_path) as one:
        between = await holds(one)
        async with one.charge(TASK) as charge:
            charge.already_delivered()
        after = await holds(one)

    assert between == [(TASK.id, "submitted", 35_000)]
    assert after == [(TASK.id, "settled", 35_000)]


async def test_what_was_told_of_a_call_does_not_count_once_nobody_knows_its_end(
    tmp_path: Path,
) -> None:
    async with billing(tmp_path) as one:
        await one.reservations.reserve(TASK)
        await one.ledger.submit(TASK.id)
        await one.ledger.keep_cost(TASK.id, 35_000)
        await one.ledger.unknown(TASK.id, "lost")
        await one.ledger.keep_cost(TASK.id, 35_000)

        assert await holds(one) == [(TASK.id, "unknown", None)]


# Two processes with one job: the first stood still, and was taken for dead


async def taken_over(one: Billing, other: Billing, until: str) -> None:
    """The other process sends the job, and perhaps ends it."""
    await other.ledger.submit(TASK.id, owner="other")
    await other.ledger.remote(TASK.id, "r")
    if until == "settled":
        await other.ledger.settle(TASK.id, PRICE)


@pytest.mark.parametrize("until", ["submitted", "settled"])
async def test_who_is_interrupted_before_it_sent_leaves_the_money_of_another_alone(
    tmp_path: Path, until: str
) -> None:
    async with billing(tmp_path) as one, billing(tmp_path, owner="other") as other:
        with anyio.CancelScope() as scope:
            async with one.charge(TASK):
                await taken_over(one, other, until)
                scope.cancel()
                await anyio.sleep_forever()
        hold = await only_hold(one)

    assert scope.cancelled_caught
    assert (hold.state, hold.owner) == (until, "other")


async def test_who_is_interrupted_after_another_settled_leaves_it_settled(tmp_path: Path) -> None:
    provider = FakePaidProvider(answers=[None])
    async with billing(tmp_path) as one, billing(tmp_path, owner="other") as other:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group, one.charge(TASK) as charge:
                group.start_soon(call, charge, provider)
                while not (await only_hold(one)).remote_id:
                    await anyio.sleep(0.005)
                await other.ledger.settle(TASK.id, PRICE)
                scope.cancel()
                await anyio.sleep_forever()

        assert await holds(one) == [(TASK.id, "settled", PRICE)]
    assert scope.cancelled_caught


# A ledger that hangs


async def end_while_locked(folder: Path, end: str) -> tuple[float, Hold, Hold]:
    """Seconds until the call has ended, and its hold then and after the lock is given up."""
    folder.mkdir()
    started = 0.0
    async with billing(folder, lock_timeout=600) as one, billing(folder) as reader:
        await reader.ledger.holds()  # makes the tables
        with closing(sqlite3.connect(folder / "ledger.sqlite3", isolation_level=None)) as other:
            with anyio.CancelScope() as scope, suppress(InvalidOutput):
                async with one.charge(TASK) as charge:
                    await call(charge, FakePaidProvider())
                    other.execute("BEGIN IMMEDIATE")
                    started = time.monotonic()
                    if end == "failure":
                        raise InvalidOutput("paid", "this is no picture")
                    if end == "cancelled":
                        scope.cancel()
                        await anyio.sleep_forever()
            took = time.monotonic() - started
            during = await only_hold(reader)
            other.execute("ROLLBACK")
        with anyio.fail_after(30):
            while (await only_hold(reader)).state == during.state:
                await anyio.sleep(0.01)
        return took, during, await only_hold(reader)


async def cancel_while_the_remote_id_is_written(folder: Path) -> tuple[float, Hold, Hold]:
    """The same for a call that is cancelled when the vendor has just taken it."""
    folder.mkdir()

    class Locking(FakePaidProvider):
        async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
            submission = await super().submit(request, model, run)
            other.execute("BEGIN IMMEDIATE")
            scope.cancel()
            return submission

    async with billing(folder, lock_timeout=600) as one, billing(folder) as reader:
        await reader.ledger.holds()  # makes the tables
        with closing(sqlite3.connect(folder / "ledger.sqlite3", isolation_level=None)) as other:
            started = time.monotonic()
            with anyio.CancelScope() as scope:
                async with one.charge(TASK) as charge:
                    await call(charge, Locking(answers=[None]))
            took = time.monotonic() - started
            during = await only_hold(reader)
            other.execute("ROLLBACK")
        after = during
        with anyio.move_on_after(30):  # the two are written down in either order
            while after.state == during.state or not after.remote_id:
                await anyio.sleep(0.01)
                after = await only_hold(reader)
        return took, during, after


async def test_a_ledger_that_hangs_for_minutes_delays_the_end_of_a_call_by_two_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ends = ("success", "failure", "cancelled")
    outcomes: dict[str, tuple[float, Hold, Hold]] = {}

    async def measure(end: str) -> None:
        if end == "posted":
            outcomes[end] = await cancel_while_the_remote_id_is_written(tmp_path / end)
        else:
            outcomes[end] = await end_while_locked(tmp_path / end, end)

    async with anyio.create_task_group() as group:
        for end in (*ends, "posted"):
            group.start_soon(measure, end)

    for end in ends:
        took, during, after = outcomes[end]
        assert SETTLE_SECONDS <= took < SETTLE_SECONDS + 1
        assert during.state == "submitted"
        assert (after.state, after.actual) == ("settled", PRICE)
    took, during, after = outcomes["posted"]
    assert took < 2 * SETTLE_SECONDS + 1
    assert (during.state, after.state, after.remote_id) == ("submitted", "unknown", "hang")
    assert {r.message for r in caplog.records} == {
        "The ledger is slow: what a call cost is written down later"
    }


@pytest.mark.parametrize(
    ("cost", "actual"),
    [
        (UNKNOWN_COST, PRICE),
        (Cost(micro_usd=12_345, basis="computed"), 12_345),
        (Cost(micro_usd=PRICE + 1, basis="exact"), PRICE + 1),
    ],
)
async def test_an_answer_that_does_not_tell_its_cost_counts_as_what_was_reserved(
    cost: Cost, actual: int, tmp_path: Path
) -> None:
    provider = FakePaidProvider(price=PRICE, costs=[cost])
    async with billing(tmp_path) as one:
        async with one.charge(TASK) as charge:
            await call(charge, provider)

        assert await holds(one) == [(TASK.id, "settled", actual)]
    assert charge.cost == actual


async def test_a_failure_that_was_charged_by_an_unknown_amount_counts_as_what_was_reserved(
    tmp_path: Path,
) -> None:
    lost = InvalidOutput("paid", "made, and lost", charged=None)
    async with billing(tmp_path) as one:
        with pytest.raises(InvalidOutput):
            async with one.charge(TASK) as charge:
                await call(charge, FakePaidProvider(answers=[lost]))

        assert await holds(one) == [(TASK.id, "settled", PRICE)]


@pytest.mark.parametrize(
    ("cost", "state", "actual"),
    [
        (NO_COST, "released", None),
        (Cost(micro_usd=700, basis="exact"), "settled", 700),
        (UNKNOWN_COST, "unknown", None),
    ],
)
async def test_a_call_that_is_cancelled_is_stopped_at_the_vendor_and_costs_what_that_cost(
    cost: Cost, state: str, actual: int | None, tmp_path: Path
) -> None:
    class Stopping(FakePaidProvider):
        async def cancel(self, remote_id: str) -> CancelOutcome:
            await super().cancel(remote_id)
            return CancelOutcome(state="stopped", cost=cost)

    provider = Stopping(answers=[None])
    async with billing(tmp_path) as one:
        await cancelled_while_it_waits(one, provider)

        assert await holds(one) == [(TASK.id, state, actual)]
    assert provider.cancelled == ["hang"]


async def cancelled_while_it_waits(
    one: Billing, provider: FakePaidProvider, *, may_stop: bool = True
) -> None:
    async with anyio.create_task_group() as group:

        async def work() -> None:
            async with one.charge(TASK) as charge:
                run = Run(key=charge.key, progress=silent)
                await charge.generate(
                    provider, REQUEST, model("paid"), run, may_stop=lambda: may_stop
                )

        group.start_soon(work)
        while not provider.charged:
            await anyio.sleep(0.005)
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()


async def test_a_call_that_another_process_goes_on_with_is_not_stopped(tmp_path: Path) -> None:
    provider = FakePaidProvider(answers=[None])
    async with billing(tmp_path) as one:
        await cancelled_while_it_waits(one, provider, may_stop=False)

    assert provider.cancelled == []


async def test_a_vendor_that_never_says_that_it_stopped_is_waited_for_two_seconds(
    tmp_path: Path,
) -> None:
    class Deaf(FakePaidProvider):
        async def cancel(self, remote_id: str) -> CancelOutcome:
            await anyio.sleep(600)
            raise AssertionError

    async with billing(tmp_path) as one:
        started = time.monotonic()
        await cancelled_while_it_waits(one, Deaf(answers=[None]))

        assert time.monotonic() - started < CANCEL_SECONDS + 1
        assert [state for _, state, _ in await holds(one)] == ["unknown"]


@pytest.mark.parametrize("answer", ["pictures", ("a", "b"), None])
async def test_an_answer_that_keeps_not_to_the_contract_is_the_providers_failure(
    answer: Any, tmp_path: Path
) -> None:
    class Wrong(FakePaidProvider):
        async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
            return cast(Submission, answer)

    async with billing(tmp_path) as one:
        with pytest.raises(ProviderBroken):
            async with one.charge(TASK) as charge:
                await call(charge, Wrong())

        assert [state for _, state, _ in await holds(one)] == ["unknown"]


class Engine(FakeProvider):
    """Free, with ids of its own; it says what became of a call as a test tells it."""

    def __init__(self, resolution: Resolution | None = None) -> None:
        super().__init__("engine")
        self.resolution = resolution
        self.calls: list[str] = []

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        self.calls.append(f"submit {run.key}")
        return RemoteJob(id="number 7")

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        self.calls.append(f"collect {remote_id}")
        return Generation(images=(GeneratedImage(data=picture(), seed=1),))

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        self.calls.append(f"resolve {key} {remote_id}")
        assert self.resolution is not None
        return self.resolution


@pytest.mark.parametrize(
    ("resolution", "calls"),
    [
        (None, ["submit k", "collect number 7"]),
        (Resolution(state="not_sent"), ["resolve k r", "submit k", "collect number 7"]),
        (Resolution(state="unknowable"), ["resolve k r", "submit k", "collect number 7"]),
        (Resolution(state="running", remote_id="r"), ["resolve k r", "collect r"]),
        (Resolution(state="finished", remote_id="s"), ["resolve k r", "collect s"]),
        (Resolution(state="failed", reason="it broke"), ["resolve k r"]),
    ],
)
async def test_a_free_call_goes_on_where_a_dead_process_left_it(
    resolution: Resolution | None, calls: list[str], tmp_path: Path
) -> None:
    engine, remembered = Engine(resolution), list[str]()

    async def remember(remote_id: str) -> None:
        remembered.append(remote_id)

    sent = resolution is not None
    task = FreeCall(key="k", remember=remember, sent=sent, remote_id="r" if sent else "")
    failed = False
    async with billing(tmp_path) as one:
        try:
            async with one.charge(task) as charge:
                await call(charge, engine)
        except EngineCrashed as e:
            failed = "it broke" in str(e)

    assert engine.calls == calls
    assert failed is (resolution is not None and resolution.state == "failed")
    new = [call.removeprefix("collect ") for call in calls if call.startswith("collect")]
    assert remembered == [remote_id for remote_id in new if remote_id != "r"]


async def test_an_unknown_outcome_of_what_is_free_lets_the_next_route_be_tried(
    tmp_path: Path,
) -> None:
    lost = FakeProvider(answers=[OutcomeUnknown("fake", "it broke off")])
    async with billing(tmp_path) as one:
        with pytest.raises(EngineCrashed) as caught:
            async with one.charge(FreeCall(key="k", remember=forget)) as charge:
                await call(charge, lost)

    assert caught.value.fallback


async def test_what_was_sent_is_collected_although_its_id_cannot_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(hold_id: str, remote_id: str) -> Hold:
        raise StorageError("the disk is full")

    async with billing(tmp_path) as one:
        monkeypatch.setattr(one.ledger, "remote", broken)
        async with one.charge(TASK) as charge:
            generation = await call(charge, FakePaidProvider())
        after = await holds(one)

    assert len(generation.images) == 1
    assert after == [("job-1.0.0", "settled", PRICE)]
