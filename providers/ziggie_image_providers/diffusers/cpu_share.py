"""Take a fair share of the processor, whatever else runs on the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ziggie_image_mcp.provider.processors import QUOTA, usable_processors

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Threads that wait sleep: those that spin starve each other as soon as another process works."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

SMALL_BYTES = 256 * 10**6
"""Of weights. The steps of a smaller model take less time than it takes to share them out."""

NICENESS = 2
"""Of work on the processor: what people do meanwhile comes first, and this still gets its part."""


def waiting(own: Mapping[str, str]) -> dict[str, str]:
    """The variables that say how threads wait; none where the user has set one of them."""
    return {} if WAITING.keys() & own.keys() else dict(WAITING)


def thread_count(
    weight_bytes: int | None, own: Mapping[str, str], *, quota: Path = QUOTA
) -> int | None:
    """How many threads work on a model; None where the user has said so in the environment."""
    if any(own.get(name) for name in THREADS):
        return None
    if weight_bytes is not None and weight_bytes < SMALL_BYTES:
        return 1
    return usable_processors(quota)


def be_nice() -> None:
    """Let others go first, unless this process was told already how nice it is."""
    if sys.platform == "win32":
        import psutil

        process = psutil.Process()
        if process.nice() == psutil.NORMAL_PRIORITY_CLASS:
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    elif hasattr(os, "nice") and os.nice(0) == 0:
        os.nice(NICENESS)
