"""Carry one request through the house: survey, plan, try in order, keep, report."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import anyio

from ziggie_image_mcp import hardware, outcome, policy
from ziggie_image_mcp.config import Config, micro_usd, provider_budgets
from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ConsentRequired,
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
from ziggie_image_mcp.outcome import Bill
from ziggie_image_mcp.paid import Cashier
from ziggie_image_mcp.provider import PaidProvider
from ziggie_image_mcp.registry import Registry
from ziggie_image_mcp.rules import Context, usd
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
        self._asked: set[str] = set()
        """Fingerprints of the requests about which a person was asked."""

    async def hardware(self) -> Hardware:
        """This machine, as of a few seconds ago at most."""
        now = time.monotonic()
        if self._seen is None or now - self._seen[0] > PROBE_SECONDS_FRESH:
            self._seen = (now, await self._probe())
        return self._seen[1]

    async def context(self, request: ImageRequest, own: Collection[str] = ()) -> Context:
        """Everything that the decision about this request looks at.

        The holds named by `own` are this request's: they do not stand in its way.

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
            spending=await self._spending(survey, own),
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

    async def ask(self, request: ImageRequest) -> Quote | None:
        """What `quote` says, with its amount set aside until the answer comes, or ten minutes.

        The same question again finds the same hold, so a client may send its call twice.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
            StorageError: The ledger cannot be used.
        """
        policy.check(request)
        context = await self.context(request)
        if self.cashier is None or not _has_paid(context.survey):
            return None
        key = _fingerprint(request)
        questions = await self.cashier.questions(key)
        if questions:
            spending = await self.cashier.spending([q.id for q in questions])
            context = replace(context, spending=spending)
        quote = policy.quote(context)
        if quote is None:
            return None
        self._asked.add(key)
        return await self.cashier.ask(key, quote, questions)

    async def unask(self, request: ImageRequest) -> None:
        """The answer was no: what was set aside for the question is given back."""
        key = _fingerprint(request)
        if self.cashier is not None and key in self._asked:
            self._asked.discard(key)
            for hold in await self.cashier.questions(key):
                await self.cashier.let_go(hold.id, "the answer was no")

    async def generate(
        self,
        request: ImageRequest,
        progress: Progress = silent,
        *,
        yes: Quote | None = None,
    ) -> Result:
        """Make the pictures on the best route, the next one when that fails, and keep them.

        With `yes`, a person agreed to what `ask` offered for this very request.

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
        if yes is None or self.cashier is None:
            return await self._make(request, progress, None)
        hold = await self.cashier.answered(yes)
        if hold is None:
            raise ConsentRequired(
                f"The offer of {yes.provider}/{yes.model} for {usd(yes.micro_usd)} was already "
                "used, or was open too long. Nothing was spent. Call again to be asked again."
            )
        try:
            return await self._make(request, progress, replace(yes, hold=hold))
        finally:
            await self.cashier.let_go(hold, "it was not needed")

    async def _make(self, request: ImageRequest, progress: Progress, yes: Quote | None) -> Result:
        context = await self.context(request, own=[yes.hold] if yes else ())
        if yes is not None:
            agreed = Consent(provider=yes.provider, model=yes.model, micro_usd=yes.micro_usd)
            context = replace(context, consent=agreed)
        plan = policy.plan(context)
        if not plan.candidates:
            raise outcome.nothing_open(context, plan)
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
            if limit is not None and outcome.spent(attempts) + route.cost_micro_usd > limit:
                continue  # max_cost_usd is for the whole call, also for what was paid in vain
            candidate = replace(route, job=replace(route.job, seed=seed))
            bill = Bill()
            started = time.monotonic()
            try:
                with anyio.fail_after(deadline - started):
                    hold = _hold_for(candidate, yes)
                    made = self._attempt(candidate, request, progress, bill, hold)
                    generation, images = await made
            except TimeoutError:
                said = f"the whole call took longer than {self.config.deadline} s (deadline)"
                late = ProviderTimeout(candidate.model.provider, said)
                attempts.append(outcome.failed(candidate, late, bill, started))
                break
            except (ProviderError, OverBudget) as e:
                attempts.append(outcome.failed(candidate, e, bill, started))
                await self._learn_failure(candidate, e)
                if isinstance(e, ProviderError) and not e.fallback:
                    raise
                if isinstance(e, WHOLE_PROVIDER):
                    out_of_reach.add(candidate.model.provider)
                money = outcome.left_for_money(context, plan, attempts)
                if len(plan.candidates) == 1 and not money:
                    raise
                await progress(0.0, f"{candidate.model.provider} failed ({e.code})")
                continue
            attempts.append(outcome.succeeded(candidate, bill, started))
            await self._learn(request, candidate, images, time.monotonic() - started)
            return outcome.result(request, candidate, generation, images, attempts, started)
        money = outcome.left_for_money(context, plan, attempts)
        raise GenerationFailed(attempts, plan.rejected, money)

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
        return outcome.result(request, known, Generation(images=()), images, [], started)

    async def _spending(self, survey: Survey, own: Collection[str]) -> Spending:
        """The ledger is opened only where somebody asks for money."""
        if self.cashier is None or not _has_paid(survey):
            return Spending()
        if not self._reaped:
            await self.cashier.reap(self.registry.providers())
            self._reaped = True
        return await self.cashier.spending(own)

    async def _attempt(
        self,
        candidate: Candidate,
        request: ImageRequest,
        progress: Progress,
        bill: Bill,
        hold: str | None,
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
            generation = await self.cashier.run(provider, candidate, onward, hold)
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


def _fingerprint(request: ImageRequest) -> str:
    return hashlib.sha256(repr(request).encode()).hexdigest()[:24]


def _has_paid(survey: Survey) -> bool:
    return any(m.price_micro_usd != 0 for m in survey.models)


def _hold_for(candidate: Candidate, yes: Quote | None) -> str | None:
    """The money set aside when a person said yes to this very route at this very price."""
    model, cost = candidate.model, candidate.cost_micro_usd
    if yes is None or (yes.provider, yes.model, yes.micro_usd) != (model.provider, model.id, cost):
        return None
    return yes.hold
