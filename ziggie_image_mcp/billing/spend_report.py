"""Add up the ledger's holds by day and provider, beside what the caps still allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.types import Hold, Spending


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What some attempts came to, 1e-6 USD. Settled and unknown count as spent, held does not."""

    pictures: int = 0
    """Those of settled attempts: paid for and delivered."""
    settled: int = 0
    held: int = 0
    unknown: int = 0


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


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What was spent from the first to the last day, both included."""

    first: date
    last: date
    rows: tuple[Row, ...]
    """Newest day first."""
    total: Amounts


def first_moment(today: date, days: int) -> datetime:
    """When the window of `days` days that ends today begins."""
    return datetime.combine(today - timedelta(days=days - 1), time(), UTC)


def summarize(holds: Iterable[Hold], *, today: date, days: int) -> Summary:
    """Add up the holds of the window. A hold belongs to the day on which it was made."""
    first = first_moment(today, days).date()
    amounts_by_key: dict[tuple[date, str], list[Hold]] = {}
    for hold in holds:
        day = hold.created.astimezone(UTC).date()
        if first <= day <= today and hold.state != "released":
            amounts_by_key.setdefault((day, hold.provider), []).append(hold)
    order = sorted(amounts_by_key, key=lambda key: (-key[0].toordinal(), key[1]))
    return Summary(
        first=first,
        last=today,
        rows=tuple(
            Row(day=key[0], provider=key[1], amounts=_add(amounts_by_key[key])) for key in order
        ),
        total=_add(hold for some in amounts_by_key.values() for hold in some),
    )


def by_day(summary: Summary) -> dict[str, list[int]]:
    """What each provider was paid on each day of the window, oldest first, 1e-6 USD."""
    length = (summary.last - summary.first).days + 1
    amounts_by_key: dict[str, list[int]] = {
        name: [0] * length for name in sorted({row.provider for row in summary.rows})
    }
    for row in summary.rows:
        spent = row.amounts.settled + row.amounts.unknown
        amounts_by_key[row.provider][(row.day - summary.first).days] += spent
    return amounts_by_key


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
