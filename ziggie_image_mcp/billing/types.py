"""The nouns of money. Amounts are integers of 1e-6 US dollars."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

QUESTION = "ask-"
"""How the ids of holds begin that wait for a person's answer."""

QUESTION_TIME = timedelta(minutes=10)
"""How long money stays set aside for a question that nobody answers: then it counts no more."""

HoldState = Literal["reserved", "submitted", "settled", "released", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Money set aside for one attempt. Amounts in 1e-6 USD.

    reserved -> submitted -> settled | unknown; both may be released when nothing was charged, and
    unknown may yet be settled or released. `unknown` counts as spent.
    """

    id: str
    provider: str
    model: str
    images: int
    estimate: int
    actual: int | None
    """Of a settled one what it cost; of a submitted one what the vendor told so far."""
    state: HoldState
    remote_id: str
    created: datetime
    """UTC."""
    owner: str
    """The process that holds it, as host:pid:start."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class OpenCharge:
    """A hold whose cost is not settled for good."""

    hold: Hold
    disputed: str = ""
    """What the vendor claims, where that is not believed; what was agreed counts."""


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What is spent and held in the current day and month (UTC), 1e-6 USD."""

    day: int = 0
    month: int = 0
    by_provider_day: Mapping[str, int] = field(default_factory=dict[str, int])
    by_provider_month: Mapping[str, int] = field(default_factory=dict[str, int])
    unknown: int = 0
    """How many attempts ended without anybody knowing whether they were charged."""
    trouble: str = ""
    """Why the ledger cannot tell: then nothing may be paid."""


@dataclass(frozen=True, kw_only=True)
class Consent:
    """A person's yes to one paid route, up to an amount in 1e-6 USD."""

    provider: str
    model: str
    micro_usd: int


@dataclass(frozen=True, kw_only=True)
class Quote:
    """The paid route that a request would take if somebody said yes."""

    provider: str
    model: str
    images: int
    micro_usd: int
    hold: str = ""
    """The hold that sets this amount aside while the question is open; empty where none does."""
    agreed: bool = True
    """Whether a person says, or said, yes to it; else the amount is only set aside."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a call would take that only lacks a yes: a quote per request, None where it is free."""

    quotes: tuple[Quote | None, ...]

    @property
    def paid(self) -> tuple[Quote, ...]:
        """Those that cost money."""
        return tuple(quote for quote in self.quotes if quote is not None)

    @property
    def images(self) -> int:
        """Pictures that would be paid for."""
        return sum(quote.images for quote in self.paid)

    @property
    def micro_usd(self) -> int:
        """What they would cost together at most, 1e-6 USD."""
        return sum(quote.micro_usd for quote in self.paid)


@dataclass(frozen=True, kw_only=True)
class ChargeTask:
    """One call of a paid provider, as the ledger sees it."""

    id: str
    """Of its hold, and the idempotency key of the call: the same in whatever process."""
    provider: str
    model: str
    images: int
    estimate: int
    """Upper bound, 1e-6 USD."""
    group: tuple[str, int] | None = None
    """How the ids of the holds begin that share a budget, and that budget, 1e-6 USD."""


@dataclass(frozen=True, kw_only=True)
class FreeCall:
    """One call that costs nothing: the ledger does not see it."""

    key: str
    """The same in whatever process."""
    remember: Callable[[str], Awaitable[object]]
    """Keeps the backend's id of it, so that another process can go on."""
    sent: bool = False
    """Whether a process that died may have sent it."""
    remote_id: str = ""
    """The backend's id of it, where that process knew it."""
