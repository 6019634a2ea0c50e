"""Carry one request through the house: survey, plan, try in order, keep, report."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import anyio

from ziggie_image_mcp import hardware, policy
from ziggie_image_mcp.config import Config, micro_usd, provider_budgets
from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ConsentRequired,
    DependencyMissing,
    GenerationFailed,
    ImageError,
    InvalidOutput,
    NoRoute,
    OverBudget,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    StorageError,
)
from ziggie_image_mcp.experience import Experience, bucket, cache_key
from ziggie_image_mcp.paid import Cashier
from ziggie_image_mcp.provider import PaidProvider
from ziggie_image_mcp.registry import Registry
from ziggie_image_mcp.rules import Context, dollars, usd
from ziggie_image_mcp.store import Store
from ziggie_image_mcp.types import (
    Attempt,
    Candidate,
    Consent,
    Generation,
    Hardware,
    ImageRequest,
    Plan,
    Preview,
    Progress,
    Quote,
    Recipe,
    Result,
    Snapshot,
    Spending,
    StoredImage,
    Survey,
)

MAX_ATTEMPTS = 3
PROBE_SECONDS_FRESH = 10.0
"""How long one look at the hardware serves."""

Probe = Callable[[], Awaitable[Hardware]]


async def silent(fraction: float, message: str) -> None:
    """Report progress to nobody."""


WHOLE_PROVIDER = (ProviderUnavailable, AuthenticationFailed, PaymentRequired, DependencyMissing)
"""These say that no other model of the same provider would do better."""

_MONEY = frozenset(("CONSENT_REQUIRED", "OVER_BUDGET", "OVER_MAX_COST", "PAID_FORBIDDEN"))
"""Reasons that stand only against paying."""


@dataclass
class _Bill:
    """What an attempt has cost so far, 1e-6 USD: known also when its pictures are unusable."""

    micro_usd: int = 0


class Service:
    """The use cases. The only place that knows their order."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        store: Store,
        probe: Probe | None = None,
        cashier: Cashier | None = None,
        experience: Experience | None = None,
    ) -> None:
        self.config = config
        self.registry = registry
        self.store = store
        self._probe: Probe = probe or partial(hardware.probe, store.root)
        self._seen: tuple[float, Hardware] | None = None
        self.cashier = cashier
        self.experience = experience
        self._own_budgets = provider_budgets(config)
        self._warm: dict[str, str] = {}
        """The model that each provider ran last: its next run loads nothing."""
        self._reaped = False

    async def hardware(self) -> Hardware:
        """This machine, as of a few seconds ago at most."""
        now = time.monotonic()
        if self._seen is None or now - self._seen[0] > PROBE_SECONDS_FRESH:
            self._seen = (now, await self._probe())
        return self._seen[1]

    async def context(self, request: ImageRequest) -> Context:
        """Everything that the decision about this request looks at.

        Raises:
            ConfigError: A provider's section of the config is wrong.
            StorageError: There are paid models, and the ledger cannot be read.
        """
        survey = await self.registry.survey()
        machine = await self.hardware()
        return Context(
            request=request,
            survey=survey,
            hardware=machine,
            tier=hardware.tier(machine),
            gpu_memory=hardware.gpu_memory(machine),
            config=self.config,
            own_budgets=self._own_budgets,
            spending=await self._spending(survey),
            experience=await self.experience.snapshot() if self.experience else Snapshot(),
        )

    async def plan(self, request: ImageRequest) -> Plan:
        """Say what `generate` would do, and why. Nothing is made, loaded or spent.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
            ConfigError: A provider's section of the config is wrong.
        """
        policy.check(request)
        return policy.plan(await self.context(request))

    async def quote(self, request: ImageRequest) -> Quote | None:
        """The paid route that this request would take if a person said yes, when no other is open.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
        """
        policy.check(request)
        return policy.quote(await self.context(request))

    async def generate(
        self,
        request: ImageRequest,
        progress: Progress = silent,
        *,
        asked: bool = False,
    ) -> Result:
        """Make the pictures on the best route, the next one when that fails, and keep them.

        With `asked`, a person said yes to what `quote` offers for this very request.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
            NoRoute: No model passed the filters; every reason is in the message.
            ConsentRequired: Only a paid route is open, and nobody agreed to its price.
            OverBudget: A cap would be passed.
            ProviderError: A route failed in a way that forbids trying the next, or the pinned
                provider failed.
            GenerationFailed: All routes failed; the attempts are in the message.
            StorageError: The pictures could not be written.
        """
        policy.check(request)
        await anyio.to_thread.run_sync(self.store.check_writable)
        await progress(0.0, "choosing a route")
        context = await self.context(request)
        if asked:
            context = replace(context, consent=_consent(policy.quote(context)))
        plan = policy.plan(context)
        if not plan.candidates:
            raise _nothing_open(context, plan)
        stored = await self._cached(request, plan.candidates[0])
        if stored is not None:
            return stored
        seed = secrets.randbits(32) if request.seed is None else request.seed
        deadline = time.monotonic() + self.config.deadline
        attempts: list[Attempt] = []
        limit = None if request.max_cost_usd is None else micro_usd(request.max_cost_usd)
        out_of_reach: set[str] = set()
        for route in plan.candidates:
            if route.model.provider in out_of_reach:
                continue
            if len(attempts) == MAX_ATTEMPTS:
                break
            if limit is not None and _spent(attempts) + route.cost_micro_usd > limit:
                continue  # max_cost_usd is for the whole call, also for what was paid in vain
            candidate = replace(route, job=replace(route.job, seed=seed))
            bill = _Bill()
            started = time.monotonic()
            try:
                with anyio.fail_after(deadline - started):
                    generation, images = await self._attempt(candidate, request, progress, bill)
            except TimeoutError:
                said = f"the whole call took longer than {self.config.deadline} s (deadline)"
                late = ProviderTimeout(candidate.model.provider, said)
                attempts.append(_failed(candidate, late, bill, started))
                break
            except (ProviderError, OverBudget) as e:
                attempts.append(_failed(candidate, e, bill, started))
                await self._learn_failure(candidate, e)
                if isinstance(e, ProviderError) and not e.fallback:
                    raise
                if isinstance(e, WHOLE_PROVIDER):
                    out_of_reach.add(candidate.model.provider)
                money = _left_for_money(context, plan, attempts)
                if len(plan.candidates) == 1 and not money:
                    raise
                await progress(0.0, f"{candidate.model.provider} failed ({e.code})")
                continue
            attempts.append(_succeeded(candidate, bill, started))
            await self._learn(request, candidate, images, time.monotonic() - started)
            return _result(request, candidate, generation, images, attempts, started)
        raise GenerationFailed(attempts, plan.rejected, _left_for_money(context, plan, attempts))

    async def view(self, image_id: str, side: int) -> tuple[Preview, str]:
        """A stored picture at a bounded size, and its path.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
        """
        path = await anyio.to_thread.run_sync(self.store.find, image_id)
        return await self.preview(image_id, side=side), str(path)

    async def preview(self, image_id: str, *, side: int, share: int = 1) -> Preview:
        """A stored picture made small enough to show to a model."""
        work = partial(self.store.preview, image_id, side=side, share=share)
        return await anyio.to_thread.run_sync(work)

    async def read(self, image_id: str) -> bytes:
        """A stored picture's bytes, as a resource."""
        data, _ = await anyio.to_thread.run_sync(self.store.read, image_id)
        return data

    async def aclose(self) -> None:
        """Close the providers and the ledger."""
        await self.registry.aclose()
        if self.cashier is not None:
            await self.cashier.aclose()
        if self.experience is not None:
            await self.experience.aclose()

    async def _learn_failure(self, candidate: Candidate, error: ImageError) -> None:
        if self.experience is not None:
            model, now = candidate.model, datetime.now(UTC)
            await self.experience.failed(model.provider, model.id, error, now)

    async def _learn(
        self, request: ImageRequest, candidate: Candidate, images: list[StoredImage], took: float
    ) -> None:
        """Keep what this success teaches. A run that loaded its model first teaches no speed."""
        if self.experience is None:
            return
        model, job, now = candidate.model, candidate.job, datetime.now(UTC)
        warm = model.loaded or self._warm.get(model.provider) == model.id or not model.local
        self._warm[model.provider] = model.id
        if warm:
            await self.experience.succeeded(
                model.provider,
                model.id,
                bucket=bucket(job.width, job.height, job.steps),
                seconds_per_image=took / job.num_images,
                now=now,
            )
        if request.seed is not None and self.config.cache:
            key = self._key(request, candidate)
            await self.experience.remember(key, [i.id for i in images], now)

    def _key(self, request: ImageRequest, candidate: Candidate) -> str:
        model = candidate.model
        form = request.output_format or self.config.output.format
        return cache_key(candidate.job, model, form, f"{model.vram_bytes}/{model.ram_bytes}")

    async def _cached(self, request: ImageRequest, candidate: Candidate) -> Result | None:
        """The stored pictures of this very request, where its seed was given and they are there."""
        if request.seed is None or self.experience is None or not self.config.cache:
            return None
        key = self._key(request, candidate)
        started = time.monotonic()
        images: list[StoredImage] = []
        for i, image_id in enumerate(await self.experience.cached(key) or ()):
            seed = (request.seed + i) % 2**32
            try:
                find = partial(self.store.stored, image_id, seed)
                images.append(await anyio.to_thread.run_sync(find))
            except (StorageError, InvalidOutput):  # gone: it is made anew
                await self.experience.forget(key)
                return None
        if not images:
            return None
        why = "the stored picture of this very request and seed; nothing was made or charged"
        known = replace(candidate, why=why, notes=())
        return _result(request, known, Generation(images=()), images, [], started)

    async def _spending(self, survey: Survey) -> Spending:
        """The ledger is opened only where somebody asks for money."""
        if self.cashier is None or all(m.price_micro_usd == 0 for m in survey.models):
            return Spending()
        if not self._reaped:
            await self.cashier.reap(self.registry.providers())
            self._reaped = True
        return await self.cashier.spending()

    async def _attempt(
        self, candidate: Candidate, request: ImageRequest, progress: Progress, bill: _Bill
    ) -> tuple[Generation, list[StoredImage]]:
        model = candidate.model
        provider = self.registry.providers()[model.provider]
        furthest = 0.0

        async def onward(fraction: float, message: str) -> None:
            nonlocal furthest
            if math.isfinite(fraction):
                furthest = max(furthest, min(1.0, fraction))
            await progress(0.02 + 0.95 * furthest, message)

        await progress(0.02, f"{model.provider}: {model.id}")
        if isinstance(provider, PaidProvider):
            assert self.cashier is not None, "a paid provider needs a ledger"
            generation = await self.cashier.run(provider, candidate, onward)
        else:
            generation = await provider.generate(candidate.job, model, onward)
        bill.micro_usd = generation.cost_micro_usd
        count, wanted = len(generation.images), candidate.job.num_images
        if not 1 <= count <= wanted:
            said = f"{model.provider} returned {count} pictures of {wanted}."
            raise InvalidOutput(model.provider, said)
        if count < wanted:
            few = f"{count} of {wanted} pictures were made"
            generation = replace(generation, notes=(few, *generation.notes))
        await progress(0.98, "saving")
        images: list[StoredImage] = []
        for made in generation.images:
            job = candidate.job
            recipe = Recipe(
                prompt=job.prompt,
                negative_prompt=job.negative_prompt,
                provider=model.provider,
                model=model.id,
                seed=made.seed,
                steps=job.steps,
                guidance_scale=job.guidance_scale,
                width=job.width,
                height=job.height,
                extra={
                    key: value
                    for key, value in (("Sampler", job.sampler), ("Schedule type", job.scheduler))
                    if value
                },
            )
            save = partial(
                self.store.save,
                made.data,
                recipe,
                format=request.output_format,
                hint=request.file_name,
            )
            images.append(await anyio.to_thread.run_sync(save))
        return generation, images


