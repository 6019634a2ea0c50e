"""Learn from every attempt: how long pictures take, what is broken now, and how many there were.

A circuit breaker keeps requests away from a model that fails again and again:

    closed -> open -> half-open -> closed, by a success
                 ^         |
                 '---------'  by a failure that counts, for longer than before

It is half-open when its time has passed: one failure suffices. Free requests go through again;
of those that cost money one goes through, and the others wait for what becomes of it.

Nothing in here is money, and all of it may be lost: where the database cannot be used, what is read
is empty, what is written is dropped, and `trouble` says so. SQLAlchemy is imported on first use.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ziggie_image_mcp.billing.usage_report import PictureCount
from ziggie_image_mcp.config.config import data_dir
from ziggie_image_mcp.errors import (
    DependencyMissing,
    ImageError,
    ModelMissing,
    ProviderError,
    RateLimited,
)
from ziggie_image_mcp.routing.circuit_breaker import (
    EVERY_MODEL,
    JITTER,
    after_failure,
    is_open,
    shorten,
)
from ziggie_image_mcp.routing.latency import LOAD, moving_mean
from ziggie_image_mcp.routing.types import CircuitBreaker, HistorySnapshot, Latency
from ziggie_image_mcp.storage.database import Database, LossyDatabase, Schema

if TYPE_CHECKING:
    from ziggie_image_mcp.routing.history_tables import Tables

PROBE_SECONDS = 60.0
"""How long the others wait for the one that tries a half-open breaker, in case it dies."""

PROBING = "PROBING"
"""The code of a breaker that one request is trying."""

_BLAMELESS = (ModelMissing, DependencyMissing)
"""They say something of what is installed, as an error of the scope `request` does of the request,
and nothing of the provider's health.

Where they stand against a model, a rule of the policy says so."""


def default_file() -> Path:
    """Where the history stands. It may be deleted at any time: it begins anew then."""
    return data_dir() / "experience.sqlite3"


def _schema() -> Schema[Tables]:
    from ziggie_image_mcp.routing import history_tables

    return history_tables.SCHEMA


class History:
    """What every process that uses the same database has learnt. Every call is one transaction.

    No method raises because of the database; `trouble` says what is wrong with it.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        lock_timeout: Seconds to wait while other processes write.
        chance: Gives a random number from 0 to 1.
        clock: Gives seconds that only go up.
    """

    def __init__(
        self,
        database: str | Path,
        *,
        lock_timeout: float = 5,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        consequence = "Nothing is learnt from the runs just now"
        if database == default_file():
            consequence += f" ({database} may be deleted; it is made anew)"
        rows = Database(database, _schema, "history in", lock_timeout=lock_timeout)
        self._rows = LossyDatabase(rows, consequence, clock)
        self._chance = chance

    @property
    def trouble(self) -> str | None:
        """Why nothing is read and kept just now; None while all is well."""
        return self._rows.trouble

    async def snapshot(self) -> HistorySnapshot:
        """All that was learnt; empty when it cannot be read."""
        return await self._rows.read(lambda tables: tables.snapshot(), HistorySnapshot())

    async def succeeded(
        self,
        provider: str,
        model: str,
        *,
        bucket: str,
        seconds_per_image: float | None,
        load_seconds: float = 0.0,
        now: datetime,
    ) -> None:
        """Learn how long a picture took, and close the breakers of its model and provider.

        A run that had to load its model first, for `load_seconds`, teaches what such runs take, and
        nothing about the others. Where the time says nothing, as of a run that an earlier process
        began, `seconds_per_image` is None.

        A wait that the provider asked for stays: jobs that were already on their way may succeed.
        """
        cold = load_seconds > 0
        lessons = {bucket: seconds_per_image, LOAD: load_seconds if cold else None}

        def work(tables: Tables) -> None:
            for kind, seconds in lessons.items():
                if seconds_per_image is None or seconds is None:
                    continue
                if not (math.isfinite(seconds) and seconds > 0):
                    continue
                known = tables.latency(provider, model, kind, cold=cold)
                before = known or Latency(
                    provider=provider, model=model, bucket=kind, seconds=1.0, samples=0
                )
                tables.put_latency(moving_mean(before, seconds), cold=cold)
            for name in (model, EVERY_MODEL):
                breaker = tables.breaker(provider, name)
                if breaker is None:
                    continue
                if breaker.code == RateLimited.code and is_open(breaker, now):
                    tables.put_breaker(replace(breaker, failures=0, opens=0))
                else:
                    tables.drop_breakers(provider, name)

        await self._rows.write(work, None)

    async def count(self, attempt: str, pictures: PictureCount) -> None:
        """Count the pictures of an attempt, once, whoever says it how often."""
        await self._rows.write(lambda tables: tables.put_pictures(attempt, pictures), None)

    async def pictures(self, since: date) -> tuple[date | None, list[PictureCount]]:
        """The day on which counting began, and what was counted from the day `since` on."""

        def work(tables: Tables) -> tuple[date | None, list[PictureCount]]:
            return tables.first_day(), tables.pictures(since)

        return await self._rows.read(work, (None, []))

    async def may_try(self, provider: str, model: str, now: datetime) -> bool:
        """Whether a request that costs money may go out now: of a half-open breaker, one may."""

        def work(tables: Tables) -> bool:
            breakers = [tables.breaker(provider, name) for name in (EVERY_MODEL, model)]
            if any(b is not None and is_open(b, now) for b in breakers):
                return False
            for breaker in breakers:
                if breaker is not None and breaker.open_until is not None:
                    note = f"one request tries it again after {breaker.code}: {breaker.reason}"
                    until = now + timedelta(seconds=PROBE_SECONDS)
                    tables.put_breaker(
                        replace(breaker, open_until=until, code=PROBING, reason=shorten(note))
                    )
            return True

        return await self._rows.write(work, True)

    async def failed(self, provider: str, model: str, error: ImageError, now: datetime) -> None:
        """Count a failure that says something of the provider's health, and open the breaker."""
        if not isinstance(error, ProviderError):
            return
        blameless = error.scope == "request" or isinstance(error, _BLAMELESS)
        whole = error.scope in ("account", "provider")
        jitter = self._chance() * JITTER

        def work(tables: Tables) -> None:
            for name in (EVERY_MODEL, model):
                known = tables.breaker(provider, name)
                if known is not None and known.code == PROBING:  # it was tried, and is half-open
                    known = replace(known, open_until=now, code=error.code)
                    tables.put_breaker(known)
                if not blameless and whole == (name == EVERY_MODEL):
                    before = known or CircuitBreaker(provider=provider, model=name)
                    tables.put_breaker(after_failure(before, error, now, jitter))

        await self._rows.write(work, None)

    async def reset(self, provider: str | None = None) -> None:
        """Close the breakers of one provider, or all. What was learnt of speed stays."""
        await self._rows.write(lambda tables: tables.drop_breakers(provider), None)

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next call of another method reopens."""
        await self._rows.aclose()
