from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from ziggie_image_mcp.billing import spend_report
from ziggie_image_mcp.billing.caps import Caps, WindowCaps
from ziggie_image_mcp.billing.spend_report import Allowance, Amounts
from ziggie_image_mcp.billing.types import Hold, HoldState, Spending

TODAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def hold(
    state: HoldState = "settled",
    *,
    provider: str = "openai",
    ago: int = 0,
    images: int = 1,
    estimate: int = 40_000,
    actual: int | None = None,
) -> Hold:
    return Hold(
        id="x",
        provider=provider,
        model="m",
        images=images,
        estimate=estimate,
        actual=actual,
        state=state,
        remote_id="",
        created=NOON - timedelta(days=ago),
        owner="host:1:0",
    )


@pytest.mark.parametrize(
    ("one", "amounts"),
    [
        (hold("settled", images=2, actual=35_000), Amounts(pictures=2, settled=35_000)),
        (hold("settled", actual=0), Amounts(pictures=1)),
        (hold("reserved"), Amounts(held=40_000)),
        (hold("submitted"), Amounts(held=40_000)),
        (hold("unknown"), Amounts(unknown=40_000)),
    ],
)
def test_each_state_counts_where_it_belongs(one: Hold, amounts: Amounts) -> None:
    found = spend_report.summarize([one], today=TODAY, days=30)

    assert [row.amounts for row in found.rows] == [amounts]
    assert found.total == amounts


def test_what_was_released_makes_no_row() -> None:
    found = spend_report.summarize([hold("released")], today=TODAY, days=30)

    assert found.rows == ()
    assert found.total == Amounts()


def test_rows_go_by_day_and_provider_with_the_newest_day_first() -> None:
    holds = [
        hold(provider="replicate", ago=1, actual=3_000),
        hold(provider="openai", ago=0, actual=40_000),
        hold(provider="openai", ago=1, actual=20_000),
        hold(provider="openai", ago=1, actual=1_000),
    ]

    found = spend_report.summarize(holds, today=TODAY, days=30)

    assert [(f"{r.day:%d}", r.provider, r.amounts.settled) for r in found.rows] == [
        ("23", "openai", 40_000),
        ("22", "openai", 21_000),
        ("22", "replicate", 3_000),
    ]
    assert found.total == Amounts(pictures=4, settled=64_000)


def test_the_window_ends_today_and_has_as_many_days_as_asked() -> None:
    holds = [hold(ago=n, actual=1) for n in range(10)]

    found = spend_report.summarize(holds, today=TODAY, days=3)

    assert (found.first, found.last) == (date(2026, 11, 21), TODAY)
    assert found.total.settled == 3
    assert spend_report.first_moment(TODAY, 3) == datetime(2026, 11, 21, tzinfo=UTC)


def test_a_day_is_a_day_in_utc() -> None:
    east = timezone(timedelta(hours=9))
    late = replace(hold(actual=1), created=datetime(2026, 11, 23, 8, tzinfo=east))

    (row,) = spend_report.summarize([late], today=TODAY, days=30).rows

    assert row.day == date(2026, 11, 22)


def test_daily_counts_unknown_as_spent_and_leaves_no_day_out() -> None:
    holds = [
        hold(ago=2, actual=10),
        hold("unknown", ago=2, estimate=5),
        hold("reserved", ago=1, estimate=7),
        hold(provider="replicate", actual=3),
    ]

    found = spend_report.summarize(holds, today=TODAY, days=4).groups

    assert {group.name: group.daily for group in found} == {
        "openai": (0, 15, 0, 0),
        "replicate": (0, 0, 0, 3),
    }


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("provider", [("replicate", 500), ("openai", 111)]),
        ("model", [("replicate/m", 500), ("openai/dear", 100), ("openai/m", 11)]),
        ("day", [("2026-11-23", 501), ("2026-11-22", 110)]),
    ],
)
def test_amounts_are_added_up_by_what_is_asked(
    by: spend_report.By, groups: list[tuple[str, int]]
) -> None:
    holds = [
        hold(actual=1),
        hold(ago=1, actual=10),
        replace(hold(ago=1, actual=100), model="dear"),
        hold("unknown", provider="replicate", estimate=500),
        hold("released", provider="bfl"),
    ]

    found = spend_report.summarize(holds, today=TODAY, days=30, by=by)

    assert [(group.name, sum(group.daily)) for group in found.groups] == groups
    assert [g.amounts.settled + g.amounts.unknown for g in found.groups] == [n for _, n in groups]


def test_left_is_never_below_nothing_and_provider_caps_have_their_own_rows() -> None:
    caps = Caps(
        per_image=50_000,
        per_day=100_000,
        per_provider={"openai": WindowCaps(per_month=1_000_000), "free": WindowCaps()},
    )
    spending = Spending(day=120_000, month=300_000, by_provider_month={"openai": 200_000})

    assert spend_report.allowances(caps, spending) == (
        Allowance(setting="budget.perImage", cap=50_000),
        Allowance(setting="budget.perDay", cap=100_000, used=120_000, left=0),
        Allowance(setting="budget.perMonth", cap=None, used=300_000, left=None),
        Allowance(
            setting="providers.openai.budget.perMonth", cap=1_000_000, used=200_000, left=800_000
        ),
    )
