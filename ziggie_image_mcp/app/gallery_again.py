"""Make pictures of the gallery again, and ask about the money that it takes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from ziggie_image_mcp.app.gallery import indexed, job_row
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.routing import explain, planner
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.request_checks import MAX_SEED
from ziggie_image_mcp.storage.input_images import Reach

MAX_QUESTIONS = 1000
"""So many open questions are remembered; what older ones set aside expires by itself."""


@dataclass(frozen=True, kw_only=True)
class Again:
    """A picture that is to be made again.

    Args:
        image_id: Which.
        same_seed: Whether with its own seed, not with another one.
        seed: The other one, as a question about it told; None: any.
        agreed_micro_usd: What a person agreed to spend on it; None where nobody was asked.
        request_id: The same again is the same job.
    """

    image_id: str
    same_seed: bool = False
    seed: int | None = None
    agreed_micro_usd: int | None = None
    request_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Who wants a picture again: a caller, and which pictures that one may name."""

    caller: str | None
    reach: Reach

    @property
    def name(self) -> str:
        """As questions about money know it: what is answered here is not asked elsewhere."""
        return f"gallery\n{self.caller or ''}"


@dataclass(kw_only=True)
class _Turn:
    """Those who ask with one request_id, one after the other."""

    lock: anyio.Lock
    waiting: int = 0
    job: tuple[Again, dict[str, Any]] | None = None
    """What the first of them began, and by which wish."""


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What was asked about: the seed that was wished for, and the request as it came out of that.

    A recipe is completed by the routes that are open, and the question's own money may close one:
    the answer is to the request as it was.
    """

    seed: int | None
    request: ImageRequest


class Remakes:
    """The pictures that are made again, with one open question for each picture and caller."""

    def __init__(self) -> None:
        self._questions: dict[tuple[str, str], _Question] = {}
        """By caller and picture; the latest last."""
        self._turns: dict[tuple[str, str], _Turn] = {}
        """By caller and request_id."""

    async def again(self, service: Service, wish: Again, asker: Asker) -> dict[str, Any]:
        """Make a picture again by its recipe, or say what it would cost and wait for a yes.

        A new question about a picture gives back what the one before it set aside.

        Raises:
            InvalidRequest: It does not tell how it was made.
            NoRoute, OverBudget: Nobody can make it, or not within the caps.
            StorageError: The job cannot be kept.
        """
        async with self._turn(asker, wish.request_id) as turn:
            if turn.job is not None and turn.job[0] == wish:
                return turn.job[1]
            answer = await self._again(service, wish, asker)
            if "job" in answer:
                turn.job = wish, answer
            return answer

    async def _again(self, service: Service, wish: Again, asker: Asker) -> dict[str, Any]:
        await indexed(service, wish.image_id, asker.caller)
        place = asker.name, wish.image_id
        if wish.agreed_micro_usd is None:
            await _end(service, asker, self._questions.pop(place, None))
        if wish.seed is None and not wish.same_seed:
            wish = replace(wish, seed=secrets.randbelow(MAX_SEED + 1))
        question = await self._question(service, wish, asker)
        request = question.request
        offer = await service.ask([request], asker.name)
        if offer is None:
            cost, words = await _unasked(service, request)
            # The settings may let it cost money unasked: no more than a person agreed to here.
            request = replace(request, max_cost_usd=cost / 1e6)
        else:
            cost, words = offer.micro_usd, explain.priced(offer)
        if cost > (wish.agreed_micro_usd or 0):
            if offer is not None:
                await self._remember(service, place, asker, question)
            words = f"Spend up to {words}? What the picture is made from leaves this machine."
            return {"question": words, "micro_usd": cost, "seed": wish.seed}
        view = await service.start(
            [request], consent=offer, caller=asker.caller or "", request_id=wish.request_id
        )
        self._forget(place, question)
        if offer is not None:  # the job may be one that this request_id began and paid before
            await _end(service, asker, question)
        return {"job": job_row(view), "notes": list(request.remarks)}

    async def decline(self, service: Service, wish: Again, asker: Asker) -> None:
        """A person said no to the question about a picture: what was set aside is given back.

        Raises:
            InvalidRequest: It does not tell how it was made.
            StorageError: The ledger cannot be used.
        """
        await indexed(service, wish.image_id, asker.caller)
        question = await self._question(service, wish, asker)
        self._forget((asker.name, wish.image_id), question)
        await _end(service, asker, question)

    async def _question(self, service: Service, wish: Again, asker: Asker) -> _Question:
        """The question that is open about this wish, or the one that it would be."""
        seed = None if wish.same_seed else wish.seed
        question = self._questions.get((asker.name, wish.image_id))
        if question is not None and question.seed == seed:
            return question
        request = ImageRequest(prompt="", seed=seed)
        request = await service.completed(request, wish.image_id, reach=asker.reach)
        return _Question(seed=seed, request=request)

    async def _remember(
        self, service: Service, place: tuple[str, str], asker: Asker, question: _Question
    ) -> None:
        """Know the question that is open now; another that was asked meanwhile is over."""
        before = self._questions.pop(place, None)
        self._questions[place] = question
        if len(self._questions) > MAX_QUESTIONS:
            del self._questions[next(iter(self._questions))]
        if before != question:
            await _end(service, asker, before)

    def _forget(self, place: tuple[str, str], question: _Question) -> None:
        if self._questions.get(place) == question:
            del self._questions[place]

    @asynccontextmanager
    async def _turn(self, asker: Asker, request_id: str) -> AsyncGenerator[_Turn]:
        """Let the same request_id of a caller wait for itself: it is one job, paid for once."""
        key = asker.name, request_id or secrets.token_hex(8)
        turn = self._turns.setdefault(key, _Turn(lock=anyio.Lock()))
        turn.waiting += 1
        try:
            async with turn.lock:
                yield turn
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._turns[key]


async def _end(service: Service, asker: Asker, question: _Question | None) -> None:
    """Give back what was set aside for a question that is over."""
    if question is not None:
        await service.consents.free([question.request], asker.name, was_asked=True)


async def _unasked(service: Service, request: ImageRequest) -> tuple[int, str]:
    """What a request costs that needs no yes by the settings, in micro-USD and in words.

    Raises:
        NoRoute, ConsentRequired, StorageError: Nobody can make it, for the reasons that `generate`
            would tell.
    """
    context = await service.snapshot(request)
    plan = planner.plan(context)
    if not plan.candidates:
        if service.scheduler.leaves_work:
            return 0, ""  # a worker may have a free route
        # The page asks for the yes itself: what stands against paying with one is what is told.
        agreed = replace(context, request=replace(request, allow_paid=True))
        closed = explain.nothing_open([(agreed, planner.plan(agreed))])
        raise closed or NoRoute(plan.rejected)
    first = plan.candidates[0]
    cost = first.cost_micro_usd
    return cost, f"{usd(cost)} by {first.model.provider}/{first.model.id}"
