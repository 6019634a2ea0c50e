"""Say after how many months a GPU would have paid for itself.

It is advice for a person, never a routing input: a GPU that is already there costs no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ziggie_image_mcp.billing.types import Hold

DAYS_A_MONTH = 30
USAGE_DAYS = 30
"""Over how many days usage is averaged."""
LOOK_BACK_DAYS = 60
"""How far back `usage` should be shown holds, so that it can tell a new user from a quiet month."""
STANDING_USD = (10.0, 30.0)
"""Electricity of a machine that draws pictures, a month, as the report puts it."""
USD_PER_KWH = 0.15
"""Assumed; it differs by country by a factor of five."""
ASSUMED_USD = 0.02
"""What the report takes a cloud picture to cost."""
ASSUMED_PICTURES = (10, 50, 200, 1000)
"""A day; the report's four scenarios."""
HORIZON_MONTHS = 36
NEVER = "never"

REPORT = "source report, Cost Analysis (unverified)"
REPORT_DATE = "2025-11"
POWER = "board power as NVIDIA states it; time of one SDXL picture in the report (unverified)"
GIVEN = "given by you"

_NOTHING = 1e-6
"""US dollars a month: what is saved below this is a rounding error, not a saving."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A machine to buy, at a range of prices."""

    name: str
    gpu: str
    low_usd: float
    """With storage for the models."""
    high_usd: float
    watts: float
    """Under load."""
    seconds: float
    """For one picture."""
    source: str = REPORT
    """Of the prices."""
    date: str = REPORT_DATE
    power_source: str = POWER


SETUPS = (
    Setup(name="budget", gpu="RTX 3060 12GB", low_usd=400, high_usd=550, watts=170, seconds=9),
    Setup(name="recommended", gpu="RTX 4070", low_usd=680, high_usd=780, watts=200, seconds=3.5),
    Setup(name="professional", gpu="RTX 4090", low_usd=1750, high_usd=2150, watts=450, seconds=2),
)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Paid pictures of one user."""

    days: int
    """Averaged over these, the days without a picture included."""
    active_days: int
    pictures: int
    pictures_a_day: float
    usd_per_picture: float


@dataclass(frozen=True, kw_only=True)
class Payback:
    """When one setup pays at one usage. Months; None is never."""

    setup: str
    pictures_a_day: float
    usd_per_picture: float
    cloud_usd: float
    """A month."""
    best: float | None
    """At the low price and the low standing electricity."""
    worst: float | None
    """At the high price and the high standing electricity."""
    marginal_usd_per_picture: float
    marginal_usd: float
    """A month: only what the pictures themselves draw."""
    marginal_best: float | None
    """At the low price, paying nothing but the pictures' own electricity."""
    marginal_worst: float | None


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to tell somebody who thinks of buying a GPU."""

    text: str
    usage: Usage | None
    """None: nothing was spent yet, so the report's assumption stands in."""
    paybacks: tuple[Payback, ...]
    setups: tuple[Setup, ...]
    usd_per_kwh: float
    standing_usd: tuple[float, float] = STANDING_USD


@dataclass(frozen=True, kw_only=True)
class CostLine:
    """What one way of making pictures has cost after 0, 1, 2... months, US dollars."""

    label: str
    usd: tuple[float, ...]


def months(
    *, gpu_usd: float, pictures_a_day: float, usd_per_picture: float, electricity_usd: float
) -> float | None:
    """Months until a GPU has paid for itself; None when the cloud costs less than its electricity.

    Args:
        gpu_usd: What is paid once.
        pictures_a_day: Every day of the month.
        usd_per_picture: What the cloud takes.
        electricity_usd: What running it takes, a month.
    """
    saved = DAYS_A_MONTH * pictures_a_day * usd_per_picture - electricity_usd
    return None if saved < _NOTHING else gpu_usd / saved


