"""The use cases in the user's words: plan, generate, edit, wait, cancel, view."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread

from ziggie_image_mcp.app import processing as picture_processing
from ziggie_image_mcp.app import styles
from ziggie_image_mcp.app.consent import Consents
from ziggie_image_mcp.app.early_start import EarlyStarts
from ziggie_image_mcp.app.file_recipes import (
    FilePictures,
    Filled,
    file_pictures,
    shown_name,
    with_file_recipe,
)
from ziggie_image_mcp.app.processing import NOTHING, ProcessedPicture, Processing
from ziggie_image_mcp.assets.region import Margins, add_margins
from ziggie_image_mcp.billing.caps import caps_from
from ziggie_image_mcp.billing.charge import Billing
from ziggie_image_mcp.billing.types import Offer, Quote
from ziggie_image_mcp.config.config import Config, data_dir, input_roots, output_dir
from ziggie_image_mcp.config.loader import (
    provider_budgets,
    provider_concurrency,
    provider_privacy,
)
from ziggie_image_mcp.config.styles import style_named
from ziggie_image_mcp.errors import ConsentRequired, InvalidRequest, StorageError
from ziggie_image_mcp.inventory.detection import Detector
from ziggie_image_mcp.inventory.hardware_probe import HardwareCache
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import SurveyCache
from ziggie_image_mcp.inventory.types import Hardware, Survey
from ziggie_image_mcp.jobs import outcomes, owners, version_1
from ziggie_image_mcp.jobs.attempt import AttemptTools
from ziggie_image_mcp.jobs.database import LOCK_SECONDS
from ziggie_image_mcp.jobs.errors import JobNotFound
from ziggie_image_mcp.jobs.executor import worth_trying
from ziggie_image_mcp.jobs.monitor import Monitor
from ziggie_image_mcp.jobs.picture_checks import check_may_look
from ziggie_image_mcp.jobs.records import INTERACTIVE, JobOutcome, JobSpec, JobView, Result
from ziggie_image_mcp.jobs.result_cache import ResultCache
from ziggie_image_mcp.jobs.scheduler import Scheduler, silent
from ziggie_image_mcp.jobs.snapshots import Snapshots
from ziggie_image_mcp.provider.nouns import Progress
from ziggie_image_mcp.routing import explain, planner
from ziggie_image_mcp.routing.additions import read_control
from ziggie_image_mcp.routing.asset_wishes import with_contract, with_palette_of_file
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.history import History
from ziggie_image_mcp.routing.request import ControlImage, ImageRequest, fingerprint
from ziggie_image_mcp.routing.request_checks import MAX_REFERENCES, check_mask, check_request
from ziggie_image_mcp.routing.types import Bulk, Plan
from ziggie_image_mcp.storage.artifact_store import ArtifactStore, not_found
from ziggie_image_mcp.storage.input_images import FILES_BELOW_ROOTS, InputImages, Reach
from ziggie_image_mcp.storage.newest import ListedImage, ListPosition
from ziggie_image_mcp.storage.picture_index import PictureIndex
from ziggie_image_mcp.storage.recipe_reading import read_recipe
from ziggie_image_mcp.storage.types import FileRecipe, InputImage, NoRecipe, Preview


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
        tools: AttemptTools,
        monitor: Monitor,
        picture_index: PictureIndex,
        databases: Mapping[str, str | Path] | None = None,
    ) -> None:
        styles.check_styles(config)
        self.config = config
        self.registry = registry
        self.artifacts = artifacts
        self.billing = billing
        self.history = history
        self.scheduler = scheduler
        self.picture_index = picture_index
        self.detector = Detector(lambda: registry.hosts)
        self.databases = databases or {}
        """Where state is kept, by what it is."""
        self.consents = Consents(snapshots, billing)
        self.config_trouble = ""
        """What is wrong with config.json as it is now, for every answer."""
        self._tools = tools
        self._monitor = monitor
        self._surveys = surveys
        self._hardware = hardware
        self._cache = cache
        self._snapshots = snapshots
        self._early_starts = EarlyStarts(registry.providers)
        self._inputs = InputImages(artifacts, input_roots(config), urls=config.input_urls)

    async def reconfigure(self, config: Config) -> list[str]:
        """Work by these settings from the next call on; what only the next start can change.

        Raises:
            ConfigError: A section makes no sense; then all goes on as before.
        """
        caps = caps_from(config.budget, provider_budgets(config))
        provider_privacy(config)
        styles.check_styles(config)
        concurrency = provider_concurrency(config)
        await self.registry.reconfigure(config)
        before = self.config
        self._snapshots.reconfigure(config)
        self._tools.queue.concurrency = concurrency
        self.billing.reservations.caps = caps
        self.config = self._tools.config = config
        output = config.output
        if (output, config.cache) != (before.output, before.cache):
            self.artifacts.reconfigure(
                output_dir(config), format=output.format, metadata=output.metadata
            )
            self._cache.format, self._cache.enabled = output.format, config.cache
        self._inputs = InputImages(self.artifacts, input_roots(config), urls=config.input_urls)
        self._monitor.keep = timedelta(days=config.keep_jobs)
        self._surveys.expire()
        return [
            key
            for key, old, new in (
                ("database", before.database, config.database),
                ("workers", before.workers, config.workers),
            )
            if old != new
        ]

    async def hardware(self) -> Hardware:
        """This machine, as of a few seconds ago at most."""
        return await self._hardware.take()

    @property
    def troubles(self) -> tuple[str, ...]:
        """What does not work just now, although pictures can be made without it."""
        own = (
            self.config_trouble,
            self.history.trouble,
            self._cache.trouble,
            self.scheduler.trouble,
        )
        return tuple(filter(None, own))

    def folders(self) -> list[str]:
        """This machine's folders that messages may name."""
        own = [] if isinstance(self.artifacts.root, str) else [self.artifacts.root]
        places = [Path.home(), data_dir(), *own, *input_roots(self.config)]
        for section in self.config.providers.values():
            for value in section.values():
                texts = cast(list[object], value) if isinstance(value, list) else [value]
                places += [Path(t) for t in texts if isinstance(t, str) and Path(t).is_absolute()]
        return [str(place) for place in places]

    async def survey(self) -> Survey:
        """What the providers have, as of a few seconds ago at most.

        Raises:
            ConfigError: A provider's section of the config is wrong.
        """
        return await self._surveys.take()

    async def snapshot(self, request: ImageRequest, bulk: Bulk | None = None) -> RoutingContext:
        """Everything that the decision about this request looks at.

        `bulk` says what it is asked for together with; by default it is alone.

        Raises:
            ConfigError: A provider's section of the config is wrong.
        """
        return await self._snapshots.take(request, bulk=bulk)

    async def with_input_images(
        self,
        request: ImageRequest,
        image: str,
        mask: str = "",
        expand: Margins | None = None,
        *,
        reach: Reach = FILES_BELOW_ROOTS,
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
            owner = reach.owner or ""
            return self._inputs.keep(grown, owner), self._inputs.keep_mask(painted, owner)

        input_image, over = await anyio.to_thread.run_sync(work)
        return replace(request, image=input_image, mask=over)

    async def with_references(
        self,
        request: ImageRequest,
        names: Sequence[str],
        *,
        reach: Reach = FILES_BELOW_ROOTS,
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

    async def with_control(
        self, request: ImageRequest, text: str, *, reach: Reach = FILES_BELOW_ROOTS
    ) -> ImageRequest:
        """The request with pictures that guide its composition, which are kept.

        Raises:
            InvalidRequest: The text names none in the form that `read_control` tells, or one is not
                there, may not be read, or is no picture that will do.
            StorageError: The pictures cannot be kept.
        """
        names = read_control(text)

        def work() -> tuple[ControlImage, ...]:
            return tuple(
                ControlImage(
                    kind=name.kind,
                    image=self._inputs.image(name.picture, field="control", reach=reach),
                    weight=name.weight,
                    compute=name.compute,
                )
                for name in names
            )

        return replace(request, control=await anyio.to_thread.run_sync(work))

    async def completed(
        self, request: ImageRequest, like: str = "", *, reach: Reach = FILES_BELOW_ROOTS
    ) -> ImageRequest:
        """The request with what the picture `like`, its style and its asset contract say.

        What the caller says comes first, then the style, then the picture. A question about money
        is asked of what comes out of it, and answered for that.

        Raises:
            InvalidRequest: The contract makes no sense, or its palette's file may not be read.
            InvalidRequest, ConfigError, StorageError: As `like` and `with_style` tell.
        """
        fields: Collection[str] = ()
        if like.strip():
            filled = await self.like(request, like, reach=reach)
            request, fields = filled.request, filled.fields
        request = await self.with_style(request, fields)
        if request.asset:
            read = partial(self._inputs.file, "palette", reach=reach)
            request = await anyio.to_thread.run_sync(with_palette_of_file, request, read)
        return with_contract(request)

    async def like(
        self, request: ImageRequest, name: str, *, reach: Reach = FILES_BELOW_ROOTS
    ) -> Filled:
        """The request with what a picture's file says of how it was made, for the routes here.

        Raises:
            InvalidRequest: There is no such picture, it may not be read, it does not tell how it
                was made, or neither it nor the request says a prompt.
            ConfigError: A provider's section of the config is wrong.
            StorageError: A picture that it was made from cannot be kept.
        """

        def read() -> tuple[FileRecipe, FilePictures]:
            try:
                recipe = read_recipe(self._inputs.file("like", name, reach=reach))
            except NoRecipe as e:
                raise InvalidRequest("like", name, str(e)) from e
            return file_pictures(recipe, partial(self._inputs.image, reach=reach))

        recipe, pictures = await anyio.to_thread.run_sync(read)
        context = await self.snapshot(request)
        work = partial(with_file_recipe, request, recipe, shown_name(name), context, pictures)
        return await anyio.to_thread.run_sync(work)

    async def with_style(self, request: ImageRequest, filled: Collection[str] = ()) -> ImageRequest:
        """The request with all that its style of the config says; as it is where it names none.

        A word that some model takes as its own style is left to it. `filled` names the fields that
        the caller did not give, which the style may replace.

        Raises:
            InvalidRequest: There is no such style, or what it refers to is not there.
            StorageError: The style's pictures cannot be kept.
            ConfigError: A provider's section of the config is wrong.
        """
        if not request.style.strip() or request.applied_style is not None:
            return request
        if not style_named(request.style, self.config.styles):
            if styles.is_word_of_a_vendor(request, await self.survey()):
                return request
            raise styles.unknown_style(request.style, self.config)
        work = partial(
            styles.with_style,
            request,
            self.config,
            partial(self._inputs.image, field="references"),
            partial(self._inputs.file, "palette"),
            filled,
        )
        return await anyio.to_thread.run_sync(work)

    async def prepare(
        self, request: ImageRequest, names: Sequence[str], *, reach: Reach = FILES_BELOW_ROOTS
    ) -> Processing:
        """Take in pictures that are to be processed, and do what needs no model.

        Raises:
            InvalidRequest, StorageError: As `processing.prepare` tells.
        """
        work = partial(
            picture_processing.prepare,
            request,
            names,
            self._inputs,
            reach=reach,
            keys=self.config.enabled,
        )
        return await anyio.to_thread.run_sync(work)

    async def plan(self, request: ImageRequest, bulk: Bulk | None = None) -> Plan:
        """Say what `generate` would do, and why. Nothing is made, loaded or spent.

        Raises:
            InvalidRequest: A field of the request cannot be honoured by anybody.
            ConfigError: A provider's section of the config is wrong.
        """
        request = with_contract(request)
        check_request(request)
        return planner.plan(await self.snapshot(request, bulk))

    async def ask(self, requests: Sequence[ImageRequest], caller: str = "") -> Offer | None:
        """What only lacks a yes, its amounts set aside; None where none is needed or would help.

        Raises:
            InvalidRequest: A field of a request cannot be honoured by anybody.
            OverBudget: A cap would be passed; nothing is set aside.
            StorageError: The ledger cannot be used.
        """
        if self.scheduler.leaves_work:
            return None  # nobody here can tell whether a worker has a free route
        requests = [with_contract(request) for request in requests]
        self._early_starts.begin(self.config, requests)
        return await self.consents.ask(requests, caller)

    async def generate(
        self,
        request: ImageRequest,
        progress: Progress = silent,
        *,
        consent: Offer | None = None,
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
        view = await self.generate_all([request], progress, consent=consent)
        assert view.outcome is not None
        if view.outcome.failures:
            raise outcomes.error_of(view.outcome)
        return view.outcome.results[0]

    async def generate_all(
        self,
        requests: Sequence[ImageRequest],
        progress: Progress = silent,
        *,
        consent: Offer | None = None,
        processing: Processing = NOTHING,
    ) -> JobView:
        """Make the pictures of several requests as one job, and wait for its end.

        When cancelled, the work is stopped.

        Raises:
            InvalidRequest, NoRoute, ConsentRequired, StorageError: As `start` tells.
        """
        view = await self.start(requests, consent=consent, progress=progress, processing=processing)
        try:
            while not view.ended:
                view = await self.job(view.id, math.inf, progress)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.cancel(view.id)
            raise
        return view

    async def start(
        self,
        requests: Sequence[ImageRequest],
        *,
        consent: Offer | None = None,
        caller: str = "",
        request_id: str = "",
        progress: Progress = silent,
        patience: float = LOCK_SECONDS,
        processing: Processing = NOTHING,
        priority: int = INTERACTIVE,
    ) -> JobView:
        """Take requests on as one job. What nobody could make is refused here, before it is one.

        The same `request_id` of the same caller gives the job that it began the first time. What
        was made before comes back at once. A jobs' database that another process holds is waited
        for `patience` seconds. The cut-outs of `processing` are kept, and told with the rest.
        With the `priority` of a batch it waits in the queue, and another process may make it.

        Raises:
            InvalidRequest: A field of a request cannot be honoured by anybody, or the request_id
                belongs to another request.
            NoRoute, ConsentRequired: As `generate` tells.
            StorageError: The pictures or the job could not be kept.
        """
        check_may_look(self.config.verify.unsafe)
        requests = [with_contract(request) for request in requests]
        for request in requests:
            check_request(request)
        await anyio.to_thread.run_sync(self.artifacts.check_writable)
        job_id = owners.new_job_id(caller)
        if request_id:
            names = (fingerprint(requests), version_1.fingerprint(requests))
            job_id = await self.scheduler.job_of_request(
                caller, request_id, names, job_id, patience
            )
            known = await self.scheduler.wait(job_id, 0, silent)
            if known is not None:
                return known
        await progress(0.0, "choosing a route")
        own: tuple[Quote | None, ...] = ()
        if consent is not None:
            own = await self.consents.take(consent, job_id)
        mark = owners.picture_mark(caller)
        requests = [replace(request, owner=mark) for request in requests]
        try:
            return await self._accept(
                job_id, requests, own, request_id, patience, processing.made, priority
            )
        except BaseException as e:
            await self.consents.release(own)
            if isinstance(e, NoRoute | ConsentRequired) and processing.remarks:
                e.args = ("\n".join((str(e), *processing.remarks)), *e.args[1:])
            raise

    async def _accept(
        self,
        job_id: str,
        requests: Sequence[ImageRequest],
        consents: tuple[Quote | None, ...],
        request_id: str,
        patience: float,
        processed: Sequence[ProcessedPicture],
        priority: int,
    ) -> JobView:
        now = datetime.now(UTC)
        spec = JobSpec(
            id=job_id,
            requests=tuple(requests),
            constraints=constraints_of(self.config),
            accepted=now,
            deadline=now + timedelta(seconds=self.config.deadline),
            consents=consents,
            priority=priority,
        )
        if requests and not self.scheduler.leaves_work:  # else who makes it decides what is there
            self._early_starts.begin(self.config, requests)
            chosen: list[str] = []
            try:
                plans = await self._plans(spec)
                chosen = [plan.candidates[0].model.provider for plan in plans]
            finally:
                await self._early_starts.settle(chosen)
            if len(plans) == 1:
                stored = await self._cache.find(requests[0], plans[0].candidates[0])
                if stored is not None and not request_id and not processed:
                    await self.consents.release(consents)
                    outcome = JobOutcome(results=(stored,))
                    return JobView(id="", status="done", outcome=outcome)
                spec = replace(spec, routes=worth_trying(plans[0]))
            elif not consents:  # what is asked for together is paid for together, or not begun
                try:
                    with anyio.fail_after(patience):
                        consents = await self.consents.set_aside(plans, job_id)
                except TimeoutError:
                    held = self.billing.ledger.held or "The ledger does not answer: try again."
                    raise StorageError(held) from None
                spec = replace(spec, consents=consents)
        try:
            if processed:
                keep = partial(_keep, processed, self.artifacts, owners.mark_of_job(job_id))
                spec = replace(spec, done=await anyio.to_thread.run_sync(keep))
            if not requests:
                return JobView(id="", status="done", outcome=JobOutcome(results=spec.done))
            await self.scheduler.submit(spec, patience=patience, known=bool(request_id))
        except BaseException:
            await self.consents.release(consents)
            raise
        return JobView(id=job_id, status="queued")

    async def _plans(self, spec: JobSpec) -> list[Plan]:
        """The routes of each request, at one moment.

        Raises:
            InvalidRequest: Together they would cost more than they may.
            NoRoute, ConsentRequired: One of them has no route.
        """
        decisions: list[tuple[RoutingContext, Plan]] = []
        for index, request in enumerate(spec.requests):
            if index == 0 or spec.consents:
                context = await self._snapshots.take(
                    request,
                    constraints=spec.constraints,
                    consent=spec.consent(index),
                    bulk=spec.bulk,
                )
            else:
                context = replace(decisions[0][0], request=request)
            decisions.append((context, planner.plan(context)))
        closed = explain.nothing_open(decisions)
        if closed is not None:
            raise closed
        plans = [plan for _, plan in decisions]
        dear = explain.too_dear(spec.requests, [planner.priced_route(plan) for plan in plans])
        if dear is not None:
            raise dear
        return plans

    async def job(
        self, job_id: str, seconds: float, progress: Progress = silent, caller: str | None = None
    ) -> JobView:
        """What is known of a job when it has ended, or after so many seconds.

        Raises:
            JobNotFound: No job has this id, or it is another caller's.
            StorageError: The jobs' database cannot be used.
        """
        view = None
        if owners.job_belongs(job_id, caller):
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
        may = owners.job_belongs(job_id, caller)
        view = await self.scheduler.cancel(job_id) if may else None
        if view is None:
            raise JobNotFound(job_id)
        return view

    async def view(
        self, image_id: str, side: int, caller: str | None = None
    ) -> tuple[Preview, str]:
        """A stored picture at a bounded size, and its path.

        Raises:
            ImageNotFound: No picture has this id, or it is another caller's.
            StorageError: The file cannot be read.
        """
        _check_may_see(image_id, caller)
        path = await anyio.to_thread.run_sync(self.artifacts.find, image_id)
        return await self.preview(image_id, side=side), path

    async def preview(self, image_id: str, *, side: int, share: int = 1) -> Preview:
        """A stored picture made small enough to show to a model."""
        work = partial(self.artifacts.preview, image_id, side=side, share=share)
        return await anyio.to_thread.run_sync(work)

    async def read(self, image_id: str, caller: str | None = None) -> bytes:
        """A stored picture's bytes, as a resource.

        Raises:
            ImageNotFound: No picture has this id, or it is another caller's.
            ImageTooLarge: No resource carries so much.
            StorageError: The file cannot be read.
        """
        _check_may_see(image_id, caller)
        data, _ = await anyio.to_thread.run_sync(self.artifacts.read, image_id)
        return data

    async def newest(
        self, most: int, caller: str | None = None, after: ListPosition | None = None
    ) -> list[ListedImage]:
        """The newest pictures that the caller may see; with `after`, those that follow it.

        Raises:
            StorageError: The place of the pictures cannot be read.
        """
        may_see = partial(owners.picture_belongs, caller=caller)
        return await anyio.to_thread.run_sync(self.artifacts.newest, most, may_see, after)

    async def aclose(self) -> None:
        """Close the jobs, the providers and the ledger."""
        async with AsyncExitStack() as stack:
            for part in (self._cache, self.history, self.billing, self.registry, self.scheduler):
                stack.push_async_callback(part.aclose)


def _check_may_see(image_id: str, caller: str | None) -> None:
    if not owners.picture_belongs(image_id, caller):
        raise not_found(image_id)


def _keep(
    processed: Sequence[ProcessedPicture], artifacts: ArtifactStore, owner: str
) -> tuple[Result, ...]:
    return tuple(picture_processing.keep(one, artifacts, owner) for one in processed)
