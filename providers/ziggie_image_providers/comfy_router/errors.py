"""What it means how Comfy Router refuses a request, and how a job of its queue ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ContentRefused,
    EngineCrashed,
    ModelMissing,
    ModelUnusable,
    OutcomeUnknown,
    PaymentRequired,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.error_rules import Problem, Rule
from ziggie_image_mcp.provider.http import Answer, HttpClient

UNKNOWN = "internal_error"
"""As which a word counts that is not in the list."""

KNOWN = frozenset(
    (
        "invalid_input",
        "content_policy_violation",
        "provider_error",
        "provider_timeout",
        "insufficient_credits",
        "model_not_found",
        "unauthorized",
        "forbidden",
        "concurrency_limit_exceeded",
        "client_disconnected",
        UNKNOWN,
        "deadline_exceeded",
        "not_enabled",
        "service_unavailable",
        "rate_limited",
        "cancelled",
        "queue_timeout",
        "request_not_found",
        "queue_backlog_full",
    )
)
"""The words of X-Comfy-Error-Type."""

_REFUSED = Rule(
    code="content_policy_violation",
    error=ContentRefused,
    message="the model's partner refused this for its content",
    charged=None,  # by the model; its catalogue entry tells
)
_ACCOUNT: tuple[Rule, ...] = (
    Rule(
        code="insufficient_credits",
        error=PaymentRequired,
        message="the workspace has no Comfy credits left; add some on platform.comfy.org",
    ),
    Rule(
        code="unauthorized",
        error=AuthenticationFailed,
        message="the key was refused; set a valid one with `ziggie-image-mcp keys set`",
        quoted=False,
    ),
    Rule(
        code="forbidden",
        error=AuthenticationFailed,
        message="this key may not use the model",
        scope="model",
    ),
    Rule(
        code="not_enabled",
        error=ModelUnusable,
        message="Comfy Router is not switched on for this account, or cannot queue this model",
    ),
    Rule(
        code="model_not_found",
        error=ModelMissing,
        message="Comfy Router has no such model, or its partner does not serve it now",
    ),
    Rule(
        code="request_not_found",
        error=ProviderUnavailable,
        message="Comfy Router does not know the job",
    ),
)
_WAITS: tuple[Rule, ...] = (
    Rule(
        code="rate_limited",
        error=RateLimited,
        message="the account's allowance of requests is used up",
        scope="account",
        wait=60,
    ),
    Rule(
        code="concurrency_limit_exceeded",
        error=RateLimited,
        message="as many jobs, or as much money, are under way as the account may have",
        scope="account",
        wait=15,
    ),
    Rule(
        code="queue_backlog_full",
        error=RateLimited,
        message="too many jobs of the account wait in Comfy's queue",
        scope="account",
        wait=30,
    ),
)

SUBMITS: tuple[Rule, ...] = (
    Rule(
        status=409,
        code=("concurrency_limit_exceeded", "invalid_input"),
        error=OutcomeUnknown,
        message="Comfy has had a request under this idempotency key; it is not ordered again",
        charged=None,
    ),
    _REFUSED,
    *_ACCOUNT,
    *_WAITS,
    Rule(code="invalid_input", error=RequestRejected, message="the model does not take this input"),
    Rule(
        code="service_unavailable",
        error=ProviderUnavailable,
        message="something that Comfy Router needs is out of order; try later",
    ),
    Rule(
        status=tuple(range(400, 500)),
        code=UNKNOWN,
        error=ProviderUnavailable,
        message="Comfy Router itself failed",
        scope="model",
        charged=None,
    ),
)
"""Of what is refused before there is a job. The other failures of 500 and more have no rule: they
do not tell whether the partner has the request."""

JOB_ENDS = frozenset(
    (
        "invalid_input",
        "content_policy_violation",
        "provider_error",
        "provider_timeout",
        "cancelled",
        "queue_timeout",
    )
)
"""What the result of a job says that has failed for good."""

ENDS: tuple[Rule, ...] = (
    _REFUSED,
    *_ACCOUNT,
    *_WAITS,
    Rule(code="invalid_input", error=RequestRejected, message="the model refused this input"),
    Rule(
        code="queue_timeout",
        error=ProviderUnavailable,
        message="the job was not begun in time, and is not charged; ask again, or later",
        scope="model",
    ),
    Rule(
        code="cancelled",
        error=EngineCrashed,
        message="the job was withdrawn before it was done, and may be charged",
        charged=None,
    ),
    Rule(
        code="provider_error",
        error=EngineCrashed,
        message="the model's partner failed",
        charged=None,
    ),
    Rule(
        code=("provider_timeout", "deadline_exceeded"),
        error=ProviderTimeout,
        message="the model's partner was too late",
        charged=None,
    ),
    Rule(
        error=ProviderUnavailable,
        message="Comfy Router itself failed",
        scope="model",
        charged=None,
    ),
)
"""Of how a job ends. Where the partner may have drawn, nobody tells what it cost."""


class RouterClient(HttpClient):
    """Comfy Router over HTTP: its word for an error stands in a header, and it cancels by a PUT."""

    def problem(self, answer: Answer) -> Problem:
        """What a failing answer says: the header's word first, which HTML pages do not have."""
        body = answer.data()
        kind = answer.headers.get("x-comfy-error-type") or body.get("error_type")
        problem = super().problem(answer)
        message = _words(body) or problem.message
        if not isinstance(kind, str) or not kind:
            return replace(problem, codes=(), message=message)
        if kind in KNOWN:
            return replace(problem, codes=(kind,), message=message)
        return replace(problem, codes=(UNKNOWN,), message=f"{kind}: {message}")


def credits_used(headers: Mapping[str, str]) -> float | None:
    """The Comfy credits that an answer tells; None where it tells none that a picture may cost."""
    try:
        amount = float(headers.get("x-comfy-credits-used", ""))
    except ValueError:
        return None
    return amount if math.isfinite(amount) and amount > 0 else None


def _words(body: Mapping[str, Any]) -> str:
    """What is wrong, field by field where the answer says it so."""
    detail: object = body.get("detail")
    if isinstance(detail, list):
        return "; ".join(_field_words(item) for item in cast("list[object]", detail)[:5])
    if not isinstance(detail, str):
        return ""
    upstream: object = body.get("upstream_detail")
    subject: object = body.get("refusal_subject")
    if isinstance(upstream, str) and upstream and upstream not in detail:
        detail += f" ({upstream})"
    return f"{detail} ({subject})" if isinstance(subject, str) and subject else detail


def _field_words(item: object) -> str:
    facts = cast("dict[str, object]", item) if isinstance(item, dict) else {}
    loc = facts.get("loc")
    path = [str(step) for step in cast("list[object]", loc)] if isinstance(loc, list) else []
    where = ".".join(path[1:] if path[:1] == ["body"] else path)
    words = str(facts.get("msg") or facts.get("type") or "refused")
    return f"{where}: {words}" if where else words
