from __future__ import annotations

import pytest

from ziggie_image_mcp.inventory import hardware_probe
from ziggie_image_mcp.inventory.tier_texts import tier_text
from ziggie_image_mcp.inventory.types import Gpu, Hardware

GB = 10**9


def machine(vram: float, ram: int, *, unified: bool = False) -> Hardware:
    card = Gpu(
        vendor="apple" if unified else "nvidia",
        name="a card",
        index=0,
        vram_total=None if unified else round(vram * GB),
        unified_memory=unified,
    )
    return Hardware(
        os="Darwin" if unified else "Linux",
        machine="arm64",
        ram_total=ram * GB,
        ram_available=ram * GB,
        gpus=(card,) if vram else (),
    )


@pytest.mark.parametrize(
    ("vram", "ram", "text"),
    [
        (0, 3, "no GPU found: there is too little RAM for a real model"),
        (0, 4, "no GPU found: a picture takes about 10 min (Stable Diffusion 1.5) or longer"),
        (2, 16, "GPU under 8 GB: layer by layer only, or quantised files"),
        (6, 8, "GPU under 8 GB: Stable Diffusion 1.5 whole"),
    ],
)
def test_a_small_machine_is_told_what_it_can(vram: float, ram: int, text: str) -> None:
    found = machine(vram, ram)

    assert tier_text(hardware_probe.tier(found), found) == text


def test_a_text_names_only_what_fits() -> None:
    small, large = (tier_text("recommended", machine(gb, 64)) for gb in (12, 16))

    assert "PixArt-Sigma" not in small.partition(" whole")[0]
    assert "PixArt-Sigma" in large.partition(" whole")[0]
    assert "Z-Image Turbo" not in small
    assert "Z-Image Turbo" in large.partition(" whole")[2]


def test_parts_wait_only_where_main_memory_holds_them() -> None:
    assert "Z-Image Turbo" in tier_text("recommended", machine(16, 32))
    assert "Z-Image Turbo" not in tier_text("recommended", machine(16, 16))


def test_in_shared_memory_nothing_waits_in_parts() -> None:
    found = machine(1, 32, unified=True)

    assert "in parts" not in tier_text(hardware_probe.tier(found), found)
