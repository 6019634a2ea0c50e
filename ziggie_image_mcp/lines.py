"""Keep who waits for which device, across all processes of one database.

A job is preparing, then waits for a device, then runs on it alone, and leaves. The next is chosen
by `choose`: the model that is loaded goes first, until others have waited long enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from ziggie_image_mcp.database import Database
from ziggie_image_mcp.types import Line

if TYPE_CHECKING:
    from ziggie_image_mcp.lines_schema import Tables

T = TypeVar("T")

STREAK_CAP = 20
"""So many jobs of one model in a row, and then another model's turn has come."""

PRESSURE_PER_JOB = 10.0
"""What a waiting job weighs, in seconds of waiting (SwarmUI's rule, reference/policy.md 2.4)."""

_CLAIMED = "!claimed"
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One job in the lines. Times are microseconds since 1970, UTC."""

    job_id: str
    executor: str
    device: str
    model: str
    priority: int
    """The larger goes first."""
    seconds: float
    """Expected on the device."""
    joined: int
    state: Literal["preparing", "waiting", "running"]
    granted: int
    cancel: bool
    fraction: float
    message: str


class Lines:
    """The lines of all processes that use the same database. Each call is one transaction.

    A job is in the hands of one process. Once another has taken it up, what the first still says
    of it is not heard, and its row is no longer among those of `mine`.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        executor: This process.
    """

    def __init__(self, database: str | Path, executor: str) -> None:
        self._rows = Database(database, "lines_schema", "lines in")
        self._executor = executor

    async def join(self, job_id: str, priority: int, now: datetime) -> None:
        """This process has the job in hand; a row that a dead process left is taken over."""
        row = {
            "executor": self._executor,
            "device": "",
            "model": "",
            "priority": priority,
            "seconds": 0.0,
            "joined": _stamp(now),
            "state": "preparing",
            "granted": 0,
            "cancel": False,
            "fraction": 0.0,
            "message": "",
        }
        await self._rows.write(lambda tables: tables.put_turn(job_id, **row))

    async def wait(
        self, job_id: str, device: str, model: str, seconds: float, now: datetime
    ) -> bool:
        """Stand in a device's line; True where it was free and the job may run at once."""

        def work(tables: Tables) -> bool:
            tables.change_turn(
                job_id,
                owner=self._executor,
                device=device,
                model=model,
                seconds=seconds,
                state="waiting",
            )
            return _grant(tables, device, now) == job_id

        return await self._rows.write(work)

    async def grant(self, device: str, now: datetime) -> str | None:
        """Let one of those that wait run, where the device is free; which one, of any process."""
        return await self._rows.write(lambda tables: _grant(tables, device, now))

    async def release(self, job_id: str, now: datetime) -> str | None:
        """Leave the device, or its line; who runs on it next, when somebody does from now on."""

        def work(tables: Tables) -> str | None:
            rows = tables.turns(job_id=job_id, executor=self._executor)
            if not rows:
                return None
            tables.change_turn(job_id, owner=self._executor, device="", state="preparing")
            return _grant(tables, rows[0]["device"], now)

        return await self._rows.write(work)

    async def leave(self, job_id: str) -> None:
        """The job has ended."""
        await self._rows.write(lambda tables: tables.drop_turn(job_id, owner=self._executor))

    async def progress(self, job_id: str, fraction: float, message: str) -> None:
        """Tell other processes how far the job is."""
        await self._rows.write(
            lambda tables: tables.change_turn(
                job_id, owner=self._executor, fraction=fraction, message=message
            )
        )

    async def cancel(self, job_id: str) -> bool:
        """Ask the process that has the job in hand to stop it; False where none has."""
        return await self._rows.write(lambda tables: tables.change_turn(job_id, cancel=True))

    async def find(self, job_id: str) -> Turn | None:
        """One job's turn."""
        rows = await self._rows.read(lambda tables: tables.turns(job_id=job_id))
        return Turn(**rows[0]) if rows else None

    async def mine(self) -> list[Turn]:
        """The turns of this process."""
        rows = await self._rows.read(lambda tables: tables.turns(executor=self._executor))
        return [Turn(**row) for row in rows]

    async def snapshot(self, now: datetime) -> Mapping[str, Line]:
        """Every device's line."""

        def work(tables: Tables) -> tuple[list[Turn], dict[str, tuple[str, int]]]:
            return [Turn(**row) for row in tables.turns()], tables.devices()

        turns, devices = await self._rows.read(work)
        return {
            device: _line(device, [t for t in turns if t.device == device], devices, now)
            for device in {t.device for t in turns if t.device} | set(devices)
        }

    async def beat(self, now: datetime) -> None:
        """Say that this process lives."""
        await self._rows.write(lambda tables: tables.put_beat(self._executor, _stamp(now)))

    async def stale(self, now: datetime, after: timedelta) -> list[str]:
        """The processes that were silent for so long, and those of which only turns are left."""

        def work(tables: Tables) -> list[str]:
            beats, oldest = tables.beats(), _stamp(now - after)
            known = {row["executor"] for row in tables.turns()} | set(beats)
            return sorted(e for e in known if not e.endswith(_CLAIMED) and beats.get(e, 0) < oldest)

        return await self._rows.read(work)

    async def claim(self, executor: str, now: datetime, after: timedelta) -> bool:
        """Become the one who takes up what a dead process had; True for one caller.

        A claim is good for as long as `after`: if the claimer dies too, another may follow.
        """
        own = executor + _CLAIMED

        def work(tables: Tables) -> bool:
            if tables.beats().get(own, 0) > _stamp(now - after):
                return False
            tables.put_beat(own, _stamp(now))
            return True

        return await self._rows.write(work)

    async def bury(self, executor: str) -> None:
        """Forget a dead process, after all that it had was taken up."""

        def work(tables: Tables) -> None:
            tables.drop_executor(executor)
            tables.drop_executor(executor + _CLAIMED)

        await self._rows.write(work)

    async def request(
        self, caller: str, request_id: str, fingerprint: str, job_id: str, now: datetime
    ) -> tuple[str, str]:
        """The job and the fingerprint that this request_id stands for; these, where it is new."""

        def work(tables: Tables) -> tuple[str, str]:
            known = tables.request(caller, request_id)
            if known is None:
                tables.put_request(
                    caller=caller,
                    request_id=request_id,
                    job_id=job_id,
                    fingerprint=fingerprint,
                    made=_stamp(now),
                )
            return known or (job_id, fingerprint)

        return await self._rows.write(work)

    async def forget(self, before: datetime) -> int:
        """Forget older request_ids; how many there were."""
        return await self._rows.write(lambda tables: tables.drop_requests_before(_stamp(before)))

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next call of another method reopens."""
        await self._rows.aclose()


def choose(waiting: Sequence[Turn], loaded: str, streak: int, now: datetime) -> Turn:
    """Who is next. `waiting` is not empty; `streak` counts the loaded model's runs in a row.

    The highest priority goes first. Among equals the loaded model does, at most STREAK_CAP times
    while others wait; else the model with the most pressure: ten seconds for each of its jobs that
    waits, and the seconds that the oldest has waited.
    """
    first = max(turn.priority for turn in waiting)
    by_model: dict[str, list[Turn]] = {}
    for turn in sorted(waiting, key=lambda t: (t.joined, t.job_id)):
        if turn.priority == first:
            by_model.setdefault(turn.model, []).append(turn)
    others = [model for model in by_model if model != loaded]
    if loaded in by_model and (streak < STREAK_CAP or not others):
        return by_model[loaded][0]

    def pressure(model: str) -> float:
        age = (_stamp(now) - by_model[model][0].joined) / _MICROSECONDS
        return PRESSURE_PER_JOB * len(by_model[model]) + age

    return by_model[max(others, key=pressure)][0]


def _grant(tables: Tables, device: str, now: datetime) -> str | None:
    turns = [Turn(**row) for row in tables.turns(device=device)] if device else []
    waiting = [t for t in turns if t.state == "waiting" and not t.cancel]
    if not waiting or any(t.state == "running" for t in turns):
        return None
    loaded, streak = tables.devices().get(device, ("", 0))
    chosen = choose(waiting, loaded, streak, now)
    tables.change_turn(chosen.job_id, state="running", granted=_stamp(now))
    tables.put_device(device, chosen.model, streak + 1 if chosen.model == loaded else 1)
    return chosen.job_id


def _line(
    device: str, turns: Sequence[Turn], devices: Mapping[str, tuple[str, int]], now: datetime
) -> Line:
    running = [t for t in turns if t.state == "running"]
    waiting = [t for t in turns if t.state == "waiting"]
    left = [t.seconds - (_stamp(now) - t.granted) / _MICROSECONDS for t in running]
    return Line(
        device=device,
        running=len(running),
        waiting=len(waiting),
        seconds=sum(max(0.0, seconds) for seconds in left) + sum(t.seconds for t in waiting),
        model=devices.get(device, ("", 0))[0],
    )


def _stamp(moment: datetime) -> int:
    from ziggie_image_mcp import database_engine

    return database_engine.stamp(moment)
