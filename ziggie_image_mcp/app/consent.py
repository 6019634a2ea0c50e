"""Ask about money: set the amount aside while a person is asked, and take the answer."""

from __future__ import annotations

import secrets
from dataclasses import replace

from ziggie_image_mcp.billing.charge import Billing
from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.billing.types import Quote
from ziggie_image_mcp.errors import ConsentRequired
from ziggie_image_mcp.jobs.snapshots import Snapshots, has_paid_models
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.request import ImageRequest, fingerprint
from ziggie_image_mcp.routing.request_checks import check_request

MAX_QUESTIONS = 1000
"""So many questions are remembered; the holds of older ones expire by themselves."""


class Consents:
    """The questions about money of this process.

    Args:
        snapshots: Shows the world to decisions.
        billing: Sets amounts aside.
    """

    def __init__(self, snapshots: Snapshots, billing: Billing) -> None:
        self._snapshots = snapshots
        self._reservations = billing.reservations
        self._asked: dict[str, None] = {}
        """Fingerprints of the requests about which a person was asked, the latest last."""

    async def quote(self, request: ImageRequest) -> Quote | None:
        """The paid route that this request would take if a person said yes, when no other is open.

        Nothing is set aside.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
        """
        check_request(request)
        context = await self._snapshots.take(request)
        return planner.quote(context, planner.plan(context))

    async def ask(self, request: ImageRequest) -> Quote | None:
        """What `quote` says, with its amount set aside until the answer comes, or ten minutes.

        The same question again finds the same hold, so a client may send its call twice.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
            StorageError: The ledger cannot be used.
        """
        check_request(request)
        context = await self._snapshots.take(request)
        if not has_paid_models(context.survey):
            return None
        key = fingerprint([request])
        questions = await self._reservations.questions(key)
        if questions:
            context = await self._snapshots.without_holds(context, [q.id for q in questions])
        quote = planner.quote(context, planner.plan(context))
        if quote is None:
            return None
        self._asked[key] = None
        if len(self._asked) > MAX_QUESTIONS:
            del self._asked[next(iter(self._asked))]
        return await self._reservations.ask(key, quote, questions)

    async def decline(self, request: ImageRequest, *, was_asked: bool = False) -> None:
        """The answer was no: what was set aside for the question is given back.

        Unless the caller knows that a person was asked, by whichever server, a request about which
        this process asked nobody has nothing set aside.
        """
        key = fingerprint([request])
        if was_asked or key in self._asked:
            self._asked.pop(key, None)
            for hold in await self._reservations.questions(key):
                await self._reservations.release(hold.id, "the answer was no")

    async def take(self, quote: Quote, job_id: str) -> Quote:
        """The yes to a question: its hold becomes the job's own.

        Raises:
            ConsentRequired: It was used, or was open too long. Nothing was spent.
            StorageError: The ledger cannot be used.
        """
        own = f"{job_id}.yes-{secrets.token_hex(4)}"
        if not await self._reservations.take(quote, own):
            raise ConsentRequired(
                f"The offer of {quote.provider}/{quote.model} for {usd(quote.micro_usd)} was "
                "already used, or was open too long. Nothing was spent. Call again to be asked "
                "again."
            )
        return replace(quote, hold=own)

    async def release(self, quote: Quote | None) -> None:
        """Give back what a consent set aside, unless it was used."""
        if quote is not None:
            await self._reservations.release(quote.hold, "it was not needed")
