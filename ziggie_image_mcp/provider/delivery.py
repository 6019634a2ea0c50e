"""The ways in which pictures are delivered: in the answer, in this process, or to be polled for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import anyio

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ContentRefused,
    OutcomeUnknown,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    duration,
)
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.nouns import (
    Balance,
    CancelOutcome,
    Generation,
    Model,
    ProviderRequest,
    Resolution,
    Run,
)
from ziggie_image_mcp.provider.pricing import UNKNOWN_COST, Cost, Estimate, estimate

MALFORMED = (ValueError, KeyError, TypeError, IndexError, AttributeError)
"""What reading an answer raises that is not in the API's words."""

FORGOTTEN = 3
"""So many answers that there is no such job: a store that lags behind knows it soon."""


class AnswersAtOnce:
    """The answer to a request is its pictures; a lost answer cannot be looked up."""

    name: str

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Nothing to wait for: `submit` gave the pictures, or nobody has them.

        Raises:
            OutcomeUnknown: Always.
        """
        raise OutcomeUnknown(self.name, f"{self.name} keeps no pictures to fetch later")

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Nothing to look up."""
        reason = f"{self.name} cannot look up whether a request was made"
        return Resolution(state="unknowable", reason=reason)

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """Nothing to stop but the connection."""
        return CancelOutcome(state="unsupported")


class InProcess(AnswersAtOnce):
    """The pictures are made by this process or its children, which end with it."""

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """What a process that died was doing died with it."""
        return Resolution(state="not_sent", reason="its process died")

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """Nothing, where the price book says so: it runs here."""
        return estimate(request, model)

    async def balance(self) -> Balance | None:
        """There is no account."""
        return None


@dataclass(frozen=True, kw_only=True)
class RemoteStatus:
    """Where a remote job stands."""

    state: Literal["waiting", "running", "succeeded", "failed"]
    answer: Answer | None = None
    """What it was read from."""
    message: str = ""
    """For the progress: in the backend's own words."""
    fraction: float | None = None
    error: ProviderError | None = None
    """Why it failed, and by its `charged` what that cost; without one, nobody tells."""


class Polled:
    """A request is submitted, and asked after until it has ended.

    What a backend must say: `look` and `finish`. Where it can stop a job, `cancel`.
    """

    name: str
    seconds: float
    """How long a job may take."""
    first_pause: float = 0.5
    longest_pause: float = 3.0

    async def look(self, remote_id: str) -> RemoteStatus:
        """Where a job stands. Must be overridden.

        Raises:
            ProviderError: The backend does not tell; it is asked again where that may help.
        """
        raise NotImplementedError

    async def finish(
        self, remote_id: str, status: RemoteStatus, request: ProviderRequest, model: Model
    ) -> Generation:
        """Fetch the pictures of a job that succeeded. Must be overridden.

        Raises:
            ProviderError: They cannot be had; `charged` says what they cost.
        """
        raise NotImplementedError

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """Usually overridden: many backends can stop a job."""
        return CancelOutcome(state="unsupported")

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Ask after the job until it has ended, and fetch its pictures at once."""
        status = await self._end(remote_id, run)
        if status is None:
            status = await self._too_late(remote_id)
        if status.state == "failed":
            silent = ProviderError(self.name, "the job failed without a word", charged=None)
            raise status.error or silent
        await run.progress(0.9, "fetching the pictures")
        try:
            return await self.finish(remote_id, status, request, model)
        except MALFORMED as e:
            what = f"{self.name} says that the job {remote_id} is done, not in its API's words"
            raise OutcomeUnknown(self.name, what) from e

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Look a job up by its id; overridden where it can be looked up by the key too."""
        if not remote_id:
            reason = f"{self.name} cannot look up a request by our key"
            return Resolution(state="unknowable", reason=reason)
        try:
            status = await self._look(remote_id)
        except ProviderError as e:
            return Resolution(state="unknowable", remote_id=remote_id, reason=str(e))
        if status.state == "failed":
            reason = str(status.error or status.message)
            charged = status.error.charged if status.error else None
            cost = UNKNOWN_COST if charged is None else Cost(micro_usd=charged, basis="exact")
            return Resolution(state="failed", remote_id=remote_id, cost=cost, reason=reason)
        if status.state == "succeeded":
            return Resolution(state="finished", remote_id=remote_id)
        return Resolution(state="running", remote_id=remote_id)

    async def _look(self, remote_id: str) -> RemoteStatus:
        try:
            return await self.look(remote_id)
        except MALFORMED as e:
            what = f"{self.name} does not tell of the job {remote_id} in its API's words"
            raise ProviderUnavailable(self.name, what) from e

    async def _end(self, remote_id: str, run: Run) -> RemoteStatus | None:
        """The job's status once it has ended; None when that takes too long."""
        started, pause, words, absent = time.monotonic(), self.first_pause, "waiting", 0
        while True:
            wait = pause
            try:
                status = await self._look(remote_id)
            except AuthenticationFailed as e:
                what = f"{self.name} does not tell of the job with this key: {e}"
                raise OutcomeUnknown(self.name, what) from e
            except (ProviderUnavailable, ProviderTimeout, RateLimited) as e:
                absent += e.status in (404, 410)
                if absent == FORGOTTEN:
                    what = f"{self.name} does not know the job {remote_id} any more"
                    raise OutcomeUnknown(self.name, what) from e
                wait = max(pause, e.retry_after or 0.0)  # the job goes on, whether we see it or not
            except (OutcomeUnknown, ContentRefused):
                raise
            except ProviderError as e:  # about the question, not about the job
                what = f"{self.name} does not tell of the job {remote_id}: {e}"
                raise OutcomeUnknown(self.name, what) from e
            else:
                if status.state in ("succeeded", "failed"):
                    return status
                words = status.message or status.state
            pause = min(pause * 1.5, self.longest_pause)
            while wait > 0:
                spent = time.monotonic() - started
                if spent >= self.seconds:
                    return None
                await run.progress(0.85 * spent / (spent + 10), words)
                step = min(wait, self.longest_pause, self.seconds - spent)
                await anyio.sleep(step)
                wait -= step

    async def _too_late(self, remote_id: str) -> RemoteStatus:
        """Stop a job that takes too long; it may have ended in the meantime."""
        outcome = await self.cancel(remote_id)
        limit = duration(self.seconds)
        if outcome.state == "stopped":
            raise ProviderTimeout(
                self.name,
                f"{self.name} did not finish within {limit}, so the job was stopped; ask for less,"
                f" or set providers.{self.name}.timeout",
                charged=outcome.cost.micro_usd,
            )
        try:
            status = await self._look(remote_id)
        except ProviderError:
            status = RemoteStatus(state="running")
        if status.state not in ("succeeded", "failed"):
            what = f"the job {remote_id} was not done after {limit} and could not be stopped"
            raise OutcomeUnknown(self.name, what)
        return status
