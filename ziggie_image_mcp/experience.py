"""Learn from every attempt: how long pictures take, what is broken now, and what was made before.

A breaker keeps requests away from a model that fails again and again:

    closed -> open -> half-open -> closed, by a success
                 ^         |
                 '---------'  by a failure that counts, for longer than before

It is half-open when its time has passed: one failure suffices. Free requests go through again;
of those that cost money one goes through, and the others wait for what becomes of it.

Nothing in here is money, and all of it may be lost: where the database cannot be used, what is read
is empty, what is written is dropped, and `trouble` says so. SQLAlchemy is imported on first use.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ziggie_image_mcp.config import data_dir
from ziggie_image_mcp.database import Database
from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ContentRefused,
    DependencyMissing,
    ImageError,
    ModelMissing,
    OutOfMemory,
    PaymentRequired,
    ProviderError,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.types import Breaker, Job, Latency, Model, Snapshot

if TYPE_CHECKING:
    from ziggie_image_mcp.experience_schema import Tables

T = TypeVar("T")

EVERY_MODEL = "*"
"""The model of a breaker that stands for its whole provider."""

FAILURES = 3
"""So many in a row open a breaker."""

OPEN_SECONDS = 30.0
"""The first opening; the n-th in a row lasts n times as long."""

MAX_OPEN_SECONDS = 300.0
PROBE_SECONDS = 60.0
"""How long the others wait for the one that tries a half-open breaker, in case it dies."""

PROBING = "PROBING"
"""The code of a breaker that one request is trying."""

JITTER = 0.1
"""An opening lasts longer by up to this share, so that not all servers ask again at once."""

WEIGHT = 0.3
"""What the newest run weighs against all before it."""

ENOUGH_SAMPLES = 3
"""Fewer runs say less than the table of priors."""

RESULTS_KEPT = timedelta(days=30)
REST_SECONDS = 60.0
"""How long a database that failed is left alone: requests must not wait for it again and again."""

MAX_REASON = 300

_BLAMELESS = (OutOfMemory, RequestRejected, ContentRefused, ModelMissing, DependencyMissing)
"""They say something of the request or of what is installed, and nothing of the provider's health.

