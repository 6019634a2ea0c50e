"""Say what Replicate's own errors mean, in our classes."""

from __future__ import annotations

import json
import math
import re
from typing import Any, cast

import httpx2

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ContentRefused,
    EngineCrashed,
    InvalidOutput,
    ModelMissing,
    OutcomeUnknown,
    OutOfMemory,
    PaymentRequired,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider import http as _http
from ziggie_image_providers.replicate.client import Prediction

KEY_NAME = "REPLICATE_API_TOKEN"

_CONTENT = re.compile(
    r"\bNSFW\b|\bE005\b|\bflagged\b|(?<!case-)(?<!case )\bsensitive\b", re.IGNORECASE
)
_MEMORY = re.compile(r"out of memory", re.IGNORECASE)
_INPUT = re.compile(r"\bE006\b|\binvalid\b|validation|must be\b|not allowed", re.IGNORECASE)


def no_token(provider: str, what: str) -> AuthenticationFailed:
    """There is no token to send."""
    return AuthenticationFailed(
        provider,
        f"{what}; run `ziggie-image-mcp keys set {KEY_NAME}`, or set {KEY_NAME} in the MCP"
        " client's own config: many clients do not pass on the shell's environment",
    )


def unknown(provider: str, what: str, id: str = "") -> OutcomeUnknown:
    """A prediction may have been made and charged, and nobody knows."""
    where = f"prediction {id}" if id else "the list of predictions"
    return OutcomeUnknown(
        provider,
        f"{what}. It may be charged, so it is not ordered again; look at {where} on replicate.com.",
    )


def lost(provider: str, what: str, id: str, charged: int) -> InvalidOutput:
    """A prediction that was made, and charged `charged` micro-dollars, and gave nothing."""
    said = f"Replicate finished the job and charges for it, but {what}; look at prediction {id}."
    return InvalidOutput(provider, said, charged)


def refused(provider: str, model: str, answer: httpx2.Response, token: str) -> ProviderError:
    """What it means that an order was answered with this status."""
    status, said = answer.status_code, _told(answer, token)
    if status == 401:
        return AuthenticationFailed(
            provider,
            f"the token in {KEY_NAME} was refused (HTTP 401); set a valid one with"
            f" `ziggie-image-mcp keys set {KEY_NAME}`",
        )
    if status == 402:
        return PaymentRequired(
            provider, f"the account has no credit left (HTTP 402); add some on replicate.com{said}"
        )
    if status == 404:
        return ModelMissing(
            provider,
            f"Replicate has no model {model} that can be run by this name (HTTP 404){said}",
        )
    if status == 429:
        wait = asked_to_wait(answer)
        when = f"in {wait:.0f} s" if wait is not None else "later"
        return RateLimited(provider, f"asks to wait (HTTP 429); try again {when}{said}", wait)
    if status == 408 or status >= 500:
        return unknown(provider, f"Replicate failed on the order (HTTP {status})")
    if answer.is_redirect:
        where = _http.public_url(answer.request.url)
        return ProviderUnavailable(
            provider, f"{where} leads elsewhere (HTTP {status}); correct the base URL"
        )
    return _http.status_error(provider, answer, said.removeprefix(": "))


def ended(provider: str, prediction: Prediction, token: str) -> ProviderError:
    """What it means that a prediction ended without success."""
    said = quoted(prediction.error, token)
    if prediction.status == "canceled":
        return EngineCrashed(provider, "Replicate stopped the job before it was done; ask again")
    if prediction.status == "aborted":
        return EngineCrashed(
            provider, "Replicate gave the job up before it started; ask again, or later"
        )
    if _CONTENT.search(said):
        return ContentRefused(provider, f"the model's safety filter refused this{said}")
    if _MEMORY.search(said):
        return OutOfMemory(provider, f"the job did not fit Replicate's GPU; ask for less{said}")
    if _INPUT.search(said):
        return RequestRejected(provider, f"the model refused its input{said}")
    return EngineCrashed(provider, f"the model failed on Replicate{said or ' without a word'}")


def asked_to_wait(answer: httpx2.Response) -> float | None:
    """Seconds that an answer asks for, by its header or its body; None when it does not say."""
    wait = _http.retry_after(answer)
    if wait is not None:
        return wait
    told = _body(answer).get("retry_after")
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    return float(told) if 0 <= told < math.inf else None


def quoted(text: object, token: str) -> str:
    """The vendor's own words as the end of a sentence: one short line without any token."""
    line = " ".join(text.split()) if isinstance(text, str) else ""
    line = "".join(c for c in line if c.isprintable())
    if token:
        line = line.replace(token, "***")
    line = re.sub(r"\br8_\w{4,}", "***", line)
    return f": {line[:200]}" if line else ""


def _told(answer: httpx2.Response, token: str) -> str:
    body = _body(answer)
    words = [body[k] for k in ("title", "detail") if isinstance(body.get(k), str)]
    fields = body.get("invalid_fields")
    if fields:
        words.append(json.dumps(fields)[:120])
    return quoted("; ".join(dict.fromkeys(words)), token)


def _body(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found: Any = answer.json()
    except ValueError:
        return {}
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}
