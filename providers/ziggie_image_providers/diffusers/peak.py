"""Tell the most memory that this process has used, and what there is for it. Imports torch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers.light_imports import import_libraries

torch, _, _ = import_libraries()

CONTEXT_BYTES = 400_000_000
"""An assumption: what the driver takes on a GPU for a process, beside torch's own memory."""

OWN = Path("/proc/self")
_RESET_PEAK = "5"
"""What sets back the high-water mark of a process's memory (proc(5), clear_refs)."""


def restart_peak(device: str) -> None:
    """Measure from now on."""
    if (backend := _gpu(device)) is not None:
        backend.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # not Linux: then nothing is told either
        (OWN / "clear_refs").write_text(_RESET_PEAK, encoding="utf-8")


def peak_bytes(device: str) -> int | None:
    """The most since then: on a GPU, or of main memory; None where nobody tells."""
    if (backend := _gpu(device)) is not None:
        return int(backend.max_memory_allocated(device)) + CONTEXT_BYTES
    if device != "cpu":
        return None
    with suppress(OSError, ValueError):
        for line in (OWN / "status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def current_room(device: str) -> int | None:
    """What a GPU has for this process, what it holds already included; None where unknown."""
    backend = _gpu(device)
    if backend is None:
        return None
    free, _ = backend.mem_get_info(device)
    return int(free) + int(backend.memory_reserved(device)) + CONTEXT_BYTES


def total_memory(device: str) -> int | None:
    """What a GPU has in all; None where unknown."""
    backend = _gpu(device)
    return None if backend is None else int(backend.mem_get_info(device)[1])


def _gpu(device: str) -> Any:
    """The part of torch that counts the memory of a device; None of the others."""
    kind = device.partition(":")[0]
    return getattr(torch, kind) if kind in ("cuda", "xpu") else None
