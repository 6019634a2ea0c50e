"""What it means how fal refuses a request, and how a job of its queue ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ziggie_image_mcp.provider import (
    ContentRefused,
    EngineCrashed,
    ModelMissing,
    PaymentRequired,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.error_rules import Problem, Rule
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.json_paths import objects

RETRYABLE = "retryable"
"""Stands for what fal says in a header: that another try may succeed."""

SUBMITS: tuple[Rule, ...] = (
    Rule(
        status=(402, 403),
        match=r"balance|user is locked|top_up",
        error=PaymentRequired,
        message="the account at fal is empty, or locked; top it up on fal.ai/dashboard/billing",
    ),
    Rule(
        status=404,
        match=r"application|endpoint|path",
        error=ModelMissing,
        message="fal has no such model",
    ),
    Rule(
        status=429,
        error=RateLimited,
        message="as many jobs are under way as the account may have",
        scope="account",
        wait=15,
    ),
)
"""Of what is refused before there is a job."""

ENDS: tuple[Rule, ...] = (
    *SUBMITS[:1],
    Rule(
        code="content_policy_violation",
        error=ContentRefused,
        message="the model refused this for its content, and may charge for it",
        charged=None,
    ),
    Rule(
        code=("request_timeout", "startup_timeout"),
        error=ProviderTimeout,
        message="the job was not begun in time, and is not charged",
    ),
    Rule(
        code=("client_cancelled", "client_disconnected"),
        error=EngineCrashed,
        message="the job was withdrawn before it was done, and may be charged",
        charged=None,
    ),
    Rule(
        status=tuple(range(500, 600)),
        error=ProviderUnavailable,
        message="the model failed, which is not charged",
        scope="model",
    ),
    Rule(
        code=(RETRYABLE, "no_media_generated"),
        error=ProviderUnavailable,
        message="the model made nothing, and may charge for it; try once more",
        scope="model",
        charged=None,
    ),
    Rule(
        status=tuple(range(400, 500)),
        error=RequestRejected,
        message="the model refused this input, and may charge for it",
        charged=None,
    ),
    Rule(error=EngineCrashed, message="the job failed, and may be charged", charged=None),
)
"""Of how a job ends. What a runner had begun may be charged, and nobody tells."""


def is_models_word(answer: Answer) -> bool:
    """Whether a failing result is the model's own, and not that of what stands before it."""
    body = answer.data()
    types = [item.get("type") for item in objects(body, "detail[]")]
    return bool(answer.headers.get("x-fal-error-type") or body.get("error_type") or any(types))


def with_headers(problem: Problem, headers: Mapping[str, str], kind: object = None) -> Problem:
    """The problem of an answer with what its headers say, and the status of the job."""
    words = [headers.get("x-fal-error-type"), kind]
    if "true" in (headers.get("x-fal-retryable"), headers.get("x-fal-needs-retry")):
        words.append(RETRYABLE)
    return replace(problem, codes=(*problem.codes, *(str(word) for word in words if word)))
