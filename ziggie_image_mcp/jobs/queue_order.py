"""Say who is next on a device, and how long a newcomer waits there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from ziggie_image_mcp.routing.types import QueueStatus

if TYPE_CHECKING:
    from ziggie_image_mcp.jobs.device_queue_tables import Tables

STREAK_CAP = 20
"""So many jobs of one model in a row, and then another model goes first."""

PRESSURE_PER_JOB = 10.0
"""What a waiting job weighs, in seconds of waiting (SwarmUI's rule, reference/policy.md 2.4)."""

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class QueueEntry:
    """One job in the queue. Times are microseconds since 1970, UTC."""

    job_id: str
    executor: str
    """The lease of the process that runs it."""
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


def choose(waiting: Sequence[QueueEntry], loaded: str, streak: int, now: datetime) -> QueueEntry:
    """Who is next. `waiting` is not empty; `streak` counts the loaded model's runs in a row.

    The highest priority goes first. Among equals the loaded model does, at most STREAK_CAP times
    while others wait; else the model with the most pressure: ten seconds for each of its jobs that
    waits, and the seconds that the oldest has waited.
    """
    first = max(entry.priority for entry in waiting)
    by_model: dict[str, list[QueueEntry]] = {}
    for entry in sorted(waiting, key=lambda e: (e.joined, e.job_id)):
        if entry.priority == first:
            by_model.setdefault(entry.model, []).append(entry)
    others = [model for model in by_model if model != loaded]
    if loaded in by_model and (streak < STREAK_CAP or not others):
        return by_model[loaded][0]

    def pressure(model: str) -> float:
        age = (stamp(now) - by_model[model][0].joined) / _MICROSECONDS
        return PRESSURE_PER_JOB * len(by_model[model]) + age

    return by_model[max(others, key=pressure)][0]


def grant_next(tables: Tables, device: str, now: datetime, room: float) -> str | None:
    """Let one of those that wait run, where fewer run than there is room for."""
    entries = [QueueEntry(**row) for row in tables.entries(device=device)] if device else []
    waiting = [e for e in entries if e.state == "waiting" and not e.cancel]
    if not waiting or sum(e.state == "running" for e in entries) >= room:
        return None
    loaded, streak = tables.devices().get(device, ("", 0))
    chosen = choose(waiting, loaded, streak, now)
    tables.change_entry(chosen.job_id, state="running", granted=stamp(now))
    tables.put_device(device, chosen.model, streak + 1 if chosen.model == loaded else 1)
    return chosen.job_id


def _status(
    device: str,
    entries: Sequence[QueueEntry],
    devices: Mapping[str, tuple[str, int]],
    now: datetime,
    is_own: Callable[[str], bool],
    room: float,
) -> QueueStatus:
    running = [e for e in entries if e.state == "running"]
    waiting = [e for e in entries if e.state == "waiting"]
    free = len(running) + len(waiting) < room
    remaining = [e.seconds - (stamp(now) - e.granted) / _MICROSECONDS for e in running]
    return QueueStatus(
        device=device,
        running=len(running),
        waiting=len(waiting),
        seconds=0.0
        if free
        else (sum(max(0.0, left) for left in remaining) + sum(e.seconds for e in waiting)) / room,
        model=devices.get(device, ("", 0))[0],
        own_models=frozenset(
            e.model for e in (*running, *waiting) if e.model and is_own(e.executor)
        ),
    )


def statuses(
    tables: Tables,
    now: datetime,
    is_own: Callable[[str], bool],
    room: Callable[[str], float],
) -> dict[str, QueueStatus]:
    """Who waits for which device, of all hosts."""
    by_device: dict[str, list[QueueEntry]] = {}
    for row in tables.entries():
        entry = QueueEntry(**row)
        if entry.device:
            by_device.setdefault(entry.device, []).append(entry)
    devices = tables.devices()
    return {
        device: _status(device, by_device.get(device, []), devices, now, is_own, room(device))
        for device in by_device.keys() | devices.keys()
    }


def stamp(moment: datetime) -> int:
    """A moment as the tables have it."""
    from ziggie_image_mcp.storage import engine as database_engine

    return database_engine.stamp(moment)
