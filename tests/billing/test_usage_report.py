"""Pictures by route: what is added up, what is assumed, and what it is compared with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from ziggie_image_mcp.billing import payback, usage_report
from ziggie_image_mcp.billing.types import Hold, HoldState
from ziggie_image_mcp.billing.usage_report import Offer, PictureCount, Power

TODAY = date(2026, 11, 23)
POWER = Power(watts=360.0, source="given by you", usd_per_kwh=0.5)
LOCAL = PictureCount(
    day=TODAY,
    provider="comfyui",
    model="sdxl",
    where="own_network",
    task="text_to_image",
    width=1024,
    height=1024,
    pictures=4,
    timed=4,
    seconds=100.0,
)
PAID = replace(
    LOCAL, provider="openai", model="gpt-image-2", where="vendor", pictures=1, timed=1, seconds=9.0
)


def hold(state: HoldState, amount: int, model: str = "gpt-image-2") -> Hold:
    return Hold(
        id="x",
        provider="openai",
        model=model,
        images=1,
        estimate=amount,
        actual=amount if state == "settled" else None,
        state=state,
        remote_id="",
        created=datetime(2026, 11, 23, 12, tzinfo=UTC),
        owner="me",
    )


def price(count: PictureCount) -> Offer | None:
    if count.task != "text_to_image":
        return None
    return Offer(route="bfl/klein" if count.width < 1024 else "fal/flux", micro_usd=10_000)


def test_each_route_has_its_seconds_electricity_charges_and_the_cheapest_offer() -> None:
    counts = [
        LOCAL,
        replace(LOCAL, width=512, pictures=7, timed=0, seconds=0.0),
        replace(LOCAL, task="inpaint", pictures=1, timed=1, seconds=20.0),
        replace(LOCAL, day=TODAY - timedelta(days=1), pictures=1, timed=1, seconds=16.0),
        PAID,
    ]
    holds = [
        hold("settled", 30_000),
        hold("unknown", 50_000),
        hold("released", 70_000),
        hold("settled", 1_000, model="gone"),
    ]

    lines = usage_report.daily_lines(counts, holds, POWER, price)
    local, paid, gone = usage_report.by_route(lines)

    assert [(line.day, line.model, line.pictures) for line in lines] == [
        (TODAY - timedelta(days=1), "sdxl", 1),
        (TODAY, "sdxl", 12),
        (TODAY, "gone", 0),
        (TODAY, "gpt-image-2", 1),
    ]
    assert (local.pictures, local.timed, local.seconds, local.unpriced) == (13, 6, 136.0, 1)
    assert local.kwh == pytest.approx(0.0136)
    assert local.electricity_usd == pytest.approx(0.0068)
    assert local.cheapest_usd == pytest.approx(0.12)
    assert list(local.cheapest.items()) == [("bfl/klein", 7), ("fal/flux", 5)]
    assert (paid.local, paid.kwh, paid.paid_usd, paid.cheapest_usd) == (False, 0.0, 0.08, 0.01)
    assert (gone.pictures, gone.paid_usd) == (0, 0.001)
    assert usage_report.total(lines).paid_usd == pytest.approx(0.081)


def test_all_pictures_count_for_the_break_even_at_the_price_of_those_that_have_one() -> None:
    counts = [
        replace(LOCAL, day=TODAY - timedelta(days=4), pictures=9),
        replace(LOCAL, task="upscale", pictures=1),
    ]
    lines = usage_report.daily_lines(counts, [], POWER, price)

    used = usage_report.average(lines, TODAY - timedelta(days=29), TODAY)
    none = usage_report.average(lines[1:], TODAY, TODAY)

    assert used == payback.Usage(
        days=5, active_days=2, pictures=10, pictures_a_day=2.0, usd_per_picture=0.01
    )
    assert none is None, "no vendor makes what was made"
    assert payback.advise(used, subject="Your pictures").text.startswith(
        "Your pictures: 2 a day at $0.01, $0.60 a month"
    )


@pytest.mark.parametrize(
    ("gpus", "watts", "drawn", "source"),
    [
        ([], None, 65.0, "assumed for a machine without a GPU"),
        (["NVIDIA GeForce RTX 3060"], None, 170.0, "NVIDIA GeForce RTX 3060: its board power"),
        (["NVIDIA GeForce RTX 4090"], None, 450.0, "its board power"),
        (
            ["NVIDIA GeForce RTX 4070 Ti"],
            None,
            200.0,
            "not known; assumed as of an RTX 4070",
        ),
        (["Radeon RX 7900"], None, 200.0, "Radeon RX 7900: not known; assumed as of an RTX 4070"),
        (["NVIDIA GeForce RTX 4090"], 300.0, 300.0, "given by you"),
    ],
)
def test_it_is_said_what_the_watts_are_known_by(
    gpus: list[str], watts: float | None, drawn: float, source: str
) -> None:
    power = usage_report.power_of(gpus, watts=watts, usd_per_kwh=0.2)

    assert power.watts == drawn
    assert power.source.endswith(source)


def test_costs_add_up_by_day() -> None:
    counts = [LOCAL, replace(LOCAL, day=TODAY - timedelta(days=2))]
    lines = usage_report.daily_lines(counts, [hold("settled", 30_000)], POWER, price)

    own, vendor = usage_report.cumulative(lines, [TODAY - timedelta(days=n) for n in (2, 1, 0)])

    assert own == pytest.approx([0.005, 0.005, 0.04])
    assert vendor == pytest.approx([0.04, 0.04, 0.08])
