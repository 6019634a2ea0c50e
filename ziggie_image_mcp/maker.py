"""Make what an order asks for: the routes in order, each try a step that is recorded once."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio

from ziggie_image_mcp import outcome, policy, retry, terms
from ziggie_image_mcp.config import Config, micro_usd
from ziggie_image_mcp.context import Context
from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    DependencyMissing,
    GenerationFailed,
    ImageError,
    InvalidOutput,
    OverBudget,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    StorageError,
)
from ziggie_image_mcp.experience import Experience, bucket, cache_key
from ziggie_image_mcp.inputs import fitted
from ziggie_image_mcp.keeper import Keeper
from ziggie_image_mcp.orders import Failure, Made, Order, Terms, dump, loaded
from ziggie_image_mcp.outcome import Bill
from ziggie_image_mcp.paid import Cashier
from ziggie_image_mcp.provider import PaidProvider
from ziggie_image_mcp.registry import Registry
from ziggie_image_mcp.store import Store
from ziggie_image_mcp.types import (
    Attempt,
    Candidate,
    Consent,
    Generation,
    ImageRequest,
    Job,
    Plan,
    Progress,
    Quote,
    Result,
    StoredImage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


MAX_ATTEMPTS = 3

WHOLE_PROVIDER = (ProviderUnavailable, AuthenticationFailed, PaymentRequired, DependencyMissing)
"""These say that no other model of the same provider would do better."""


@dataclass(frozen=True, kw_only=True)
class _Choice:
    routes: tuple[Candidate, ...] = ()
    stored: Result | None = None
    """What was made before of this very request."""
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class _Try:
    attempt: Attempt
    images: tuple[StoredImage, ...] = ()
    notes: tuple[str, ...] = ()
    failure: Failure | None = None
    late: bool = False
    """The deadline came first."""


class Desk(Protocol):
    """What a job lends to the work on it."""

    async def step(self, name: str, work: Callable[[], Awaitable[str]]) -> str:
        """Do this once: after a restart the recorded text is given instead."""
        ...

    def turn(self, candidate: Candidate) -> AbstractAsyncContextManager[None]:
        """Wait for the candidate's device, and keep it for the time of the block."""
        ...

    async def progress(self, fraction: float, message: str) -> None:
        """Tell whoever waits."""
        ...


class Unrecorded:
    """The desk of work that no database keeps: nothing survives, nobody else waits."""

    def __init__(self, progress: Progress) -> None:
        self._tell = progress

    async def step(self, name: str, work: Callable[[], Awaitable[str]]) -> str:
        """Do it."""
        return await work()

    @asynccontextmanager
    async def turn(self, candidate: Candidate) -> AsyncGenerator[None]:
        """Go at once."""
        yield

    async def progress(self, fraction: float, message: str) -> None:
        """Tell the caller."""
        await self._tell(fraction, message)


_Pictures = tuple[Generation, list[StoredImage]]

Look = Callable[[ImageRequest, Collection[str], Terms], Awaitable[Context]]
"""Gives all that a decision looks at, under terms at least as strict as these."""


