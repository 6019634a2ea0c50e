"""What is here: hardware, models, and why something is left out. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ziggie_image_mcp.provider.nouns import Model


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One graphics processor. Bytes; None when it could not be told."""

    name: str
    vendor: Literal["nvidia", "amd", "apple", "intel", "unknown"]
    index: int = 0
    vram_total: int | None = None
    vram_free: int | None = None
    driver: str | None = None
    unified_memory: bool = False
    torch_index: int | None = None
    """Its place among the GPUs that torch sees, where that is not `index`; -1: it does not see it,
    as CUDA_VISIBLE_DEVICES says."""


NO_KEY = "NO_KEY"
"""Code of the reason against a paid provider that this user has not set up."""

Tier = Literal["cpu", "below_minimum", "budget", "recommended", "professional"]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """This machine. Bytes; None when it could not be told."""

    os: str
    machine: str
    cpu: str | None = None
    cpu_cores: int | None = None
    ram_total: int | None = None
    ram_available: int | None = None
    disk_free: int | None = None
    gpus: tuple[Gpu, ...] = ()
    notes: tuple[str, ...] = ()
    """What was tried and did not answer, one sentence each."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why not: what stood against a model or a provider, and what would change it."""

    code: str
    have: str
    need: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A model, or a whole provider (`model` is None), left out, with every reason."""

    provider: str
    model: str | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What answered when the providers were asked, and why the others did not."""

    models: tuple[Model, ...] = ()
    additions: tuple[Model, ...] = ()
    """LoRAs, control models and embeddings: what is asked for beside a model."""
    rejected: tuple[Rejection, ...] = ()
    configured: frozenset[str] = frozenset()
    """Providers that the user's config names, as against those merely looked for."""

    @cached_property
    def cutters(self) -> tuple[Model, ...]:
        """What removes backgrounds."""
        return tuple(model for model in self.models if "remove_background" in model.tasks)


def lacks_key(rejection: Rejection) -> bool:
    """Whether it is a paid provider that this user has not set up."""
    return any(reason.code == NO_KEY for reason in rejection.reasons)


def reason_sentence(reason: Reason) -> str:
    """A reason as one sentence, its fix after it."""
    fix = f" Fix: {reason.fix}" if reason.fix else ""
    return f"{reason.code}: needs {reason.need}, have {reason.have.removesuffix('.')}.{fix}"
