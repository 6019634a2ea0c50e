"""Take a fair share of the processor, whatever else runs on the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Threads that wait sleep: those that spin starve each other as soon as another process works."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

SMALL_BYTES = 256 * 10**6
"""Of weights. The steps of a smaller model take less time than it takes to share them out."""

NICENESS = 2
"""Of work on the processor: what people do meanwhile comes first, and this still gets its part."""

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def waiting(own: Mapping[str, str]) -> dict[str, str]:
    """The variables that say how threads wait; none where the user has set one of them."""
    return {} if WAITING.keys() & own.keys() else dict(WAITING)


def thread_count(
    weight_bytes: int | None, own: Mapping[str, str], *, quota: Path = _QUOTA
) -> int | None:
    """How many threads work on a model; None where the user has said so in the environment."""
    if any(own.get(name) for name in THREADS):
        return None
    if weight_bytes is not None and weight_bytes < SMALL_BYTES:
        return 1
    return max(1, min(_cores(), _allowed(quota)))


def be_nice() -> None:
    """Let others go first, unless this process was told already how nice it is."""
    if hasattr(os, "nice") and os.nice(0) == 0:
        os.nice(NICENESS)


def _cores() -> int:
    """The cores that this process may run on; two threads of one core count once."""
    import psutil

    logical = psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    return min(usable, physical)


def _allowed(quota: Path) -> int:
    """The processors that a container allows; many where it names no limit."""
    try:
        most, period = quota.read_text(encoding="ascii").split()
        return max(1, round(int(most) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return os.cpu_count() or 1
