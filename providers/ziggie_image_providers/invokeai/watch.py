"""Watch a batch until it has ended, by asking where it stands."""

from __future__ import annotations

import time
from dataclasses import dataclass

import anyio

from ziggie_image_mcp.provider import (
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    Run,
    duration,
)
from ziggie_image_providers.invokeai import failures, wire
from ziggie_image_providers.invokeai.server import Server

_TYPICAL_SECONDS = 20.0
"""After so long a picture counts as half done: how far it is, only InvokeAI's socket tells."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often the server is asked, seconds."""

    first: float = 0.05
    factor: float = 1.5
    longest: float = 1.0
    patience: float = 20.0
    """How long a server may be silent in the middle of a job before it counts as dead."""


async def follow(server: Server, name: str, id: str, run: Run, pace: Pace, seconds: float) -> None:
    """Wait until nothing of a batch is waiting or running.

    Args:
        server: Which has it.
        name: The provider's name.
        id: Of the batch, and its destination.
        run: Is told how far it is.
        pace: How often the server is asked.
        seconds: How long it may work at it; what it waits behind others is not counted.

    Raises:
        EngineGone: The server has gone, was restarted, or no longer has the batch.
        EngineCrashed: Somebody else ended it.
        ProviderTimeout: It takes too long.
    """
    started = last_heard = time.monotonic()
    pause, was_silent, unknown, ahead = pace.first, False, 0, None
    while True:
        try:
            heard = await server.counts(id)
        except (ProviderUnavailable, ProviderTimeout) as e:
            was_silent = True
            if time.monotonic() - last_heard >= pace.patience:
                raise failures.silent(name, server.http.url) from e
            counts = None
        else:
            counts, last_heard = heard, time.monotonic()
            unknown = 0 if counts.total else unknown + 1
        if counts is not None and unknown == 2:
            raise failures.lost(name)
        if counts is not None and counts.total:
            if not counts.open or (counts.failed and not counts.completed):
                _check_stopped(name, counts, was_silent=was_silent)
                return
            if not counts.in_progress:
                started = time.monotonic()
                ahead, words = await _waiting(server, counts, ahead)
                await run.progress(0.02, words)
            else:
                spent = time.monotonic() - started
                await run.progress(*_words(counts, spent))
        if time.monotonic() - started >= seconds:
            raise ProviderTimeout(
                name,
                f"InvokeAI did not finish within {duration(seconds)} of work, so the job was"
                f" stopped; ask for less, or set providers.{name}.timeout",
            )
        await anyio.sleep(pause)
        pause = min(pause * pace.factor, pace.longest)


def _check_stopped(name: str, counts: wire.Counts, *, was_silent: bool) -> None:
    """Raise where all that came of a batch is that it was ended."""
    if counts.canceled and not counts.completed and not counts.failed:
        raise failures.restarted(name) if was_silent else failures.stopped(name)


async def _waiting(
    server: Server, counts: wire.Counts, ahead: int | None
) -> tuple[int | None, str]:
    """How many of others may come first, never more than was told before, and in words."""
    try:
        status = await server.queue()
    except ProviderError:
        return ahead, "waiting in InvokeAI's queue"
    if not status.processor.is_started:
        return ahead, "InvokeAI's queue is paused; press its resume button"
    others = max(0, status.queue.open - counts.open)
    ahead = others if ahead is None else min(ahead, others)
    behind = f", behind {ahead} of others" if ahead else ""
    return ahead, f"waiting in InvokeAI's queue{behind}"


def _words(counts: wire.Counts, spent: float) -> tuple[float, str]:
    """A share of the whole, and a sentence."""
    share = spent / (spent + _TYPICAL_SECONDS)
    words = f"working for {duration(spent)}"
    if counts.total == 1:
        return 0.05 + 0.85 * share, words
    done = counts.completed + counts.failed
    return 0.05 + 0.85 * max(done / counts.total, share / counts.total), (
        f"picture {min(done + 1, counts.total)} of {counts.total}: {words}"
    )
