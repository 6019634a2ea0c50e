"""Tell what this machine can do: GPUs, memory, processor, disk.

Run on Linux without a GPU. NVIDIA, AMD, Intel, macOS and Windows are unverified: written after the
vendors' interfaces and tried against stand-ins only.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from ziggie_image_mcp.types import Gpu, Hardware, Tier

T = TypeVar("T")

GIB = 2**30

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


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one source knows; the fields are those of `Hardware`."""

    cpu: str | None = None
    cpu_cores: int | None = None
    ram_total: int | None = None
    ram_available: int | None = None
    disk_free: int | None = None
    gpus: tuple[Gpu, ...] = ()
    notes: tuple[str, ...] = ()


Source = Callable[[], Finding]


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
    asked = default_sources(disk_path) if sources is None else sources
    answers = {name: asyncio.wrap_future(_ask(name, source)) for name, source in asked.items()}
    try:
        if answers:
            await asyncio.wait(answers.values(), timeout=deadline)
        found = [
            answer.result()
            if answer.done()
            else Finding(notes=(f"{name} did not answer within {deadline:g} s.",))
            for name, answer in answers.items()
        ]
    finally:
        for answer in answers.values():
            answer.cancel()
    return Hardware(
        os=_system(),
        machine=_machine(),
        cpu=_first(f.cpu for f in found),
        cpu_cores=_first(f.cpu_cores for f in found),
        ram_total=_first(f.ram_total for f in found),
        ram_available=_first(f.ram_available for f in found),
        disk_free=_first(f.disk_free for f in found),
        gpus=tuple(gpu for f in found for gpu in f.gpus),
        notes=tuple(note for f in found for note in f.notes),
    )


def tier(hardware: Hardware) -> Tier:
    """Say what class of machine this is, by its best GPU, in the source report's words."""
    sizes = [size for gpu in hardware.gpus if (size := _nominal(gpu, hardware)) is not None]
    best = max(sizes, default=0.0)
    for minimum, name in TIERS:
        if best >= minimum:
            return name
    return "below_minimum" if best > 0 else "cpu"


def gpu_memory(hardware: Hardware) -> int | None:
    """Count the bytes that one model could have on one GPU now; None when it cannot be told."""
    sizes = [size for gpu in hardware.gpus if (size := _usable(gpu, hardware)) is not None]
    return max(sizes, default=None)


def default_sources(disk_path: Path) -> dict[str, Source]:
    """List whom to ask on this operating system."""
    sources: dict[str, Source] = {
        "The memory": memory,
        "The processor": processor,
        f"The disk of {disk_path}": lambda: disk(disk_path),
    }
    if sys.platform == "darwin":
        return sources | {"sysctl": apple}
    sources["The NVIDIA driver"] = nvidia
    if sys.platform == "win32":
        return sources | {"The registry": windows}
    return sources | {"/sys/class/drm": drm}


def memory() -> Finding:
    """Ask psutil for the RAM."""
    import psutil

    ram = psutil.virtual_memory()
    return Finding(ram_total=ram.total, ram_available=ram.available)


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Finding:
    """Count the physical cores, or the logical ones, and find the processor's name."""
    import psutil

    # Not platform.processor(): it starts a process without a timeout.
    name = os.environ.get("PROCESSOR_IDENTIFIER")
    if cpuinfo.exists():
        told = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8"), re.M)
        name = told[1].strip() if told else name
    return Finding(cpu=name, cpu_cores=psutil.cpu_count(logical=False) or psutil.cpu_count())


def disk(path: Path) -> Finding:
    """Ask psutil for the space left where `path` is, or will be."""
    import psutil

    absolute = path.absolute()
    nearest = next((p for p in (absolute, *absolute.parents) if p.exists()), absolute)
    return Finding(disk_free=psutil.disk_usage(str(nearest)).free)


