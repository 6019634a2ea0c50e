"""Call a provider so that no crash, cancellation or retry can charge twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import anyio

from ziggie_image_mcp.billing.ledger import Caps, IllegalMove, Ledger
from ziggie_image_mcp.billing.owners import Owners
from ziggie_image_mcp.billing.reconcile import reconcile
from ziggie_image_mcp.billing.reservations import Reservations
from ziggie_image_mcp.billing.types import ChargeTask, Hold, Spending
from ziggie_image_mcp.errors import OutcomeUnknown, ProviderError
from ziggie_image_mcp.provider.contract import AnyProvider, PaidProvider
from ziggie_image_mcp.provider.types import Generation, Model, Progress, ProviderRequest

SETTLE_SECONDS = 2.0
"""How long a call that has ended, or was cancelled, waits until that is written down."""

Checkpoint = Callable[[str], None]
"""Is told the name of each place at which a crash would matter. In production it does nothing."""

_log = logging.getLogger(__name__)


def pass_by(name: str) -> None:
    """The checkpoint of production."""


class Charge:
    """The money of one call of a provider, inside `Billing.charge`.

    Attributes:
        cost: What the call has cost as far as is known, 1e-6 USD: also when its pictures are
            unusable.
    """

    def __init__(self, billing: Billing, hold: Hold | None) -> None:
        self.cost = 0
        self.generation: Generation | None = None
        self.sent = hold is not None and hold.state != "reserved"
        """Whether it was sent: by this process, or by one that died."""
        self._billing = billing
        self._hold = hold

    def already_delivered(self) -> None:
        """The pictures of an earlier process were found: it settled, or costs what was held."""
        assert self._hold is not None
        actual = self._hold.actual
        self.cost = self._hold.estimate if actual is None else actual
        self.generation = Generation(images=(), cost_micro_usd=self.cost)

    async def generate(
        self, provider: AnyProvider, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        """Send the request once, or collect it where it was sent before, and know its cost.

        Raises:
            OutcomeUnknown: It was sent and nobody knows what became of it; it counts as spent.
            ProviderError: It failed, and cost its `charged`.
            StorageError: The ledger cannot be written; nothing was sent.
        """
        if not isinstance(provider, PaidProvider):
            self.generation = await provider.generate(request, model, progress)
        elif self.sent:
            self.generation = await self._resume(provider, request, model, progress)
        else:
            self.generation = await self._send(provider, request, model, progress)
        self.cost = self.generation.cost_micro_usd
        self._billing.checkpoint("collected")
        return self.generation

    async def _send(
        self, provider: PaidProvider, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        hold, ledger = self._hold, self._billing.ledger
        assert hold is not None, "a paid provider needs a hold"
        owner = await self._billing.owners.acquire()
        claimed, self.sent = await ledger.submit(hold.id, owner=owner), True
        if not claimed:  # another process did so a moment ago
            return await self._resume(provider, request, model, progress)
        self._billing.checkpoint("claimed")
        await progress(0.0, f"sent to {provider.name}")
        submission = await provider.submit(request, model, hold.id)
        self._billing.checkpoint("posted")
        if submission.remote_id:
            await self._billing.write_down(ledger.remote(hold.id, submission.remote_id))
            self._billing.checkpoint("remote id")
        if submission.generation is not None:
            return submission.generation
        return await provider.collect(submission.remote_id, request, model, progress)

    async def _resume(
        self, provider: PaidProvider, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        hold = self._hold
        assert hold is not None
        await progress(0.0, f"looking for the job at {provider.name}")
        remote_id = hold.remote_id or await provider.find(hold.id)
        if remote_id is None:
            message = "it was about to be sent when its process died, and may still be on its way"
            raise OutcomeUnknown(provider.name, message)
        if not hold.remote_id:
            await self._billing.ledger.remote(hold.id, remote_id)
        return await provider.collect(remote_id, request, model, progress)


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

    async def spending(self, without: Collection[str] = ()) -> Spending:
        """What is spent and held today and this month, these holds left out.

        Raises:
            StorageError: The ledger cannot be read, so nothing may be spent.
        """
        return await self.ledger.spending(datetime.now(UTC), without)

    async def reconcile(self, providers: Mapping[str, AnyProvider]) -> None:
        """Close the holds of processes that died.

        Raises:
            StorageError: The ledger cannot be used.
        """
        await reconcile(self.ledger, self.owners, providers)

    @asynccontextmanager
    async def charge(self, task: ChargeTask | None) -> AsyncGenerator[Charge]:
        """Hold the money of one call for the time of the block, then settle or release it.

        What the block raises decides: a ProviderError cost its `charged`; OutcomeUnknown, and
        whatever interrupts a call that was sent, count as spent until the vendor tells. Entered
        again with the same task, after a crash, it goes on where the record of the money ends.
        `task` is None for what is free: then nothing is written.

        Raises:
            OverBudget: A cap would be passed; nothing was sent.
            StorageError: The ledger cannot be written.
        """
        if task is None:
            yield Charge(self, None)
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
        if await self.write_down(self._settle(hold, charge.cost)):
            self.checkpoint("settled")

    async def _close(self, hold: Hold, charge: Charge, error: BaseException) -> None:
        """Write down what a call cost that did not end well."""
        if charge.generation is not None:  # made, and then lost on our side
            await self.write_down(self._settle(hold, charge.cost))
        elif isinstance(error, OutcomeUnknown):
            await self.write_down(self._set_unknown(hold, f"outcome unknown: {error}"))
        elif isinstance(error, ProviderError) and error.charged:
            charge.cost = error.charged
            await self.write_down(self._settle(hold, error.charged))
        elif isinstance(error, ProviderError):
            await self.write_down(self._release(hold, f"{error.code}: {error}"))
        elif charge.sent:  # cancelled, or a bug: it may have been charged
            note = f"interrupted ({type(error).__name__})"
            await self.write_down(self._set_unknown(hold, note))
        else:  # another process may have taken the job up and sent it: that is not given back
            note = f"interrupted ({type(error).__name__})"
            await self.write_down(self._release(hold, note, not_charged=False))

    async def _settle(self, hold: Hold, actual: int) -> None:
        if hold.state != "settled":
            await _unless_moved(self.ledger.settle(hold.id, actual))

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
            await asyncio.wait([task], timeout=SETTLE_SECONDS)
        if task.done():
            task.result()
            return True
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
