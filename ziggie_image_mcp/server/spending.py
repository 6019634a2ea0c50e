"""Ask the person about the money of a call, once, and keep to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import NamedTuple

import anyio
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult
from pydantic import BaseModel, Field

from ziggie_image_mcp.app.consent import ANYBODY
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing.types import Offer
from ziggie_image_mcp.errors import ConsentDeclined, ConsentRequired, ImageError
from ziggie_image_mcp.routing import explain
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.mcp_server import Open

NO_ANSWER = (
    "The answer to the question about the money could not be read, which counts as a no. Nothing "
    "was spent."
)


class Question(NamedTuple):
    """A question that waits for its answer."""

    service: Service
    requests: Sequence[ImageRequest]
    caller: str
    offer: Offer
    """What was asked about: a yes is to this, and to nothing else."""

    async def end(self, *, declined: bool) -> None:
        """It is over without an answer, or with one that can only be a no."""
        consents = self.service.consents
        work = consents.decline if declined else consents.free
        with anyio.CancelScope(shield=True):
            await work(self.requests, self.caller)


unanswered: ContextVar[Question | None] = ContextVar("unanswered", default=None)
"""The question of this call, until its answer is in."""


class Spend(BaseModel):
    """The answer to the question about money. What is left open is a no."""

    agree: bool = Field(
        default=False,
        title="Spend the money",
        description="Yes: spend up to this amount, once. No: nothing is spent.",
    )


class NotAsked(Spend):
    """There was no question."""


def caller_of(ctx: Context[Open]) -> str:
    """Who asks and answers, as questions know them: the token's name, and the session."""
    token = get_access_token()
    session = (ctx.headers or {}).get("mcp-session-id", "")
    known = "\n".join(filter(None, ("" if token is None else token.client_id, session)))
    return known or ("" if ctx.headers is None else ANYBODY)


async def question(ctx: Context[Open], requests: Sequence[ImageRequest]) -> Spend | Elicit[Spend]:
    """Ask before a call that only money can serve. No way to ask is a no.

    What was declined before is asked about anew, also where the model says that it may pay.
    """
    capabilities = ctx.client_capabilities
    if not requests or capabilities is None or capabilities.elicitation is None:
        return NotAsked()
    try:
        service = await ctx.request_context.lifespan_context()
        caller = caller_of(ctx)
        if requests[0].allow_paid and not service.consents.was_declined(requests, caller):
            return NotAsked()
        offer = await service.ask(requests, caller)
    except ImageError:
        return NotAsked()  # the call itself meets the same error and tells it
    if offer is None:
        return NotAsked()

    unanswered.set(Question(service, requests, caller, offer))
    sends_pictures = any((requests[0].image, requests[0].references, requests[0].control))
    leaves = "Prompt and picture leave" if sends_pictures else "The prompt leaves"
    if not requests[0].prompt:
        leaves = "The picture leaves" if len(requests) == 1 else "The pictures leave"
    spend = f"Spend up to {explain.priced(offer)}?"
    return Elicit(f"No free route can make this. {spend} {leaves} this machine.", Spend)


class Answered:
    """The answer of a person, or that there was no question, for one call."""

    def __init__(
        self, requests: Sequence[ImageRequest], caller: str, offer: Offer | None = None
    ) -> None:
        self.offer = offer
        self._caller = caller
        self.declined = False
        self._given = tuple(requests)

    @classmethod
    async def of(
        cls,
        service: Service,
        requests: Sequence[ImageRequest],
        consent: ElicitationResult[Spend],
        caller: str,
    ) -> Answered:
        """Take an answer: a yes has its amounts set aside, a no is remembered."""
        asked = unanswered.get()
        unanswered.set(None)
        answer = consent.data if isinstance(consent, AcceptedElicitation) else None
        if answer is not None and answer.agree:
            service.consents.agree(requests, caller)
            return cls(requests, caller, None if asked is None else asked.offer)
        answered = cls(requests, caller)
        if isinstance(answer, NotAsked):
            await service.consents.free(requests, caller)
        else:
            await service.consents.decline(requests, caller)
        answered.declined = service.consents.was_declined(requests, caller)
        return answered

    @property
    def requests(self) -> tuple[ImageRequest, ...]:
        """The requests, with as much leave to pay as the person gives."""
        if not (self.declined or self.offer):
            return self._given
        return tuple(replace(request, allow_paid=False) for request in self._given)

    def worded(self, error: ConsentRequired) -> ConsentRequired:
        """What the model is told where only money could help."""
        if not self.declined:
            return error
        who = "Somebody" if self._caller == ANYBODY else "The user"
        return ConsentDeclined(
            f"{who} was asked about the money for this picture and said no. Nothing was spent. "
            "Do not ask again and again: allow_paid buys nothing here without a new question to "
            "the user. Say so to the user, or ask for something that a free route can make."
        )
