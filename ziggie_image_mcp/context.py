"""All that a decision looks at, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ziggie_image_mcp.config import Budget, Config, Privacy
from ziggie_image_mcp.types import (
    Consent,
    Feature,
    Hardware,
    ImageRequest,
    Snapshot,
    Spending,
    Survey,
    Tier,
)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a name stands for among the models that there are."""

    name: str
    models: frozenset[tuple[str, str]]
    """Provider and id of those that it names."""
    family: str = ""
    """Where it names an architecture rather than a model: any of that family will do."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a rule may look at. One snapshot per decision."""

    request: ImageRequest
    survey: Survey
    hardware: Hardware
    tier: Tier
    gpu_memory: int | None
    """Bytes that one model can use on the best GPU now; None without one, or when unknown."""
    config: Config
    spending: Spending = field(default_factory=Spending)
    consent: Consent | None = None
    """What a person agreed to for this request."""
    experience: Snapshot = field(default_factory=Snapshot)
    """Speeds and breakers, learnt from earlier calls."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    own_budgets: Mapping[str, Budget] = field(default_factory=dict[str, Budget])
    """The caps of single providers."""
    promises: Mapping[str, Privacy] = field(default_factory=dict[str, Privacy])
    """How single providers treat prompts, as far as the user said so."""
    wanted: Wanted | None = None
    """The model that request or config asks for; `plan` fills it in."""
    asked: frozenset[Feature] = frozenset()
    """What the request asks of a model; `plan` fills it in."""
    trust_breakers: bool = True
    """False where every free route is paused: then a paused one is better than none."""
