"""Tell which processes that share a database still live.

Every process has a lease under a name that no other ever had. It holds the lock of a file until it
ends, however it ends; beside the lock stands its name, in a file of its own, because Windows does
not let a locked file be read. A name whose lock is free is that of a dead process; it stays until
somebody has taken up what the dead one had. Where hosts share a database, which see no locks of
each other, every process also writes a heartbeat into it.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import socket
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio
import anyio.to_thread

from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.storage.database import Database, Schema

if TYPE_CHECKING:
    from filelock import FileLock

    from ziggie_image_mcp.jobs.device_queue_tables import Tables

DEAD_AFTER = timedelta(seconds=7)
"""A process on another host that was silent for so long is dead: its jobs move within ten seconds.
Those of this host are seen to be dead by their locks, at once."""

_log = logging.getLogger(__name__)

_CLAIMED = "!claimed"
_MARK = "3-"
"""Begins the last part of a name: the version of its process. The names of version 1 have none."""


def queue_database(database: str | Path) -> Database[Tables]:
    """The tables of the device queue, the heartbeats and the request ids."""
    return Database(database, _schema, "device queue in")


def _schema() -> Schema[Tables]:
    from ziggie_image_mcp.jobs import device_queue_tables

    return device_queue_tables.SCHEMA


def lease_folder(data_dir: Path, database: str | None) -> Path:
    """Where the processes of this host keep their locks: by database, whose jobs they share."""
    mark = hashlib.sha256((database or "").encode()).hexdigest()[:8]
    return data_dir / f"slots-{mark}"


class _Held(NamedTuple):
    number: int
    lock: FileLock
    owner: str


class Leases:
    """This process' lease, and what it can tell of those of others.

    Args:
        folder: Of the lock files of this host's processes.
        rows: The database that they share.
        shared: Whether other hosts may use it too, which see no locks but read heartbeats.
    """

    def __init__(self, folder: Path, rows: Database[Tables], *, shared: bool) -> None:
        self._folder = folder
        self._rows = rows
        self._shared = shared
        self._held: _Held | None = None
        self._opening = anyio.Lock()

    @property
    def owner(self) -> str:
        """The name: host, number and a word that no other process ever had."""
        assert self._held is not None, "the lease is not acquired"
        return self._held.owner

    def is_own(self, executor: str) -> bool:
        """Whether this is the name of this process, which may have lost its lease by now."""
        return self._held is not None and self._held.owner == executor

    async def acquire(self) -> str:
        """Take the lease if this process has none yet; its name.

        Raises:
            StorageError: The folder cannot be used.
        """
        async with self._opening:
            if self._held is None:
                self._held = await anyio.to_thread.run_sync(_take, self._folder)
        return self._held.owner

    async def heartbeat(self) -> None:
        """Say that this process lives, where other hosts may ask.

        Once it has done so it must go on: to other hosts the silent are dead. Of a process that
        never did, as one that only holds money, they cannot tell.
        """
        if self._shared:
            owner, now = self.owner, _stamp(datetime.now(UTC))
            await self._rows.write(lambda tables: tables.put_heartbeat(owner, now))

    async def alive(self, owner: str) -> bool | None:
        """Whether the process of that name lives; None where it cannot be told.

        Raises:
            StorageError: The database cannot be used.
        """
        if self._held is not None and owner == self._held.owner:
            return True
        if _is_process_id(owner):
            return await anyio.to_thread.run_sync(_process_alive, owner)
        here = await anyio.to_thread.run_sync(_lock_tells, self._folder, owner)
        if here is not None or not self._shared:
            return here
        heartbeat = (await self._rows.read(lambda tables: tables.heartbeats())).get(owner)
        return None if heartbeat is None else heartbeat >= _stamp(datetime.now(UTC) - DEAD_AFTER)

    async def dead(self) -> list[str]:
        """The processes, of earlier versions too, that died and may have left jobs.

        Raises:
            StorageError: The database cannot be used.
        """
        names = set(await anyio.to_thread.run_sync(orphans, self._folder))
        silent = _stamp(datetime.now(UTC) - DEAD_AFTER)

        def work(tables: Tables) -> set[str]:
            heartbeats = tables.heartbeats()
            known = {row["executor"] for row in tables.entries()} | set(heartbeats)
            return {o for o in known if not o.endswith(_CLAIMED) and heartbeats.get(o, 0) < silent}

        for owner in await self._rows.read(work):
            if await self.alive(owner) is not True:
                names.add(owner)
        return sorted(names - {self.owner})

    async def version_lives(self, version: str) -> bool:
        """Whether a process of a version works on this database: then its jobs are its own.

        Raises:
            StorageError: The database cannot be used.
        """
        here = await anyio.to_thread.run_sync(_holders, self._folder)
        if any(version_of(name) == version for name in here):
            return True
        if not self._shared:
            return False
        fresh = _stamp(datetime.now(UTC) - DEAD_AFTER)
        heartbeats = await self._rows.read(lambda tables: tables.heartbeats())
        talking = [n for n, b in heartbeats.items() if version_of(n) == version and b >= fresh]
        return any([await self.alive(name) is not False for name in talking])

    async def claim(self, owner: str) -> bool:
        """Become the one who takes up what a dead process had; True for one caller.

        A claim is good for `DEAD_AFTER`: if the claimer dies too, another may follow.
        """
        key, now = owner + _CLAIMED, datetime.now(UTC)

        def work(tables: Tables) -> bool:
            if tables.heartbeats().get(key, 0) > _stamp(now - DEAD_AFTER):
                return False
            tables.put_heartbeat(key, _stamp(now))
            return True

        return await self._rows.write(work)

    async def renew_claim(self, owner: str) -> None:
        """Go on with what was claimed: others keep away for another `DEAD_AFTER`."""
        key, now = owner + _CLAIMED, _stamp(datetime.now(UTC))
        await self._rows.write(lambda tables: tables.put_heartbeat(key, now))

    async def forget_dead_process(self, owner: str) -> None:
        """Forget a dead process and its places in the queue, after all it had was taken up."""

        def work(tables: Tables) -> None:
            tables.drop_executor(owner)
            tables.drop_executor(owner + _CLAIMED)

        await self._rows.write(work)
        await anyio.to_thread.run_sync(_forget, self._folder, owner)

    async def orphaned(self) -> bool:
        """Whether a process of this host died with jobs. Opens no database."""
        return bool(await anyio.to_thread.run_sync(orphans, self._folder))

    def release(self, *, leaves_jobs: bool = False) -> None:
        """Give the lease back. The name stays where there is something left to be taken up."""
        held, self._held = self._held, None
        if held is not None:
            try:
                if not leaves_jobs:
                    _name_file(self._folder, held.number).unlink(missing_ok=True)
            except OSError as e:  # whoever comes next finds a dead process without jobs
                _log.warning("%s cannot be written: %s", self._folder, e.strerror or e)
            finally:
                held.lock.release()


def orphans(folder: Path) -> list[str]:
    """The names of the dead processes of this host whose jobs nobody has taken up yet."""
    dead: list[str] = []
    for file in sorted(folder.glob("slot-*.name")):
        number = file.stem.removeprefix("slot-")
        owner = _read(file)
        if number.isdigit() and owner and _is_free(folder, int(number)):
            dead.append(owner)
    return dead


def all_orphans(data_dir: Path) -> list[str]:
    """The orphans of every database that the processes of this machine use."""
    return [owner for folder in data_dir.glob("slots-*") for owner in orphans(folder)]


def host(folder: Path) -> str:
    """This machine and folder: two containers may share a name, and not their files."""
    where = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:6]
    return f"{socket.gethostname()}-{uuid.getnode():x}-{where}"


def _take(folder: Path) -> _Held:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in count():
            lock = _acquired(folder, number)
            if lock is None:
                continue
            name = _name_file(folder, number)
            if _read(name):  # of a dead process whose jobs nobody has taken up yet
                lock.release()
                continue
            owner = f"{host(folder)}/{number}/{_MARK}{secrets.token_hex(8)}"
            name.write_text(owner, encoding="utf-8")
            return _Held(number, lock, owner)
    except OSError as e:
        fix = "Make it writable, and see that its disk has room."
        raise StorageError(f"{folder} cannot be written: {e.strerror or e}. {fix}") from e
    raise AssertionError("count() has no end")


def _lock_tells(folder: Path, owner: str) -> bool | None:
    """Whether a process lives, as the locks of this host tell; None for one of another host."""
    where, _, rest = owner.rpartition("/")[0].rpartition("/")
    if where != host(folder) or not rest.isdigit():
        return None
    if _read(_name_file(folder, int(rest))) != owner:
        return False
    return not _is_free(folder, int(rest))


def version_of(owner: str) -> str:
    """The version of the process that has, or had, the lease of this name; empty for no name."""
    if owner.count("/") != 2 or owner.endswith(_CLAIMED):
        return ""
    number, dash, _ = owner.rpartition("/")[2].partition("-")
    return number if dash else "1"


def _is_process_id(owner: str) -> bool:
    """Whether version 1's ledger wrote this name: host:pid:start."""
    return len(owner.rsplit(":", 2)) == 3 and owner.rsplit(":", 2)[1].isdigit()


