"""Each process has a name of its own, and the dead are told from the living."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from ziggie_image_mcp.jobs.leases import (
    DEAD_AFTER,
    Leases,
    all_orphans,
    host,
    orphans,
    queue_database,
)
from ziggie_image_mcp.storage.engine import stamp

ACQUIRE = """
import sys, anyio
from pathlib import Path
from ziggie_image_mcp.jobs.leases import Leases, queue_database
folder = Path(sys.argv[1])
leases = Leases(folder, queue_database(folder / "queue.sqlite3"), shared=False)
print(anyio.run(leases.acquire), flush=True)
sys.stdin.read()
"""
ELSEWHERE = "elsewhere-1-abcdef/0/3-0123456789abcdef"
OLD_ELSEWHERE = "elsewhere-1-abcdef/0/0123456789abcdef"


def process(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ACQUIRE, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def name_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def end(*children: subprocess.Popen[str]) -> None:
    for child in children:
        child.kill()
        child.communicate()


@asynccontextmanager
async def lease(folder: Path, database: Path | None = None) -> AsyncGenerator[Leases]:
    """That of one process; with a `database` of its own it shares it with other folders."""
    rows = queue_database(database or folder / "queue.sqlite3")
    leases = Leases(folder, rows, shared=database is not None)
    await leases.acquire()
    try:
        yield leases
    finally:
        leases.release()
        await rows.aclose()


async def put_heartbeat(database: Path, owner: str, seconds_ago: float) -> None:
    rows = queue_database(database)
    at = stamp(datetime.now(UTC) - timedelta(seconds=seconds_ago))
    await rows.write(lambda tables: tables.put_heartbeat(owner, at))
    await rows.aclose()


async def heartbeats(database: Path) -> set[str]:
    rows = queue_database(database)
    known = await rows.read(lambda tables: tables.heartbeats())
    await rows.aclose()
    return set(known)


# The locks of one host


async def test_eight_processes_at_once_have_eight_names(tmp_path: Path) -> None:
    children = [process(tmp_path) for _ in range(8)]
    names = [name_of(child) for child in children]
    async with lease(tmp_path) as own:
        try:
            living = [await own.alive(name) for name in names]
            dead_before = await own.dead()
        finally:
            end(*children)

        assert len({*names, own.owner}) == 9
        assert (living, dead_before) == ([True] * 8, [])
        assert await own.dead() == orphans(tmp_path) == sorted(names)
        assert [await own.alive(name) for name in names] == [False] * 8
        assert await own.orphaned()


async def test_the_name_of_a_killed_process_stays_until_it_is_forgotten(tmp_path: Path) -> None:
    child = process(tmp_path)
    dead = name_of(child)
    end(child)
    async with lease(tmp_path) as heir:
        before = orphans(tmp_path)
        await heir.forget_dead_process(dead)
        after = orphans(tmp_path)
        async with lease(tmp_path) as newcomer:
            assert newcomer.owner.split("/")[:2] == dead.split("/")[:2]
            assert newcomer.owner != dead
            assert await heir.alive(dead) is False
            assert await heir.alive(newcomer.owner) is True

        assert heir.owner.split("/")[1] != dead.split("/")[1]
    assert (before, after) == ([dead], [])


async def test_who_leaves_in_good_order_leaves_no_name(tmp_path: Path) -> None:
    async with lease(tmp_path) as own:
        pass

    assert orphans(tmp_path) == []
    assert list(tmp_path.glob("*.name")) == []
    with pytest.raises(AssertionError, match="not acquired"):
        _ = own.owner


async def test_who_leaves_jobs_leaves_its_name_for_whoever_takes_them_up(tmp_path: Path) -> None:
    async with lease(tmp_path / "slots-1") as own:
        name = own.owner
        own.release(leaves_jobs=True)
        again = await own.acquire()

        assert again != name
        assert orphans(tmp_path / "slots-1") == all_orphans(tmp_path) == [name]


async def test_a_process_has_one_name_for_as_long_as_it_lives(tmp_path: Path) -> None:
    async with lease(tmp_path) as own:
        assert await own.acquire() == await own.acquire() == own.owner
        assert own.owner.startswith(f"{host(tmp_path)}/0/3-")
        assert len(list(tmp_path.glob("*.name"))) == 1


async def test_of_another_host_nobody_can_tell(tmp_path: Path) -> None:
    async with lease(tmp_path) as own:
        assert await own.alive(ELSEWHERE) is None
        assert await own.alive("nonsense") is None
        assert await own.alive(own.owner) is True


async def test_one_of_many_claims_what_a_dead_process_had_and_after_it_died_another(
    tmp_path: Path,
) -> None:
    database = tmp_path / "shared.sqlite3"
    async with lease(tmp_path / "a", database) as one, lease(tmp_path / "b", database) as other:
        first = [await x.claim(ELSEWHERE) for x in (one, other, one)]
        await put_heartbeat(database, f"{ELSEWHERE}!claimed", DEAD_AFTER.total_seconds() + 1)
        after_its_claimer_died = [await x.claim(ELSEWHERE) for x in (other, one)]

    assert first == [True, False, False]
    assert after_its_claimer_died == [True, False]


# Heartbeats, where hosts share a database


@pytest.mark.parametrize(
    ("silent", "alive"), [(0.0, True), (DEAD_AFTER.total_seconds() + 0.5, False), (None, None)]
)
async def test_a_process_of_another_host_lives_as_long_as_its_heart_beats(
    tmp_path: Path, silent: float | None, alive: bool | None
) -> None:
    database = tmp_path / "shared.sqlite3"
    async with lease(tmp_path / "a", database) as one, lease(tmp_path / "b", database) as other:
        if silent is not None:
            await one.heartbeat()
        if silent:
            await put_heartbeat(database, one.owner, silent)

        assert await other.alive(one.owner) is alive
        assert await one.alive(one.owner) is True
        assert await other.dead() == ([one.owner] if alive is False else [])


async def test_who_only_holds_money_is_never_dead_to_other_hosts(tmp_path: Path) -> None:
    """Its heart does not beat: the monitor of its jobs is not running."""
    database = tmp_path / "shared.sqlite3"
    async with lease(tmp_path / "a", database) as asking, lease(tmp_path / "b", database) as other:
        assert await heartbeats(database) == set()
        assert await other.alive(asking.owner) is None
        assert await other.dead() == []


async def test_a_silent_process_of_this_host_lives_while_it_has_its_lock(tmp_path: Path) -> None:
    database = tmp_path / "shared.sqlite3"
    async with lease(tmp_path, database) as one, lease(tmp_path, database) as other:
        await put_heartbeat(database, one.owner, 60)

        assert await other.alive(one.owner) is True
        assert await other.dead() == []


async def test_a_dead_process_is_forgotten_with_its_claim(tmp_path: Path) -> None:
    database = tmp_path / "shared.sqlite3"
    async with lease(tmp_path / "b", database) as other:
        await put_heartbeat(database, ELSEWHERE, 60)
        dead = await other.dead()
        assert await other.claim(ELSEWHERE)
        claimed = await other.dead()
        await other.forget_dead_process(ELSEWHERE)

        assert dead == claimed == [ELSEWHERE], "until it is forgotten"
        assert await other.dead() == []
        assert await heartbeats(database) == set()


async def test_without_a_shared_database_nothing_beats(tmp_path: Path) -> None:
    async with lease(tmp_path) as own:
        await own.heartbeat()

        assert await heartbeats(tmp_path / "queue.sqlite3") == set()


# Version 1


async def test_an_owner_that_version_1_wrote_is_alive_as_its_process_is(tmp_path: Path) -> None:
    here = socket.gethostname()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    theirs = f"{here}:{child.pid}:{psutil.Process(child.pid).create_time():.2f}"
    me = psutil.Process()
    async with lease(tmp_path) as own:
        alive = await own.alive(theirs)
        child.kill()
        zombie: bool | None = False
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
            zombie = await own.alive(theirs)
        child.communicate()

        assert (alive, zombie, await own.alive(theirs)) == (True, False, False)
        assert await own.alive(f"{here}:{me.pid}:{me.create_time():.2f}") is True
        assert await own.alive(f"{here}:{me.pid}:{me.create_time() - 60:.2f}") is False
        assert await own.alive(f"{here}:{me.pid}:soon") is None
        assert await own.alive(f"elsewhere:{me.pid}:{me.create_time():.2f}") is None
        assert await own.alive("who knows") is None


async def test_version_1_lives_while_one_of_its_processes_has_its_lock(tmp_path: Path) -> None:
    old = f"{host(tmp_path)}/5/0123456789abcdef"
    async with lease(tmp_path) as own:
        alone = await own.version_lives("1")
        (tmp_path / "slot-5.name").write_text(old, encoding="utf-8")
        lock = FileLock(tmp_path / "slot-5.lock", thread_local=False)
        with lock:
            beside_it = await own.version_lives("1"), await own.alive(old), await own.dead()
        after_it = await own.version_lives("1"), await own.alive(old), await own.dead()

    assert alone is False
    assert beside_it == (True, True, [])
    assert after_it == (False, False, [old])


@pytest.mark.parametrize(
    ("name", "silent", "lives"),
    [
        (OLD_ELSEWHERE, 0, True),
        (OLD_ELSEWHERE, 60, False),
        (ELSEWHERE, 0, False),
        (f"{OLD_ELSEWHERE}!claimed", 0, False),
    ],
    ids=["its heart beats", "it is silent", "one of this version", "a claim"],
)
async def test_version_1_lives_on_another_host_while_its_heart_beats(
    tmp_path: Path, name: str, silent: float, lives: bool
) -> None:
    database = tmp_path / "shared.sqlite3"
    await put_heartbeat(database, name, silent)
    async with lease(tmp_path / "b", database) as own:
        assert await own.version_lives("1") is lives


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are stopped")
async def test_a_process_that_stands_still_is_alive_on_its_own_host(tmp_path: Path) -> None:
    child = process(tmp_path)
    name = name_of(child)
    child.send_signal(signal.SIGSTOP)
    async with lease(tmp_path) as own:
        alive = await own.alive(name)
        end(child)

        assert (alive, await own.alive(name)) == (True, False)
