from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from ziggie_image_mcp import hardware
from ziggie_image_mcp.hardware import Finding, gpu_memory, probe, tier
from ziggie_image_mcp.types import Gpu, Hardware

GIB = 2**30
MIB = 2**20
HAS_GRAPHICS = (
    sys.platform != "linux"
    or any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))
    or any(Path("/sys/class/drm").glob("card*"))
)


def card(total: int | None, free: int | None = None) -> Gpu:
    return Gpu(name="card", vendor="nvidia", vram_total=total, vram_free=free)


def machine(*gpus: Gpu, ram: int | None = None, available: int | None = None) -> Hardware:
    return Hardware(os="X", machine="x", gpus=gpus, ram_total=ram, ram_available=available)


APPLE = Gpu(name="Apple M9", vendor="apple", unified_memory=True)


@pytest.mark.parametrize(
    ("vram", "name"),
    [
        (80 * GIB, "professional"),
        (24564 * MIB, "professional"),  # RTX 4090
        (int(23.6 * GIB), "professional"),
        (23034 * MIB, "professional"),  # L4: sold with 24 GB
        (22 * GIB, "recommended"),
        (16 * GIB, "recommended"),
        (12282 * MIB, "recommended"),  # RTX 4070
        (11264 * MIB, "budget"),  # RTX 2080 Ti: sold with 11 GB
        (8188 * MIB, "budget"),  # RTX 4060
        (6 * GIB, "below_minimum"),
        (1, "below_minimum"),
        (0, "cpu"),
        (None, "cpu"),
    ],
)
def test_the_tier_follows_the_memory_a_card_was_sold_with(vram: int | None, name: str) -> None:
    assert tier(machine(card(vram))) == name


@pytest.mark.parametrize(
    ("ram", "name"),
    [
        (None, "cpu"),
        (8 * GIB, "below_minimum"),
        (16 * GIB, "budget"),
        (24 * GIB, "recommended"),
        (32 * GIB, "recommended"),
        (36 * GIB, "professional"),
    ],
)
def test_unified_memory_counts_in_part(ram: int | None, name: str) -> None:
    assert tier(machine(APPLE, ram=ram)) == name


def test_a_machine_without_a_gpu_is_of_the_cpu_tier() -> None:
    assert tier(machine(ram=512 * GIB)) == "cpu"


def test_the_best_gpu_decides_the_tier() -> None:
    assert tier(machine(card(None), card(4 * GIB), card(24 * GIB))) == "professional"


@pytest.mark.parametrize(
    ("seen", "usable"),
    [
        (machine(), None),
        (machine(card(None)), None),
        (machine(card(24, 5)), 5),
        (machine(card(24, 0)), 0),
        (machine(card(24)), 24),
        (machine(card(24, 2), card(12, 11)), 11),
        (machine(APPLE, ram=2000, available=1000), 700),
        (machine(APPLE, ram=2000), 1400),
        (machine(APPLE), None),
    ],
)
def test_gpu_memory_is_what_one_model_could_have_now(seen: Hardware, usable: int | None) -> None:
    assert gpu_memory(seen) == usable


async def test_the_answers_are_merged_and_the_earlier_wins(tmp_path: Path) -> None:
    sources = {
        "A": lambda: Finding(cpu="first", gpus=(card(1),), notes=("a",)),
        "B": lambda: Finding(cpu="second", ram_total=2, gpus=(card(3),), notes=("b",)),
    }

    seen = await probe(tmp_path, sources=sources)

    assert (seen.cpu, seen.ram_total, seen.disk_free) == ("first", 2, None)
    assert seen.gpus == (card(1), card(3))
    assert seen.notes == ("a", "b")


async def test_a_source_that_hangs_is_left_out(tmp_path: Path) -> None:
    release = threading.Event()

    def hang() -> Finding:
        release.wait()
        return Finding(cpu="too late")

    started = time.monotonic()
    try:
        sources = {"The slow bus": hang, "The memory": lambda: Finding(ram_total=1)}
        seen = await probe(tmp_path, sources=sources, deadline=0.2)
    finally:
        release.set()

    assert time.monotonic() - started < 2
    assert (seen.cpu, seen.ram_total) == (None, 1)
    assert seen.notes == ("The slow bus did not answer within 0.2 s.",)


async def test_a_source_that_raises_leaves_a_note(tmp_path: Path) -> None:
    def fail() -> Finding:
        raise OSError("no such bus")

    sources = {"The bus": fail, "The memory": lambda: Finding(ram_total=1)}
    seen = await probe(tmp_path, sources=sources)

    assert seen.ram_total == 1
    assert seen.notes == ("The bus could not be read: OSError: no such bus.",)


async def test_a_probe_that_asks_nobody_knows_nothing(tmp_path: Path) -> None:
    seen = await probe(tmp_path, sources={})

    assert seen == Hardware(os=seen.os, machine=seen.machine)


async def test_this_machine_tells_its_memory_processor_and_disk(tmp_path: Path) -> None:
    seen = await probe(tmp_path / "not" / "made" / "yet")

    assert seen.os
    assert seen.machine
    assert seen.ram_total is not None
    assert seen.ram_available is not None
    assert 0 < seen.ram_available <= seen.ram_total
    assert seen.cpu_cores
    assert seen.disk_free


@pytest.mark.skipif(HAS_GRAPHICS, reason="this machine has a graphics device")
async def test_no_gpu_is_no_failure(tmp_path: Path) -> None:
    seen = await probe(tmp_path)

    assert seen.gpus == ()
    assert seen.notes == ()
    assert tier(seen) == "cpu"


