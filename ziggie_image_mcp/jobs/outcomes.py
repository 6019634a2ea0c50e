"""Put together what came of a request: its result, its attempts, its errors."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ziggie_image_mcp.errors import ImageError, ProviderError, RateLimited, error_class
from ziggie_image_mcp.jobs.errors import GenerationFailed
from ziggie_image_mcp.jobs.records import (
    AttemptOutcome,
    AttemptRecord,
    Failure,
    JobOutcome,
    Result,
)
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Candidate
from ziggie_image_mcp.storage.types import StoredImage


def cost_of_attempts(attempts: Sequence[AttemptRecord]) -> int:
    """What these attempts cost together, 1e-6 USD."""
    return sum(a.cost_micro_usd for a in attempts)


def failed_attempt(
    route: Candidate, error: ImageError, cost: int, started: float, *, late: bool = False
) -> AttemptOutcome:
    """An attempt that began at `started` (monotonic seconds), cost 1e-6 USD, and failed."""
    return AttemptOutcome(
        attempt=AttemptRecord(
            provider=route.model.provider,
            model=route.model.id,
            ok=False,
            milliseconds=_milliseconds(started),
            error_code=error.code,
            error=str(error),
            cost_micro_usd=cost,
        ),
        failure=failure(error),
        late=late,
    )


def successful_attempt(
    route: Candidate,
    images: Sequence[StoredImage],
    notes: Sequence[str],
    cost: int,
    started: float,
) -> AttemptOutcome:
    """An attempt that began at `started` (monotonic seconds) and gave pictures."""
    return AttemptOutcome(
        attempt=AttemptRecord(
            provider=route.model.provider,
            model=route.model.id,
            ok=True,
            milliseconds=_milliseconds(started),
            cost_micro_usd=cost,
        ),
        images=tuple(images),
        notes=tuple(notes),
    )


def result(
    request: ImageRequest,
    route: Candidate,
    images: Sequence[StoredImage],
    attempts: Sequence[AttemptRecord],
    started: float,
    notes: Sequence[str] = (),
) -> Result:
    """What the caller gets: the pictures, the route, why it was taken and what was tried."""
    all_notes = [*route.notes, *notes]
    sent = (route.request.width, route.request.height)
    sizes = {(i.width, i.height) for i in images}
    if sizes != {sent}:
        delivered = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
        all_notes.append(f"delivered as {delivered}, not {sent[0]}x{sent[1]}")
    why = route.why
    failures = [f"{a.provider}/{a.model} failed ({a.error_code})" for a in attempts if not a.ok]
    if failures:
        why += f"; after {', '.join(failures)}"
    return Result(
        images=tuple(images),
        model=route.model,
        request=route.request,
        requested_width=request.width,
        requested_height=request.height,
        why=why,
        attempts=tuple(attempts),
        notes=tuple(all_notes),
        cost_micro_usd=cost_of_attempts(attempts),
        seconds=time.monotonic() - started,
    )


def failure(error: ImageError) -> Failure:
    """An error, to be recorded."""
    provider = error.provider if isinstance(error, ProviderError) else ""
    attempts = error.attempts if isinstance(error, GenerationFailed) else ()
    return Failure(code=error.code, message=str(error), provider=provider, attempts=attempts)


def failed_outcome(error: ImageError) -> JobOutcome:
    """The outcome of a job that came to nothing."""
    return JobOutcome(failures=(failure(error),))


def revived(failure: Failure) -> ImageError:
    """The error again, out of its record: without the fields that are not recorded."""
    kind = error_class(failure.code)
    error = kind.__new__(kind)
    Exception.__init__(error, failure.message)
    if isinstance(error, ProviderError):
        error.provider = failure.provider
    if isinstance(error, RateLimited):
        error.retry_after = None
    if isinstance(error, GenerationFailed):
        error.attempts, error.rejected = tuple(failure.attempts), ()
    return error


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
