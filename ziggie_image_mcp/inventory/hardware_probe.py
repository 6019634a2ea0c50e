"""Tell what this machine can do: GPUs, memory, processor, disk.

Run on Linux without a GPU. NVIDIA, AMD, Intel, macOS and Windows are unverified: written after the
vendors' interfaces and tried against stand-ins only.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import anyio

from ziggie_image_mcp.errors import duration
from ziggie_image_mcp.inventory.hardware_sources import (
    GIB,
    Finding,
    Source,
    default_sources,
    machine_type,
)
from ziggie_image_mcp.inventory.types import Gpu, Hardware, Tier

T = TypeVar("T")

UNIFIED_SHARE = 0.7
"""An assumption: what a model may take of memory that processor and GPU share."""

REPORTED_SHARE = 0.93
"""What cards report, at the least, of the memory they are sold with: an L4 or A10 of 24 GB, with
ECC on, shows 22.5 GiB."""

DEADLINE = 1.8
"""Seconds. With the start of the threads and the merge, a probe stays under two."""

TIERS: tuple[tuple[float, Tier], ...] = (
    (24 * GIB, "professional"),
    (12 * GIB, "recommended"),
    (8 * GIB, "budget"),
)


async def probe(
    disk_path: Path,
    *,
    sources: Mapping[str, Source] | None = None,
    deadline: float = DEADLINE,
) -> Hardware:
    """Look at this machine once. Never raises; what could not be told is None, with a note.

    Args:
        disk_path: Where pictures will be kept; it need not exist yet.
        sources: Who is asked, under the name that a note gives it; the earlier wins.
        deadline: Seconds for all sources together. One that hangs is left out, in its thread.
    """
    chosen = default_sources(disk_path) if sources is None else sources
    answers = {name: asyncio.wrap_future(_ask(name, source)) for name, source in chosen.items()}
    try:
        if answers:
            await asyncio.wait(answers.values(), timeout=deadline)
        findings = [
            answer.result()
            if answer.done()
            else Finding(notes=(f"{name} did not answer within {duration(deadline)}.",))
            for name, answer in answers.items()
        ]
    finally:
        for answer in answers.values():
            answer.cancel()
    return Hardware(
        os=_system(),
        machine=machine_type(),
        cpu=_first(f.cpu for f in findings),
        cpu_cores=_first(f.cpu_cores for f in findings),
        ram_total=_first(f.ram_total for f in findings),
        ram_available=_first(f.ram_available for f in findings),
        disk_free=_first(f.disk_free for f in findings),
        gpus=tuple(gpu for f in findings for gpu in f.gpus),
        notes=tuple(note for f in findings for note in f.notes),
    )


NEED_MARGIN = 1.15
"""What a need of memory is multiplied with: estimates leave out fragmentation and work space."""


def tier(hardware: Hardware) -> Tier:
    """Say what class of machine this is, by its best GPU, in the source report's words."""
    sizes = [size for gpu in hardware.gpus if (size := _nominal(gpu, hardware)) is not None]
    return tier_of(max(sizes, default=0.0))


def tier_of(best: float) -> Tier:
    """The class of a machine whose best GPU was sold with so many bytes of memory."""
    for minimum, name in TIERS:
        if best >= minimum:
            return name
    return "below_minimum" if best > 0 else "cpu"


def gpu_memory(hardware: Hardware) -> int | None:
    """Count the bytes that one model could have on one GPU now; None when it cannot be told."""
    sizes = [size for gpu in hardware.gpus if (size := usable_memory(gpu, hardware)) is not None]
    return max(sizes, default=None)


def torch_device(gpu: Gpu, hardware: Hardware) -> str:
    """What torch calls a GPU, as cuda:1; empty where it would not see it.

    ROCm's torch says cuda too: beside an NVIDIA card an AMD one is taken for one that it lacks.
    """
    index = gpu.index if gpu.torch_index is None else gpu.torch_index
    if index < 0:
        return ""
    if gpu.vendor == "amd":
        has_cuda = any(other.vendor == "nvidia" for other in hardware.gpus)
        return "" if has_cuda or hardware.os == "Windows" else f"cuda:{index}"
    kinds = {"nvidia": f"cuda:{index}", "apple": "mps", "intel": f"xpu:{index}"}
    return kinds.get(gpu.vendor, "")


def _ask(name: str, source: Source) -> Future[Finding]:
    """Run a source in a thread of its own."""
    answer: Future[Finding] = Future()
    # Running from the start, so that giving up on the answer does not disturb the thread.
    answer.set_running_or_notify_cancel()

    def run() -> None:
        try:
            finding = source()
        except Exception as e:
            finding = Finding(notes=(f"{name} could not be read: {type(e).__name__}: {e}.",))
        answer.set_result(finding)

    try:
        # A pool would wait for a thread that hangs when the program ends; a daemon is left behind.
        threading.Thread(target=run, name=f"probe {name}", daemon=True).start()
    except RuntimeError as e:
        answer.set_result(Finding(notes=(f"{name} was not asked: {e}.",)))
    return answer


def _nominal(gpu: Gpu, hardware: Hardware) -> float | None:
    """Guess the memory that the GPU was sold with, which is what tiers speak of."""
    if gpu.unified_memory:
        return None if hardware.ram_total is None else hardware.ram_total * UNIFIED_SHARE
    return None if gpu.vram_total is None else gpu.vram_total / REPORTED_SHARE


def usable_memory(gpu: Gpu, hardware: Hardware) -> int | None:
    """Count the bytes that one model could have on this GPU now; None when it cannot be told.

    What other programs hold there is not among them.
    """
    if gpu.unified_memory:
        ram = hardware.ram_available if hardware.ram_available is not None else hardware.ram_total
        return None if ram is None else int(ram * UNIFIED_SHARE)
    return gpu.vram_free if gpu.vram_free is not None else gpu.vram_total


def _system() -> str:
    return {"darwin": "Darwin", "win32": "Windows"}.get(sys.platform, sys.platform.capitalize())


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)


FRESH_SECONDS = 3.0
"""How long one look at the hardware serves: as long as a survey, which tells what workers hold."""


class HardwareCache:
    """The latest look at this machine, taken by one asker for all.

    Args:
        probe: Looks.
        clock: Gives seconds that only go up.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[Hardware]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._latest: tuple[float, Hardware] | None = None
        self._lock = anyio.Lock()

    async def take(self) -> Hardware:
        """This machine, as of a few seconds ago at most."""
        async with self._lock:
            if self._latest is None or self._clock() - self._latest[0] > FRESH_SECONDS:
                hardware = await self._probe()
                self._latest = (self._clock(), hardware)
            return self._latest[1]
