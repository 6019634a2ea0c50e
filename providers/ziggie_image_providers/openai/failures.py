"""What the failing answers of OpenAI's images API mean, and of servers that speak it."""

from __future__ import annotations

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ContentRefused,
    ModelMissing,
    NotReady,
    OutOfMemory,
    PaymentRequired,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.error_rules import Rule


class NoTransparency(RequestRejected):
    """Raised when a model refuses a transparent ground."""


REFUSED = (
    "moderation_blocked",
    "content_policy_violation",
    "contentFilter",
    "content_filter",
    "ResponsibleAIPolicyViolation",
    "safety",
)
"""What the servers of this family call a refusal."""

ERRORS = (
    Rule(
        code=(
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "budget_exceeded",  # of a LiteLLM key
        ),
        error=PaymentRequired,
        message="the account has no credit left, or its limit is reached",
    ),
    Rule(
        code="output",  # the stage that `moderation_details` tells
        match="moderation_blocked",
        error=ContentRefused,
        message="the safety system refused the finished picture, which may be charged",
        charged=None,
    ),
    Rule(
        code=REFUSED,
        error=ContentRefused,
        message="the safety system refused this prompt",
    ),
    Rule(
        match="ContentPolicyViolation|rejected .*safety system",  # a gateway, without the code
        error=ContentRefused,
        message="the safety system refused this prompt",
    ),
    Rule(
        status=400,
        code="background",  # the field that is wrong
        error=NoTransparency,
        message="this account cannot have a transparent ground of this model",
    ),
    Rule(
        status=401,
        error=AuthenticationFailed,
        message="the key was refused; set a valid one with `ziggie-image-mcp keys set`",
        quoted=False,  # OpenAI repeats a part of the key
    ),
    Rule(
        code=("model_not_found", "DeploymentNotFound"),
        error=ModelMissing,
        message="there is no such model for this account",
    ),
    Rule(
        status=400,
        match="model mismatch",  # vLLM-Omni serves one model
        error=ModelMissing,
        message="the server has another model",
    ),
    Rule(
        status=400,
        match="image generation models are not currently supported",  # Ollama since 0.32.6
        error=NotReady,
        message="this Ollama makes no pictures: only 0.14.0 to 0.32.5 do",
    ),
    Rule(
        status=503,
        code=("model_loading", "admission_rejected"),  # LocalAI
        error=RateLimited,
        message="the server loads the model, or has as many requests as it takes",
    ),
    Rule(
        status=503,
        match="load is in cooldown|inference capacity reached",  # LocalAI
        error=RateLimited,
        message="the server is busy, or could not load the model; its log says more",
    ),
    Rule(
        status=500,
        match=r"out of memory|OutOfMemory|failed to allocate",
        error=OutOfMemory,
        message="the server ran out of memory; ask for a smaller picture, or fewer at once",
    ),
    Rule(
        status=403,
        error=AuthenticationFailed,
        message="the account may not do this; it may need verifying",
    ),
)
