"""Count the processes that Linux has killed for want of memory, to tell such an end from others."""

from __future__ import annotations

import re
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")

_COUNTER = re.compile(r"^oom_kill (\d+)$", re.M)


def count_oom_kills(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """How many the kernel has killed so far among the processes that share our memory limit.

    Where the control group does not tell, among all of this machine. None where nothing tells: on
    other systems, and on kernels before 4.13. Programs that kill before the kernel would (earlyoom,
    systemd-oomd) are not counted.

    Args:
        proc: Where the kernel tells of processes.
        cgroups: Where the control groups are mounted.
    """
    own = _own_groups(proc / "self" / "cgroup")
    files: list[Path] = []
    if (group := own.get("")) is not None:  # version 2; a container sees its own as the root
        files += [cgroups / group / "memory.events", cgroups / "memory.events"]
    if (group := own.get("memory")) is not None:  # version 1
        mount = cgroups / "memory"
        files += [mount / group / "memory.oom_control", mount / "memory.oom_control"]
    counts = (_counter(file) for file in (*files, proc / "vmstat"))
    return next((count for count in counts if count is not None), None)


def _own_groups(file: Path) -> dict[str, str]:
    """The control group of this process in each hierarchy, by the controllers of that one."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    groups: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        groups |= {name: path.strip("/") for name in controllers.split(",")}
    return groups


def _counter(file: Path) -> int | None:
    try:
        match = _COUNTER.search(file.read_text(encoding="utf-8"))
    except OSError:
        return None
    return int(match[1]) if match else None
