"""The sources of hardware facts: each vendor's interface, by stand-ins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from ziggie_image_mcp.inventory import hardware_sources
from ziggie_image_mcp.inventory.hardware_sources import Finding, cuda_index
from ziggie_image_mcp.inventory.types import Gpu

GIB = 2**30


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

    def uuid(handle: tuple[str, int, int]) -> str:
        return f"GPU-{handle[0]}"

    def shutdown() -> None:
        stand_in.shut += 1

    stand_in.nvmlInit = initialise
    stand_in.nvmlDeviceGetName = name
    stand_in.nvmlDeviceGetMemoryInfo = memory
    stand_in.nvmlDeviceGetUUID = uuid
    stand_in.nvmlShutdown = shutdown
    return stand_in


def test_one_lost_nvidia_card_does_not_hide_the_other() -> None:
    driver = nvml(NvmlError(15, "GPU is lost"), ("RTX 4090", 24, 20))

    found = hardware_sources.nvidia(driver)

    lost, good = found.gpus
    assert (lost.name, lost.vram_total) == ("NVIDIA GPU", None)
    assert good == Gpu(
        name="RTX 4090", vendor="nvidia", index=1, vram_total=24, vram_free=20, driver="570.1"
    )
    assert found.notes == ("NVIDIA GPU 0 does not tell its memory: GPU is lost.",)
    assert driver.shut == 1


@pytest.mark.parametrize("code", [12, 9])
def test_no_nvidia_driver_is_no_failure(code: int) -> None:
    assert hardware_sources.nvidia(nvml(init=NvmlError(code))) == Finding()


def test_a_broken_nvidia_driver_leaves_a_note() -> None:
    found = hardware_sources.nvidia(nvml(init=NvmlError(18, "Driver/library version mismatch")))

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

    found = hardware_sources.drm(tmp_path)

    assert found.gpus == (
        Gpu(name="AMD GPU 0x744c", vendor="amd", vram_total=24, vram_free=20),
        Gpu(name="Intel GPU 0x56a0", vendor="intel"),
        Gpu(name="AMD GPU 0x744c", vendor="amd", index=1),
    )
    assert found.notes == ("The AMD GPU card10 does not tell its memory.",)


def test_an_apple_chip_shares_the_ram() -> None:
    found = hardware_sources.apple(lambda: "17179869184\nApple M2 Pro\n")

    assert found == Finding(
        cpu="Apple M2 Pro",
        ram_total=16 * GIB,
        gpus=(Gpu(name="Apple M2 Pro", vendor="apple", unified_memory=True),),
    )


def test_a_mac_without_an_apple_chip_says_that_its_card_was_not_looked_for() -> None:
    found = hardware_sources.apple(lambda: "17179869184\nIntel(R) Core(TM) i9\n")

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
    found = hardware_sources.windows(lambda: [(name, size)])

    assert found.gpus == (Gpu(name=name, vendor=vendor, vram_total=16 * GIB),)
    assert len(found.notes) == 1


def test_windows_leaves_nvidia_to_its_driver_and_skips_what_is_no_card() -> None:
    found = hardware_sources.windows(
        lambda: [("NVIDIA GeForce RTX 4090", 24 * GIB), ("Microsoft Basic Display Adapter", None)]
    )

    assert found == Finding()


def test_the_processor_is_named_by_the_kernel(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast Chip 9\n", encoding="utf-8")

    found = hardware_sources.processor(cpuinfo)

    assert found.cpu == "Fast Chip 9"
    assert found.cpu_cores


@pytest.mark.parametrize(
    ("visible", "places"),
    [
        ("0,1", [0, 1]),
        ("1", [-1, 0]),
        ("1,0", [1, 0]),
        (" 1 , 0", [1, 0]),
        ("", [-1, -1]),
        ("-1", [-1, -1]),
        ("0,-1,1", [0, -1]),
        ("GPU-b", [-1, 0]),
        ("GPU-bb7c,GPU-aa11", [1, 0]),
    ],
)
def test_cards_are_numbered_as_cuda_does_among_those_that_are_visible(
    visible: str, places: list[int]
) -> None:
    assert [cuda_index(0, "GPU-aa11", visible), cuda_index(1, "GPU-bb7c", visible)] == places


def test_a_card_that_cuda_does_not_see_is_listed_all_the_same() -> None:
    driver = nvml(("old", 8, 8), ("new", 24, 20))

    gpus = hardware_sources.nvidia(driver, {"CUDA_VISIBLE_DEVICES": "GPU-new"}).gpus

    assert [(gpu.index, gpu.torch_index) for gpu in gpus] == [(0, -1), (1, 0)]
