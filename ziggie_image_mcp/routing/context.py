"""All that a decision looks at, at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ziggie_image_mcp.billing.types import Consent, Spending
from ziggie_image_mcp.config.config import Budget, Config, Privacy
from ziggie_image_mcp.inventory.recommend import Setup
from ziggie_image_mcp.inventory.types import Hardware, Survey, Tier
from ziggie_image_mcp.provider import pricing
from ziggie_image_mcp.provider.capabilities import Option, Task
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest
from ziggie_image_mcp.provider.pricing import Estimate
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.route_rules import AppliedRule
from ziggie_image_mcp.routing.types import Bulk, HistorySnapshot

Estimator = Callable[[ProviderRequest, Model], Estimate | None]
"""Says what a request would cost. Pure and quick."""


@dataclass(frozen=True, kw_only=True)
class RequestedModel:
    """What a name stands for among the models that there are."""

    name: str
    models: frozenset[tuple[str, str]]
    """Provider and id of those that it names."""
    family: str = ""
    """Where it names an architecture rather than a model: any of that family will do."""


@dataclass(frozen=True, kw_only=True)
class RoutingContext:
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
    history: HistorySnapshot = field(default_factory=HistorySnapshot)
    """Speeds and breakers, learnt from earlier calls."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    own_budgets: Mapping[str, Budget] = field(default_factory=dict[str, Budget])
    """The caps of single providers."""
    promises: Mapping[str, Privacy] = field(default_factory=dict[str, Privacy])
    """How single providers treat prompts, as far as the user said so."""
    own_hosts: frozenset[str] = frozenset()
    """Providers of which the user said that they run on hosts of their own (`local: true`)."""
    estimate: Estimator = pricing.estimate
    bulk: Bulk | None = None
    """What the request is asked for together with; None where it is alone."""
    rule: AppliedRule | None = None
    """The rule of the config's `routes` that the request comes under; `plan` fills it in."""
    requested_model: RequestedModel | None = None
    """The model that request or config asks for; `plan` fills it in."""
    task: Task = "text_to_image"
    """What the request asks for; `plan` fills it in."""
    options: frozenset[Option] = frozenset()
    """What it asks of a model beside the task; `plan` fills it in."""
    setup: Setup = field(default_factory=Setup)
    """What is installed for models of one's own, where none is here."""
    trust_breakers: bool = True
    """False where every free route is paused: then a paused one is better than none."""
