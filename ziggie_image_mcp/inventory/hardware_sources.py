"""Ask the operating system and the drivers about this machine, one function per source."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ziggie_image_mcp.inventory.types import Gpu

GIB = 2**30


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
        match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8"), re.M)
        name = match[1].strip() if match else name
    return Finding(cpu=name, cpu_cores=psutil.cpu_count(logical=False) or psutil.cpu_count())


def disk(path: Path) -> Finding:
    """Ask psutil for the space left where `path` is, or will be."""
    import psutil

    return Finding(disk_free=psutil.disk_usage(str(existing(path))).free)


def existing(path: Path) -> Path:
    """The nearest of a path and the folders above it that exists, for asking of its disk."""
    absolute = path.absolute()
    return next((p for p in (absolute, *absolute.parents) if p.exists()), absolute)


def nvidia(nvml: Any = None, environment: Mapping[str, str] = os.environ) -> Finding:
    """Ask NVML for the NVIDIA cards.

    The index is the driver's, in the order of the bus; CUDA counts so only with
    CUDA_DEVICE_ORDER=PCI_BUS_ID, as the worker of diffusers is told. CUDA_VISIBLE_DEVICES hides
    cards from CUDA and numbers the others anew; the driver counts on.
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
        visible = environment.get("CUDA_VISIBLE_DEVICES")
        for index in range(nvml.nvmlDeviceGetCount()):
            name, total, free, uuid = "NVIDIA GPU", None, None, ""
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                name = str(nvml.nvmlDeviceGetName(handle))
                uuid = "" if visible is None else str(nvml.nvmlDeviceGetUUID(handle))
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
                    torch_index=None if visible is None else cuda_index(index, uuid, visible),
                )
            )
        return Finding(gpus=tuple(gpus), notes=tuple(notes))
    finally:
        nvml.nvmlShutdown()


def cuda_index(index: int, uuid: str, visible: str) -> int:
    """The number of a card among those that CUDA_VISIBLE_DEVICES names; -1: it is hidden.

    A name is a number or the beginning of a UUID. CUDA reads no further than the first that is
    neither.
    """
    for place, name in enumerate(name.strip() for name in visible.split(",")):
        if name.isdecimal():
            if int(name) == index:
                return place
        elif not name.startswith("GPU-"):
            return -1
        elif uuid.startswith(name):
            return place
    return -1


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

    rows: list[tuple[str, int | bytes | None]] = []
    path = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as displays:
        names = [winreg.EnumKey(displays, i) for i in range(winreg.QueryInfoKey(displays)[0])]
        for name in filter(str.isdecimal, names):
            with winreg.OpenKey(displays, name) as adapter:
                try:
                    size = winreg.QueryValueEx(adapter, "HardwareInformation.qwMemorySize")[0]
                except FileNotFoundError:
                    size = None
                rows.append((winreg.QueryValueEx(adapter, "DriverDesc")[0], size))
    return rows


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


def _vendor(name: str) -> Literal["nvidia", "amd", "intel", "unknown"]:
    words = name.lower()
    if "nvidia" in words:
        return "nvidia"
    if "amd" in words or "radeon" in words:
        return "amd"
    return "intel" if "intel" in words else "unknown"


def machine_type() -> str:
    """The processor's architecture, as x86_64."""
    # Not platform.machine(): on Windows it may ask WMI, which can hang.
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_ARCHITECTURE", "unknown")
    return os.uname().machine if hasattr(os, "uname") else "unknown"


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _line(path)
    return int(text) if text is not None and text.isdecimal() else None
