"""The nouns of a decision: candidates, plans, and what was learnt. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ziggie_image_mcp.assets.region import Placement
from ziggie_image_mcp.inventory.types import Rejection
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest
from ziggie_image_mcp.provider.sizes import Size


@dataclass(frozen=True, kw_only=True)
class Bulk:
    """What a request's pictures are asked for together with."""

    pictures: int
    """In all, its own among them."""
    batch: bool = False
    """The command `batch` makes them."""


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """What is done in place of the options that a route's model lacks."""

    ground: str = ""
    """As #00ff00: of the flat ground that the prompt asks for, which is keyed."""
    seam: Literal["", "inpaint", "fade"] = ""
    """How opposite edges are made to meet: the cross of a picture rolled by half is painted anew by
    the same model, or each edge fades into the one opposite."""
    cut_out: Model | None = None
    """What cuts the subject out where its ground cannot be keyed: free, and on the user's own
    machines."""


NO_EMULATION = Emulation()
"""Of a route whose model honours all that is asked."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that passed every filter, with the request as it would be sent."""

    model: Model
    request: ProviderRequest
    score: float
    """US dollars; lower wins."""
    cost_micro_usd: int
    """Upper bound: reserved, and what a yes is asked for."""
    expected_micro_usd: int = 0
    """What it was scored by."""
    seconds: float
    """Expected until the pictures are there."""
    why: str
    notes: tuple[str, ...] = ()
    """What differs from the request, one sentence each."""
    wait_seconds: float = 0.0
    """How many of the expected seconds are spent in the queue of the device."""
    load_seconds: float = 0.0
    """How many of them start the engine and load the model."""
    placement: Placement | None = None
    """Of an edit: the part of the picture that the model works on."""
    emulation: Emulation = NO_EMULATION
    """What is done here in place of options that the model lacks."""


PROVIDER_QUEUE = "provider:"


def queue_name(model: Model) -> str:
    """Of the queue in which a model's jobs wait: its device's, or else its provider's.

    The latter is there where `concurrency` bounds the provider.
    """
    return model.device or f"{PROVIDER_QUEUE}{model.provider}"


def delivered_size(candidate: Candidate) -> Size:
    """Of the pictures that come of it: of an edit the whole, not the part that is worked on."""
    sent, placement = candidate.request, candidate.placement
    if placement is not None:
        return Size(placement.image_width, placement.image_height)
    times = sent.factor or 1
    return Size(sent.width * times, sent.height * times)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The routes in the order in which they will be tried, and those left out."""

    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]
    advice: str = ""
    """How to get a real model for this machine, where it has none."""
    rule: str = ""
    """The rule of `routes` that was applied, and what it says; empty where none was."""


@dataclass(frozen=True, kw_only=True)
class CircuitBreaker:
    """What stands against a model now. One that is closed and has no failures is not kept."""

    provider: str
    model: str
    """"*" for the whole provider."""
    failures: int = 0
    """Since the last success."""
    opens: int = 0
    """How often failures opened it since the last success."""
    open_until: datetime | None = None
    """In the past where it is half-open; None where it never opened."""
    code: str = ""
    """Of the error that opened it, or of the latest where it is closed."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """What one picture of a bucket takes: the mean of the logarithms, the newest weighing most."""

    provider: str
    model: str
    bucket: str
    seconds: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """Who waits for one device, or for one provider, at one moment."""

    device: str
    """By `queue_name`."""
    running: int = 0
    waiting: int = 0
    seconds: float = 0.0
    """Expected until a newcomer has the device."""
    model: str = ""
    """The model that the device ran last; empty when unknown."""
    own_models: frozenset[str] = frozenset()
    """The models that jobs of this process run or wait with: in memory when a newcomer has its
    turn, also where each process has an engine of its own."""


@dataclass(frozen=True, kw_only=True)
class HistorySnapshot:
    """What was learnt, at one moment. Plain data, for the policy to look at."""

    breakers: Mapping[tuple[str, str], CircuitBreaker] = field(
        default_factory=dict[tuple[str, str], CircuitBreaker]
    )
    """By provider and model."""
    latencies: Mapping[tuple[str, str, str], Latency] = field(
        default_factory=dict[tuple[str, str, str], Latency]
    )
    """By provider, model and bucket: of runs whose model was in memory."""
    loads: Mapping[tuple[str, str, str], Latency] = field(
        default_factory=dict[tuple[str, str, str], Latency]
    )
    """The same of runs that had to load it: what a picture took after that, and under the bucket
    `latency.LOAD` what the engine's start and the loading took."""
    queues: Mapping[str, QueueStatus] = field(default_factory=dict[str, QueueStatus])
    """By device."""
