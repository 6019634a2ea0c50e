"""How Comfy Cloud tells of a job, by its API v2, and what its refusals mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ziggie_image_mcp.provider import (
    NO_COST,
    UNKNOWN_COST,
    AuthenticationFailed,
    Cost,
    EngineCrashed,
    ModelMissing,
    ModelUnusable,
    OutcomeUnknown,
    OutOfMemory,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    duration,
)
from ziggie_image_mcp.provider.error_rules import Rule, scrub
from ziggie_image_mcp.provider.pricing import whole
from ziggie_image_providers.comfyui import failures, wire

SUBMITS: tuple[Rule, ...] = (
    Rule(
        status=422,
        code="idempotency_key_reuse",
        error=OutcomeUnknown,
        message="Comfy Cloud has had this request before; it is not ordered again",
        charged=None,
    ),
    Rule(
        status=402,
        error=PaymentRequired,
        message="the account has no Comfy credits left; add some on platform.comfy.org",
    ),
    Rule(
        status=(403, 429),
        code=("PAYMENT_REQUIRED", "insufficient_credits"),
        error=PaymentRequired,
        message="Comfy Cloud wants to be paid first; look at the plan on platform.comfy.org",
    ),
    Rule(
        status=(403, 429),
        match="subscription|has not paid|payment required",
        error=PaymentRequired,
        message="Comfy Cloud's API needs an active plan, Standard or above; see comfy.org/cloud",
    ),
    Rule(
        status=429,
        code=("queue_full", "QUEUE_LIMIT"),
        error=RateLimited,
        message="as many jobs of the account wait at Comfy Cloud as may",
        scope="account",
        wait=30,
    ),
    Rule(
        status=429,
        error=RateLimited,
        message="the account asks Comfy Cloud too often",
        scope="account",
        wait=30,
    ),
    Rule(
        status=401,
        error=AuthenticationFailed,
        message="the key was refused; set a valid one with `ziggie-image-mcp keys set`",
        quoted=False,
    ),
    Rule(
        status=422,
        code="invalid_workflow",
        match=r"not[ _]in[ _]list|(file|model) .*(not found|does not exist)",
        error=ModelMissing,
        message="Comfy Cloud does not have a file that this needs",
    ),
    Rule(
        status=422,
        code="invalid_workflow",
        match=r"unknown node|missing[ _]node|node type|class_type",
        error=ModelUnusable,
        message="Comfy Cloud does not have a node that this needs",
    ),
    Rule(
        status=422,
        code="missing_asset",
        error=RequestRejected,
        message="a picture that was uploaded for this is gone again; ask once more",
    ),
    Rule(status=422, error=RequestRejected, message="Comfy Cloud refused the graph"),
)
"""Before there is a job. A failure of 500 has no rule: by the API's own words a job may have come
of it all the same."""

_CREDIT = ("insufficientfunds", "insufficient_credits", "inactivesubscription")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Progress(_Part):
    """How far a job is."""

    value: float | None = None
    message: str | None = None


class Output(_Part):
    """One file that a job made."""

    node_id: str
    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")
    type: str
    url: str = ""


class JobError(_Part):
    """Why a job failed. The traceback is left unread: it holds paths."""

    code: str
    message: str = ""
    class_type: str | None = None


class Job(_Part):
    """A job as every answer about it tells."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")
    status: str
    started_at: str | None = "untold"
    queue_position: int | None = None
    progress: Progress | None = None
    outputs: list[Output] = []
    error: JobError | None = None
    metrics: dict[str, int | None] = {}

    @property
    def state(self) -> Literal["waiting", "running", "succeeded", "failed"]:
        """Where it stands; a word that is not known is no end."""
        if self.status in ("queued", "succeeded"):
            return "waiting" if self.status == "queued" else "succeeded"
        return "failed" if self.status in ("canceled", "failed", "expired") else "running"

    @property
    def words(self) -> str:
        """The same for people."""
        if self.state == "waiting":
            ahead = self.queue_position
            return "in Comfy Cloud's queue" + ("" if ahead is None else f", place {ahead}")
        message = self.progress.message if self.progress else None
        return scrub(message) or f"Comfy Cloud: {self.state}"

    @property
    def seconds(self) -> float | None:
        """How long it has run; None where nobody tells."""
        milliseconds = self.metrics.get("execution_ms")
        return None if milliseconds is None or milliseconds < 0 else milliseconds / 1000


def cost(job: Job, usd_per_second: float | None) -> Cost:
    """What a job cost, as far as that is told: no answer of this API names an amount."""
    if job.state == "failed" and job.started_at is None:
        return NO_COST  # no GPU has seen it
    if usd_per_second and job.seconds:
        return Cost(micro_usd=whole(job.seconds * usd_per_second * 1e6), basis="computed")
    return UNKNOWN_COST


def failure(
    provider: str, job: Job, charged: float | None, limit: float, secrets: Sequence[str]
) -> ProviderError:
    """Why a job came to nothing.

    Args:
        provider: The provider's name.
        job: How it ended.
        charged: What it cost.
        limit: Seconds after which we stop a job.
        secrets: What may stand in no message.
    """
    error = _failure(provider, job, limit, secrets)
    error.charged = charged
    return error


def _failure(provider: str, job: Job, limit: float, secrets: Sequence[str]) -> ProviderError:
    if job.status == "canceled" and (job.seconds or 0) >= math.floor(limit):
        message = f"the job was stopped after {duration(limit)} of work"
        return ProviderTimeout(
            provider, f"{message}; ask for less, or set providers.{provider}.timeout"
        )
    if job.status == "canceled":
        return EngineCrashed(provider, "the job was stopped at Comfy Cloud before it was done")
    if job.status == "expired":
        return EngineCrashed(provider, "the job expired at Comfy Cloud before it was done")
    if job.error is None:
        return ProviderError(provider, "Comfy Cloud says that the job failed, and not why")
    kind, node = scrub(job.error.code, secrets), scrub(job.error.class_type, secrets)
    message = scrub(job.error.message, secrets)
    plain = f"{kind} {message}".lower()
    if any(word in plain for word in _CREDIT):
        what = "the account ran out of Comfy credits, or its plan is not active"
        return PaymentRequired(provider, f"{what}; look on platform.comfy.org")
    if "OOMError" in kind or "out of memory" in plain:
        what = f"Comfy Cloud's GPU ran out of memory{f' in {node}' if node else ''}"
        return OutOfMemory(provider, f"{what}; ask for a smaller picture or model")
    if "ModelDownloadError" in kind:
        what = "Comfy Cloud could not get a model file onto its GPU; use another model"
        return ModelMissing(provider, f"{what}: {message}")
    told = wire.ExecutionError(
        node_type=node or "a node", exception_type=kind, exception_message=message
    )
    return failures.failed(provider, told)
