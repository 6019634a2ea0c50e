"""Set money aside while a person is asked, and for a call that will be made."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import anyio

from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.ledger import IllegalMove, Ledger, NoSuchHold
from ziggie_image_mcp.billing.owners import Owners
from ziggie_image_mcp.billing.types import QUESTION, QUESTION_TIME, ChargeTask, Hold, Quote


class Reservations:
    """The holds of this process.

    Args:
        ledger: Keeps them.
        caps: What may be spent. May be exchanged.
        owners: Names this process.
    """

    def __init__(self, ledger: Ledger, caps: Caps, owners: Owners) -> None:
        self._ledger = ledger
        self.caps = caps
        self._owners = owners

    async def reserve(self, task: ChargeTask) -> Hold:
        """Set money aside for a call; the hold of the same id again, whatever its state.

        Raises:
            OverBudget: A cap would be passed; nothing was set aside.
            StorageError: The ledger cannot be used.
        """
        return await self._ledger.reserve(
            task.id,
            provider=task.provider,
            model=task.model,
            images=task.images,
            estimate=task.estimate,
            caps=self.caps,
            owner=await self._owners.acquire(),
            now=datetime.now(UTC),
            group=task.group,
        )

    async def questions(self, keys: Collection[str]) -> dict[str, list[Hold]]:
        """The holds of open questions by their keys. Those not answered in time are released.

        Raises:
            StorageError: The ledger cannot be used.
        """
        open_questions: dict[str, list[Hold]] = {}
        now = datetime.now(UTC)
        for hold in await self._ledger.holds(states=["reserved"]):
            if not hold.id.startswith(QUESTION):
                continue
            key = hold.id.removeprefix(QUESTION).rpartition("-")[0]
            if now - hold.created > QUESTION_TIME:
                await self._release(hold.id, "nobody answered in time")
            elif key in keys:
                open_questions.setdefault(key, []).append(hold)
        return open_questions

    async def ask(self, key: str, quote: Quote, questions: Sequence[Hold]) -> Quote:
        """Set the amount aside while a person is asked; an open question about it is used again.

        Raises:
            OverBudget: A cap would be passed; nothing was set aside.
            StorageError: The ledger cannot be used.
        """
        same: Hold | None = None
        offer = (quote.provider, quote.model, quote.images, quote.micro_usd)
        for hold in questions:
            if same is None and (hold.provider, hold.model, hold.images, hold.estimate) == offer:
                same = hold
            else:
                await self._release(hold.id, "the price or the route changed")
        if same is None:
            same = await self.reserve(
                ChargeTask(
                    id=f"{QUESTION}{key}-{secrets.token_hex(8)}",
                    provider=quote.provider,
                    model=quote.model,
                    images=quote.images,
                    estimate=quote.micro_usd,
                )
            )
        return replace(quote, hold=same.id)

    async def take(self, quote: Quote, own: str) -> bool:
        """The yes to a question makes its hold the caller's, once, under the id `own`.

        Raises:
            StorageError: The ledger cannot be used.
        """
        owner = await self._owners.acquire()
        return await self._ledger.take(quote.hold, own, owner=owner, now=datetime.now(UTC))

    async def release(self, hold_id: str, note: str) -> None:
        """Give back what was set aside, unless it was used."""
        with anyio.CancelScope(shield=True):
            await self._release(hold_id, note)

    async def _release(self, hold_id: str, note: str) -> None:
        with suppress(IllegalMove, NoSuchHold):  # answered or used in the meantime
            await self._ledger.release(hold_id, note)
