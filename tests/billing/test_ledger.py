"""The ledger: caps, moves, crashes, races. Everything runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.support import postgres
from tests.support.ledger_peer import (
    CAPS,
    DAY_CAP,
    FOUND,
    MONTH_CAP,
    PRICE,
    Peer,
    Run,
    charges,
    day_of,
)
from ziggie_image_mcp.billing.caps import Caps, WindowCaps, caps_from
from ziggie_image_mcp.billing.ledger import IllegalMove, Ledger, NoSuchHold
from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.billing.types import Hold, HoldState
from ziggie_image_mcp.config.config import Budget
from ziggie_image_mcp.errors import ConfigError, OverBudget, StorageError

T = TypeVar("T")

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATE = datetime(2026, 11, 23, 23, 59, 59, 999_999, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
MONTH_END = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)

needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="workers are forked and killed, which Windows cannot do"
)
_schemas = count()


@pytest.fixture(scope="module")
def server() -> Generator[postgres.Server]:
    postgres.skip_where_absent()
    with postgres.server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/ledger.sqlite3"
    return empty_schema(request.getfixturevalue("server"))


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer() as started:
        yield started


def empty_schema(server: postgres.Server) -> str:
    name = f"t{next(_schemas)}"
    server.run(f"CREATE SCHEMA {name}")
    return server.url(name)


async def reserve(ledger: Ledger, hold_id: str, **changes: Any) -> Hold:
    values: dict[str, Any] = {
        "provider": "a",
        "model": "m",
        "images": 1,
        "estimate": 10,
        "caps": Caps(),
        "owner": "test",
        "now": NOON,
    }
    return await ledger.reserve(hold_id, **(values | changes))


async def bring(ledger: Ledger, hold_id: str, end: str, **facts: Any) -> Hold:
    """Make a hold and bring it to a state; "settled 7" for another amount than the estimate."""
    hold = await reserve(ledger, hold_id, **facts)
    state, _, amount = end.partition(" ")
    if state in ("submitted", "settled", "unknown", "not_charged"):
        assert await ledger.submit(hold_id)
        hold = replace(hold, state="submitted")
    if state == "settled":
        return await ledger.settle(hold_id, int(amount or hold.estimate))
    if state == "unknown":
        return await ledger.unknown(hold_id, "lost")
    if state in ("released", "not_charged"):
        return await ledger.release(hold_id, "no", not_charged=state == "not_charged")
    return hold


# Caps

DAY, MONTH, IMAGE = Caps(per_day=100), Caps(per_month=100), Caps(per_image=100)
OWN_DAY = Caps(per_provider={"a": WindowCaps(per_day=100)})
OWN_MONTH = Caps(per_provider={"a": WindowCaps(per_month=100)})
BOTH = Caps(per_day=50, per_provider={"a": WindowCaps(per_day=100)})
EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("caps", "before", "ask", "refused_by"),
    [
        (Caps(), [], {"estimate": 10**12}, None),
        (DAY, [], {"estimate": 100}, None),
        (DAY, [], {"estimate": 101}, "budget.perDay"),
        (Caps(per_day=0), [], {"estimate": 0}, None),
        (Caps(per_day=0), [], {"estimate": 1}, "budget.perDay"),
        # what counts
        (DAY, [("reserved", "a", 60, NOON)], {"estimate": 40}, None),
        (DAY, [("reserved", "a", 60, NOON)], {"estimate": 41}, "budget.perDay"),
        (DAY, [("submitted", "a", 60, NOON)], {"estimate": 41}, "budget.perDay"),
        (DAY, [("unknown", "a", 60, NOON)], {"estimate": 41}, "budget.perDay"),
        (DAY, [("settled", "a", 60, NOON)], {"estimate": 41}, "budget.perDay"),
        (DAY, [("settled 20", "a", 60, NOON)], {"estimate": 80}, None),
        (DAY, [("settled 90", "a", 60, NOON)], {"estimate": 11}, "budget.perDay"),
        (DAY, [("released", "a", 60, NOON)], {"estimate": 100}, None),
        (DAY, [("not_charged", "a", 60, NOON)], {"estimate": 100}, None),
        (DAY, [("reserved", "b", 60, NOON)], {"estimate": 41}, "budget.perDay"),
        # the day, in UTC
        (DAY, [("settled", "a", 100, NOON)], {"estimate": 1, "now": LATE}, "budget.perDay"),
        (DAY, [("settled", "a", 100, NOON)], {"estimate": 100, "now": MIDNIGHT}, None),
        (DAY, [("unknown", "a", 100, LATE)], {"estimate": 100, "now": MIDNIGHT}, None),
        (
            DAY,
            [("settled", "a", 100, NOON)],
            {"estimate": 1, "now": datetime(2026, 11, 24, 1, 59, tzinfo=EAST)},
            "budget.perDay",
        ),
        (
            DAY,
            [("settled", "a", 100, NOON)],
            {"estimate": 1, "now": datetime(2026, 11, 24, 2, tzinfo=EAST)},
            None,
        ),
        # the month, in UTC
        (MONTH, [("settled", "a", 60, NOON)], {"estimate": 40, "now": MONTH_END}, None),
        (
            MONTH,
            [("settled", "a", 60, NOON)],
            {"estimate": 41, "now": MONTH_END},
            "budget.perMonth",
        ),
        (
            MONTH,
            [("unknown", "b", 60, NOON)],
            {"estimate": 41, "now": MONTH_END},
            "budget.perMonth",
        ),
        (MONTH, [("settled", "a", 100, MONTH_END)], {"estimate": 100, "now": DECEMBER}, None),
        (
            MONTH,
            [("settled", "a", 100, NOON.replace(year=2025))],
            {"estimate": 100},
            None,
        ),
        # one provider
        (OWN_DAY, [("settled", "b", 500, NOON)], {"estimate": 100}, None),
        (OWN_DAY, [("settled", "a", 60, NOON)], {"estimate": 41}, "providers.a.budget.perDay"),
        (OWN_DAY, [("settled", "a", 60, NOON)], {"estimate": 41, "provider": "b"}, None),
        (OWN_DAY, [("settled", "a", 60, NOON)], {"estimate": 100, "now": MIDNIGHT}, None),
        (OWN_MONTH, [("reserved", "a", 60, NOON)], {"estimate": 40, "now": MONTH_END}, None),
        (
            OWN_MONTH,
            [("reserved", "a", 60, NOON)],
            {"estimate": 41, "now": MONTH_END},
            "providers.a.budget.perMonth",
        ),
        (BOTH, [("settled", "b", 40, NOON)], {"estimate": 20}, "budget.perDay"),
        # one picture
        (IMAGE, [], {"estimate": 100}, None),
        (IMAGE, [], {"estimate": 101}, "budget.perImage"),
        (IMAGE, [], {"estimate": 300, "images": 3}, None),
        (IMAGE, [], {"estimate": 301, "images": 3}, "budget.perImage"),
    ],
)
async def test_a_cap_is_never_passed(
    database: str,
    caps: Caps,
    before: list[tuple[str, str, int, datetime]],
    ask: dict[str, Any],
    refused_by: str | None,
) -> None:
    async with aclosing(Ledger(database)) as ledger:
        for number, (end, provider, estimate, now) in enumerate(before):
            await bring(ledger, str(number), end, provider=provider, estimate=estimate, now=now)
        refusal = ""
        try:
            await reserve(ledger, "asked", caps=caps, **ask)
        except OverBudget as e:
            refusal = str(e)
        stored = [hold.id for hold in await ledger.holds()]

    assert (refused_by is None) == (refusal == "")
    assert refusal.startswith(refused_by or "")
    assert ("asked" in stored) == (refused_by is None)


async def test_a_refusal_names_the_window_the_amounts_and_the_setting(tmp_path: Path) -> None:
    caps = Caps(per_day=1_000_000, per_image=500_000)
    async with aclosing(Ledger(tmp_path / "l")) as ledger:
        await bring(ledger, "1", "settled", estimate=400_000)
        await bring(ledger, "2", "unknown", estimate=100_000)
        await bring(ledger, "3", "submitted", estimate=200_000)
        with pytest.raises(OverBudget) as day:
            await reserve(ledger, "4", estimate=300_001, caps=caps)
        with pytest.raises(OverBudget) as image:
            await reserve(ledger, "5", estimate=1_000_001, images=2, caps=caps)

    assert str(day.value) == (
        "budget.perDay is $1.00: $0.50 spent and $0.20 held on 2026-11-23 (UTC), and this needs "
        "$0.300001. Choose a cheaper model, wait, or raise budget.perDay in config.json."
    )
    assert str(image.value) == (
        "budget.perImage is $0.50, and a/m costs up to $0.500001 a picture. Choose a cheaper "
        "model or a smaller size, or raise budget.perImage in config.json."
    )


def test_the_budget_of_the_config_becomes_caps_and_is_never_widened() -> None:
    caps = caps_from(Budget(per_image=0.1, per_day=1.9999999, per_month=0))

    assert caps == Caps(per_image=100_000, per_day=1_999_999, per_month=0)
    assert caps_from(Budget()) == Caps()


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "$0.00"),
        (40_000, "$0.04"),
        (39_500, "$0.0395"),
        (1, "$0.000001"),
        (12_345_678, "$12.345678"),
    ],
)
def test_an_amount_is_written_exactly(micro: int, text: str) -> None:
    assert usd(micro) == text


# Moves


async def test_the_same_id_again_gives_back_the_stored_hold(database: str) -> None:
    caps = Caps(per_day=10)
    async with aclosing(Ledger(database)) as ledger, aclosing(Ledger(database)) as restarted:
        first = await reserve(ledger, "x", caps=caps)
        again = await reserve(restarted, "x", caps=caps, owner="other", now=MIDNIGHT)
        await ledger.submit("x")
        await ledger.settle("x", 7)
        after = await reserve(restarted, "x", caps=caps)
        held = await ledger.holds()

    assert first == again
    assert first.state == "reserved"
    assert after == replace(first, state="settled", actual=7)
    assert held == [after]


@pytest.mark.parametrize(
    "other", [{"provider": "b"}, {"model": "n"}, {"images": 2}, {"estimate": 11}]
)
async def test_the_same_id_with_other_facts_is_a_bug(database: str, other: dict[str, Any]) -> None:
    async with aclosing(Ledger(database)) as ledger:
        stored = await reserve(ledger, "x")
        with pytest.raises(ValueError, match=f"{next(iter(other))}="):
            await reserve(ledger, "x", **other)
        held = await ledger.holds()

    assert held == [stored]


@pytest.mark.parametrize(
    "wrong", [{"images": 0}, {"estimate": -1}, {"now": NOON.replace(tzinfo=None)}]
)
async def test_a_hold_that_makes_no_sense_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async with aclosing(Ledger(tmp_path / "l")) as ledger:
        with pytest.raises(ValueError, match=r"no hold|without a zone"):
            await reserve(ledger, "x", **wrong)
        with pytest.raises(ValueError, match="no amount"):
            await ledger.settle("x", -1)


MOVES: dict[str, Callable[[Ledger], Coroutine[Any, Any, object]]] = {
    "remote": lambda ledger: ledger.remote("x", "r1"),
    "settle": lambda ledger: ledger.settle("x", 7),
    "release": lambda ledger: ledger.release("x", "why"),
    "not_charged": lambda ledger: ledger.release("x", "why", not_charged=True),
    "unknown": lambda ledger: ledger.unknown("x", "why"),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize(
    ("state", "legal"),
    [
        ("reserved", {"release": "released", "not_charged": "released"}),
        (
            "submitted",
            {
                "remote": "submitted",
                "settle": "settled",
                "not_charged": "released",
                "unknown": "unknown",
            },
        ),
        (
            "unknown",
            {
                "remote": "unknown",
                "settle": "settled",
                "not_charged": "released",
                "unknown": "unknown",
            },
        ),
        ("settled", {}),
        ("released", {"release": "released", "not_charged": "released"}),
    ],
)
async def test_a_hold_goes_only_where_it_may(
    database: str, state: str, move: str, legal: dict[str, HoldState]
) -> None:
    async with aclosing(Ledger(database)) as ledger:
        before = await bring(ledger, "x", state)
        refusal = ""
        try:
            await MOVES[move](ledger)
        except IllegalMove as e:
            refusal = str(e)
        [after] = await ledger.holds()
        with suppress(IllegalMove):
            await MOVES[move](ledger)  # once more changes nothing
        assert await ledger.holds() == [after]

    assert (refusal == "") == (move in legal)
    assert refusal.startswith(f"hold x is {state} and cannot be" if refusal else "")
    assert after.state == legal.get(move, before.state)
    assert after == before or not refusal


@pytest.mark.parametrize("move", MOVES)
async def test_a_hold_that_is_not_there_is_a_bug(tmp_path: Path, move: str) -> None:
    async with aclosing(Ledger(tmp_path / "l")) as ledger:
        with pytest.raises(NoSuchHold, match="there is no hold x"):
            await MOVES[move](ledger)
        with pytest.raises(NoSuchHold):
            await ledger.submit("x")


async def test_a_settled_price_and_a_remote_id_are_not_rewritten(database: str) -> None:
    async with aclosing(Ledger(database)) as ledger:
        await bring(ledger, "x", "submitted")
        await ledger.remote("x", "r1")
        with pytest.raises(IllegalMove, match="given the remote id r2"):
            await ledger.remote("x", "r2")
        await ledger.settle("x", 7)
        with pytest.raises(IllegalMove, match=r"settled at \$0.000008"):
            await ledger.settle("x", 8)
        [hold] = await ledger.holds()

    assert (hold.remote_id, hold.actual, hold.note) == ("r1", 7, "")


async def test_a_dearer_job_is_settled_and_the_drift_noted(database: str) -> None:
    caps = Caps(per_day=50_000)
    async with aclosing(Ledger(database)) as ledger:
        await reserve(ledger, "x", estimate=40_000, caps=caps)
        await ledger.submit("x")
        hold = await ledger.settle("x", 60_000)
        spending = await ledger.spending(NOON)
        with pytest.raises(OverBudget, match=r"\$0.06 spent and \$0.00 held"):
            await reserve(ledger, "y", estimate=1, caps=caps)

    assert (hold.actual, spending.day) == (60_000, 60_000)
    assert hold.note == (
        "Price drift: cost $0.06, estimated $0.04; the price of a/m is out of date."
    )


async def test_only_one_of_two_may_send_and_becomes_the_owner(database: str) -> None:
    async with aclosing(Ledger(database)) as one, aclosing(Ledger(database)) as two:
        await reserve(one, "x")
        claims = await asyncio.gather(one.submit("x", owner="1"), two.submit("x", owner="2"))
        again = await one.submit("x", owner="1")
        [hold] = await two.open_holds()

    assert sorted(claims) == [False, True]
    assert not again
    assert hold.owner == ("1" if claims[0] else "2")


@pytest.mark.parametrize("end", ["settled", "unknown", "released"])
async def test_a_hold_that_has_ended_cannot_be_sent(database: str, end: str) -> None:
    async with aclosing(Ledger(database)) as ledger:
        await bring(ledger, "x", end)

        assert await ledger.submit("x") is False


# Looking


async def test_spending_is_told_by_day_month_and_provider(database: str) -> None:
    async with aclosing(Ledger(database)) as ledger:
        await bring(ledger, "1", "settled 7", provider="a", now=NOON)
        await bring(ledger, "2", "reserved", provider="b", now=LATE)
        await bring(ledger, "3", "unknown", provider="b", now=MIDNIGHT)
        await bring(ledger, "4", "released", provider="c", now=NOON)
        await bring(ledger, "5", "unknown", provider="a", now=DECEMBER)
        november = await ledger.spending(NOON)
        january = await ledger.spending(datetime(2027, 1, 1, tzinfo=UTC))

    assert (november.day, november.month, november.unknown) == (17, 27, 2)
    assert november.by_provider_day == {"a": 7, "b": 10, "c": 0}
    assert november.by_provider_month == {"a": 7, "b": 20, "c": 0}
    assert (january.day, january.month, january.unknown) == (0, 0, 2)
    assert january.by_provider_month == {}


async def test_holds_are_listed_newest_first_by_time_and_state(database: str) -> None:
    async with aclosing(Ledger(database)) as ledger:
        for hold_id, state, now in (
            ("1", "submitted", NOON),
            ("2", "settled", LATE),
            ("3", "reserved", MIDNIGHT),
            ("4", "unknown", DECEMBER),
        ):
            await bring(ledger, hold_id, state, now=now)
        every = await ledger.holds()
        late = await ledger.holds(since=LATE)
        ended = await ledger.holds(since=LATE, states=["settled", "unknown"])
        still_open = await ledger.open_holds()

    assert [hold.id for hold in every] == ["4", "3", "2", "1"]
    assert every[2].created == LATE
    assert [hold.id for hold in late] == ["4", "3", "2"]
    assert [hold.id for hold in ended] == ["4", "2"]
    assert [hold.id for hold in still_open] == ["3", "1"]


# The database


def test_importing_the_ledger_imports_no_sqlalchemy() -> None:
    code = (
        "import sys, ziggie_image_mcp.billing.ledger as l; l.Ledger('sqlite:////nowhere/at/all');"
        "print([m for m in ('sqlalchemy', 'psycopg', 'psutil', 'sqlite3') if m in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
async def test_the_file_and_its_folder_are_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "a ?#% folder" / "ledger.sqlite3"
    async with aclosing(Ledger(path)) as ledger:
        await reserve(ledger, "x")
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
        folder = stat.S_IMODE(path.parent.stat().st_mode)

    assert modes == dict.fromkeys(
        ("ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"), 0o600
    )
    assert folder == 0o700


def test_every_transaction_is_durable_and_sees_what_came_before_the_gate(database: str) -> None:
    from ziggie_image_mcp.billing import ledger_tables
    from ziggie_image_mcp.storage import engine as database_engine

    asked = (
        ["PRAGMA journal_mode", "PRAGMA synchronous", "PRAGMA busy_timeout"]
        if database.startswith("sqlite")
        else ["SHOW synchronous_commit", "SHOW transaction_isolation", "SHOW lock_timeout"]
    )
    engine = database_engine.connect(database, 30, ledger_tables.prepare)
    with engine.begin() as connection:
        found = [connection.exec_driver_sql(question).scalar_one() for question in asked]
    engine.dispose()

    assert found in (["wal", 2, 30_000], ["on", "read committed", "30s"])


async def test_a_ledger_can_be_used_again_after_it_was_closed(database: str) -> None:
    ledger = Ledger(database)
    await ledger.aclose()
    await reserve(ledger, "x")
    await ledger.aclose()
    await ledger.aclose()
    held = await ledger.holds()
    await ledger.aclose()

    assert [hold.id for hold in held] == ["x"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "no SQLAlchemy URL"),
        ("mysql://u:hunter2@h/d", "names mysql"),
        ("sqlite://", "whole path, not 'memory'"),
        ("sqlite:///:memory:", "whole path"),
        ("sqlite:///ledger.sqlite3", "whole path, not 'ledger.sqlite3'"),
    ],
)
async def test_a_url_that_cannot_be_meant_is_refused(url: str, why: str) -> None:
    async with aclosing(Ledger(url)) as ledger:
        with pytest.raises(ConfigError, match=why) as caught:
            await ledger.holds()

    assert "hunter2" not in str(caught.value)


async def test_a_file_that_is_no_database_is_a_storage_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.write_text("this is a letter, not a database\n" * 100, encoding="utf-8")
    async with aclosing(Ledger(path)) as ledger:
        with pytest.raises(StorageError, match=r"file is not a database\. See that"):
            await reserve(ledger, "x")

    assert path.read_text(encoding="utf-8").startswith("this is a letter")


async def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with aclosing(Ledger(tmp_path / "file" / "ledger.sqlite3")) as ledger:
        with pytest.raises(StorageError, match=r"set `database` in config\.json to another"):
            await reserve(ledger, "x")


async def test_a_locked_database_is_a_storage_error_and_recovers(database: str) -> None:
    from ziggie_image_mcp.billing import ledger_tables
    from ziggie_image_mcp.storage import engine as database_engine

    async with aclosing(Ledger(database, lock_timeout=0.05)) as ledger:
        await reserve(ledger, "x")
        engine = database_engine.connect(database, 30, ledger_tables.prepare)
        with engine.begin() as connection:
            ledger_tables.lock_for_writing(connection)
            with pytest.raises(StorageError, match="Another process holds it"):
                await ledger.submit("x")
            seen = await ledger.open_holds()  # reading waits for nobody
        engine.dispose()

        assert [hold.state for hold in seen] == ["reserved"]
        assert await ledger.submit("x")


async def test_a_server_that_does_not_answer_is_a_storage_error(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    async with aclosing(Ledger(f"postgresql://u:hunter2@/db?host={tmp_path}")) as ledger:
        with pytest.raises(StorageError, match="See that the server runs") as caught:
            await reserve(ledger, "x")

    assert str(caught.value).startswith(f"The ledger {tmp_path}/db cannot be used: ")
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_was_restarted_is_found_again(server: postgres.Server) -> None:
    async with aclosing(Ledger(empty_schema(server))) as ledger:
        await reserve(ledger, "x")
        server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

        assert await ledger.submit("x")


async def test_tables_of_a_newer_version_are_left_alone(database: str) -> None:
    import sqlalchemy as sa

    from ziggie_image_mcp.billing import ledger_tables
    from ziggie_image_mcp.storage import engine as database_engine

    async with aclosing(Ledger(database)) as running:
        await reserve(running, "x")
        engine = database_engine.connect(database, 30, ledger_tables.prepare)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE meta SET version = 2"))
        engine.dispose()
        with pytest.raises(StorageError, match="version 2, and this program knows 1"):
            await running.submit("x")
    async with aclosing(Ledger(database)) as started:
        with pytest.raises(StorageError, match="Update ziggie-image-mcp"):
            await started.holds()


@needs_fork
def test_a_full_disk_leaves_no_phantom_hold_and_recovers(tmp_path: Path) -> None:
    code = """
