"""Carry one request through the house: survey, plan, try in order, keep, report."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from ziggie_image_mcp import hardware, outcome, policy, terms
from ziggie_image_mcp.config import Config, input_roots, provider_budgets, provider_privacy
from ziggie_image_mcp.context import Context
from ziggie_image_mcp.errors import ConsentRequired, JobNotFound
from ziggie_image_mcp.experience import Experience
from ziggie_image_mcp.inputs import Inputs, Margins, Reach
from ziggie_image_mcp.maker import Maker, Unrecorded, worth_trying
from ziggie_image_mcp.orders import JobView, Made, Order, Terms
from ziggie_image_mcp.paid import Cashier
from ziggie_image_mcp.registry import Registry
from ziggie_image_mcp.rules_money import usd
from ziggie_image_mcp.sizes import check_mask
from ziggie_image_mcp.store import Store
from ziggie_image_mcp.types import (
    GivenImage,
    Hardware,
    ImageRequest,
    Plan,
    Preview,
    Progress,
    Quote,
    Result,
    Snapshot,
    Spending,
    Survey,
)

if TYPE_CHECKING:
    from ziggie_image_mcp.office import Office

PROBE_SECONDS_FRESH = 10.0
"""How long one look at the hardware serves."""

Probe = Callable[[], Awaitable[Hardware]]


async def silent(fraction: float, message: str) -> None:
    """Report progress to nobody."""


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
        self._probe: Probe = probe or partial(hardware.probe, _disk(store.root))
        self._seen: tuple[float, Hardware] | None = None
        self.cashier = cashier
        self.experience = experience
        self._inputs = Inputs(store, input_roots(config))
        self._own_budgets = provider_budgets(config)
        self._promises = provider_privacy(config)
        self.maker = Maker(config, registry, store, cashier, experience, self.context)
        self.office: Office | None = None
        """Keeps jobs durable; without one they end with the process."""
        self._reaped = False
        self._asked: set[str] = set()
        """Fingerprints of the requests about which a person was asked."""

    async def hardware(self) -> Hardware:
        """This machine, as of a few seconds ago at most."""
        now = time.monotonic()
        if self._seen is None or now - self._seen[0] > PROBE_SECONDS_FRESH:
            self._seen = (now, await self._probe())
        return self._seen[1]

    async def context(
        self, request: ImageRequest, own: Collection[str] = (), accepted: Terms | None = None
    ) -> Context:
        """Everything that the decision about this request looks at.

        The holds named by `own` are this request's: they do not stand in its way. The `accepted`
        terms hold where they are stricter than those of the config.

        Raises:
            ConfigError: A provider's section of the config is wrong.
            StorageError: There are paid models, and the ledger cannot be read.
        """
        survey = await self.registry.survey()
        machine = await self.hardware()
        if accepted is not None and request.provider in (None, "auto"):
            request = replace(request, provider=accepted.provider)
        return Context(
            request=request,
            survey=survey,
            hardware=machine,
            tier=hardware.tier(machine),
            gpu_memory=hardware.gpu_memory(machine),
            config=terms.stricter(self.config, accepted) if accepted else self.config,
            own_budgets=self._own_budgets,
            promises=self._promises,
            spending=await self._spending(survey, own),
            experience=await self._learnt(),
        )

    async def given(
        self,
        request: ImageRequest,
        image: str,
        mask: str = "",
        expand: Margins | None = None,
        *,
        reach: Reach = "roots",
    ) -> ImageRequest:
        """The request with the pictures that it works from, which are kept.

        Args:
            request: All else that was asked.
            image: The id of a stored picture, or a file's path.
            mask: The same; empty where there is none.
            expand: How far the picture grows, to be painted anew there.
            reach: What the caller may name.

        Raises:
            InvalidRequest: One is not there, may not be read, or is no picture that will do.
            StorageError: The pictures cannot be kept.
        """

        def work() -> tuple[GivenImage, GivenImage | None]:
            own = self._inputs.image(image, reach=reach)
            lies = self._inputs.mask(mask, reach=reach) if mask else None
            if lies is not None:
                check_mask(own, lies)
            if expand is not None and any(expand):
                return self._inputs.grow(own, lies, expand)
            return own, lies

        found, over = await anyio.to_thread.run_sync(work)
        return replace(request, image=found, mask=over)

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
        if self._leaves_work:
            return None  # nobody here can tell whether a worker has a free route
        context = await self.context(request)
        if self.cashier is None or not _has_paid(context.survey):
            return None
        key = fingerprint([request])
        questions = await self.cashier.questions(key)
        if questions:
            spending = await self.cashier.spending([q.id for q in questions])
            context = replace(context, spending=spending)
        quote = policy.quote(context)
        if quote is None:
            return None
        self._asked.add(key)
        return await self.cashier.ask(key, quote, questions)

    async def unask(self, request: ImageRequest, *, sure: bool = False) -> None:
        """The answer was no: what was set aside for the question is given back.

        Unless somebody is `sure` that a person was asked, by whichever server, a request about
        which this process asked nobody has nothing set aside.
        """
        key = fingerprint([request])
        if self.cashier is not None and (sure or key in self._asked):
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

        With `yes`, a person agreed to what `ask` offered for this very request. When cancelled,
        the work is stopped.

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
        view = await self.start([request], yes=yes, progress=progress)
        try:
            while not view.ended:
                view = await self.job(view.id, math.inf, progress)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.cancel(view.id)
            raise
        assert view.made is not None
        if view.made.failures:
            raise outcome.revived(view.made.failures[0])
        return view.made.results[0]

    async def start(
        self,
        requests: Sequence[ImageRequest],
        *,
        yes: Quote | None = None,
        caller: str = "",
        request_id: str = "",
        progress: Progress = silent,
    ) -> JobView:
        """Take requests on as one job. What nobody could make is refused here, before it is one.

        The same `request_id` of the same caller gives the job that it began the first time. What
        was made before comes back at once; a job that no database keeps comes back when it ended.

        Raises:
            InvalidRequest: A field of a request cannot be honoured by anybody, or the request_id
                belongs to another request.
            NoRoute, ConsentRequired: As `generate` tells.
            StorageError: The pictures or the job could not be kept.
        """
        for request in requests:
            policy.check(request)
        await anyio.to_thread.run_sync(self.store.check_writable)
        job_id = new_id(caller)
        if request_id and self.office is not None:
            key = fingerprint(requests)
            job_id = await self.office.request(caller, request_id, key, job_id)
            known = await self.office.get(job_id)
            if known is not None:
                return known
        await progress(0.0, "choosing a route")
        if yes is not None and self.cashier is not None:
            own = f"{job_id}.yes-{secrets.token_hex(4)}"
            if not await self.cashier.answered(yes, own):
                raise ConsentRequired(
                    f"The offer of {yes.provider}/{yes.model} for {usd(yes.micro_usd)} was already "
                    "used, or was open too long. Nothing was spent. Call again to be asked again."
                )
            yes = replace(yes, hold=own)
        try:
            return await self._accept(job_id, requests, yes, request_id, progress)
        except BaseException:
            with anyio.CancelScope(shield=True):
                if yes is not None and self.cashier is not None:
                    await self.cashier.let_go(yes.hold, "it was not needed")
            raise

    async def _accept(
        self,
        job_id: str,
        requests: Sequence[ImageRequest],
        yes: Quote | None,
        request_id: str,
        progress: Progress,
    ) -> JobView:
        now = datetime.now(UTC)
        order = Order(
            id=job_id,
            requests=tuple(requests),
            terms=terms.of(self.config),
            accepted=now,
            until=now + timedelta(seconds=self.config.deadline),
            yes=yes,
        )
        if self._leaves_work:
            return await self._begun(order)  # who makes it decides by what is there
        seen = await self.maker.agreed(order, requests[0])
        for request in requests:
            context = replace(seen, request=request)
            plan = policy.plan(context)
            if not plan.candidates:
                raise outcome.nothing_open(context, plan)
            if len(requests) == 1:
                stored = await self.maker.cached(request, plan.candidates[0])
                if stored is not None and not request_id:
                    if yes is not None and self.cashier is not None:
                        await self.cashier.let_go(yes.hold, "it was not needed")
                    return JobView(id="", status="done", made=Made(results=(stored,)))
                order = replace(order, routes=worth_trying(plan))
        if self.office is None:
            made = await self.maker.make(order, Unrecorded(progress))
            return JobView(id="", status="done", fraction=1.0, made=made)
        return await self._begun(order)

    @property
    def _leaves_work(self) -> bool:
        """Whether workers make the pictures, who may have other models than are here."""
        return self.config.workers and self.office is not None

    async def _begun(self, order: Order) -> JobView:
        assert self.office is not None
        await self.office.submit(order)
        return JobView(id=order.id, status="queued")

    async def job(
        self, job_id: str, seconds: float, progress: Progress = silent, caller: str | None = None
    ) -> JobView:
        """What is known of a job when it has ended, or after so many seconds.

        Raises:
            JobNotFound: No job has this id, or it is another caller's.
            StorageError: The jobs' database cannot be used.
        """
        view = None
        if self.office is not None and belongs(job_id, caller):
            view = await self.office.wait(job_id, seconds, progress)
        if view is None:
            raise JobNotFound(job_id)
        return view

    async def cancel(self, job_id: str, caller: str | None = None) -> JobView:
        """Stop a job wherever it is.

        Raises:
            JobNotFound: No job has this id, or it is another caller's.
            StorageError: The jobs' database cannot be used.
        """
        view = None
        if self.office is not None and belongs(job_id, caller):
            view = await self.office.cancel(job_id)
        if view is None:
            raise JobNotFound(job_id)
        return view

    async def view(self, image_id: str, side: int) -> tuple[Preview, str]:
        """A stored picture at a bounded size, and its path.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
        """
        path = await anyio.to_thread.run_sync(self.store.find, image_id)
        return await self.preview(image_id, side=side), path

    async def preview(self, image_id: str, *, side: int, share: int = 1) -> Preview:
        """A stored picture made small enough to show to a model."""
        work = partial(self.store.preview, image_id, side=side, share=share)
        return await anyio.to_thread.run_sync(work)

    async def read(self, image_id: str) -> bytes:
        """A stored picture's bytes, as a resource."""
        data, _ = await anyio.to_thread.run_sync(self.store.read, image_id)
        return data

    async def aclose(self) -> None:
        """Close the jobs, the providers and the ledger."""
        if self.office is not None:
            await self.office.aclose()
        await self.registry.aclose()
        if self.cashier is not None:
            await self.cashier.aclose()
        if self.experience is not None:
            await self.experience.aclose()

    async def _learnt(self) -> Snapshot:
        found = await self.experience.snapshot() if self.experience else Snapshot()
        return replace(found, lines=await self.office.lines()) if self.office else found

    async def _spending(self, survey: Survey, own: Collection[str]) -> Spending:
        """The ledger is opened only where somebody asks for money."""
        if self.cashier is None or not _has_paid(survey):
            return Spending()
        if not self._reaped:
            await self.cashier.reap(self.registry.providers())
            self._reaped = True
        return await self.cashier.spending(own)


def fingerprint(requests: Sequence[ImageRequest]) -> str:
    """The same for the same requests."""
    return hashlib.sha256(repr(tuple(requests)).encode()).hexdigest()[:24]


def new_id(caller: str) -> str:
    """A job's id that nobody can guess; it tells to which caller it belongs."""
    return f"job-{_mark(caller)}-{secrets.token_hex(16)}"


def belongs(job_id: str, caller: str | None) -> bool:
    """Whether this caller may see the job. None is the machine's owner, who may see all."""
    return caller is None or job_id.startswith(f"job-{_mark(caller)}-")


def _mark(caller: str) -> str:
    return hashlib.sha256(caller.encode()).hexdigest()[:8]


def _disk(root: Path | str) -> Path:
    """The disk whose free space counts: that of the pictures, if they are on one."""
    return root if isinstance(root, Path) else Path.home()


def _has_paid(survey: Survey) -> bool:
    return any(m.price_micro_usd != 0 for m in survey.models)