def picture_usd(*, watts: float, seconds: float, usd_per_kwh: float) -> float:
    """The electricity that one picture draws, US dollars."""
    return watts * seconds / 3.6e6 * usd_per_kwh


def usage(holds: Iterable[Hold], now: datetime) -> Usage | None:
    """Average what was paid for in the last 30 days; None when nothing was.

    Somebody who began less than 30 days ago is averaged from the first day on. Show it the holds
    of LOOK_BACK_DAYS days.
    """
    today = now.astimezone(UTC).date()
    settled = [(h, (today - h.created.astimezone(UTC).date()).days) for h in holds]
    settled = [(h, ago) for h, ago in settled if h.state == "settled" and ago >= 0]
    recent = [(h, ago) for h, ago in settled if ago < USAGE_DAYS]
    if not recent:
        return None
    days = min(USAGE_DAYS, max(ago for _, ago in settled) + 1)
    pictures = sum(h.images for h, _ in recent)
    return Usage(
        days=days,
        active_days=len({ago for _, ago in recent}),
        pictures=pictures,
        pictures_a_day=pictures / days,
        usd_per_picture=sum(h.actual or 0 for h, _ in recent) / pictures / 1e6,
    )


def own_setups(
    *, gpu_usd: float | None = None, watts: float | None = None, seconds: float | None = None
) -> tuple[Setup, ...]:
    """The report's setups beside the user's own figures.

    Without a price, the other figures are taken for every setup.
    """
    if gpu_usd is None:
        return tuple(_with(setup, watts, seconds) for setup in SETUPS)
    like = _with(SETUPS[1], watts, seconds)
    own = replace(
        like,
        name="yours",
        gpu="as you gave it",
        low_usd=gpu_usd,
        high_usd=gpu_usd,
        source=GIVEN,
        date="",
        power_source=GIVEN if like.power_source == GIVEN else f"{like.gpu}: {like.power_source}",
    )
    return (own, *SETUPS)


def _with(setup: Setup, watts: float | None, seconds: float | None) -> Setup:
    if watts is None and seconds is None:
        return setup
    return replace(
        setup,
        watts=setup.watts if watts is None else watts,
        seconds=setup.seconds if seconds is None else seconds,
        power_source=GIVEN if None not in (watts, seconds) else f"in part {GIVEN}, else {POWER}",
    )


def payback(
    setup: Setup, *, pictures_a_day: float, usd_per_picture: float, usd_per_kwh: float
) -> Payback:
    """When one setup pays, once with the standing electricity and once with the marginal."""
    each = picture_usd(watts=setup.watts, seconds=setup.seconds, usd_per_kwh=usd_per_kwh)
    marginal = DAYS_A_MONTH * pictures_a_day * each

    def after(gpu_usd: float, electricity_usd: float) -> float | None:
        return months(
            gpu_usd=gpu_usd,
            pictures_a_day=pictures_a_day,
            usd_per_picture=usd_per_picture,
            electricity_usd=electricity_usd,
        )

    return Payback(
        setup=setup.name,
        pictures_a_day=pictures_a_day,
        usd_per_picture=usd_per_picture,
        cloud_usd=DAYS_A_MONTH * pictures_a_day * usd_per_picture,
        best=after(setup.low_usd, STANDING_USD[0]),
        worst=after(setup.high_usd, STANDING_USD[1]),
        marginal_usd_per_picture=each,
        marginal_usd=marginal,
        marginal_best=after(setup.low_usd, marginal),
        marginal_worst=after(setup.high_usd, marginal),
    )


def advise(
    used: Usage | None,
    *,
    setups: tuple[Setup, ...] = SETUPS,
    usd_per_kwh: float = USD_PER_KWH,
    subject: str = "Your cloud pictures",
) -> Advice:
    """Say when a GPU pays: in a short text, and in numbers. `subject` says whose use it is."""
    rates = [(used.pictures_a_day, used.usd_per_picture)] if used else _assumed()
    results = tuple(
        payback(setup, pictures_a_day=n, usd_per_picture=usd, usd_per_kwh=usd_per_kwh)
        for n, usd in rates
        for setup in setups
    )
    return Advice(
        text=_own_text(subject, used, results, setups) if used else _assumed_text(results),
        usage=used,
        paybacks=results,
        setups=setups,
        usd_per_kwh=usd_per_kwh,
    )