def test_importing_and_probing_loads_neither_torch_nor_psutil_early() -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from ziggie_image_mcp.hardware import probe\n"
        "assert not {'psutil', 'pynvml', 'torch'} & set(sys.modules)\n"
        "asyncio.run(probe(pathlib.Path()))\n"
        "assert 'psutil' in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )

    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)

    assert done.returncode == 0


class NvmlError(Exception):
    def __init__(self, value: int, message: str = "") -> None:
        super().__init__(message)
        self.value = value


def nvml(
    *cards: tuple[str, int, int] | NvmlError, init: NvmlError | None = None
) -> SimpleNamespace:
    """Stand in for pynvml; a card is (name, total, free) or the error that it gives."""
    stand_in = SimpleNamespace(
        NVMLError=NvmlError,
        NVML_ERROR_LIBRARY_NOT_FOUND=12,
        NVML_ERROR_DRIVER_NOT_LOADED=9,
        shut=0,
        nvmlSystemGetDriverVersion=lambda: "570.1",
        nvmlDeviceGetCount=lambda: len(cards),
        nvmlDeviceGetHandleByIndex=cards.__getitem__,
    )

    def initialise() -> None:
        if init is not None:
            raise init

    def name(handle: tuple[str, int, int] | NvmlError) -> str:
        if isinstance(handle, NvmlError):
            raise handle
        return handle[0]

    def memory(handle: tuple[str, int, int]) -> SimpleNamespace:
        return SimpleNamespace(total=handle[1], free=handle[2])

    def shutdown() -> None:
        stand_in.shut += 1

    stand_in.nvmlInit = initialise
    stand_in.nvmlDeviceGetName = name
    stand_in.nvmlDeviceGetMemoryInfo = memory
    stand_in.nvmlShutdown = shutdown
    return stand_in


def test_one_lost_nvidia_card_does_not_hide_the_other() -> None:
    driver = nvml(NvmlError(15, "GPU is lost"), ("RTX 4090", 24, 20))

    found = hardware.nvidia(driver)

    lost, good = found.gpus
    assert (lost.name, lost.vram_total) == ("NVIDIA GPU", None)
    assert good == Gpu(
        name="RTX 4090", vendor="nvidia", index=1, vram_total=24, vram_free=20, driver="570.1"
    )
    assert found.notes == ("NVIDIA GPU 0 does not tell its memory: GPU is lost.",)
    assert driver.shut == 1


@pytest.mark.parametrize("code", [12, 9])
def test_no_nvidia_driver_is_no_failure(code: int) -> None:
    assert hardware.nvidia(nvml(init=NvmlError(code))) == Finding()


def test_a_broken_nvidia_driver_leaves_a_note() -> None:
    found = hardware.nvidia(nvml(init=NvmlError(18, "Driver/library version mismatch")))

    assert found.gpus == ()
    assert found.notes == ("The NVIDIA driver cannot be used: Driver/library version mismatch.",)


def sysfs(root: Path, card: str, **files: str) -> None:
    device = root / card / "device"
    device.mkdir(parents=True)
    for name, text in files.items():
        (device / name).write_text(f"{text}\n", encoding="utf-8")


def test_amd_and_intel_cards_are_read_from_sysfs(tmp_path: Path) -> None:
    amd = {"vendor": "0x1002", "device": "0x744c"}
    sysfs(tmp_path, "card10", **amd)
    sysfs(tmp_path, "card1", **amd, mem_info_vram_total="24", mem_info_vram_used="4")
    sysfs(tmp_path, "card2", vendor="0x8086", device="0x56a0")
    sysfs(tmp_path, "card0", vendor="0x10de", device="0x2684")
    sysfs(tmp_path, "card1-DP-1", **amd)
    sysfs(tmp_path, "card3")

    found = hardware.drm(tmp_path)

    assert found.gpus == (
        Gpu(name="AMD GPU 0x744c", vendor="amd", vram_total=24, vram_free=20),
        Gpu(name="Intel GPU 0x56a0", vendor="intel"),
        Gpu(name="AMD GPU 0x744c", vendor="amd", index=1),
    )
    assert found.notes == ("The AMD GPU card10 does not tell its memory.",)


def test_an_apple_chip_shares_the_ram() -> None:
    found = hardware.apple(lambda: "17179869184\nApple M2 Pro\n")

    assert found == Finding(
        cpu="Apple M2 Pro",
        ram_total=16 * GIB,
        gpus=(Gpu(name="Apple M2 Pro", vendor="apple", unified_memory=True),),
    )


def test_a_mac_without_an_apple_chip_says_that_its_card_was_not_looked_for() -> None:
    found = hardware.apple(lambda: "17179869184\nIntel(R) Core(TM) i9\n")

    assert found.gpus == ()
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    ("name", "vendor"),
    [("AMD Radeon RX 7900 XTX", "amd"), ("Intel(R) Arc(TM) A770", "intel"), ("Adreno", "unknown")],
)
@pytest.mark.parametrize("size", [16 * GIB, (16 * GIB).to_bytes(8, "little")])
def test_windows_adapters_are_told_by_their_name(
    name: str, vendor: Literal["amd", "intel", "unknown"], size: int | bytes
) -> None:
    found = hardware.windows(lambda: [(name, size)])

    assert found.gpus == (Gpu(name=name, vendor=vendor, vram_total=16 * GIB),)
    assert len(found.notes) == 1


def test_windows_leaves_nvidia_to_its_driver_and_skips_what_is_no_card() -> None:
    found = hardware.windows(
        lambda: [("NVIDIA GeForce RTX 4090", 24 * GIB), ("Microsoft Basic Display Adapter", None)]
    )

    assert found == Finding()


def test_the_processor_is_named_by_the_kernel(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast Chip 9\n", encoding="utf-8")

    found = hardware.processor(cpuinfo)

    assert found.cpu == "Fast Chip 9"
    assert found.cpu_cores
