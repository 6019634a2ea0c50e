"""Count the processors that work in this process may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says what a container may use."""


def usable_processors(quota: Path = QUOTA) -> int:
    """The cores that this process may run on, within its container's limit.

    Two threads of one core count once.
    """
    return max(1, min(_cores(), _allowed(quota)))


def _cores() -> int:
    import psutil

    logical = psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    usable = logical
    if sys.platform != "win32" and hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    return min(usable, physical)


def _allowed(quota: Path) -> int:
    """The processors that a container allows; many where it names no limit."""
    try:
        most, period = quota.read_text(encoding="ascii").split()
        return max(1, round(int(most) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return os.cpu_count() or 1
