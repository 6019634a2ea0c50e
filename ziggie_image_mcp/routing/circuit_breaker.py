"""Keep requests away from a model that fails again and again."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    PaymentRequired,
    ProviderError,
    RateLimited,
    duration,
)
from ziggie_image_mcp.routing.types import CircuitBreaker, HistorySnapshot

EVERY_MODEL = "*"
"""The model of a breaker that stands for its whole provider."""

FAILURES = 3
"""So many in a row open a breaker."""

OPEN_SECONDS = 30.0
"""The first opening; the n-th in a row lasts n times as long."""

MAX_OPEN_SECONDS = 300.0

JITTER = 0.1
"""An opening lasts longer by up to this share, so that not all servers ask again at once."""

MAX_REASON = 300


def after_failure(
    breaker: CircuitBreaker, error: ProviderError, now: datetime, jitter: float
) -> CircuitBreaker:
    """The breaker when this error has come. `jitter` is the share that an opening lasts longer.

    An opening is never made shorter, and jobs that were on their way when it began only count.
    """
    text = shorten(str(error))
    if isinstance(error, RateLimited):
        wait = OPEN_SECONDS if error.retry_after is None else error.retry_after
        wait = min(max(wait, 0.0), MAX_OPEN_SECONDS) if not math.isnan(wait) else OPEN_SECONDS
        return _opened(breaker, error.code, text, now, wait)
    if isinstance(error, (AuthenticationFailed, PaymentRequired)):
        text += (
            f" Every model of {breaker.provider} is left alone for {duration(MAX_OPEN_SECONDS)}, "
            "because a change of the key or the account cannot be seen from here."
        )
        return _opened(breaker, error.code, text, now, MAX_OPEN_SECONDS)
    counted = replace(breaker, failures=breaker.failures + 1)
    if is_open(breaker, now):
        return counted
    if breaker.opens == 0 and counted.failures < FAILURES:
        return replace(counted, open_until=None, code=error.code, reason=text)
    opens = breaker.opens + 1
    wait = min(OPEN_SECONDS * opens, MAX_OPEN_SECONDS) * (1 + jitter)
    return _opened(replace(counted, opens=opens), error.code, text, now, wait)


def is_open(breaker: CircuitBreaker, now: datetime) -> bool:
    """Whether requests are to be kept away.

    An end further off than any opening is the work of a clock that was wrong, and is not believed.
    """
    longest = timedelta(seconds=MAX_OPEN_SECONDS * (1 + JITTER))
    return breaker.open_until is not None and now < breaker.open_until <= now + longest


def open_breaker(
    snapshot: HistorySnapshot, provider: str, model: str, now: datetime
) -> CircuitBreaker | None:
    """What keeps requests away from this model now: its provider's breaker, or its own."""
    both = (snapshot.breakers.get((provider, name)) for name in (EVERY_MODEL, model))
    return next((b for b in both if b is not None and is_open(b, now)), None)


def _opened(
    breaker: CircuitBreaker, code: str, reason: str, now: datetime, seconds: float
) -> CircuitBreaker:
    until = now + timedelta(seconds=seconds)
    if is_open(breaker, now) and breaker.open_until is not None and until <= breaker.open_until:
        return breaker
    return replace(breaker, open_until=until, code=code, reason=reason)


def shorten(text: str) -> str:
    """A reason that is no longer than `MAX_REASON`."""
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 3] + "..."