class Maker:
    """Carries orders out, in whatever process."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        store: Store,
        cashier: Cashier | None,
        experience: Experience | None,
        look: Look,
    ) -> None:
        self._config = config
        self._registry = registry
        self._store = store
        self._keeper = Keeper(store)
        self._cashier = cashier
        self._experience = experience
        self._look = look
        self._retries = retry.RetryBudget()
        self._warm: dict[str, str] = {}
        """The model that each provider ran last: its next run loads nothing."""

    async def make(self, order: Order, desk: Desk) -> Made:
        """Carry out every request of an order. What fails is told, and the rest goes on."""
        results: list[Result] = []
        failures: list[Failure] = []
        for index in range(len(order.requests)):
            try:
                spent = sum(r.cost_micro_usd for r in results)
                results.append(await self._one(order, desk, index, spent))
            except ImageError as e:
                failures.append(outcome.failure(e))
        if order.yes is not None and self._cashier is not None:
            await self._cashier.let_go(order.yes.hold, "it was not needed")
        return Made(results=tuple(results), failures=tuple(failures))

    async def _one(self, order: Order, desk: Desk, index: int, spent: int) -> Result:
        """Carry out one request of an order, of which `spent` micro-dollars are used up.

        A process that takes the order up goes the same way by what is recorded, so nothing here
        may turn on the time, on the config or on what else is there: that belongs into a step.
        """
        request, started = order.requests[index], time.monotonic()
        work = partial(self._choose, order, index)
        choice = loaded(_Choice, await desk.step(f"plan-{index}", work))
        if choice.failure is not None:
            raise outcome.revived(choice.failure)
        if choice.stored is not None:
            return choice.stored
        limit = None if request.max_cost_usd is None else micro_usd(request.max_cost_usd) - spent
        attempts: list[Attempt] = []
        out_of_reach: set[str] = set()
        for place, route in enumerate(choice.routes):
            if route.model.provider in out_of_reach or len(attempts) == MAX_ATTEMPTS:
                continue
            if not self._affordable(order, request, limit, outcome.spent(attempts), route):
                continue
            rest = choice.routes[place + 1 :] if len(attempts) + 1 < MAX_ATTEMPTS else ()
            others = any(
                r.cost_micro_usd <= route.cost_micro_usd
                and r.model.provider not in {*out_of_reach, route.model.provider}
                for r in rest
            )
            number = len(attempts)
            work = partial(self._in_time, order, desk, index, number, route, others=others)
            tried = loaded(_Try, await desk.step(f"try-{index}-{number}", work))
            attempts.append(tried.attempt)
            if tried.failure is None:
                made = Generation(images=(), notes=tried.notes)
                return outcome.result(request, route, made, list(tried.images), attempts, started)
            error = outcome.revived(tried.failure)
            if isinstance(error, ProviderError) and not error.fallback:
                raise error
            if not isinstance(error, ProviderError | OverBudget):
                raise error
            if tried.late:
                break
            if isinstance(error, WHOLE_PROVIDER):
                out_of_reach.add(route.model.provider)
            if len(choice.routes) == 1:
                _, money = await self._left(order, request, attempts)
                if not money:
                    raise error
            await desk.progress(0.0, f"{route.model.provider} failed ({error.code})")
        plan, money = await self._left(order, request, attempts)
        raise GenerationFailed(attempts, plan.rejected, money)

    @staticmethod
    def _affordable(
        order: Order, request: ImageRequest, limit: int | None, spent: int, route: Candidate
    ) -> bool:
        """Whether a route may be taken after so much was paid in vain.

        max_cost_usd is for the whole call. A yes that names no amount is a yes to one charge,
        unless the order's terms or the batch have a budget to spend without questions.
        """
        if not route.cost_micro_usd:
            return True
        if limit is not None:
            return spent + route.cost_micro_usd <= limit
        if not spent:
            return True
        unasked = order.terms.allow_paid_fallback == "withinBudget"
        return unasked or order.group_micro_usd is not None

    async def cached(self, request: ImageRequest, candidate: Candidate) -> Result | None:
        """The stored pictures of this very request, where its seed was given and they are there."""
        if request.seed is None or self._experience is None or not self._config.cache:
            return None
        key = self._key(request, candidate)
        started = time.monotonic()
        images: list[StoredImage] = []
        for i, image_id in enumerate(await self._experience.cached(key) or ()):
            seed = (request.seed + i) % 2**32
            try:
                find = partial(self._store.stored, image_id, seed)
                images.append(await anyio.to_thread.run_sync(find))
            except (StorageError, InvalidOutput):  # gone: it is made anew
                await self._experience.forget(key)
                return None
        if not images:
            return None
        why = "the stored picture of this very request and seed; nothing was made or charged"
        known = replace(candidate, why=why, notes=())
        return outcome.result(request, known, Generation(images=()), images, [], started)

    async def _choose(self, order: Order, index: int) -> str:
        request = order.requests[index]
        try:
            routes = order.routes
            if not routes or order.terms != terms.of(self._config):
                context = await self.agreed(order, request)
                plan = policy.plan(context)
                if not plan.candidates:
                    raise outcome.nothing_open(context, plan)
                routes = worth_trying(plan)
        except ImageError as e:
            return dump(_Choice(failure=outcome.failure(e)))
        # A single request was looked for when it was accepted, and came with its routes.
        stored = None if order.routes else await self.cached(request, routes[0])
        seed = secrets.randbits(32) if request.seed is None else request.seed
        chosen = tuple(replace(r, job=replace(r.job, seed=seed)) for r in routes)
        return dump(_Choice(routes=chosen, stored=stored))

    async def agreed(self, order: Order, request: ImageRequest) -> Context:
        """Everything that a decision looks at, with what a person agreed to."""
        yes = order.yes
        context = await self._look(request, [yes.hold] if yes else (), order.terms)
        if yes is None:
            return context
        agreed = Consent(provider=yes.provider, model=yes.model, micro_usd=yes.micro_usd)
        return replace(context, consent=agreed)

    async def _left(
        self, order: Order, request: ImageRequest, attempts: Sequence[Attempt]
    ) -> tuple[Plan, str]:
        """Why the others were left out, and what money could still do."""
        context = await self.agreed(order, request)
        plan = policy.plan(context)
        return plan, outcome.left_for_money(context, plan, attempts)

    async def _in_time(
        self,
        order: Order,
        desk: Desk,
        index: int,
        number: int,
        route: Candidate,
        *,
        others: bool,
    ) -> str:
        """One try when the device is free, or the word that the deadline came first."""
        started, bill = time.monotonic(), Bill()
        try:
            with anyio.fail_after(_seconds_left(order)):
                async with desk.turn(route):
                    return await self._try(order, desk, index, number, route, bill, others=others)
        except TimeoutError:
            said = f"the whole call took longer than {self._config.deadline} s (deadline)"
            late = ProviderTimeout(route.model.provider, said)
            attempt = outcome.failed(route, late, bill, started)
            return dump(_Try(attempt=attempt, failure=outcome.failure(late), late=True))

    async def _try(
        self,
        order: Order,
        desk: Desk,
        index: int,
        number: int,
        route: Candidate,
        bill: Bill,
        *,
        others: bool,
    ) -> str:
        request, started = order.requests[index], time.monotonic()
        name = f"{order.id}.{index}.{number}"
        if not await self._may_try(route):
            said = f"{route.model.provider} is paused, and one other request is trying it"
            paused = ProviderUnavailable(route.model.provider, said)
            attempt = outcome.failed(route, paused, bill, started)
            return dump(_Try(attempt=attempt, failure=outcome.failure(paused)))
        try:
            with self._retries.call():
                doing = partial(self._attempt, order, desk, name, request, route, bill)
                generation, images = await self._again(order, desk, doing, bill, others=others)
        except ImageError as e:
            await self._learn_failure(route, e)
            attempt = outcome.failed(route, e, bill, started)
            return dump(_Try(attempt=attempt, failure=outcome.failure(e)))
        await self._learn(request, route, images, time.monotonic() - started)
        attempt = outcome.succeeded(route, bill, started)
        return dump(_Try(attempt=attempt, images=tuple(images), notes=generation.notes))

    async def _again(
        self,
        order: Order,
        desk: Desk,
        attempt: Callable[[], Awaitable[_Pictures]],
        bill: Bill,
        *,
        others: bool,
    ) -> _Pictures:
        """Try one route, and once more where the error says that it may help."""
        tries = 1
        while True:
            try:
                return await attempt()
            except ProviderError as e:
                bill.micro_usd = max(bill.micro_usd, e.charged)
                left = _seconds_left(order)
                charged = bill.micro_usd > 0
                wait = retry.pause(e, tries=tries, left=left, charged=charged, others=others)
                with self._retries.retry() as allowed:
                    if wait is None or not allowed:
                        raise
                    await desk.progress(0.0, f"{e.provider}: {e.code}, again in {wait:.0f} s")
                    await anyio.sleep(wait)
                tries += 1

    async def _attempt(
        self,
        order: Order,
        desk: Desk,
        name: str,
        request: ImageRequest,
        route: Candidate,
        bill: Bill,
    ) -> _Pictures:
        model = route.model
        provider = self._registry.providers().get(model.provider)
        if provider is None:
            said = f"{model.provider} is not configured where the job runs"
            raise ProviderUnavailable(model.provider, said)
        furthest = 0.0

        async def onward(fraction: float, message: str) -> None:
            nonlocal furthest
            if math.isfinite(fraction):
                furthest = max(furthest, min(1.0, fraction))
            await desk.progress(0.02 + 0.95 * furthest, message)

        async def keep(generation: Generation) -> _Pictures:
            bill.micro_usd = generation.cost_micro_usd
            await desk.progress(0.98, "saving")
            return await self._keeper.keep(generation, name, order.accepted.date(), request, route)

        await desk.progress(0.02, f"{model.provider}: {model.id}")
        job = await self._with_pictures(route.job)
        if not isinstance(provider, PaidProvider):
            return await keep(await provider.generate(job, model, onward))
        assert self._cashier is not None, "a paid provider needs a ledger"

        async def kept() -> _Pictures | None:
            images = await self._keeper.kept(name, order.accepted.date(), route)
            if images is None:
                return None
            bill.micro_usd = route.cost_micro_usd
            return Generation(images=(), cost_micro_usd=route.cost_micro_usd), images

        hold = _hold_for(route, order.yes) or name
        cap = order.group_micro_usd
        group = None if cap is None else (order.group, cap)
        ready = replace(route, job=job)
        return await self._cashier.run(provider, ready, onward, hold, keep, kept, group)

    async def _with_pictures(self, job: Job) -> Job:
        """The job with the pictures that it works from, for a provider's hands."""
        if not job.image_id:
            return job
        fit = partial(fitted, self._store, width=job.width, height=job.height)
        image = await anyio.to_thread.run_sync(partial(fit, job.image_id))
        mask = None
        if job.mask_id:
            mask = await anyio.to_thread.run_sync(partial(fit, job.mask_id, mask=True))
        return replace(job, image=image, mask=mask)

    async def _may_try(self, route: Candidate) -> bool:
        """Whether a paid route is not paused by now; a free one may always be tried."""
        if self._experience is None or not route.cost_micro_usd:
            return True
        model, now = route.model, datetime.now(UTC)
        return await self._experience.may_try(model.provider, model.id, now)

    async def _learn_failure(self, candidate: Candidate, error: ImageError) -> None:
        if self._experience is not None:
            model, now = candidate.model, datetime.now(UTC)
            await self._experience.failed(model.provider, model.id, error, now)

    async def _learn(
        self, request: ImageRequest, candidate: Candidate, images: list[StoredImage], took: float
    ) -> None:
        """Keep what this success teaches. A run that loaded its model first teaches no speed."""
        if self._experience is None:
            return
        model, job, now = candidate.model, candidate.job, datetime.now(UTC)
        warm = model.loaded or self._warm.get(model.provider) == model.id or not model.local
        self._warm[model.provider] = model.id
        if warm:
            await self._experience.succeeded(
                model.provider,
                model.id,
                bucket=bucket(job.width, job.height, job.steps),
                seconds_per_image=took / job.num_images,
                now=now,
            )
        if request.seed is not None and self._config.cache:
            key = self._key(request, candidate)
            await self._experience.remember(key, [i.id for i in images], now)

    def _key(self, request: ImageRequest, candidate: Candidate) -> str:
        model = candidate.model
        form = request.output_format or self._config.output.format
        return cache_key(candidate.job, model, form, f"{model.vram_bytes}/{model.ram_bytes}")


def worth_trying(plan: Plan) -> tuple[Candidate, ...]:
    """The candidates that an order can come to: no more of a provider than there are attempts."""
    seen: dict[str, int] = {}
    found: list[Candidate] = []
    for candidate in plan.candidates:
        name = candidate.model.provider
        seen[name] = seen.get(name, 0) + 1
        if seen[name] <= MAX_ATTEMPTS:
            found.append(candidate)
    return tuple(found)


def _seconds_left(order: Order) -> float:
    return math.inf if order.until is None else (order.until - datetime.now(UTC)).total_seconds()


def _hold_for(candidate: Candidate, yes: Quote | None) -> str | None:
    """The money set aside when a person said yes to this very route at this very price."""
    model, cost = candidate.model, candidate.cost_micro_usd
    if yes is None or (yes.provider, yes.model, yes.micro_usd) != (model.provider, model.id, cost):
        return None
    return yes.hold
