"""Say what came of a request: the result, each attempt, and what money could still do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ziggie_image_mcp import policy
from ziggie_image_mcp.context import Context
from ziggie_image_mcp.errors import (
    ConsentRequired,
    GenerationFailed,
    ImageError,
    NoRoute,
    ProviderError,
    revive,
)
from ziggie_image_mcp.orders import Failure
from ziggie_image_mcp.rules_money import dollars, usd
from ziggie_image_mcp.types import (
    Attempt,
    Candidate,
    Generation,
    ImageRequest,
    Plan,
    Quote,
    Result,
    StoredImage,
)

_MONEY = frozenset(("CONSENT_REQUIRED", "OVER_BUDGET", "OVER_MAX_COST", "PAID_FORBIDDEN"))
"""Reasons that stand only against paying."""


@dataclass
class Bill:
    """What an attempt has cost so far, 1e-6 USD: known also when its pictures are unusable."""

    micro_usd: int = 0


def left_for_money(context: Context, plan: Plan, attempts: Sequence[Attempt]) -> str:
    """What money could still do when these attempts have failed: an offer, or what forbids it."""
    gone = {(a.provider, a.model) for a in attempts}
    left = tuple(m for m in context.survey.models if (m.provider, m.id) not in gone)
    paid = tuple(m for m in left if m.price_micro_usd != 0)
    open_ = policy.offer(replace(context, survey=replace(context.survey, models=paid)))
    offer = _offer(open_, spent(attempts))
    if offer:
        return offer
    barred = [
        f"- {r.provider}/{r.model}: {x.code}: needs {x.need}, have {x.have}. Fix: {x.fix}"
        for r in plan.rejected
        if all(x.code in _MONEY for x in r.reasons)
        for x in r.reasons
    ]
    return "\n".join(["Left out for money:", *barred[:6]]) if barred else ""


def spent(attempts: Sequence[Attempt]) -> int:
    """What these attempts cost together, 1e-6 USD."""
    return sum(a.cost_micro_usd for a in attempts)


def _offer(quote: Quote | None, spent: int = 0) -> str:
    if quote is None:
        return ""
    so_far = f"{usd(spent)} was spent on what failed" if spent else "Nothing was spent"
    return (
        f"A paid route is open: {quote.provider}/{quote.model} for at most "
        f"{usd(quote.micro_usd)}. {so_far}. Ask the user; after a yes call again with "
        f"allow_paid=true and max_cost_usd={dollars(quote.micro_usd)}. To stop being asked, set a "
        'budget and allowPaidFallback to "withinBudget" in config.json.'
    )


def nothing_open(context: Context, plan: Plan) -> ImageError:
    """The error for a request without a free route: what money could do, or every reason."""
    quote = policy.quote(context)
    if quote is None:
        return NoRoute(plan.rejected, policy.hint(context))
    free = [r for r in plan.rejected if not all(x.code in _MONEY for x in r.reasons)]
    closed = f"\nThe others: {NoRoute(free)}" if free else ""
    return ConsentRequired(f"No free route is open. {_offer(quote)}{closed}")


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def failed(candidate: Candidate, error: ImageError, bill: Bill, started: float) -> Attempt:
    """An attempt that began at `started` (monotonic seconds) and failed."""
    return Attempt(
        provider=candidate.model.provider,
        model=candidate.model.id,
        ok=False,
        milliseconds=_milliseconds(started),
        error_code=error.code,
        error=str(error),
        cost_micro_usd=bill.micro_usd,
    )


def succeeded(candidate: Candidate, bill: Bill, started: float) -> Attempt:
    """An attempt that began at `started` (monotonic seconds) and gave pictures."""
    return Attempt(
        provider=candidate.model.provider,
        model=candidate.model.id,
        ok=True,
        milliseconds=_milliseconds(started),
        cost_micro_usd=bill.micro_usd,
    )


def result(
    request: ImageRequest,
    candidate: Candidate,
    generation: Generation,
    images: list[StoredImage],
    attempts: list[Attempt],
    started: float,
) -> Result:
    """What the caller gets: the pictures, the route, why it was taken and what was tried."""
    notes = [*candidate.notes, *generation.notes]
    sizes = {(i.width, i.height) for i in images}
    if sizes != {(candidate.job.width, candidate.job.height)}:
        delivered = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
        wanted = f"{candidate.job.width}x{candidate.job.height}"
        notes.append(f"delivered as {delivered}, not {wanted}")
    why = candidate.why
    lost = [a for a in attempts if not a.ok]
    if lost:
        failures = [f"{a.provider}/{a.model} failed ({a.error_code})" for a in lost]
        why += f"; after {', '.join(failures)}"
    return Result(
        images=tuple(images),
        model=candidate.model,
        job=candidate.job,
        requested_width=request.width,
        requested_height=request.height,
        why=why,
        attempts=tuple(attempts),
        notes=tuple(notes),
        cost_micro_usd=spent(attempts),
        seconds=(time.monotonic() - started),
    )


def failure(error: ImageError) -> Failure:
    """An error, to be recorded."""
    provider = error.provider if isinstance(error, ProviderError) else ""
    attempts = error.attempts if isinstance(error, GenerationFailed) else ()
    return Failure(code=error.code, message=str(error), provider=provider, attempts=attempts)


def revived(failure: Failure) -> ImageError:
    """The error again, to be raised."""
    return revive(failure.code, failure.message, failure.provider, failure.attempts)
