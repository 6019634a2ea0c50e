"""Errors of jobs, and of what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.inventory.types import Rejection
from ziggie_image_mcp.jobs.records import AttemptRecord


def attempts_of(error: ImageError) -> tuple[AttemptRecord, ...]:
    """What was tried of the request that ended with this error."""
    return tuple(a for a in error.attempts if isinstance(a, AttemptRecord))


def attempt_line(attempt: AttemptRecord) -> str:
    """A failed attempt, as messages list it."""
    paid = f" ({usd(attempt.cost_micro_usd)} charged)" if attempt.cost_micro_usd else ""
    route = f"{attempt.provider}/{attempt.model}"
    return f"- {route}: {attempt.error_code}: {attempt.error}{paid}"


class GenerationFailed(ImageError):
    """Raised when every allowed route was tried and failed."""

    code = "GENERATION_FAILED"

    def __init__(
        self,
        attempts: Sequence[AttemptRecord],
        rejected: Sequence[Rejection] = (),
        hint: str = "",
    ) -> None:
        lines = ["Every allowed route failed:", *map(attempt_line, attempts)]
        if hint:
            lines.append(hint)
        super().__init__("\n".join(lines))
        self.attempts: tuple[AttemptRecord, ...] = tuple(attempts)  # pyright: ignore[reportIncompatibleVariableOverride]
        self.rejected = tuple(rejected)


class JobNotFound(ImageError):
    """Raised when no job has this id."""

    code = "JOB_NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id[:80]!r}. generate_image returns job ids.")


class JobCancelled(ImageError):
    """Raised when somebody cancelled the job that is waited for."""

    code = "CANCELLED"


class JobLost(ImageError):
    """Raised when a job cannot be finished: it failed in a way that nobody foresaw."""

    code = "JOB_LOST"


class JobMoved(Exception):
    """Raised in a process that another one took for dead: the job is the other's by now.

    Nothing may be recorded by this process. It never reaches a caller.
    """