def _consent(quote: Quote | None) -> Consent | None:
    if quote is None:
        return None
    return Consent(provider=quote.provider, model=quote.model, micro_usd=quote.micro_usd)


def _left_for_money(context: Context, plan: Plan, attempts: Sequence[Attempt]) -> str:
    """What money could still do when these attempts have failed: an offer, or what forbids it."""
    gone = {(a.provider, a.model) for a in attempts}
    left = tuple(m for m in context.survey.models if (m.provider, m.id) not in gone)
    paid = tuple(m for m in left if m.price_micro_usd != 0)
    quote = policy.quote(replace(context, survey=replace(context.survey, models=paid)))
    offer = _offer(quote, _spent(attempts))
    if offer:
        return offer
    barred = [
        f"- {r.provider}/{r.model}: {x.code}: needs {x.need}, have {x.have}. Fix: {x.fix}"
        for r in plan.rejected
        if all(x.code in _MONEY for x in r.reasons)
        for x in r.reasons
    ]
    return "\n".join(["Left out for money:", *barred[:6]]) if barred else ""


def _spent(attempts: Sequence[Attempt]) -> int:
    return sum(a.cost_micro_usd for a in attempts)


def _offer(quote: Quote | None, spent: int = 0) -> str:
    if quote is None:
        return ""
    so_far = f"{usd(spent)} was spent on what failed" if spent else "Nothing was spent"
    return (
        f"A paid route is open: {quote.provider}/{quote.model} for at most "
        f"{usd(quote.micro_usd)}. {so_far}. Ask the user; after a yes call again with "
        f"allow_paid=true and max_cost_usd={dollars(quote.micro_usd)}. To stop being asked, set a "
        'budget and allowPaidFallback to "withinBudget" in config.json.'
    )


