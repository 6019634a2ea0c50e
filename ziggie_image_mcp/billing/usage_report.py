"""Add up the pictures of each route: seconds, electricity, what was paid, what a vendor would take.

It is advice for a person, never a routing input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date

from ziggie_image_mcp.billing import payback
from ziggie_image_mcp.billing.spend_report import spent
from ziggie_image_mcp.billing.types import Hold
from ziggie_image_mcp.provider.capabilities import Task
from ziggie_image_mcp.provider.nouns import Where

CPU_WATTS = 65.0
"""A desktop processor at work; assumed where the machine has no GPU."""

JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, kw_only=True)
class PictureCount:
    """Pictures of one kind that one route made on one day (UTC)."""

    day: date
    provider: str
    model: str
    where: Where
    task: Task
    width: int
    """As delivered, pixels."""
    height: int
    pictures: int
    timed: int
    """How many of them the seconds are of: of what a dead process began nobody knows the time."""
    seconds: float
    """Of the engine or the vendor, with loading."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What the cheapest vendor takes for one picture."""

    route: str
    """As openai/gpt-image-2."""
    micro_usd: float


Pricing = Callable[[PictureCount], Offer | None]
"""The cheapest offer for one such picture; None where no vendor makes it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one route made on one day, or in the whole time. Dollars and seconds."""

    day: date | None = None
    provider: str = ""
    model: str = ""
    local: bool = False
    pictures: int = 0
    timed: int = 0
    seconds: float = 0.0
    kwh: float = 0.0
    electricity_usd: float = 0.0
    paid_usd: float = 0.0
    """By the ledger, what failed after it was paid for among it."""
    cheapest_usd: float = 0.0
    """What the cheapest vendor would have charged for the same pictures."""
    unpriced: int = 0
    """Pictures that no vendor here would make."""
    cheapest: Mapping[str, int] = field(default_factory=dict[str, int])
    """Which vendors' models those are, each with how many pictures, the most first."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """What an engine draws while it works, and how that is known."""

    watts: float
    source: str
    usd_per_kwh: float


def power_of(gpus: Sequence[str], *, watts: float | None, usd_per_kwh: float) -> Power:
    """The user's own figure, or what is known of the first GPU by its name."""
    source = payback.GIVEN
    if watts is None and not gpus:
        watts, source = CPU_WATTS, "assumed for a machine without a GPU"
    elif watts is None:
        names = {" ".join(setup.gpu.split()[:2]): setup for setup in payback.SETUPS}
        same = next((s for name, s in names.items() if gpus[0].endswith(name)), None)
        setup = same or payback.SETUPS[1]
        why = "its board power" if same else f"not known; assumed as of an {setup.gpu}"
        watts, source = setup.watts, f"{gpus[0]}: {why}"
    return Power(watts=watts, source=source, usd_per_kwh=usd_per_kwh)


def daily_lines(
    counts: Iterable[PictureCount], holds: Iterable[Hold], power: Power, price: Pricing
) -> list[Line]:
    """A line for each route on each day, the oldest first."""
    parts: dict[tuple[date, str, str], list[Line]] = {}
    for count in counts:
        key = count.day, count.provider, count.model
        parts.setdefault(key, []).append(_line_of(count, power, price(count)))
    for hold in holds:
        if hold.state != "released":
            key = hold.created.astimezone(UTC).date(), hold.provider, hold.model
            parts.setdefault(key, []).append(Line(paid_usd=spent(hold) / 1e6))
    return [
        replace(_sum(some), day=day, provider=provider, model=model)
        for (day, provider, model), some in sorted(parts.items())
    ]


def _line_of(count: PictureCount, power: Power, offer: Offer | None) -> Line:
    local = count.where != "vendor"
    kwh = count.seconds * power.watts / JOULES_PER_KWH if local else 0.0
    return Line(
        local=local,
        pictures=count.pictures,
        timed=count.timed,
        seconds=count.seconds,
        kwh=kwh,
        electricity_usd=kwh * power.usd_per_kwh,
        cheapest_usd=offer.micro_usd * count.pictures / 1e6 if offer else 0.0,
        unpriced=0 if offer else count.pictures,
        cheapest={offer.route: count.pictures} if offer else {},
    )


def by_route(lines: Iterable[Line]) -> list[Line]:
    """A line for each route, the one with the most pictures first."""
    routes: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        routes.setdefault((line.provider, line.model), []).append(line)
    added = [
        replace(_sum(some), provider=provider, model=model)
        for (provider, model), some in sorted(routes.items())
    ]
    return sorted(added, key=lambda line: -line.pictures)


def total(lines: Iterable[Line]) -> Line:
    """All of them together."""
    return _sum(list(lines))


def _sum(lines: Sequence[Line]) -> Line:
    pictures = Counter[str]()
    for line in lines:
        pictures.update(line.cheapest)
    return Line(
        local=any(line.local for line in lines),
        pictures=sum(line.pictures for line in lines),
        timed=sum(line.timed for line in lines),
        seconds=sum(line.seconds for line in lines),
        kwh=sum(line.kwh for line in lines),
        electricity_usd=sum(line.electricity_usd for line in lines),
        paid_usd=sum(line.paid_usd for line in lines),
        cheapest_usd=sum(line.cheapest_usd for line in lines),
        unpriced=sum(line.unpriced for line in lines),
        cheapest=dict(pictures.most_common()),
    )


def average(lines: Sequence[Line], first: date, today: date) -> payback.Usage | None:
    """All pictures, free ones too, at what the cheapest vendor takes; None where it takes nothing.

    Averaged from the first day with a picture on.
    """
    days = [line.day for line in lines if line.day is not None and line.pictures]
    added = total(lines)
    with_price = added.pictures - added.unpriced
    if not days or not with_price:
        return None
    length = (today - max(first, min(days))).days + 1
    return payback.Usage(
        days=length,
        active_days=len(set(days)),
        pictures=added.pictures,
        pictures_a_day=added.pictures / length,
        usd_per_picture=added.cheapest_usd / with_price,
    )


def cumulative(lines: Sequence[Line], days: Sequence[date]) -> tuple[list[float], list[float]]:
    """What was paid and drawn, and what the cheapest vendor takes, added up by day."""
    own, vendor, own_total, vendor_total = list[float](), list[float](), 0.0, 0.0
    for day in days:
        added = total(line for line in lines if line.day == day)
        own_total += added.paid_usd + added.electricity_usd
        vendor_total += added.cheapest_usd
        own.append(own_total)
        vendor.append(vendor_total)
    return own, vendor