Where they stand against a model, a rule of the policy says so."""


def default_file() -> Path:
    """Where the experience stands. It may be deleted at any time, and is made anew."""
    return data_dir() / "experience.sqlite3"


class Experience:
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
        self.trouble: str | None = None
        """Why nothing is read and kept just now; None while all is well."""
        self._database = database
        self._rows = Database(
            database, "experience_schema", "experience in", lock_timeout=lock_timeout
        )
        self._chance = chance
        self._clock = clock
        self._rests_until = -math.inf

    async def snapshot(self) -> Snapshot:
        """All that was learnt; empty when it cannot be read."""
        return await self._read(lambda tables: tables.snapshot(), Snapshot())

    async def succeeded(
        self, provider: str, model: str, *, bucket: str, seconds_per_image: float, now: datetime
    ) -> None:
        """Learn how long a picture took, and close the breakers of its model and provider.

        A wait that the provider asked for stays: jobs that were already on their way may succeed.
        """

        def work(tables: Tables) -> None:
            if math.isfinite(seconds_per_image) and seconds_per_image > 0:
                known = tables.latency(provider, model, bucket)
                before = known or Latency(
                    provider=provider, model=model, bucket=bucket, seconds=1.0, samples=0
                )
                tables.put_latency(_learnt(before, seconds_per_image))
            for name in (model, EVERY_MODEL):
                breaker = tables.breaker(provider, name)
                if breaker is None:
                    continue
                if breaker.code == RateLimited.code and is_open(breaker, now):
                    tables.put_breaker(replace(breaker, failures=0, opens=0))
                else:
                    tables.drop_breakers(provider, name)

        await self._write(work, None)

    async def may_try(self, provider: str, model: str, now: datetime) -> bool:
        """Whether a request that costs money may go out now: of a half-open breaker, one may."""

        def work(tables: Tables) -> bool:
            found = [tables.breaker(provider, name) for name in (EVERY_MODEL, model)]
            if any(b is not None and is_open(b, now) for b in found):
                return False
            for breaker in found:
                if breaker is not None and breaker.open_until is not None:
                    said = f"one request tries it again after {breaker.code}: {breaker.reason}"
                    until = now + timedelta(seconds=PROBE_SECONDS)
                    tables.put_breaker(
                        replace(breaker, open_until=until, code=PROBING, reason=_short(said))
                    )
            return True

        return await self._write(work, True)

    async def failed(self, provider: str, model: str, error: ImageError, now: datetime) -> None:
        """Count a failure that says something of the provider's health, and open the breaker."""
        if not isinstance(error, ProviderError):
            return
        blameless = isinstance(error, _BLAMELESS)
        whole = isinstance(error, (AuthenticationFailed, PaymentRequired))
        jitter = self._chance() * JITTER

        def work(tables: Tables) -> None:
            for name in (EVERY_MODEL, model):
                known = tables.breaker(provider, name)
                if known is not None and known.code == PROBING:  # it was tried, and is half-open
                    known = replace(known, open_until=now, code=error.code)
                    tables.put_breaker(known)
                if not blameless and whole == (name == EVERY_MODEL):
                    before = known or Breaker(provider=provider, model=name)
                    tables.put_breaker(after_failure(before, error, now, jitter))

        await self._write(work, None)

    async def reset(self, provider: str | None = None) -> None:
        """Close the breakers of one provider, or all. What was learnt of speed stays."""
        await self._write(lambda tables: tables.drop_breakers(provider), None)

    async def cached(self, key: str) -> tuple[str, ...] | None:
        """The ids of the pictures that were made of this very job. They may be gone by now."""
        return await self._read(lambda tables: tables.result(key), None)

    async def remember(self, key: str, image_ids: Sequence[str], now: datetime) -> None:
        """Keep what a job led to, and forget what is older than `RESULTS_KEPT`."""
        ids = tuple(image_ids)

        def work(tables: Tables) -> None:
            from ziggie_image_mcp.database_engine import stamp

            tables.drop_results_before(stamp(now - RESULTS_KEPT))
            tables.put_result(key, ids, stamp(now))

        await self._write(work, None)

    async def forget(self, key: str) -> None:
        """Make this job anew the next time, as when a picture of it is gone."""
        await self._write(lambda tables: tables.drop_result(key), None)

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next call of another method reopens."""
        await self._rows.aclose()

    async def _read(self, work: Callable[[Tables], T], otherwise: T) -> T:
        return await self._guarded(partial(self._rows.read, work), otherwise)

    async def _write(self, work: Callable[[Tables], T], otherwise: T) -> T:
        return await self._guarded(partial(self._rows.write, work), otherwise)

    async def _guarded(self, transact: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """Do it, or do without where the database cannot be used."""
        from sqlalchemy.exc import SQLAlchemyError

        if self._clock() < self._rests_until:
            return otherwise
        try:
            done = await transact()
        except (ImageError, SQLAlchemyError) as e:
            said = str(e) if isinstance(e, ImageError) else type(e).__name__
            self.trouble = f"Nothing is learnt from the runs just now: {said}"
            if self._database == default_file():
                self.trouble += " That file may also be deleted; it is made anew."
            self._rests_until = self._clock() + REST_SECONDS
            await self._rows.aclose()
            return otherwise
        self.trouble = None
        return done


def after_failure(breaker: Breaker, error: ProviderError, now: datetime, jitter: float) -> Breaker:
    """The breaker when this error has come. `jitter` is the share that an opening lasts longer.

    An opening is never made shorter, and jobs that were on their way when it began only count.
    """
    said = _short(str(error))
    if isinstance(error, RateLimited):
        wait = OPEN_SECONDS if error.retry_after is None else error.retry_after
        wait = min(max(wait, 0.0), MAX_OPEN_SECONDS) if not math.isnan(wait) else OPEN_SECONDS
        return _opened(breaker, error.code, said, now, wait)
    if isinstance(error, (AuthenticationFailed, PaymentRequired)):
        said += (
            f" Every model of {breaker.provider} is left alone for {MAX_OPEN_SECONDS:g} seconds, "
            "because a change of the key or the account cannot be seen from here."
        )
        return _opened(breaker, error.code, said, now, MAX_OPEN_SECONDS)
    counted = replace(breaker, failures=breaker.failures + 1)
    if is_open(breaker, now):
        return counted
    if breaker.opens == 0 and counted.failures < FAILURES:
        return replace(counted, open_until=None, code=error.code, reason=said)
    opens = breaker.opens + 1
    wait = min(OPEN_SECONDS * opens, MAX_OPEN_SECONDS) * (1 + jitter)
    return _opened(replace(counted, opens=opens), error.code, said, now, wait)


def is_open(breaker: Breaker, now: datetime) -> bool:
    """Whether requests are to be kept away.

    An end further off than any opening is the work of a clock that was wrong, and is not believed.
    """
    longest = timedelta(seconds=MAX_OPEN_SECONDS * (1 + JITTER))
    return breaker.open_until is not None and now < breaker.open_until <= now + longest


def open_breaker(snapshot: Snapshot, provider: str, model: str, now: datetime) -> Breaker | None:
    """What keeps requests away from this model now: its provider's breaker, or its own."""
    found = (snapshot.breakers.get((provider, name)) for name in (EVERY_MODEL, model))
    return next((b for b in found if b is not None and is_open(b, now)), None)


