"""Decide when the same route is tried again, before the next one is.

The rules are those of reference/policy.md 2.6. It is a table and not a library (stamina was looked
at), because the answer depends on money and on what other routes there are.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import anyio

from ziggie_image_mcp.errors import (
    ImageError,
    InvalidOutput,
    ProviderUnavailable,
    RateLimited,
    StorageError,
)
from ziggie_image_mcp.jobs.running import RunningJob

T = TypeVar("T")

SOON_SECONDS = 2.0
"""So long it pays to wait although another route is open."""

AGAIN_SECONDS = 0.3
"""Before a connection that was refused is tried again, and a bit more at random."""

MAX_WAITS = 2
SHARE, AT_LEAST = 0.2, 3
"""Retries may be this share of the calls under way, and so many in any case (Envoy's defaults)."""

STORE_SECONDS, MAX_STORE_SECONDS = 0.1, 10.0
"""Before a database that was down is asked again, at first and at most."""

HELD_SECONDS = 0.5
"""After so long a job says that it waits for a database."""

_log = logging.getLogger(__name__)


async def until_stored(work: Callable[[], Awaitable[T]], job: RunningJob) -> T:
    """Do what an accepted job needs of a database, which delays the job as long as it is down."""
    wait = STORE_SECONDS
    while True:
        held = "waiting for the jobs' database, which another process may hold"
        late = asyncio.get_running_loop().call_later(HELD_SECONDS, job.report, job.fraction, held)
        try:
            return await work()
        except StorageError as e:
            _log.warning("Job %s waits: %s", job.id, e)
            job.report(job.fraction, f"waiting: {e}")
        finally:
            late.cancel()
        await anyio.sleep(wait)
        wait = min(2 * wait, MAX_STORE_SECONDS)


def pause(
    error: ImageError,
    *,
    tries: int,
    remaining: float,
    charged: bool,
    others: bool,
    chance: Callable[[], float] = random.random,
) -> float | None:
    """Seconds to wait before the same route is tried again; None: go on to the next one.

    Args:
        error: How the latest try ended.
        tries: How often it was tried, 1 after the first.
        remaining: Seconds until the deadline.
        charged: Whether that try cost money.
        others: Whether another route is open that costs no more.
        chance: Gives a random number from 0 to 1.
    """
    wait: float | None = None
    if charged:
        return None
    if isinstance(error, RateLimited) and tries <= MAX_WAITS:
        seconds = error.retry_after
        if seconds is not None and (seconds <= SOON_SECONDS or not others):
            wait = seconds
    elif isinstance(error, ProviderUnavailable) and tries == 1 and not others:
        wait = AGAIN_SECONDS * (1 + chance())
    elif isinstance(error, InvalidOutput) and tries == 1 and not others:
        wait = 0.0
    return wait if wait is not None and wait < remaining else None


class RetryBudget:
    """Keeps retries from making an outage worse: few of the calls under way may be retries."""

    def __init__(self) -> None:
        self._calls = 0
        self._retries = 0

    @contextmanager
    def call(self) -> Generator[None]:
        """A call is under way in this block."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    @contextmanager
    def retry(self) -> Generator[bool]:
        """A retry is under way in this block, if that may be: its value tells."""
        allowed = self._retries < max(AT_LEAST, SHARE * self._calls)
        self._retries += allowed
        try:
            yield allowed
        finally:
            self._retries -= allowed
