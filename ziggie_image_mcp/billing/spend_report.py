"""Add up the ledger's holds by day, provider and model, beside what the caps still allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.types import Hold, Spending

By = Literal["provider", "model", "day"]
"""What the amounts are added up by."""


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What some attempts came to, 1e-6 USD. Settled and unknown count as spent, held does not."""

    pictures: int = 0
    """Those of settled attempts: paid for and delivered."""
    settled: int = 0
    held: int = 0
    unknown: int = 0

    def as_data(self) -> dict[str, float]:
        """The same in US dollars, as plain data."""
        return {
            "pictures": self.pictures,
            "settled_usd": self.settled / 1e6,
            "held_usd": self.held / 1e6,
            "unknown_usd": self.unknown / 1e6,
        }


@dataclass(frozen=True, kw_only=True)
class Row:
    """One provider on one day (UTC)."""

    day: date
    provider: str
    amounts: Amounts


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """One cap of the config. `used` and `left` are None for a cap on a single picture."""

    setting: str
    cap: int | None
    used: int | None = None
    left: int | None = None

    def as_data(self) -> dict[str, str | float | None]:
        """The same in US dollars, as plain data."""
        amounts = {"cap_usd": self.cap, "used_usd": self.used, "left_usd": self.left}
        return {
            "setting": self.setting,
            **{name: None if micro is None else micro / 1e6 for name, micro in amounts.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Group:
    """All that belongs together, by provider, model or day."""

    name: str
    """As openai, openai/gpt-image-2, or 2026-11-23."""
    amounts: Amounts
    daily: tuple[int, ...]
    """What was spent on each day of the window, oldest first."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What was spent from the first to the last day, both included."""

    first: date
    last: date
    rows: tuple[Row, ...]
    """Newest day first."""
    groups: tuple[Group, ...]
    """By what was asked: days the newest first, all else the dearest first."""
    total: Amounts


def first_moment(today: date, days: int) -> datetime:
    """When the window of `days` days that ends today begins."""
    return datetime.combine(today - timedelta(days=days - 1), time(), UTC)


def summarize(holds: Iterable[Hold], *, today: date, days: int, by: By = "provider") -> Summary:
    """Add up the holds of the window. A hold belongs to the day on which it was made."""
    first = first_moment(today, days).date()
    inside = [h for h in holds if first <= _day(h) <= today and h.state != "released"]
    by_row: dict[tuple[date, str], list[Hold]] = {}
    by_name: dict[str, list[Hold]] = {}
    for hold in inside:
        day = _day(hold)
        by_row.setdefault((day, hold.provider), []).append(hold)
        names = {"provider": hold.provider, "model": f"{hold.provider}/{hold.model}"}
        by_name.setdefault(names.get(by) or day.isoformat(), []).append(hold)
    order = sorted(by_row, key=lambda key: (-key[0].toordinal(), key[1]))
    groups = [
        Group(name=name, amounts=_add(some), daily=_daily(some, first, today))
        for name, some in sorted(by_name.items(), reverse=by == "day")
    ]
    if by != "day":
        groups.sort(key=lambda group: -sum(group.daily))
    return Summary(
        first=first,
        last=today,
        rows=tuple(Row(day=key[0], provider=key[1], amounts=_add(by_row[key])) for key in order),
        groups=tuple(groups),
        total=_add(inside),
    )


def _day(hold: Hold) -> date:
    return hold.created.astimezone(UTC).date()


def _daily(holds: Iterable[Hold], first: date, last: date) -> tuple[int, ...]:
    amounts = [0] * ((last - first).days + 1)
    for hold in holds:
        amounts[(_day(hold) - first).days] += spent(hold)
    return tuple(amounts)


def spent(hold: Hold) -> int:
    """What a hold counts as spent: of an unknown outcome, all that was set aside."""
    return {"settled": hold.actual or 0, "unknown": hold.estimate}.get(hold.state, 0)


def allowances(caps: Caps, spending: Spending) -> tuple[Allowance, ...]:
    """What each cap still allows in the current day and month."""
    rows = [
        Allowance(setting="budget.perImage", cap=caps.per_image),
        _allowance("budget.perDay", caps.per_day, spending.day),
        _allowance("budget.perMonth", caps.per_month, spending.month),
    ]
    for name, own in caps.per_provider.items():
        for setting, cap, used in (
            ("perDay", own.per_day, spending.by_provider_day),
            ("perMonth", own.per_month, spending.by_provider_month),
        ):
            if cap is not None:
                rows.append(_allowance(f"providers.{name}.budget.{setting}", cap, _of(used, name)))
    return tuple(rows)


def _of(amounts: Mapping[str, int], provider: str) -> int:
    return amounts.get(provider, 0)


def _allowance(setting: str, cap: int | None, used: int) -> Allowance:
    rest = None if cap is None else max(0, cap - used)
    return Allowance(setting=setting, cap=cap, used=used, left=rest)


def _add(holds: Iterable[Hold]) -> Amounts:
    some: Sequence[Hold] = list(holds)
    settled = [h for h in some if h.state == "settled"]
    return Amounts(
        pictures=sum(h.images for h in settled),
        settled=sum(h.actual or 0 for h in settled),
        held=sum(h.estimate for h in some if h.state in ("reserved", "submitted")),
        unknown=sum(h.estimate for h in some if h.state == "unknown"),
    )
