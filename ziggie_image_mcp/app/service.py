"""The use cases in the user's words: plan, generate, edit, wait, cancel, view."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import anyio.to_thread

from ziggie_image_mcp.app.consent import Consents
from ziggie_image_mcp.assets.region import Margins, add_margins
from ziggie_image_mcp.billing.charge import Billing
from ziggie_image_mcp.billing.types import Quote
from ziggie_image_mcp.config.config import Config, input_roots
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.inventory.hardware_probe import HardwareCache
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import SurveyCache
from ziggie_image_mcp.inventory.types import Hardware, Survey
from ziggie_image_mcp.jobs import outcomes, version_1
from ziggie_image_mcp.jobs.errors import JobNotFound
from ziggie_image_mcp.jobs.executor import worth_trying
from ziggie_image_mcp.jobs.records import JobOutcome, JobSpec, JobView, Result
from ziggie_image_mcp.jobs.result_cache import ResultCache
from ziggie_image_mcp.jobs.scheduler import Scheduler, silent
from ziggie_image_mcp.jobs.snapshots import Snapshots
from ziggie_image_mcp.provider.nouns import Progress
from ziggie_image_mcp.routing import explain, planner
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.history import History
from ziggie_image_mcp.routing.request import ImageRequest, fingerprint
from ziggie_image_mcp.routing.request_checks import MAX_REFERENCES, check_mask, check_request
from ziggie_image_mcp.routing.types import Plan
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.input_images import InputImages, Reach
from ziggie_image_mcp.storage.types import InputImage, Preview


class Service:
    """The use cases. `Application` builds it from these collaborators."""

    def __init__(
        self,
        *,
        config: Config,
        registry: Registry,
        surveys: SurveyCache,
        hardware: HardwareCache,
        artifacts: ArtifactStore,
        billing: Billing,
        history: History,
        cache: ResultCache,
        snapshots: Snapshots,
        scheduler: Scheduler,
    ) -> None:
        self.config = config
        self.registry = registry
        self.artifacts = artifacts
        self.billing = billing
        self.history = history
        self.scheduler = scheduler
        self.consents = Consents(snapshots, billing)
        self._surveys = surveys
        self._hardware = hardware
        self._cache = cache
        self._snapshots = snapshots
        self._inputs = InputImages(artifacts, input_roots(config))

    async def hardware(self) -> Hardware:
        """This machine, as of a few seconds ago at most."""
        return await self._hardware.take()

    @property
    def troubles(self) -> tuple[str, ...]:
        """What does not work just now, although pictures can be made without it."""
        return tuple(filter(None, (self.history.trouble, self._cache.trouble)))

    async def survey(self) -> Survey:
        """What the providers have, as of a few seconds ago at most.

        Raises:
            ConfigError: A provider's section of the config is wrong.
        """
        return await self._surveys.take()

    async def snapshot(self, request: ImageRequest) -> RoutingContext:
        """Everything that the decision about this request looks at.

        Raises:
            ConfigError: A provider's section of the config is wrong.
            StorageError: There are paid models, and the ledger cannot be read.
        """
        return await self._snapshots.take(request)

    async def with_input_images(
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

        def work() -> tuple[InputImage, InputImage | None]:
            own = self._inputs.image(image, reach=reach)
            mask_image = self._inputs.mask(mask, image=own, reach=reach) if mask else None
            if mask_image is not None:
                check_mask(own, mask_image)
            if expand is None or not any(expand):
                return own, mask_image
            inside = None if mask_image is None else self._inputs.open(mask_image)
            grown, painted = add_margins(self._inputs.open(own), inside, expand)
            return self._inputs.keep(grown), self._inputs.keep_mask(painted)

        input_image, over = await anyio.to_thread.run_sync(work)
        return replace(request, image=input_image, mask=over)

    async def with_references(
        self, request: ImageRequest, names: Sequence[str], *, reach: Reach = "roots"
    ) -> ImageRequest:
        """The request with pictures to follow, which are kept.

        Raises:
            InvalidRequest: One is not there, may not be read, or is no picture that will do.
            StorageError: The pictures cannot be kept.
        """
        if len(names) > MAX_REFERENCES:
            raise InvalidRequest("references", ", ".join(names), f"at most {MAX_REFERENCES}")

        def work() -> tuple[InputImage, ...]:
            return tuple(
                self._inputs.image(name, field="references", reach=reach) for name in names
            )

        return replace(request, references=await anyio.to_thread.run_sync(work))

    async def plan(self, request: ImageRequest) -> Plan:
        """Say what `generate` would do, and why. Nothing is made, loaded or spent.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
            ConfigError: A provider's section of the config is wrong.
        """
        check_request(request)
        return planner.plan(await self.snapshot(request))

    async def ask(self, request: ImageRequest) -> Quote | None:
        """The paid route that only lacks a yes, its amount set aside; None where none is needed.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
            StorageError: The ledger cannot be used.
        """
        if self.scheduler.leaves_work:
            return None  # nobody here can tell whether a worker has a free route
        return await self.consents.ask(request)

    async def generate(
        self,
        request: ImageRequest,
        progress: Progress = silent,
        *,
        consent: Quote | None = None,
    ) -> Result:
        """Make the pictures on the best route, the next one when that fails, and keep them.

        With `consent`, a person agreed to what `ask` offered for this very request. When cancelled,
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
        view = await self.start([request], consent=consent, progress=progress)
        try:
            while not view.ended:
                view = await self.job(view.id, math.inf, progress)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.cancel(view.id)
            raise
        assert view.outcome is not None
        if view.outcome.failures:
            raise outcomes.revived(view.outcome.failures[0])
        return view.outcome.results[0]

    async def start(
        self,
        requests: Sequence[ImageRequest],
        *,
        consent: Quote | None = None,
        caller: str = "",
        request_id: str = "",
        progress: Progress = silent,
    ) -> JobView:
        """Take requests on as one job. What nobody could make is refused here, before it is one.

        The same `request_id` of the same caller gives the job that it began the first time. What
        was made before comes back at once.

        Raises:
            InvalidRequest: A field of a request cannot be honoured by anybody, or the request_id
                belongs to another request.
            NoRoute, ConsentRequired: As `generate` tells.
            StorageError: The pictures or the job could not be kept.
        """
        for request in requests:
            check_request(request)
        await anyio.to_thread.run_sync(self.artifacts.check_writable)
        job_id = new_id(caller)
        if request_id:
            names = (fingerprint(requests), version_1.fingerprint(requests))
            job_id = await self.scheduler.job_of_request(caller, request_id, names, job_id)
            known = await self.scheduler.get(job_id)
            if known is not None:
                return known
        await progress(0.0, "choosing a route")
        own = None if consent is None else await self.consents.take(consent, job_id)
        try:
            return await self._accept(job_id, requests, own, request_id)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.consents.release(own)
            raise

    async def _accept(
        self,
        job_id: str,
        requests: Sequence[ImageRequest],
        consent: Quote | None,
        request_id: str,
    ) -> JobView:
        now = datetime.now(UTC)
        spec = JobSpec(
            id=job_id,
            requests=tuple(requests),
            constraints=constraints_of(self.config),
            accepted=now,
            deadline=now + timedelta(seconds=self.config.deadline),
            consent=consent,
        )
        if not self.scheduler.leaves_work:  # else who makes it decides by what is there
            context = await self._snapshots.take(
                requests[0], constraints=spec.constraints, consent=consent
            )
            for request in requests:
                plan = planner.plan(replace(context, request=request))
                if not plan.candidates:
                    raise explain.nothing_open(replace(context, request=request), plan)
                if len(requests) == 1:
                    stored = await self._cache.find(request, plan.candidates[0])
                    if stored is not None and not request_id:
                        await self.consents.release(consent)
                        outcome = JobOutcome(results=(stored,))
                        return JobView(id="", status="done", outcome=outcome)
                    spec = replace(spec, routes=worth_trying(plan))
        await self.scheduler.submit(spec)
        return JobView(id=job_id, status="queued")

    async def job(
        self, job_id: str, seconds: float, progress: Progress = silent, caller: str | None = None
    ) -> JobView:
        """What is known of a job when it has ended, or after so many seconds.

        Raises:
            JobNotFound: No job has this id, or it is another caller's.
            StorageError: The jobs' database cannot be used.
        """
        view = None
        if belongs(job_id, caller):
            view = await self.scheduler.wait(job_id, seconds, progress)
        if view is None:
            raise JobNotFound(job_id)
        return view

    async def cancel(self, job_id: str, caller: str | None = None) -> JobView:
        """Stop a job wherever it is.

        Raises:
            JobNotFound: No job has this id, or it is another caller's.
            StorageError: The jobs' database cannot be used.
        """
        view = await self.scheduler.cancel(job_id) if belongs(job_id, caller) else None
        if view is None:
            raise JobNotFound(job_id)
        return view

    async def view(self, image_id: str, side: int) -> tuple[Preview, str]:
        """A stored picture at a bounded size, and its path.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
        """
        path = await anyio.to_thread.run_sync(self.artifacts.find, image_id)
        return await self.preview(image_id, side=side), path

    async def preview(self, image_id: str, *, side: int, share: int = 1) -> Preview:
        """A stored picture made small enough to show to a model."""
        work = partial(self.artifacts.preview, image_id, side=side, share=share)
        return await anyio.to_thread.run_sync(work)

    async def read(self, image_id: str) -> bytes:
        """A stored picture's bytes, as a resource."""
        data, _ = await anyio.to_thread.run_sync(self.artifacts.read, image_id)
        return data

    async def aclose(self) -> None:
        """Close the jobs, the providers and the ledger."""
        async with AsyncExitStack() as stack:
            for part in (self._cache, self.history, self.billing, self.registry, self.scheduler):
                stack.push_async_callback(part.aclose)


def new_id(caller: str) -> str:
    """A job's id that nobody can guess; it tells to which caller it belongs."""
    return f"job-{_mark(caller)}-{secrets.token_hex(16)}"


def belongs(job_id: str, caller: str | None) -> bool:
    """Whether this caller may see the job. None is the machine's owner, who may see all."""
    return caller is None or job_id.startswith(f"job-{_mark(caller)}-")


def _mark(caller: str) -> str:
    return hashlib.sha256(caller.encode()).hexdigest()[:8]