def learnt_seconds(
    snapshot: Snapshot, provider: str, model: str, bucket: str, min_samples: int = ENOUGH_SAMPLES
) -> float | None:
    """Seconds for one picture, learnt from real runs; None before there were enough of them."""
    known = snapshot.latencies.get((provider, model, bucket))
    return known.seconds if known is not None and known.samples >= min_samples else None


def bucket(width: int, height: int, steps: int | None) -> str:
    """The runs that are alike in size and steps, each within a factor of two.

    >>> bucket(1024, 1024, 25), bucket(832, 1216, 30), bucket(512, 512, None)
    ('1MP/32', '1MP/32', '0.25MP')
    """
    size = f"{2.0 ** round(math.log2(max(width * height, 1) / 2**20)):g}MP"
    return size if steps is None else f"{size}/{1 << (max(steps, 1) - 1).bit_length()}"


def cache_key(job: Job, model: Model, output_format: str, fingerprint: str) -> str:
    """The name of a result: two jobs of one name, with the same seed, make the same pictures.

    `fingerprint` stands for what the model's id leaves open, as its file's size and time. Only a
    job whose seed the caller chose may be looked up: of a random one, other pictures are expected.
    """
    guidance = None if job.guidance_scale is None else float(job.guidance_scale)
    told = asdict(replace(job, guidance_scale=guidance, image=None, mask=None))
    for name in ("image", "mask", "strength", "image_id", "mask_id"):
        if not told[name]:  # so that the keys of text to image are those of earlier versions
            del told[name]
    facts = {
        "job": told,
        "provider": model.provider,
        "model": model.id,
        "output_format": output_format,
        "fingerprint": fingerprint,
    }
    said = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(said.encode("ascii")).hexdigest()


def _opened(breaker: Breaker, code: str, reason: str, now: datetime, seconds: float) -> Breaker:
    until = now + timedelta(seconds=seconds)
    if is_open(breaker, now) and breaker.open_until is not None and until <= breaker.open_until:
        return breaker
    return replace(breaker, open_until=until, code=code, reason=reason)


def _short(said: str) -> str:
    return said if len(said) <= MAX_REASON else said[: MAX_REASON - 3] + "..."


def _learnt(before: Latency, seconds: float) -> Latency:
    if before.samples == 0:
        return replace(before, seconds=seconds, samples=1)
    mean = (1 - WEIGHT) * math.log(before.seconds) + WEIGHT * math.log(seconds)
    return replace(before, seconds=math.exp(mean), samples=before.samples + 1)
