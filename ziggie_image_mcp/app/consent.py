"""Ask about money: set the amounts aside while a person is asked, and take the answer."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

import anyio

from ziggie_image_mcp.billing.charge import Billing
from ziggie_image_mcp.billing.types import ChargeTask, Offer, Quote
from ziggie_image_mcp.errors import ConsentRequired
from ziggie_image_mcp.jobs.snapshots import Snapshots, has_paid_models
from ziggie_image_mcp.routing import explain, planner
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.request import ImageRequest, digest, fingerprint
from ziggie_image_mcp.routing.request_checks import check_request
from ziggie_image_mcp.routing.route_rules import bulk_of
from ziggie_image_mcp.routing.types import Plan

ANYBODY = "anybody"
"""The caller where clients cannot be told apart."""

RELEASE_SECONDS = 2.0

MAX_QUESTIONS = 1000
"""So many questions and refusals are remembered; the holds of older ones expire by themselves."""


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
        """Calls about which a person was asked, the latest last."""
        self._declined: dict[str, None] = {}
        """Calls to which a person said no, the latest last."""

    async def quote(self, request: ImageRequest) -> Quote | None:
        """The paid route that this request would take if a person said yes, when no other is open.

        Nothing is set aside.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
        """
        check_request(request)
        context = await self._snapshots.take(request)
        return planner.quote(context, planner.plan(context))

    async def ask(self, requests: Sequence[ImageRequest], caller: str = "") -> Offer | None:
        """What a call would cost that only lacks a yes, its amounts set aside until the answer.

        They stay so for ten minutes at most. The same question of the same caller finds the same
        holds, so a client may send its call twice. None where nobody needs to be asked, or a yes
        would not help.

        Raises:
            InvalidRequest: A field of a request cannot be honoured by anybody.
            OverBudget: A cap would be passed; nothing is set aside.
            StorageError: The ledger cannot be used.
        """
        requests = [replace(request, allow_paid=False) for request in requests]
        for request in requests:
            check_request(request)
        context = await self._snapshots.take(requests[0], bulk=bulk_of(requests))
        if not has_paid_models(context.survey):
            return None
        keys = [_key(caller, [request]) for request in requests]
        open_questions = await self._reservations.questions(keys)
        holds = [hold.id for some in open_questions.values() for hold in some]
        if holds:
            context = await self._snapshots.without_holds(context, holds)
        needs = [_need(replace(context, request=request)) for request in requests]
        offer = explain.offer_of(needs)
        if offer is None or explain.too_dear(requests, offer.quotes) is not None:
            return None
        _remember(self._asked, _key(caller, requests))
        own: list[Quote | None] = []
        try:
            for key, quote in zip(keys, offer.quotes, strict=True):
                asked = None
                if quote is not None:
                    asked = await self._reservations.ask(key, quote, open_questions.get(key, ()))
                own.append(asked)
        except BaseException:
            await self.release(own)
            raise
        return replace(offer, quotes=tuple(own))

    async def free(
        self, requests: Sequence[ImageRequest], caller: str = "", *, was_asked: bool = False
    ) -> None:
        """Give back what was set aside for a question that is over without a yes.

        Unless a person is known to have been asked, by whichever server, a call about which this
        process asked nobody has nothing set aside.
        """
        key = _key(caller, requests)
        if was_asked or key in self._asked:
            self._asked.pop(key, None)
            keys = [_key(caller, [request]) for request in requests]
            for holds in (await self._reservations.questions(keys)).values():
                for hold in holds:
                    await self._reservations.release(hold.id, "the answer was no")

    async def decline(self, requests: Sequence[ImageRequest], caller: str = "") -> None:
        """A person said no: the amounts are given back, and the no is remembered."""
        _remember(self._declined, _key(caller, requests))
        await self.free(requests, caller, was_asked=True)

    def was_declined(self, requests: Sequence[ImageRequest], caller: str = "") -> bool:
        """Whether a person said no to this caller's call, and not yes since."""
        return _key(caller, requests) in self._declined

    def agree(self, requests: Sequence[ImageRequest], caller: str = "") -> None:
        """A person said yes: a no before it is forgotten, where it was the same person's."""
        if caller != ANYBODY:
            self._declined.pop(_key(caller, requests), None)
        self._asked.pop(_key(caller, requests), None)

    async def take(self, offer: Offer, job_id: str) -> tuple[Quote | None, ...]:
        """The yes to a question: its holds become the job's own.

        Raises:
            ConsentRequired: It was used, or was open too long. Nothing was spent.
            StorageError: The ledger cannot be used.
        """
        own: list[Quote | None] = []
        try:
            for quote in offer.quotes:
                taken = None
                if quote is not None:
                    taken = replace(quote, hold=_own_hold(job_id))
                    if not await self._reservations.take(quote, taken.hold):
                        raise ConsentRequired(
                            f"The offer of {explain.priced(offer)} was already used, or was open "
                            "too long. Nothing was spent. Call again to be asked again."
                        )
                own.append(taken)
        except BaseException:
            await self.release(own)
            raise
        return tuple(own)

    async def set_aside(self, plans: Sequence[Plan], job_id: str) -> tuple[Quote | None, ...]:
        """The money for all requests of a job that may pay: all of it, or nothing is begun.

        Raises:
            OverBudget: A cap would be passed; nothing is set aside.
            StorageError: The ledger cannot be used.
        """
        own: list[Quote | None] = []
        try:
            for plan in plans:
                quote = planner.priced_route(plan)
                if quote is not None:
                    quote = replace(quote, hold=_own_hold(job_id), agreed=False)
                    await self._reservations.reserve(
                        ChargeTask(
                            id=quote.hold,
                            provider=quote.provider,
                            model=quote.model,
                            images=quote.images,
                            estimate=quote.micro_usd,
                        )
                    )
                own.append(quote)
        except BaseException:
            await self.release(own)
            raise
        return tuple(own)

    async def release(self, quotes: Sequence[Quote | None]) -> None:
        """Give back what consents set aside, unless it was used."""
        with anyio.move_on_after(RELEASE_SECONDS, shield=True):  # else they expire by themselves
            for quote in quotes:
                if quote is not None and quote.hold:
                    await self._reservations.release(quote.hold, "it was not needed")


def _need(context: RoutingContext) -> explain.Priced:
    plan = planner.plan(context)
    return explain.Priced(free=bool(plan.candidates), quote=planner.quote(context, plan))


def _own_hold(job_id: str) -> str:
    return f"{job_id}.yes-{secrets.token_hex(4)}"


def _key(caller: str, requests: Sequence[ImageRequest]) -> str:
    """A call as a question about money knows it: whoever may pay for it, and how much."""
    bare = [replace(request, allow_paid=False, max_cost_usd=None) for request in requests]
    if not caller:
        return fingerprint(bare)
    return digest({"caller": caller, "requests": fingerprint(bare)})[:24]


def _remember(what: dict[str, None], key: str) -> None:
    what.pop(key, None)
    what[key] = None
    if len(what) > MAX_QUESTIONS:
        del what[next(iter(what))]
