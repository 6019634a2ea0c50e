from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ziggie_image_mcp.billing import payback
from ziggie_image_mcp.billing.payback import SETUPS, Setup, Usage
from ziggie_image_mcp.billing.types import Hold, HoldState

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
GPUS = (400, 600, 800, 1200, 1600, 2150)

# policy.md 2.9: pictures a day, electricity a month, months for each price of GPUS
GRID = """
10    10  never never never never never never
10    20  never never never never never never
10    30  never never never never never never
50    10  20.0 30.0 40.0 60.0 80.0 107.5
50    20  40.0 60.0 80.0 120.0 160.0 215.0
50    30  never never never never never never
200   10  3.6 5.5 7.3 10.9 14.5 19.5
200   20  4.0 6.0 8.0 12.0 16.0 21.5
200   30  4.4 6.7 8.9 13.3 17.8 23.9
1000  10  0.7 1.0 1.4 2.0 2.7 3.6
1000  20  0.7 1.0 1.4 2.1 2.8 3.7
1000  30  0.7 1.1 1.4 2.1 2.8 3.8
"""


def hold(
    ago: int, *, images: int = 1, actual: int | None = 30_000, state: HoldState = "settled"
) -> Hold:
    return Hold(
        id="x",
        provider="openai",
        model="m",
        images=images,
        estimate=40_000,
        actual=actual,
        state=state,
        remote_id="",
        created=NOW - timedelta(days=ago),
        owner="host:1:0",
    )


def use(pictures_a_day: float, usd_per_picture: float = 0.02) -> Usage:
    return Usage(
        days=30,
        active_days=30,
        pictures=int(30 * pictures_a_day),
        pictures_a_day=pictures_a_day,
        usd_per_picture=usd_per_picture,
    )


@pytest.mark.parametrize("line", GRID.strip().splitlines())
def test_the_reference_grid_is_reproduced(line: str) -> None:
    pictures, electricity, *expected = line.split()

    found = [
        payback.months(
            gpu_usd=gpu,
            pictures_a_day=int(pictures),
            usd_per_picture=0.02,
            electricity_usd=int(electricity),
        )
        for gpu in GPUS
    ]

    assert [payback.months_text(m) for m in found] == expected


@pytest.mark.parametrize("cloud", [29.99, 30.0, 30.0 + 1e-12])
def test_a_saving_of_nothing_pays_never(cloud: float) -> None:
    found = payback.months(
        gpu_usd=400, pictures_a_day=1, usd_per_picture=cloud / 30, electricity_usd=30
    )

    assert found is None


@pytest.mark.parametrize(
    ("watts", "seconds", "each", "monthly"),
    [(170, 6, 0.00004, 1.27), (350, 8, 0.00012, 3.50), (450, 20, 0.00038, 11.25)],
)
def test_marginal_electricity_as_in_the_reference(
    watts: float, seconds: float, each: float, monthly: float
) -> None:
    found = payback.picture_usd(watts=watts, seconds=seconds, usd_per_kwh=0.15)

    assert found == pytest.approx(each, abs=0.0000051)
    assert found * 30 * 1000 == pytest.approx(monthly, abs=0.006)


def test_without_a_paid_picture_there_is_no_usage() -> None:
    holds = [hold(0, state="released"), hold(0, state="unknown"), hold(45)]

    assert payback.usage(holds, NOW) is None


@pytest.mark.parametrize(
    ("ago", "days", "active"),
    [
        ((0,), 1, 1),
        ((4, 4, 0), 5, 2),
        ((29, 3), 30, 2),
        ((45, 3), 30, 1),  # not new: the days without a picture count
    ],
)
def test_usage_is_averaged_over_the_days_since_the_first_picture(
    ago: tuple[int, ...], days: int, active: int
) -> None:
    found = payback.usage([hold(n, images=3) for n in ago], NOW)

    recent = 3 * sum(n < 30 for n in ago)
    assert found == Usage(
        days=days,
        active_days=active,
        pictures=recent,
        pictures_a_day=recent / days,
        usd_per_picture=0.01,
    )


