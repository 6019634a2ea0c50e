"""Call a provider so that no crash, cancellation or retry can charge twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import anyio

from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.claims import weigh
from ziggie_image_mcp.billing.ledger import IllegalMove, Ledger
from ziggie_image_mcp.billing.owners import Owners
from ziggie_image_mcp.billing.reconcile import reconcile
from ziggie_image_mcp.billing.reservations import Reservations
from ziggie_image_mcp.billing.types import ChargeTask, FreeCall, Hold, Spending
from ziggie_image_mcp.errors import (
    EngineCrashed,
    OutcomeUnknown,
    ProviderBroken,
    ProviderError,
    StorageError,
)
from ziggie_image_mcp.provider import bulkhead
from ziggie_image_mcp.provider.contract import CANCEL_SECONDS, Provider
from ziggie_image_mcp.provider.nouns import Generation, Model, ProviderRequest, Run
from ziggie_image_mcp.provider.pricing import Cost

SETTLE_SECONDS = 2.0
"""How long a call that has ended, or was cancelled, waits until that is written down."""

Checkpoint = Callable[[str], None]
"""Is told the name of each place at which a crash would matter. In production it does nothing."""

AnswerT = TypeVar("AnswerT")

_log = logging.getLogger(__name__)


def pass_by(name: str) -> None:
    """The checkpoint of production."""


def _always() -> bool:
    return True


class Charge:
    """One call of a provider, inside `Billing.charge`: sent once, collected, and paid once.

    Attributes:
        provider: Whom it pays; empty where it costs nothing.
        key: The key of its run: the same in whatever process.
        remote_id: The vendor's id of it; empty until known.
        remark: What its caller must be told of its cost; empty where it cost what was agreed.
        cost: What the call has cost, 1e-6 USD, or counts as spent until the vendor tells: also
            when there are no pictures. Known when the block has ended.
        sent: Whether it was sent: by this process, or by one that died.
        stopped: What it cost until the backend stopped it; None where nobody stopped it.
    """

    def __init__(self, billing: Billing, hold: Hold | None, call: FreeCall | None = None) -> None:
        self.cost = 0
        self.remark = ""
        self.disputed = ""
        self.generation: Generation | None = None
        self.stopped: Cost | None = None
        self._billing = billing
        self._hold = hold
        self._call = call
        self.provider = "" if hold is None else hold.provider
        if hold is not None:
            self.key, self.sent, self.remote_id = hold.id, hold.state != "reserved", hold.remote_id
        else:
            assert call is not None, "a call costs money or it does not"
            self.key, self.sent, self.remote_id = call.key, call.sent, call.remote_id

    def already_delivered(self) -> None:
        """The pictures of an earlier process were found: they cost what is known, or was held."""
        if self._hold is not None:
            self.count(self._hold.actual)
        self.generation = Generation(images=())

    async def generate(
        self,
        provider: Provider,
        request: ProviderRequest,
        model: Model,
        run: Run,
        *,
        may_stop: Callable[[], bool] = _always,
    ) -> Generation:
        """Send the request once, or collect it where it was sent before, and know its cost.

        When it is cancelled, the backend is asked to stop, unless `may_stop` says that another
        process goes on with the request.

        Raises:
            OutcomeUnknown: It was sent and nobody knows what became of it; it counts as spent.
            ProviderError: It failed, and cost its `charged`.
            StorageError: The ledger cannot be written; nothing was sent.
        """
        work = self._resume if self.sent else self._send
        try:
            generation = await work(provider, request, model, run)
        except anyio.get_cancelled_exc_class():
            if self.remote_id and may_stop():
                await self._stop(provider)
            raise
        except OutcomeUnknown as e:
            if self._hold is None:  # nothing was charged, so the next route may be tried
                raise EngineCrashed(provider.name, str(e)) from e
            raise
        except ProviderError:
            if self._hold is None and self.remote_id and run.is_ours():
                await self._stop(provider)  # nobody will collect it any more
            raise
        self.generation = generation
        self.count(generation.cost.micro_usd)
        if self._hold is not None and generation.cost.micro_usd is not None and not self.disputed:
            await self._write_down(self._billing.ledger.keep_cost(self._hold.id, self.cost))
        self._billing.checkpoint("collected")
        return generation

    async def _send(
        self, provider: Provider, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        if self._hold is not None:
            owner = await self._billing.owners.acquire()
            claimed = await self._billing.ledger.submit(self._hold.id, owner=owner)
            self.sent = True
            if not claimed:  # another process did so a moment ago
                return await self._resume(provider, request, model, run)
            self._billing.checkpoint("claimed")
        await run.progress(0.0, f"sent to {provider.name}")
        submission = await self._ask(
            provider, lambda: provider.submit(request, model, run), bulkhead.SUBMISSION
        )
        self._billing.checkpoint("posted")
        if isinstance(submission, Generation):
            return submission
        await self._remember(submission.id)
        self._billing.checkpoint("remote id")
        return await self._collect(provider, request, model, run)

    async def _resume(
        self, provider: Provider, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        await run.progress(0.0, f"looking for the job at {provider.name}")
        if self._hold is not None and self.remote_id:
            return await self._collect(provider, request, model, run)
        found = await bulkhead.resolve(provider, self.key, self.remote_id)
        if found.state in ("running", "finished"):
            await self._remember(found.remote_id)
            return await self._collect(provider, request, model, run)
        if found.state == "failed":
            what = f"it failed after its process died: {found.reason or 'without a word'}"
            raise EngineCrashed(provider.name, what, charged=found.cost.micro_usd)
        if self._hold is None:  # what costs nothing may be sent again
            self.remote_id = ""
            return await self._send(provider, request, model, run)
        message = found.reason
        if found.state == "not_sent":
            message = "it was about to be sent when its process died, and may still be on its way"
        # That it was lost is our own doing, and says nothing of the provider.
        raise OutcomeUnknown(provider.name, message, scope="request")

    async def _collect(
        self, provider: Provider, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        return await self._ask(
            provider,
            lambda: provider.collect(self.remote_id, request, model, run),
            bulkhead.GENERATION,
        )

    async def _remember(self, remote_id: str) -> None:
        if not remote_id or remote_id == self.remote_id:
            return
        self.remote_id = remote_id
        if self._hold is not None:
            await self._write_down(self._billing.ledger.remote(self._hold.id, remote_id))
        elif self._call is not None:
            await self._call.remember(remote_id)

    async def _write_down(self, work: Awaitable[object]) -> None:
        """Do what only a crash would make matter: what is paid for is collected all the same."""
        try:
            await self._billing.write_down(work)
        except StorageError as e:
            _log.warning("What the vendor said of a job could not be written down: %s", e)

    async def _ask(
        self,
        provider: Provider,
        work: Callable[[], Awaitable[object]],
        answer: bulkhead.Answer[AnswerT],
    ) -> AnswerT:
        try:
            return await bulkhead.call(provider.name, work, answer)
        except ProviderBroken as e:  # nobody knows what it charged
            if self._hold is not None:
                self.cost = self._hold.estimate
            e.charged = self.cost
            raise

    async def _stop(self, provider: Provider) -> None:
        """Ask the backend to stop; what that cost, where it says so."""
        with anyio.move_on_after(CANCEL_SECONDS, shield=True):
            outcome = await bulkhead.cancel(provider, self.remote_id)
            if outcome.state == "stopped":
                self.stopped = outcome.cost

    def count(self, claim: float | None) -> None:
        """Count what the vendor claims, 1e-6 USD, as far as it can be; None is no claim."""
        if self._hold is not None:
            self.cost, self.disputed, self.remark = weigh(claim, self._hold.estimate)


class Billing:
    """The only one who lets a paid call out: reserve, submit once, collect, settle.

    Args:
        ledger: Keeps every hold.
        caps: What may be spent.
        owners: Knows the processes that share the ledger.
        checkpoint: Told where a crash would matter.
    """

    def __init__(
        self, ledger: Ledger, caps: Caps, owners: Owners, checkpoint: Checkpoint = pass_by
    ) -> None:
        self.ledger = ledger
        self.owners = owners
        self.reservations = Reservations(ledger, caps, owners)
        self.checkpoint = checkpoint
        self._closing = set[asyncio.Future[object]]()
        self._overdue = set[asyncio.Future[object]]()
        """Of these, what was waited for in vain: behind it nothing is waited for."""

    async def spending(self, without: Collection[str] = ()) -> Spending:
        """What is spent and held today and this month, these holds left out.

        Raises:
            StorageError: The ledger cannot be read, so nothing may be spent.
        """
        return await self.ledger.spending(datetime.now(UTC), without)

    async def was_sent(self, task: ChargeTask) -> bool:
        """Whether a process that died sent this call: it is collected, and not judged anew.

        Raises:
            StorageError: The ledger cannot be read.
        """
        hold = await self.ledger.find(task.id)
        while hold is not None and hold.state == "released":
            hold = await self.ledger.find(hold.id + "+")
        return hold is not None and hold.state != "reserved"

    async def reconcile(self, providers: Mapping[str, Provider]) -> None:
        """Close the holds of processes that died.

        Raises:
            StorageError: The ledger cannot be used.
        """
        await reconcile(self.ledger, self.owners, providers)

    @asynccontextmanager
    async def charge(self, task: ChargeTask | FreeCall) -> AsyncGenerator[Charge]:
        """Hold the money of one call for the time of the block, then settle or release it.

        What the block raises decides: a ProviderError cost its `charged`; OutcomeUnknown, and
        whatever interrupts a call that was sent, count as spent until the vendor tells. Entered
        again with the same task, after a crash, it goes on where the record of the money ends.
        For what is free nothing is written into the ledger.

        Raises:
            OverBudget: A cap would be passed; nothing was sent.
            StorageError: The ledger cannot be written.
        """
        if isinstance(task, FreeCall):
            yield Charge(self, None, task)
            return
        hold = await self.reservations.reserve(task)
        while hold.state == "released":  # an earlier call under this id cost nothing
            task = replace(task, id=task.id + "+")
            hold = await self.reservations.reserve(task)
        self.checkpoint("reserved")
        charge = Charge(self, hold)
        try:
            yield charge
        except BaseException as e:
            await self._close(hold, charge, e)
            raise
        if await self.write_down(self._settle(hold, charge)):
            self.checkpoint("settled")

    async def _close(self, hold: Hold, charge: Charge, error: BaseException) -> None:
        """Write down what a call cost that did not end well."""
        if charge.generation is not None:  # made, and then lost on our side
            await self.write_down(self._settle(hold, charge))
        elif isinstance(error, OutcomeUnknown) or (
            isinstance(error, ProviderBroken) and charge.sent
        ):
            charge.cost = hold.estimate
            await self.write_down(self._set_unknown(hold, f"outcome unknown: {error}"))
        elif isinstance(error, ProviderError) and error.charged != 0:
            charge.count(error.charged)
            await self.write_down(self._settle(hold, charge))
        elif isinstance(error, ProviderError):
            await self.write_down(self._release(hold, f"{error.code}: {error}"))
        elif charge.stopped is not None and charge.stopped.micro_usd == 0:
            await self.write_down(self._release(hold, "stopped, and nothing was charged"))
        elif charge.stopped is not None and charge.stopped.micro_usd is not None:
            charge.count(charge.stopped.micro_usd)
            await self.write_down(self._settle(hold, charge))
        elif charge.sent:  # cancelled, or a bug: it may have been charged
            charge.cost = hold.estimate
            note = f"interrupted ({type(error).__name__})"
            await self.write_down(self._set_unknown(hold, note))
        else:  # another process may have taken the job up and sent it: that is not given back
            note = f"interrupted ({type(error).__name__})"
            await self.write_down(self._release(hold, note, not_charged=False))

    async def _settle(self, hold: Hold, charge: Charge) -> None:
        if hold.state != "settled":
            settled = self.ledger.settle(hold.id, charge.cost, disputed=charge.disputed)
            await _unless_moved(settled)

    async def _release(self, hold: Hold, note: str, *, not_charged: bool = True) -> None:
        if hold.state != "settled":  # by whoever found it after a crash
            await _unless_moved(self.ledger.release(hold.id, note, not_charged=not_charged))

    async def _set_unknown(self, hold: Hold, note: str) -> None:
        if hold.state != "settled":
            await _unless_moved(self.ledger.unknown(hold.id, note))

    async def write_down(self, work: Awaitable[object]) -> bool:
        """Do this whoever cancels, and wait for it for `SETTLE_SECONDS`; later it goes on alone.

        Whether it was done by then.
        """
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task], timeout=0 if self._overdue else SETTLE_SECONDS)
        if task.done():
            task.result()
            return True
        self._overdue.add(task)
        task.add_done_callback(self._overdue.discard)
        _log.warning("The ledger is slow: what a call cost is written down later")
        task.add_done_callback(_tell)
        return False

    async def aclose(self) -> None:
        """Finish what is being written down, and close the ledger."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=SETTLE_SECONDS)
        await self.ledger.aclose()


async def _unless_moved(move: Awaitable[Hold]) -> None:
    """Do this, unless another process that took this one for dead has ended the hold itself."""
    try:
        await move
    except IllegalMove as e:
        if e.hold.state == "reserved":
            raise
        _log.warning("The money of a job was taken up by another process: %s", e)


def _tell(task: asyncio.Future[object]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("What a call cost could not be written down: %s", task.exception())