def cumulative(advice: Advice, *, assumed_pictures: int = 200) -> tuple[CostLine, ...]:
    """What cloud and each setup add up to over three years, at middle prices."""
    rate, price = float(assumed_pictures), ASSUMED_USD
    if advice.usage:
        rate, price = advice.usage.pictures_a_day, advice.usage.usd_per_picture
    cloud = DAYS_A_MONTH * rate * price
    electricity = sum(STANDING_USD) / 2
    lines = [_line(f"cloud, {number(rate)} a day at ${price:.3g}", 0, cloud)]
    for setup in advice.setups:
        once = (setup.low_usd + setup.high_usd) / 2
        label = f"{setup.name}, ${once:,.0f} and ${electricity:.0f} a month"
        lines.append(_line(label, once, electricity))
    return tuple(lines)


def number(value: float) -> str:
    """A count for people: 0.4, 12.5, 1,000."""
    return f"{round(value, 1 if value >= 1 else 2):,g}"


def months_text(value: float | None) -> str:
    """Months for people."""
    return NEVER if value is None else f"{value:.1f}"


def span(best: float | None, worst: float | None) -> str:
    """A range of months for people, as `3.6 to 23.9` or `20.0 to never`."""
    low, high = months_text(best), months_text(worst)
    return low if low == high else f"{low} to {high}"


def price_text(setup: Setup) -> str:
    """What a setup costs, for people."""
    if setup.low_usd == setup.high_usd:
        return f"${setup.low_usd:,.0f}"
    return f"${setup.low_usd:,.0f}-{setup.high_usd:,.0f}"


def _line(label: str, once: float, monthly: float) -> CostLine:
    return CostLine(label=label, usd=tuple(once + monthly * m for m in range(HORIZON_MONTHS + 1)))


def _assumed() -> list[tuple[float, float]]:
    return [(n, ASSUMED_USD) for n in ASSUMED_PICTURES]


def _own_text(
    subject: str, used: Usage, results: tuple[Payback, ...], setups: tuple[Setup, ...]
) -> str:
    text = (
        f"{subject}: {number(used.pictures_a_day)} a day at ${used.usd_per_picture:.3g}, "
        f"${results[0].cloud_usd:,.2f} a month ({_days(used)})."
    )
    if all(row.best is None for row in results):
        lowest = STANDING_USD[0]
        return (
            f"{text} That is not more than a GPU's electricity "
            f"(${lowest:.0f} a month or more), so buying one would never pay."
        )
    prices = {setup.name: setup for setup in setups}
    each = "; ".join(
        f"{row.setup} ({price_text(prices[row.setup])}): {span(row.best, row.worst)}"
        for row in results
    )
    return f"{text} Months until a GPU has paid for itself: {each}."


def _assumed_text(results: tuple[Payback, ...]) -> str:
    parts: list[str] = []
    for n in ASSUMED_PICTURES:
        rows = [row for row in results if row.pictures_a_day == n]
        fast = min((row.best for row in rows if row.best is not None), default=None)
        slow = None
        if all(row.worst is not None for row in rows):
            slow = max(row.worst for row in rows if row.worst is not None)
        parts.append(f"{n} a day: {span(fast, slow)}")
    return (
        "Nothing was spent on pictures lately, so this is not your use but the report's "
        f"assumption, ${ASSUMED_USD:g} a picture. Months until a GPU has paid for itself: "
        f"{'; '.join(parts)}."
    )


def _days(used: Usage) -> str:
    if used.days == 1:
        return "from one day, so no more than a guess"
    return f"over the last {used.days} days, {used.active_days} of them with pictures"
