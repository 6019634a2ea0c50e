"""What is recorded of a job: plain data that another process, or a later version, reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ziggie_image_mcp.billing.types import Quote
from ziggie_image_mcp.errors import Scope
from ziggie_image_mcp.inventory.types import Rejection
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest
from ziggie_image_mcp.routing.constraints import Constraints
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.route_rules import bulk_of
from ziggie_image_mcp.routing.types import Bulk, Candidate
from ziggie_image_mcp.storage.types import StoredImage

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
"""What reading a damaged record may raise."""

RECORD_VERSION = 3
"""Of the records below. `version_1` and `version_2` translate those of earlier versions."""

INTERACTIVE, BATCH = 10, 0
"""Priorities: what a person waits for goes before what runs over night."""


@dataclass(frozen=True, kw_only=True)
class AttemptRecord:
    """One provider tried for one request."""

    provider: str
    model: str
    ok: bool
    milliseconds: int
    error_code: str = ""
    error: str = ""
    cost_micro_usd: int = 0


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one request led to."""

    images: tuple[StoredImage, ...]
    model: Model
    request: ProviderRequest
    """As the provider got it."""
    requested_width: int | None
    requested_height: int | None
    why: str
    attempts: tuple[AttemptRecord, ...]
    notes: tuple[str, ...]
    cost_micro_usd: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error, as it is recorded."""

    code: str
    message: str
    provider: str = ""
    attempts: tuple[AttemptRecord, ...] = ()
    parents: tuple[str, ...] = ()
    """The codes of its class' parents, the nearest first: for a reader that has not the class."""
    fallback: bool | None = None
    """Of a ProviderError, as the four below; None in what earlier versions recorded."""
    charged: int | None = 0
    retry_after: float | None = None
    scope: Scope = "model"
    rejected: tuple[Rejection, ...] = ()
    """Of NoRoute and GenerationFailed."""
    field: str = ""
    """Of InvalidRequest, as the two below."""
    value: str = ""
    fix: str = ""
    index: int | None = None
    """Of the request that failed, among those of its job; None where all did at once."""


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """All that a job is made of."""

    id: str
    requests: tuple[ImageRequest, ...]
    constraints: Constraints
    accepted: datetime
    """UTC."""
    deadline: datetime | None = None
    """UTC; None where it may wait without end."""
    routes: tuple[Candidate, ...] = ()
    """As chosen for the one request when it was accepted; empty: chosen when it runs."""
    consents: tuple[Quote | None, ...] = ()
    """What is set aside for each request, as agreed to; empty where nothing is."""
    group: str = ""
    """How the ids of the jobs begin that share a budget; empty for a job of its own."""
    group_micro_usd: int | None = None
    """What the group may cost together, 1e-6 USD."""
    priority: int = INTERACTIVE
    done: tuple[Result, ...] = ()
    """What was made of the call before it became a job: told with the rest."""
    failure: Failure | None = None
    """Why it ends before it begins: an earlier version left something that cannot be read."""
    carried: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Steps that an earlier version had recorded: name and record, in the form of this version."""
    pictures: int = 0
    """Of the whole batch that it belongs to; 0 for a job of its own."""
    version: int = RECORD_VERSION

    @property
    def bulk(self) -> Bulk:
        """What each of its requests is asked for together with."""
        own = bulk_of(self.requests, batch=bool(self.group))
        return dataclasses.replace(own, pictures=max(own.pictures, self.pictures))

    def consent(self, index: int) -> Quote | None:
        """What is set aside for one of its requests."""
        return self.consents[index] if self.consents else None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The routes of one request, a stored result of it, or why there is neither."""

    routes: tuple[Candidate, ...] = ()
    stored: Result | None = None
    """What was made before of this very request."""
    failure: Failure | None = None
    begun: datetime | None = None
    """UTC, by the process that chose; None in what earlier versions recorded."""


@dataclass(frozen=True, kw_only=True)
class AttemptOutcome:
    """What became of one attempt."""

    attempt: AttemptRecord
    images: tuple[StoredImage, ...] = ()
    notes: tuple[str, ...] = ()
    failure: Failure | None = None
    late: bool = False
    """The deadline came first."""
    problem: str = ""
    """What a check of its pictures found that another seed may put right."""


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """What became of a job: a result or a failure per request."""

    results: tuple[Result, ...] = ()
    failures: tuple[Failure, ...] = ()
    cost_micro_usd: int = 0
    """All that was spent, also on what failed; a result's own cost is part of it."""


JobStatus = Literal["queued", "running", "done", "failed", "cancelled", "unknown"]
"""`unknown`: a paid job was sent, and nobody knows what became of it."""


@dataclass(frozen=True, kw_only=True)
class JobView:
    """What is known of a job at one moment."""

    id: str
    status: JobStatus
    fraction: float = 0.0
    message: str = ""
    outcome: JobOutcome | None = None
    """When it has ended."""
    created: datetime | None = None
    spec: JobSpec | None = None
    """Where it was asked for."""

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.outcome is not None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def dump(value: object) -> str:
    """A frozen dataclass as JSON text, for a record."""
    kind: Any = type(value)
    return _adapter(kind).dump_json(value).decode()


def load(kind: type[T], text: str) -> T:
    """The value out of its record."""
    any_kind: Any = kind
    value: T = _adapter(any_kind).validate_json(text)
    return value
