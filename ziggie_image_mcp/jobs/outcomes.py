"""Put together what came of a request: its result, its attempts, its errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.errors import ImageError, InvalidRequest, ProviderError, known_class
from ziggie_image_mcp.jobs.errors import (
    GenerationFailed,
    JobCancelled,
    attempt_line,
    attempts_of,
)
from ziggie_image_mcp.jobs.records import (
    AttemptOutcome,
    AttemptRecord,
    Failure,
    JobOutcome,
    Result,
)
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import ImageRequest, input_notes
from ziggie_image_mcp.routing.types import Candidate
from ziggie_image_mcp.storage.types import StoredImage


def cost_of_attempts(attempts: Sequence[AttemptRecord]) -> int:
    """What these attempts cost together, 1e-6 USD."""
    return sum(a.cost_micro_usd for a in attempts)


def seconds_before(begun: datetime, now: datetime) -> float:
    """How long other processes had a request before this one took it up, whatever clocks say."""
    return max(0.0, (now - begun).total_seconds())


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
        notes=(*input_notes(request), *route.notes, *notes),
        cost_micro_usd=cost_of_attempts(attempts),
        seconds=time.monotonic() - started,
    )


def failure(error: ImageError) -> Failure:
    """An error with all that it carries, to be recorded."""
    codes = [kind.code for kind in type(error).__mro__ if issubclass(kind, ImageError)]
    parents = tuple(code for code in dict.fromkeys(codes) if code != error.code)
    attempts = attempts_of(error)
    record = Failure(code=error.code, message=str(error), parents=parents, attempts=attempts)
    if isinstance(error, ProviderError):
        return replace(
            record,
            provider=error.provider,
            fallback=error.fallback,
            charged=error.charged if isinstance(error.charged, int) else None,
            retry_after=error.retry_after,
            scope=error.scope,
        )
    if isinstance(error, GenerationFailed):
        return replace(record, rejected=tuple(error.rejected))
    if isinstance(error, NoRoute):
        return replace(record, rejected=error.rejected)
    if isinstance(error, InvalidRequest):
        return replace(record, field=error.field, value=repr(error.value), fix=error.fix)
    return record


def with_attempts(error: ImageError, attempts: Sequence[AttemptRecord]) -> ImageError:
    """The error that ended a request, with all its attempts; those before it in words, too."""
    error.attempts = tuple(attempts)
    if len(attempts) > 1:
        lines = [str(error), "Before that:", *map(attempt_line, attempts[:-1])]
        error.args = ("\n".join(lines), *error.args[1:])
    return error


def failed_outcome(error: ImageError) -> JobOutcome:
    """The outcome of a job that came to nothing."""
    return JobOutcome(failures=(failure(error),))


def cancelled_outcome(cost: int) -> JobOutcome:
    """The outcome of a job that somebody cancelled, which had cost so much, 1e-6 USD."""
    message = "It was cancelled."
    if cost:
        message += f" {usd(cost)} counts as spent: it was sent, and may be charged."
    return replace(failed_outcome(JobCancelled(message)), cost_micro_usd=cost)


def error_of(outcome: JobOutcome) -> ImageError:
    """The error of a job that made nothing: the first one, and what all of them cost."""
    error = revived(outcome.failures[0])
    others, lines, spent = len(outcome.failures) - 1, [str(error)], usd(outcome.cost_micro_usd)
    if others:
        lines.append(f"{others} more of this call failed.")
    if outcome.cost_micro_usd and (others or spent not in lines[0]):
        lines.append(f"{spent} was spent{' in all' if others else ''}.")
    error.args = ("\n".join(lines), *error.args[1:])
    return error


def revived(failure: Failure) -> ImageError:
    """The error again, out of its record.

    Where this process does not have its class, as one of a plugin that is not installed here, it is
    of the nearest parent that is known, and keeps its code.
    """
    kind = next((k for c in (failure.code, *failure.parents) if (k := known_class(c))), ImageError)
    error = kind.__new__(kind)
    Exception.__init__(error, failure.message)
    if kind.code != failure.code:
        error.__dict__["code"] = failure.code
    error.attempts = tuple(failure.attempts)
    if isinstance(error, ProviderError):
        error.provider = failure.provider
        error.charged, error.retry_after = failure.charged, failure.retry_after
        if failure.fallback is not None:
            error.fallback, error.scope = failure.fallback, failure.scope
    if isinstance(error, GenerationFailed):
        error.rejected = tuple(failure.rejected)
    if isinstance(error, NoRoute):
        error.rejected = tuple(failure.rejected)
    if isinstance(error, InvalidRequest):
        error.field, error.value, error.fix = failure.field, failure.value, failure.fix
    return error


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
