"""Carry one paid attempt so that no crash, cancellation or retry can charge twice."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import anyio

from ziggie_image_mcp.errors import OutcomeUnknown, ProviderError
from ziggie_image_mcp.ledger import (
    Caps,
    IllegalMove,
    Ledger,
    NoSuchHold,
    owner_alive,
    owner_id,
)
from ziggie_image_mcp.provider import AnyProvider, PaidProvider
from ziggie_image_mcp.types import Candidate, Generation, Hold, Progress, Quote, Spending

T = TypeVar("T")

GRACE = timedelta(minutes=10)
"""How long a job may still be on its way to a vendor that does not know it yet."""

PATIENCE = timedelta(minutes=10)
"""How long money stays set aside for a question that nobody answers."""

QUESTION = "ask-"
"""How the ids of holds begin that wait for a person's answer."""

JOBS = ("job-", "batch-")
"""How the ids of durable jobs begin, and so those of their holds."""

MEMORY = timedelta(days=30)
"""How far back unknown outcomes are asked about again."""


class Cashier:
    """The only one who lets a paid job out: reserve, submit once, collect, settle."""

    def __init__(self, ledger: Ledger, caps: Caps) -> None:
        self.ledger = ledger
        self._caps = caps

    async def spending(self, without: Collection[str] = ()) -> Spending:
        """What is spent and held today and this month, these holds left out.

        Raises:
            StorageError: The ledger cannot be read, so nothing may be spent.
        """
        return await self.ledger.spending(datetime.now(UTC), without)

    async def questions(self, key: str) -> list[Hold]:
        """The holds of the open questions under this key. Those not answered in time are let go.

        Raises:
            StorageError: The ledger cannot be used.
        """
        found: list[Hold] = []
        now = datetime.now(UTC)
        for hold in await self.ledger.holds(states=["reserved"]):
            if not hold.id.startswith(QUESTION):
                continue
            if now - hold.created > PATIENCE:
                await self._let_go(hold.id, "nobody answered in time")
            elif hold.id.startswith(f"{QUESTION}{key}-"):
                found.append(hold)
        return found

    async def ask(self, key: str, quote: Quote, questions: Sequence[Hold]) -> Quote:
        """Set the amount aside while a person is asked; an open question about it is used again.

        Raises:
            OverBudget: A cap would be passed; nothing was set aside.
            StorageError: The ledger cannot be used.
        """
        same: Hold | None = None
        for hold in questions:
            facts = (hold.provider, hold.model, hold.images, hold.estimate)
            if same is None and facts == (
                quote.provider,
                quote.model,
                quote.images,
                quote.micro_usd,
            ):
                same = hold
            else:
                await self._let_go(hold.id, "the price or the route changed")
        if same is None:
            same = await self.ledger.reserve(
                f"{QUESTION}{key}-{secrets.token_hex(8)}",
                provider=quote.provider,
                model=quote.model,
                images=quote.images,
                estimate=quote.micro_usd,
                caps=self._caps,
                owner=owner_id(),
                now=datetime.now(UTC),
            )
        return replace(quote, hold=same.id)

    async def answered(self, quote: Quote, own: str) -> bool:
        """The yes to a question makes its hold the caller's, once, under the id `own`.

        Raises:
            StorageError: The ledger cannot be used.
        """
        return await self.ledger.take(quote.hold, own, owner=owner_id())

    async def let_go(self, hold_id: str, note: str) -> None:
        """Give back what was set aside, unless it was used."""
        with anyio.CancelScope(shield=True):
            await self._let_go(hold_id, note)

    async def _let_go(self, hold_id: str, note: str) -> None:
        with suppress(IllegalMove, NoSuchHold):  # answered or used in the meantime
            await self.ledger.release(hold_id, note)

    async def run(
        self,
        provider: PaidProvider,
        candidate: Candidate,
        progress: Progress,
        hold_id: str,
        keep: Callable[[Generation], Awaitable[T]],
        kept: Callable[[], Awaitable[T | None]],
        group: tuple[str, int] | None = None,
    ) -> T:
        """Make the pictures of one paid candidate under this hold, `keep` them, then settle.

        Called again with the same hold, after a crash, it goes on where the record of the money
        ends, and never sends a job twice. `keep` must bear to be called again with the same
        pictures; `kept` gives what it kept before the crash. `group` is as `Ledger.reserve` takes.

        Raises:
            OverBudget: A cap would be passed; nothing was sent.
            OutcomeUnknown: The job was sent and nobody knows what became of it; it counts as spent.
            ProviderError: The job failed and cost its `charged`, or `keep` found no usable picture.
            StorageError: The ledger cannot be written; nothing was sent.
        """
        hold = await self._reserve(candidate, hold_id, group)
        while hold.state == "released":  # an earlier try under this id cost nothing
            hold_id += "+"
            hold = await self._reserve(candidate, hold_id, group)
        sent = hold.state != "reserved"
        try:
            if sent:
                known = await kept()
                if known is not None:
                    await self._settle(hold, hold.estimate)
                    return known
                generation = await self._resume(provider, candidate, hold, progress)
            else:
                sent = await self.ledger.submit(hold.id, owner=owner_id())
                generation = await self._send(provider, candidate, hold, progress)
        except OutcomeUnknown as e:
            await self._close(hold, f"outcome unknown: {e}")
            raise
        except ProviderError as e:
            if e.charged:
                await self._settle(hold, e.charged)
            else:
                await self._close(hold, f"{e.code}: {e}", not_charged=True)
            raise
        except BaseException as e:
            # cancelled, or a bug: a job that went out may have been charged
            await self._close(hold, f"interrupted ({type(e).__name__})", not_charged=not sent)
            raise
        try:
            return await keep(generation)
        finally:
            await self._settle(hold, generation.cost_micro_usd)

    async def _reserve(
        self, candidate: Candidate, hold_id: str, group: tuple[str, int] | None
    ) -> Hold:
        return await self.ledger.reserve(
            hold_id,
            provider=candidate.model.provider,
            model=candidate.model.id,
            images=candidate.job.num_images,
            estimate=candidate.cost_micro_usd,
            caps=self._caps,
            owner=owner_id(),
            now=datetime.now(UTC),
            group=group,
        )

    async def _resume(
        self, provider: PaidProvider, candidate: Candidate, hold: Hold, progress: Progress
    ) -> Generation:
        """Collect a job that another process sent before it died."""
        await progress(0.0, f"looking for the job at {provider.name}")
        remote_id = hold.remote_id or await provider.find(hold.id)
        if remote_id is None:
            said = "it was about to be sent when its process died, and may still be on its way"
            raise OutcomeUnknown(provider.name, said)
        if not hold.remote_id:
            await self.ledger.remote(hold.id, remote_id)
        return await provider.collect(remote_id, candidate.job, candidate.model, progress)

    async def reap(self, providers: Mapping[str, AnyProvider]) -> None:
        """Close the holds of processes that died: what was not sent is released, the rest asked.

        Raises:
            StorageError: The ledger cannot be used.
        """
        now = datetime.now(UTC)
        for hold in await self.ledger.open_holds():
            if owner_alive(hold.owner) or _its_job_returns(hold, now):
                continue
            if hold.state == "reserved":
                await self.ledger.release(hold.id, "its process died before it was sent")
            else:
                await self._ask(hold, providers, now)
        for hold in await self.ledger.holds(since=now - MEMORY, states=["unknown"]):
            await self._ask(hold, providers, now)

    async def _ask(self, hold: Hold, providers: Mapping[str, AnyProvider], now: datetime) -> None:
        """Ask the provider what became of a job that nobody waits for any more."""
        try:
            remote_id = hold.remote_id or await _look_up(providers, hold)
        except (OutcomeUnknown, ProviderError) as e:
            if hold.state != "unknown":
                await self.ledger.unknown(hold.id, f"nobody saw its end: {e}")
            return
        if remote_id is not None:
            if not hold.remote_id:
                await self.ledger.remote(hold.id, remote_id)
            await self.ledger.settle(hold.id, hold.estimate)
        elif now - hold.created > GRACE:
            note = "nobody saw its end; the provider has no such job"
            await self.ledger.release(hold.id, note, not_charged=True)
        elif hold.state != "unknown":
            await self.ledger.unknown(hold.id, "nobody saw its end; it may still be on its way")

    async def aclose(self) -> None:
        """Close the ledger."""
        await self.ledger.aclose()

    async def _send(
        self, provider: PaidProvider, candidate: Candidate, hold: Hold, progress: Progress
    ) -> Generation:
        await progress(0.0, f"sent to {provider.name}")
        submission = await provider.submit(candidate.job, candidate.model, hold.id)
        if submission.remote_id:
            with anyio.CancelScope(shield=True):
                await self.ledger.remote(hold.id, submission.remote_id)
        if submission.generation is not None:
            return submission.generation
        return await provider.collect(
            submission.remote_id, candidate.job, candidate.model, progress
        )

    async def _settle(self, hold: Hold, actual: int) -> None:
        with anyio.CancelScope(shield=True):
            if hold.state != "settled":
                await self.ledger.settle(hold.id, actual)

    async def _close(self, hold: Hold, note: str, *, not_charged: bool = False) -> None:
        if hold.state == "settled":  # by whoever found it after a crash
            return
        with anyio.CancelScope(shield=True):
            if not_charged:
                await self.ledger.release(hold.id, note, not_charged=True)
            else:
                await self.ledger.unknown(hold.id, note)


def _its_job_returns(hold: Hold, now: datetime) -> bool:
    """Whether a durable job holds it, which another process will take up where it was left."""
    return hold.id.startswith(JOBS) and now - hold.created <= GRACE


async def _look_up(providers: Mapping[str, AnyProvider], hold: Hold) -> str | None:
    provider = providers.get(hold.provider)
    if not isinstance(provider, PaidProvider):
        raise OutcomeUnknown(hold.provider, f"{hold.provider} is no longer configured")
    return await provider.find(hold.id)
