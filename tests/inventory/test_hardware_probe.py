"""Probing the hardware: the tier, the answers of many sources, and the cache of the latest."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from ziggie_image_mcp.inventory.hardware_probe import (
    HardwareCache,
    gpu_memory,
    probe,
    tier,
    torch_device,
)
from ziggie_image_mcp.inventory.hardware_sources import Finding
from ziggie_image_mcp.inventory.types import Gpu, Hardware

GIB = 2**30
MIB = 2**20
HAS_GRAPHICS = (
    sys.platform != "linux"
    or any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))
    or any(Path("/sys/class/drm").glob("card*"))
)


NVIDIA = Gpu(name="RTX", vendor="nvidia")
AMD = Gpu(name="Radeon", vendor="amd")


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
        "from ziggie_image_mcp.inventory.hardware_probe import probe\n"
        "assert not {'psutil', 'pynvml', 'torch'} & set(sys.modules)\n"
        "asyncio.run(probe(pathlib.Path()))\n"
        "assert 'psutil' in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )

    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)

    assert done.returncode == 0


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Probe:
    """Counts how often it looks; each look takes a while."""

    looks = 0

    async def __call__(self) -> Hardware:
        self.looks += 1
        await anyio.sleep(0)
        return machine(ram=self.looks)


async def test_many_askers_at_once_share_one_look_at_the_hardware() -> None:
    look = Probe()
    hardware = HardwareCache(look)
    seen: list[Hardware] = []

    async def ask() -> None:
        seen.append(await hardware.take())

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)

    assert look.looks == 1
    assert seen == [machine(ram=1)] * 20


@pytest.mark.parametrize(("seconds", "looks"), [(0.0, 1), (2.9, 1), (3.1, 2)])
async def test_a_look_at_the_hardware_serves_for_three_seconds(seconds: float, looks: int) -> None:
    look, clock = Probe(), Clock()
    hardware = HardwareCache(look, clock)

    await hardware.take()
    clock.now += seconds
    await hardware.take()

    assert look.looks == looks


@pytest.mark.parametrize(
    ("gpus", "os", "names"),
    [
        ([NVIDIA, replace(NVIDIA, index=1)], "Linux", ["cuda:0", "cuda:1"]),
        ([replace(NVIDIA, index=1, torch_index=0)], "Linux", ["cuda:0"]),
        ([replace(NVIDIA, torch_index=-1)], "Linux", [""]),
        ([AMD], "Linux", ["cuda:0"]),
        ([AMD], "Windows", [""]),
        ([AMD, NVIDIA], "Linux", ["", "cuda:0"]),
        ([APPLE], "Darwin", ["mps"]),
        ([Gpu(name="Arc", vendor="intel", index=1)], "Linux", ["xpu:1"]),
    ],
)
def test_a_gpu_is_named_as_torch_names_it(gpus: list[Gpu], os: str, names: list[str]) -> None:
    seen = Hardware(os=os, machine="x", gpus=tuple(gpus))

    assert [torch_device(gpu, seen) for gpu in seen.gpus] == names