import anyio, resource, sys
from datetime import UTC, datetime
from pathlib import Path
from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.ledger import Ledger

async def main():
    ledger = Ledger(Path(sys.argv[1]))
    made = 0
    async def reserve():
        await ledger.reserve(str(made), provider="a", model="m" * 2000, images=1, estimate=1,
                             caps=Caps(), owner="o", now=datetime.now(UTC))
    await ledger.holds()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        while True:
            await reserve()
            made += 1
    except StorageError:
        pass
    assert made > 0
    assert len(await ledger.holds()) == made
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await reserve()
    assert len(await ledger.holds()) == made + 1
    await ledger.aclose()

anyio.run(main)
"""
    path = tmp_path / "ledger.sqlite3"

    subprocess.run([sys.executable, "-c", code, str(path)], check=True)

    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


# Any order of calls

RULES = Caps(
    per_image=20,
    per_day=60,
    per_month=100,
    per_provider={"a": WindowCaps(per_day=40, per_month=70)},
)


def cost(hold: Hold) -> int:
    if hold.state == "settled":
        return hold.actual or 0
    return 0 if hold.state == "released" else hold.estimate


class AnyOrder(RuleBasedStateMachine):
    """The ledger beside a model of it in a dict."""

    def __init__(self, new_database: Callable[[], str]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ledger = Ledger(new_database())
        self.model: dict[str, Hold] = {}
        self.now = datetime(2026, 11, 29, 20, tzinfo=UTC)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def pick(self, number: int) -> Hold | None:
        known = list(self.model.values())
        return known[number % len(known)] if known else None

    def fits(self, provider: str, images: int, estimate: int) -> bool:
        def total(form: str, own: bool) -> int:
            return sum(
                cost(hold)
                for hold in self.model.values()
                if hold.created.strftime(form) == self.now.strftime(form)
                and (hold.provider == "a" or not own)
            )

        return (
            estimate <= 20 * images
            and total("%Y%m%d", False) + estimate <= 60
            and total("%Y%m", False) + estimate <= 100
            and (provider != "a" or total("%Y%m%d", True) + estimate <= 40)
            and (provider != "a" or total("%Y%m", True) + estimate <= 70)
        )

    @rule(provider=st.sampled_from("ab"), images=st.integers(1, 3), estimate=st.integers(0, 30))
    def reserve(self, provider: str, images: int, estimate: int) -> None:
        hold_id = str(len(self.model))
        fits = self.fits(provider, images, estimate)
        work = reserve(
            self.ledger,
            hold_id,
            provider=provider,
            images=images,
            estimate=estimate,
            caps=RULES,
            now=self.now,
        )
        if fits:
            self.model[hold_id] = self.do(work)
        else:
            with pytest.raises(OverBudget):
                self.do(work)

    @rule(number=st.integers(0, 50))
    def reserve_again(self, number: int) -> None:
        if hold := self.pick(number):
            again = reserve(
                self.ledger,
                hold.id,
                provider=hold.provider,
                images=hold.images,
                estimate=hold.estimate,
                caps=RULES,
                now=self.now,
            )
            assert self.do(again) == hold

    @rule(number=st.integers(0, 50))
    def submit(self, number: int) -> None:
        if hold := self.pick(number):
            assert self.do(self.ledger.submit(hold.id)) == (hold.state == "reserved")
            if hold.state == "reserved":
                self.model[hold.id] = replace(hold, state="submitted")

    @rule(number=st.integers(0, 50), actual=st.integers(0, 40))
    def settle(self, number: int, actual: int) -> None:
        if hold := self.pick(number):
            same = hold.state == "settled" and hold.actual == actual
            legal = same or hold.state in ("submitted", "unknown")
            self.move(hold, self.ledger.settle(hold.id, actual), legal, "settled")

    @rule(number=st.integers(0, 50), not_charged=st.booleans())
    def release(self, number: int, not_charged: bool) -> None:
        if hold := self.pick(number):
            legal = hold.state in ("reserved", "released") or (
                not_charged and hold.state in ("submitted", "unknown")
            )
            work = self.ledger.release(hold.id, "no", not_charged=not_charged)
            self.move(hold, work, legal, "released")

    @rule(number=st.integers(0, 50))
    def lose(self, number: int) -> None:
        if hold := self.pick(number):
            legal = hold.state in ("submitted", "unknown")
            self.move(hold, self.ledger.unknown(hold.id, "lost"), legal, "unknown")

    def move(self, hold: Hold, work: Coroutine[Any, Any, Hold], legal: bool, to: HoldState) -> None:
        if legal:
            moved = self.do(work)
            assert moved.state == to
            self.model[hold.id] = moved
        else:
            with pytest.raises(IllegalMove):
                self.do(work)

    @rule(hours=st.sampled_from([1, 5, 30]))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def restart(self) -> None:
        self.do(self.ledger.aclose())

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        assert {hold.id: hold for hold in self.do(self.ledger.holds())} == self.model
        spending = self.do(self.ledger.spending(self.now))
        today = [h for h in self.model.values() if h.created.date() == self.now.date()]
        assert spending.day == sum(map(cost, today))

    @invariant()
    def no_cap_is_passed_but_by_a_price_that_drifted(self) -> None:
        for form, cap, own_cap in (("%Y%m%d", 60, 40), ("%Y%m", 100, 70)):
            totals: Counter[str] = Counter()
            own: Counter[str] = Counter()
            for hold in self.model.values():
                amount = min(cost(hold), hold.estimate)
                totals[hold.created.strftime(form)] += amount
                if hold.provider == "a":
                    own[hold.created.strftime(form)] += amount
            assert max(totals.values(), default=0) <= cap
            assert max(own.values(), default=0) <= own_cap

    def teardown(self) -> None:
        self.do(self.ledger.aclose())
        self.runner.close()


@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 25), ("postgres", 8)])
def test_no_order_of_calls_breaks_the_ledger(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, examples: int
) -> None:
    def new_database() -> str:
        if kind == "postgres":
            return empty_schema(request.getfixturevalue("server"))
        return f"sqlite:///{tempfile.mkdtemp(dir=tmp_path)}/ledger"

    class Machine(AnyOrder):
        def __init__(self) -> None:
            super().__init__(new_database)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


# Several processes


@needs_fork
def test_a_new_file_may_be_opened_by_many_at_once(peer: Peer, tmp_path: Path) -> None:
    open_new_files(peer, tmp_path, 10)


def open_new_files(peer: Peer, tmp_path: Path, files: int) -> None:
    log = str(tmp_path / "log")

    for number in range(files):
        url = f"sqlite:///{tmp_path}/new-{number}"
        peer.run(Run(kind="open", database=url, charges=log, processes=8, tasks=1))

    versions: list[int] = []
    for number in range(files):
        with closing(sqlite3.connect(tmp_path / f"new-{number}")) as opened:
            versions += [version for (version,) in opened.execute("SELECT version FROM meta")]
    assert versions == [1] * files


@needs_fork
async def test_four_processes_at_once_spend_exactly_the_cap(
    database: str, peer: Peer, tmp_path: Path
) -> None:
    run = Run(kind="reserve", database=database, charges=str(tmp_path / "log"), tasks=64, cap=100)

    outcome = peer.run(run)  # 256 tasks; the tables are made in the same moment

    won = list(chain(*outcome.won))
    async with aclosing(Ledger(database)) as ledger:
        spending = await ledger.spending(day_of(0))
        held = await ledger.holds()
    assert len(won) == 100
    assert sorted(hold.id for hold in held) == sorted(won)
    assert spending.day == 100 * PRICE


@needs_fork
async def test_of_four_processes_exactly_one_may_send_each_job(
    database: str, peer: Peer, tmp_path: Path
) -> None:
    async with aclosing(Ledger(database)) as ledger:
        for number in range(40):
            await reserve(ledger, str(number))

    outcome = peer.run(Run(kind="claim", database=database, charges=str(tmp_path / "l"), tasks=40))

    assert sorted(chain(*outcome.won), key=int) == [str(number) for number in range(40)]


@needs_fork
@pytest.mark.parametrize("after_death", ["unknown", "look_up"])
async def test_killed_processes_lose_no_cent_and_charge_nothing_twice(
    database: str, peer: Peer, tmp_path: Path, after_death: Any
) -> None:
    await kill_and_count(database, peer, tmp_path, after_death, kills=8)


async def kill_and_count(
    database: str, peer: Peer, tmp_path: Path, after_death: Any, kills: int
) -> None:
    log = str(tmp_path / "log")

    peer.run(
        Run(kind="crash", database=database, charges=log, after_death=after_death, kills=kills)
    )

    charged = charges(log)
    async with aclosing(Ledger(database)) as ledger:
        holds = {hold.id: hold for hold in await ledger.holds()}
    ended = Counter(hold.state for hold in holds.values())
    lost = {hold.id for hold in holds.values() if hold.state == "unknown"}
    settled = {hold.id for hold in holds.values() if hold.state == "settled"}
    assert max(Counter(charge.job for charge in charged).values()) == 1
    assert ended["reserved"] == ended["submitted"] == 0
    assert settled <= {charge.key for charge in charged} <= settled | lost
    if after_death == "look_up":
        assert not lost
        assert any(hold.remote_id.startswith(FOUND) for hold in holds.values())
    else:
        assert {charge.key for charge in charged} & lost  # the kills did hit the moment

    days, months = Counter[str](), Counter[str]()
    for hold in holds.values():
        days[f"{hold.created:%Y-%m-%d}"] += cost(hold)
        months[f"{hold.created:%Y-%m}"] += cost(hold)
    paid = Counter(f"{day_of(charge.job):%Y-%m-%d}" for charge in charged)
    assert max(days.values()) == DAY_CAP == CAPS.per_day  # reached, and never passed
    assert max(months.values()) <= MONTH_CAP
    assert all(pictures * PRICE <= DAY_CAP for pictures in paid.values())