def test_own_use_gives_one_row_for_each_setup() -> None:
    found = payback.advise(use(200))

    assert [(p.setup, payback.span(p.best, p.worst)) for p in found.paybacks] == [
        ("budget", "3.6 to 6.1"),
        ("recommended", "6.2 to 8.7"),
        ("professional", "15.9 to 23.9"),
    ]
    assert "200 a day at $0.02, $120.00 a month" in found.text
    assert "budget ($400-550): 3.6 to 6.1;" in found.text


def test_a_cloud_cheaper_than_electricity_is_said_to_win_always() -> None:
    found = payback.advise(use(10))

    assert {(p.best, p.worst) for p in found.paybacks} == {(None, None)}
    assert "would never pay" in found.text


def test_electricity_of_the_pictures_alone_is_told_apart() -> None:
    (row, *_) = payback.advise(use(50)).paybacks

    assert row.marginal_usd_per_picture == pytest.approx(170 * 9 / 3.6e6 * 0.15)
    assert row.marginal_usd == pytest.approx(1500 * row.marginal_usd_per_picture)
    assert row.marginal_best == pytest.approx(400 / (30 - row.marginal_usd))
    assert row.worst is None


def test_without_usage_the_reports_assumption_stands_in_and_is_named() -> None:
    found = payback.advise(None)

    assert found.usage is None
    assert [p.pictures_a_day for p in found.paybacks] == [10] * 3 + [50] * 3 + [200] * 3 + [
        1000
    ] * 3
    assert "the report's assumption, $0.02 a picture" in found.text
    assert "10 a day: never; 50 a day: 20.0 to never; 200 a day: 3.6 to 23.9" in found.text


def test_every_setup_says_where_its_figures_are_from() -> None:
    assert [(s.low_usd, s.high_usd) for s in SETUPS] == [(400, 550), (680, 780), (1750, 2150)]
    for setup in SETUPS:
        assert "report" in setup.source
        assert setup.date == "2025-11"
        assert "unverified" in setup.power_source


@pytest.mark.parametrize(
    ("gpu_usd", "watts", "names", "drawn"),
    [
        (None, None, ["budget", "recommended", "professional"], [170, 200, 450]),
        (None, 99, ["budget", "recommended", "professional"], [99, 99, 99]),
        (999, 99, ["yours", "budget", "recommended", "professional"], [99, 170, 200, 450]),
        (999, None, ["yours", "budget", "recommended", "professional"], [200, 170, 200, 450]),
    ],
)
def test_own_figures_stand_beside_the_reports(
    gpu_usd: float | None, watts: float | None, names: list[str], drawn: list[float]
) -> None:
    found: tuple[Setup, ...] = payback.own_setups(gpu_usd=gpu_usd, watts=watts)

    assert [s.name for s in found] == names
    assert [s.watts for s in found] == drawn
    assert found[0].low_usd == (gpu_usd or 400)


def test_figures_of_the_user_and_of_others_are_told_apart() -> None:
    both = payback.own_setups(gpu_usd=999, watts=99, seconds=1)[0]
    one = payback.own_setups(gpu_usd=999, watts=99)[0]
    none = payback.own_setups(gpu_usd=999)[0]

    assert both.power_source == "given by you"
    assert one.power_source.startswith("RTX 4070: in part given by you, else board power")
    assert none.power_source.startswith("RTX 4070: board power")


def test_costs_add_up_over_three_years() -> None:
    cloud, budget, *_ = payback.cumulative(payback.advise(use(50)))

    assert len(cloud.usd) == 37
    assert cloud.usd[:2] == pytest.approx((0, 30))
    assert budget.usd[:2] == pytest.approx((475, 495))
    assert "50 a day at $0.02" in cloud.label


@pytest.mark.parametrize(
    ("value", "text"), [(0.4, "0.4"), (0.03, "0.03"), (12.52, "12.5"), (1000, "1,000")]
)
def test_counts_read_like_counts(value: float, text: str) -> None:
    assert payback.number(value) == text