def nvidia(nvml: Any = None) -> Finding:
    """Ask NVML for the NVIDIA cards.

    The index is the driver's, in the order of the bus; CUDA counts so only with
    CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    if nvml is None:
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as e:
        if e.value in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
            return Finding()
        return Finding(notes=(f"The NVIDIA driver cannot be used: {e}.",))
    try:
        driver = str(nvml.nvmlSystemGetDriverVersion())
        gpus: list[Gpu] = []
        notes: list[str] = []
        for index in range(nvml.nvmlDeviceGetCount()):
            name, total, free = "NVIDIA GPU", None, None
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                name = str(nvml.nvmlDeviceGetName(handle))
                vram = nvml.nvmlDeviceGetMemoryInfo(handle)
                total, free = int(vram.total), int(vram.free)
            except nvml.NVMLError as e:
                notes.append(f"{name} {index} does not tell its memory: {e}.")
            gpus.append(
                Gpu(
                    name=name,
                    vendor="nvidia",
                    index=index,
                    vram_total=total,
                    vram_free=free,
                    driver=driver,
                )
            )
        return Finding(gpus=tuple(gpus), notes=tuple(notes))
    finally:
        nvml.nvmlShutdown()


def drm(root: Path = Path("/sys/class/drm")) -> Finding:
    """Read the AMD and Intel cards of Linux from sysfs. Intel's tell no memory there."""
    gpus: list[Gpu] = []
    notes: list[str] = []
    # "card0" is a card, "card0-DP-1" one of its sockets.
    cards = [card for card in root.glob("card*") if card.name[4:].isdecimal()]
    for card in sorted(cards, key=lambda card: int(card.name[4:])):
        device = card / "device"
        vendor = _line(device / "vendor")
        chip = _line(device / "device") or card.name
        if vendor == "0x1002":
            total = _number(device / "mem_info_vram_total")
            used = _number(device / "mem_info_vram_used")
            gpus.append(
                Gpu(
                    name=_line(device / "product_name") or f"AMD GPU {chip}",
                    vendor="amd",
                    index=sum(gpu.vendor == "amd" for gpu in gpus),
                    vram_total=total,
                    vram_free=None if total is None or used is None else max(0, total - used),
                )
            )
            if total is None:
                notes.append(f"The AMD GPU {card.name} does not tell its memory.")
        elif vendor == "0x8086":
            index = sum(gpu.vendor == "intel" for gpu in gpus)
            gpus.append(Gpu(name=f"Intel GPU {chip}", vendor="intel", index=index))
    return Finding(gpus=tuple(gpus), notes=tuple(notes))


def sysctl() -> str:
    """Ask macOS for the size of the RAM and the name of the chip, one line each."""
    return subprocess.run(
        ["/usr/sbin/sysctl", "-n", "hw.memsize", "machdep.cpu.brand_string"],
        capture_output=True,
        check=True,
        encoding="utf-8",
        timeout=1,
    ).stdout


def apple(ask: Callable[[], str] = sysctl) -> Finding:
    """Read the chip of a Mac. Its GPU has no memory of its own: it takes from the RAM."""
    size, chip = ask().splitlines()[:2]
    if not chip.startswith("Apple"):
        note = "On Macs without an Apple chip, graphics cards are not looked for."
        return Finding(cpu=chip, ram_total=int(size), notes=(note,))
    gpu = Gpu(name=chip, vendor="apple", unified_memory=True)
    return Finding(cpu=chip, ram_total=int(size), gpus=(gpu,))


def adapters() -> Sequence[tuple[str, int | bytes | None]]:
    """Read name and memory of each display adapter from the registry of Windows."""
    if sys.platform != "win32":
        return ()
    import winreg

    found: list[tuple[str, int | bytes | None]] = []
    path = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as displays:
        names = [winreg.EnumKey(displays, i) for i in range(winreg.QueryInfoKey(displays)[0])]
        for name in filter(str.isdecimal, names):
            with winreg.OpenKey(displays, name) as adapter:
                try:
                    size = winreg.QueryValueEx(adapter, "HardwareInformation.qwMemorySize")[0]
                except FileNotFoundError:
                    size = None
                found.append((winreg.QueryValueEx(adapter, "DriverDesc")[0], size))
    return found


def windows(read: Callable[[], Sequence[tuple[str, int | bytes | None]]] = adapters) -> Finding:
    """Tell the display adapters of Windows, without NVIDIA's, which its driver tells better.

    The registry may still list a card that was taken out.
    """
    gpus: list[Gpu] = []
    for name, size in read():
        vendor = _vendor(name)
        total = int.from_bytes(size, "little") if isinstance(size, bytes) else size
        if vendor == "nvidia" or (vendor == "unknown" and not total):
            continue
        index = sum(gpu.vendor == vendor for gpu in gpus)
        gpus.append(Gpu(name=name, vendor=vendor, index=index, vram_total=total))
    notes = ("Free GPU memory is not known for cards that are not NVIDIA's.",) if gpus else ()
    return Finding(gpus=tuple(gpus), notes=notes)


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


def _usable(gpu: Gpu, hardware: Hardware) -> int | None:
    if gpu.unified_memory:
        ram = hardware.ram_available if hardware.ram_available is not None else hardware.ram_total
        return None if ram is None else int(ram * UNIFIED_SHARE)
    return gpu.vram_free if gpu.vram_free is not None else gpu.vram_total


def _vendor(name: str) -> Literal["nvidia", "amd", "intel", "unknown"]:
    words = name.lower()
    if "nvidia" in words:
        return "nvidia"
    if "amd" in words or "radeon" in words:
        return "amd"
    return "intel" if "intel" in words else "unknown"


def _system() -> str:
    return {"darwin": "Darwin", "win32": "Windows"}.get(sys.platform, sys.platform.capitalize())


def _machine() -> str:
    # Not platform.machine(): on Windows it may ask WMI, which can hang.
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_ARCHITECTURE", "unknown")
    return os.uname().machine


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _line(path)
    return int(text) if text is not None and text.isdecimal() else None


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)
