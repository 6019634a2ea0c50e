"""What a durable job is made of, and what becomes of it: plain data that another process reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ziggie_image_mcp.types import Attempt, Candidate, ImageRequest, Quote, Result

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the config said when an order was accepted. Whoever runs it keeps to these too."""

    privacy: str
    commercial_use: bool
    provider: str
    allow_paid_fallback: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """All that a job is made of. Plain data: another process may take it up."""

    id: str
    requests: tuple[ImageRequest, ...]
    terms: Terms
    accepted: datetime
    until: datetime | None = None
    """The deadline, UTC; None where it may wait without end."""
    routes: tuple[Candidate, ...] = ()
    """As chosen for the one request when it was accepted; empty: chosen when it runs."""
    yes: Quote | None = None
    """What a person agreed to."""
    group: str = ""
    """How the ids of the jobs begin that share a budget; empty for a job of its own."""
    group_micro_usd: int | None = None
    """What the group may cost together, 1e-6 USD."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error, as it is recorded."""

    code: str
    message: str
    provider: str = ""
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of an order: a result or a failure per request."""

    results: tuple[Result, ...] = ()
    failures: tuple[Failure, ...] = ()


JobStatus = Literal["queued", "running", "done", "failed", "cancelled", "unknown"]
"""`unknown`: a paid job was sent, and nobody knows what became of it."""


@dataclass(frozen=True, kw_only=True)
class JobView:
    """What is known of a job at one moment."""

    id: str
    status: JobStatus
    fraction: float = 0.0
    message: str = ""
    made: Made | None = None
    """When it has ended."""
    created: datetime | None = None
    order: Order | None = None
    """Where it was asked for."""

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.made is not None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def dump(value: object) -> str:
    """A frozen dataclass as JSON text, for a record."""
    kind: Any = type(value)
    return _adapter(kind).dump_json(value).decode()


def loaded(kind: type[T], text: str) -> T:
    """The value out of its record."""
    asked: Any = kind
    found: T = _adapter(asked).validate_json(text)
    return found