def _process_alive(owner: str) -> bool | None:
    import psutil

    where, pid, started = owner.rsplit(":", 2)
    if where != socket.gethostname():
        return None
    try:
        process = psutil.Process(int(pid))
        # psutil counts from the boot time, which moves by a little when the clock is set.
        same = abs(process.create_time() - float(started)) < 2
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, ValueError):
        return None


def _forget(folder: Path, owner: str) -> None:
    number = int(owner.split("/")[-2]) if owner.count("/") >= 2 else -1
    lock = _acquired(folder, number) if number >= 0 else None
    if lock is not None:
        if _read(_name_file(folder, number)) == owner:
            _name_file(folder, number).unlink(missing_ok=True)
        lock.release()


def _acquired(folder: Path, number: int) -> FileLock | None:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"slot-{number}.lock", thread_local=False)
    with suppress(Timeout, FileNotFoundError):
        lock.acquire(blocking=False)
        return lock
    return None


def _is_free(folder: Path, number: int) -> bool:
    try:
        lock = _acquired(folder, number)
    except OSError:  # read-only, or no folder: nothing of the dead could be taken up here
        return False
    if lock is None:
        return False
    lock.release()
    return True


def _holders(folder: Path) -> list[str]:
    """The names of the living processes of this host, whatever host they say that they are on.

    A container's name, a network card or a folder's place may have changed since they began.
    """
    dead = set(orphans(folder))
    names = map(_read, folder.glob("slot-*.name"))
    return [name for name in names if name and name not in dead]


def _name_file(folder: Path, number: int) -> Path:
    return folder / f"slot-{number}.name"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:  # gone in the meantime
        return ""


def _stamp(moment: datetime) -> int:
    from ziggie_image_mcp.storage.engine import stamp

    return stamp(moment)
