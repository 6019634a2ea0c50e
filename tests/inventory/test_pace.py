"""Seconds for every class of card, and what is known of cards by name."""

from __future__ import annotations

from typing import Literal

import pytest

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.inventory import cards, hardware_probe, pace
from ziggie_image_mcp.inventory.model_facts import entries
from ziggie_image_mcp.inventory.types import Gpu, Hardware

GIB = 2**30


def test_every_row_has_seconds_for_every_class_and_a_faster_card_is_never_slower() -> None:
    for entry in entries():
        seconds = [pace.entry_seconds(entry, cards.class_speed(c)) for c in pace.CLASSES]

        assert seconds == sorted(seconds, reverse=True), entry.id
        assert seconds[-1] > 0, entry.id


def test_known_figures_win() -> None:
    for entry in entries():
        for tier in set(pace.CLASSES) & set(entry.seconds):
            speed = cards.class_speed(tier)

            assert pace.entry_seconds(entry, speed) == pytest.approx(entry.seconds[tier])


def test_a_model_without_figures_takes_the_pace_of_its_family() -> None:
    known = {e.id: e for e in entries()}
    sdxl, playground = known["sdxl-base"], known["playground-v2.5"]

    expected = pace.beside_steps(playground) + 3.5 * pace.work(playground) / pace.work(sdxl)
    assert not playground.seconds
    assert pace.entry_seconds(playground, 1.0) == pytest.approx(expected)


def test_a_card_has_the_speed_of_its_name_and_not_of_its_memory() -> None:
    card = Gpu(name="NVIDIA GeForce RTX 3060", vendor="nvidia", vram_total=12 * GIB)
    machine = Hardware(os="Linux", machine="x86_64", gpus=(card,))
    tier = hardware_probe.tier(machine)

    assert tier == "recommended"
    assert pace.prior_seconds(
        "sd_xl_base_1.0.safetensors", cards.speed_of(machine, tier)
    ) == pytest.approx(9)


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti SUPER"),
        ("NVIDIA GeForce RTX 4070 SUPER", "RTX 4070 SUPER"),
        ("rtx4070ti", "RTX 4070 Ti"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("AMD Radeon RX 7900 XTX", "RX 7900 XTX"),
        ("Apple M3 Max", "Apple M3 Max"),
        ("NVIDIA RTX 4000 Ada Generation", None),
        ("Quadro P400", None),
    ],
)
def test_a_card_is_known_by_what_drivers_and_people_call_it(name: str, card: str | None) -> None:
    known = cards.card_named(name)

    assert (known and known.name) == card


@pytest.mark.parametrize(("vendor", "share"), [("amd", 0.6), ("apple", 0.15), ("intel", 0.4)])
def test_a_card_that_nobody_knows_has_the_share_of_its_vendor(
    vendor: Literal["amd", "apple", "intel"], share: float
) -> None:
    gpu = Gpu(name="Nobody's", vendor=vendor, vram_total=16 * GIB)
    machine = Hardware(os="Linux", machine="x86_64", gpus=(gpu,))

    assert cards.speed_of(machine, "recommended") == pytest.approx(share)


def test_every_card_named_whole_is_that_card() -> None:
    for card in cards.cards():
        assert cards.card_named(card.name) == card
        assert card.source
        assert card.speed > cards.class_speed("cpu")


def test_a_machine_reports_the_memory_that_its_card_would() -> None:
    machine = cards.machine_named("RTX 4060 Ti 16GB", 64, "Windows")
    apple = cards.machine_named("Apple M3 Max 36GB")

    assert hardware_probe.tier(machine) == "recommended"
    assert (machine.os, machine.ram_total) == ("Windows", 64 * GIB)
    assert (apple.os, apple.ram_total, apple.gpus[0].unified_memory) == ("Darwin", 36 * GIB, True)
    assert cards.machine_named("cpu").gpus == ()


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("4070 super", "RTX 4070 SUPER"),
        ("4090", "RTX 4090"),
        ("m3 max 64GB", "Apple M3 Max"),
        ("7900 XTX", "RX 7900 XTX"),
        ("1080ti", "GTX 1080 Ti"),
    ],
)
def test_a_card_may_be_named_without_its_series(name: str, card: str) -> None:
    assert cards.machine_named(name).gpus[0].name == card


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("RTX 4071", "known cards near it: RTX 4070"),
        ("RTX 4090 12GB", "RTX 4090 is sold with 24 GB"),
        ("two RTX 3090", "as RTX 3090, without 'two'"),
        ("RTX 4070 laptop", "without 'laptop'"),
        ("Apple M3 Max 0GB", "above 0"),
        ("RTX 4090 24000GB", "RTX 4090 is sold with 24 GB"),
        ("RTX 3060 10GB", "RTX 3060 is sold with 12 GB or 8 GB"),
        ("", "known cards near it"),
    ],
)
def test_a_card_that_is_not_is_refused_with_those_near_it(name: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match="--on") as refused:
        cards.machine_named(name)

    assert says in str(refused.value)