def _nothing_open(context: Context, plan: Plan) -> ImageError:
    quote = policy.quote(context)
    if quote is None:
        return NoRoute(plan.rejected, policy.hint(context))
    free = [r for r in plan.rejected if not all(x.code in _MONEY for x in r.reasons)]
    closed = f"\nThe others: {NoRoute(free)}" if free else ""
    return ConsentRequired(f"No free route is open. {_offer(quote)}{closed}")


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _failed(candidate: Candidate, error: ImageError, bill: _Bill, started: float) -> Attempt:
    return Attempt(
        provider=candidate.model.provider,
        model=candidate.model.id,
        ok=False,
        milliseconds=_milliseconds(started),
        error_code=error.code,
        error=str(error),
        cost_micro_usd=bill.micro_usd,
    )


def _succeeded(candidate: Candidate, bill: _Bill, started: float) -> Attempt:
    return Attempt(
        provider=candidate.model.provider,
        model=candidate.model.id,
        ok=True,
        milliseconds=_milliseconds(started),
        cost_micro_usd=bill.micro_usd,
    )


def _result(
    request: ImageRequest,
    candidate: Candidate,
    generation: Generation,
    images: list[StoredImage],
    attempts: list[Attempt],
    started: float,
) -> Result:
    notes = [*candidate.notes, *generation.notes]
    sizes = {(i.width, i.height) for i in images}
    if sizes != {(candidate.job.width, candidate.job.height)}:
        delivered = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
        wanted = f"{candidate.job.width}x{candidate.job.height}"
        notes.append(f"delivered as {delivered}, not {wanted}")
    why = candidate.why
    lost = [a for a in attempts if not a.ok]
    if lost:
        failures = [f"{a.provider}/{a.model} failed ({a.error_code})" for a in lost]
        why += f"; after {', '.join(failures)}"
    return Result(
        images=tuple(images),
        model=candidate.model,
        job=candidate.job,
        requested_width=request.width,
        requested_height=request.height,
        why=why,
        attempts=tuple(attempts),
        notes=tuple(notes),
        cost_micro_usd=_spent(attempts),
        seconds=(time.monotonic() - started),
    )
