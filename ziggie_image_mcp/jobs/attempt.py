"""Try one route: wait for the device, call the provider, keep the pictures, learn."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import anyio
import anyio.to_thread

from ziggie_image_mcp.billing.charge import Billing, Charge, Checkpoint
from ziggie_image_mcp.billing.types import ChargeTask, FreeCall
from ziggie_image_mcp.billing.usage_report import PictureCount
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import (
    ImageError,
    OutcomeUnknown,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    StorageError,
    duration,
)
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.jobs import outcomes, retry
from ziggie_image_mcp.jobs.device_queue import DeviceQueue
from ziggie_image_mcp.jobs.emulated import Tools, emulate
from ziggie_image_mcp.jobs.owners import mark_of_job
from ziggie_image_mcp.jobs.persist import find_persisted, image_id_of, persist
from ziggie_image_mcp.jobs.picture_checks import check_may_look, refuse_unsafe, wrong_text
from ziggie_image_mcp.jobs.records import AttemptOutcome, JobSpec
from ziggie_image_mcp.jobs.remote_jobs import RemoteJobs
from ziggie_image_mcp.jobs.request_pictures import with_pictures
from ziggie_image_mcp.jobs.restarts import RestartPatience
from ziggie_image_mcp.jobs.result_cache import ResultCache
from ziggie_image_mcp.jobs.running import RunningJob, RunningJobs
from ziggie_image_mcp.provider import bulkhead
from ziggie_image_mcp.provider.contract import Provider
from ziggie_image_mcp.provider.nouns import Generation, Model, ProviderRequest, Run, is_local
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.routing.history import History
from ziggie_image_mcp.routing.latency import bucket, extra_work
from ziggie_image_mcp.routing.types import Candidate
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.types import StoredImage

COLLECT_TIME = timedelta(seconds=60)
"""What is paid for may take so long to be fetched after a restart, whatever the deadline was."""

LEAST_LOAD = 0.001
"""Seconds: a first run that took no longer than others counts as one that loaded all the same."""

FURTHER_CALL = 1.5
"""Times what the first call took: a further one is made where the deadline leaves so much."""

DEADLINE_MARGIN = 0.5
"""Seconds: the deadline is kept by another clock."""

Pictures = tuple[list[StoredImage], tuple[str, ...]]
"""What an attempt gave: stored pictures, and notes about them."""


class Timing(NamedTuple):
    """What one call of a provider took, from its beginning to the kept pictures."""

    seconds: float
    load_seconds: float | None
    """How much of it loaded the model, as far as the provider tells."""
    compile_seconds: float
    """How much more of it compiled the model."""


async def as_before() -> None:
    """Nothing is looked at again."""


@dataclass(kw_only=True)
class AttemptTools:
    """What every attempt of a process works with."""

    config: Config
    """May be exchanged."""
    registry: Registry
    artifacts: ArtifactStore
    billing: Billing
    history: History
    cache: ResultCache
    queue: DeviceQueue
    remote_jobs: RemoteJobs
    running: RunningJobs
    checkpoint: Checkpoint
    refresh: Callable[[], Awaitable[None]] = as_before
    """Takes over settings that were edited in the meantime."""
    retries: retry.RetryBudget = field(default_factory=retry.RetryBudget)
    restarts: RestartPatience = field(default_factory=RestartPatience)
    last_models: dict[str, str] = field(default_factory=dict[str, str])
    """The model that each provider ran last: the next run of one that tells nothing of loading is
    taken to load nothing."""

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The providers by name."""
        return self.registry.providers()


class Attempt:
    """One route of one request.

    Args:
        tools: What it works with.
        spec: The job.
        job: The job as it runs here.
        index: Which of the job's requests.
        number: How many attempts there were before.
        route: The route to try.
        others: Whether another route is open that costs no more.
        objection: Says why the route may not be taken any more, when its turn has come.
        last: Whether no other provider's route is open, at whatever price.
    """

    def __init__(
        self,
        tools: AttemptTools,
        spec: JobSpec,
        job: RunningJob,
        *,
        index: int,
        number: int,
        route: Candidate,
        others: bool,
        objection: Callable[[Candidate], Awaitable[ImageError | None]],
        last: bool,
    ) -> None:
        self._objection = objection
        self._tools = tools
        self._spec = spec
        self._job = job
        self._request = spec.requests[index]
        self._consent = spec.consent(index)
        self._route = route
        self._others = others
        self._last = last
        self._name = f"{spec.id}.{index}.{number}"
        self._started = time.monotonic()
        self._deadline = spec.deadline
        self._was_sent = False
        self._timing: Timing | None = None
        """Of the call that gave the pictures; None where an earlier process began it."""
        self._cost = 0
        """So far, 1e-6 USD: known also when its pictures are unusable."""
        self._remark = ""
        """What its caller must be told of it."""

    async def run(self) -> AttemptOutcome:
        """Try it when the device is free. The deadline ends it; other failures are recorded."""
        self._was_sent = await self._was_sent_before()
        if self._was_sent and self._deadline is not None:
            self._deadline = max(self._deadline, datetime.now(UTC) + COLLECT_TIME)
        try:
            with anyio.fail_after(self._seconds_left()):
                queue = self._tools.queue
                async with queue.acquire(self._job, self._route, sent=self._was_sent):
                    return await self._run_now()
        except TimeoutError:
            limit = self._tools.config.deadline
            message = f"the whole call took longer than {duration(limit)} (deadline)"
            return self._failed(ProviderTimeout(self._route.model.provider, message), late=True)

    async def _run_now(self) -> AttemptOutcome:
        self._started = time.monotonic()
        provider_name = self._route.model.provider
        if not await self._may_try():
            message = f"{provider_name} is paused, and one other request is trying it"
            return self._failed(ProviderUnavailable(provider_name, message))
        objection = None if self._was_sent else await self._objection(self._route)
        if objection is not None:
            return self._failed(objection)
        try:
            with self._tools.retries.call():
                images, notes = await self._call_with_retries()
        except ImageError as e:
            await self._tools.history.failed(
                provider_name, self._route.model.id, e, datetime.now(UTC)
            )
            return self._failed(e)
        await self._learn(images)
        if self._remark:
            notes = (*notes, f"cost: {self._remark}")
        problem, told = await self._check(images)
        notes = (*notes, *filter(None, [told]))
        made = outcomes.successful_attempt(self._route, images, notes, self._cost, self._started)
        return replace(made, problem=problem)

    async def _check(self, images: list[StoredImage]) -> tuple[str, str]:
        """What is wrong with what the pictures show, and what else is told of it."""
        self._job.report(0.99, "checking")
        verify = self._tools.config.verify.text
        check = partial(wrong_text, self._tools.artifacts, self._request, images, verify)
        try:
            return await anyio.to_thread.run_sync(check)
        except Exception as e:  # of a check that is no part of the picture
            return "", f"the words in it could not be read back: {type(e).__name__}: {e}"

    async def _call_with_retries(self) -> Pictures:
        """Call the provider, and once more where the error says that it may help."""
        tries = await self._tries_before()
        waits, sent, before = 0, self._job.taken_up, tries
        while True:
            objection = None if tries == before else await self._objection(self._route)
            if objection is not None:  # settings may have been edited while it waited
                raise objection
            try:
                return await self._call(tries, sent=sent)
            except ProviderError as e:
                if await self._engine_is_back(e, waits):
                    waits, sent = waits + 1, await self._is_known(tries)
                    tries += not sent
                    continue
                wait = retry.pause(
                    e,
                    tries=tries,
                    remaining=self._seconds_left(),
                    charged=self._cost > 0,
                    others=self._others,
                )
                with self._tools.retries.retry() as allowed:
                    if wait is None or not allowed:
                        raise
                    self._job.report(0.0, f"{e.provider}: {e.code}, again in {duration(wait)}")
                    await anyio.sleep(wait)
                tries += 1

    async def _engine_is_back(self, error: ProviderError, waits: int) -> bool:
        """Whether the engine went away, cost nothing so far, and answers again by now."""
        provider = self._tools.providers.get(self._route.model.provider)
        patience, free = self._tools.restarts, is_free(self._route.model.prices)
        if provider is None or not patience.may_help(
            error, waits=waits, free=free, last=self._last
        ):
            return False
        seconds = self._seconds_left()
        return await patience.wait(provider, error, seconds=seconds, report=self._job.report)

    async def _call(self, tries: int, *, sent: bool) -> Pictures:
        """Reserve, call, keep the pictures, settle. `sent`: what is free may be on its way."""
        model = self._route.model
        provider = self._tools.providers.get(model.provider)
        if provider is None and self._was_sent:
            provider = await self._tools.registry.collector(model.provider)
        self._job.report(0.02, f"{model.provider}: {model.id}")
        check_may_look(self._tools.config.verify.unsafe)
        request = await self._with_pictures(self._route.request)
        free = is_free(model.prices)
        task = (
            await self._free_call(self._key(tries), model.provider, sent=sent)
            if free
            else self._charge_task()
        )
        charge: Charge | None = None
        result: Pictures | None = None
        failure: ProviderError | None = None
        try:
            async with self._tools.billing.charge(task) as charge:
                self._job.charge = None if isinstance(task, FreeCall) else charge
                try:
                    result = await self._pictures_of(charge, provider, request)
                except ProviderError as e:
                    if self._job.moved:  # its connection was closed: that says nothing of the call
                        await self._job.leave_to_others()
                    failure = e
                    raise
        except StorageError as e:
            if failure is not None:  # that matters more than that its cost was not written down
                raise failure from e
            if result is None:
                raise
            images, notes = result
            result = images, (*notes, f"what it cost could not be written down: {e}")
        finally:
            self._job.charge = None
            if charge is not None:
                self._cost = max(self._cost, charge.cost)
                self._remark = charge.remark
                self._job.costs[self._name] = self._cost
        return result

    async def _pictures_of(
        self, charge: Charge, provider: Provider | None, request: ProviderRequest
    ) -> Pictures:
        """Call, and keep the pictures."""
        stored = await self._stored_by_another(charge)
        if stored is not None:
            return stored, ()
        if provider is None:
            name = self._route.model.provider
            message = f"{name} is not configured where the job runs"
            if self._was_sent:  # and is charged for, so that nothing else may be paid for
                raise OutcomeUnknown(name, message, scope="request")
            raise ProviderUnavailable(name, message)
        began = None if charge.sent else time.monotonic()
        run = Run(
            key=charge.key,
            progress=_Progress(self._job),
            is_ours=lambda: not self._job.moved,
            preview=self._tools.running.preview_of(self._job.id),
            deadline=self._deadline,
        )
        if self._tools.running.leaving and self._job.charge is not None and not charge.sent:
            await self._job.leave_to_others()
        generation = await charge.generate(
            provider, request, self._route.model, run, may_stop=self._is_given_up
        )
        await self._refuse_unsafe(generation, self._route.model)
        made = time.monotonic()
        tools = Tools(
            call=self._call_again,
            keep=self._keep_opaque,
            has_time=lambda: self._seconds_left() > FURTHER_CALL * (made - self._started),
        )
        generation = await emulate(generation, self._request, self._route, tools)
        emulating = time.monotonic() - made
        self._job.report(0.98, "saving")
        day = self._spec.accepted.date()
        stored_and_notes = await persist(
            self._tools.artifacts, generation, self._name, day, self._request, self._route
        )
        self._tools.checkpoint("saved")
        if began is not None:
            self._timing = Timing(
                time.monotonic() - began - emulating,
                generation.load_seconds,
                generation.compile_seconds,
            )
        return stored_and_notes

    async def _call_again(self, request: ProviderRequest, model: Model, name: str) -> Generation:
        """A further call of this attempt, which costs nothing: of its model, or of another one."""
        provider = self._tools.providers.get(model.provider)
        if provider is None or not is_free(model.prices):
            raise ProviderUnavailable(model.provider, "it is not configured where the job runs")
        key = f"{self._name}.{name}"
        task = await self._free_call(key, model.provider, sent=self._job.taken_up)

        async def progress(fraction: float, message: str) -> None:
            self._job.report(0.97, message)

        run = Run(
            key=key,
            progress=progress,
            is_ours=lambda: not self._job.moved,
            deadline=self._deadline,
        )
        async with self._tools.billing.charge(task) as charge:
            further = await charge.generate(
                provider, request, model, run, may_stop=self._is_given_up
            )
        await self._refuse_unsafe(further, model)
        return further

    async def _refuse_unsafe(self, generation: Generation, model: Model) -> None:
        if self._tools.config.verify.unsafe:
            await anyio.to_thread.run_sync(refuse_unsafe, generation, model)

    async def _keep_opaque(self, data: bytes, place: int) -> str:
        """Keep a picture that is paid for and lacks the alpha that was asked; its id."""
        owner, day = mark_of_job(self._name), self._spec.accepted.date()
        image_id = image_id_of(f"{self._name}.opaque", place, day, owner)
        hint = f"{self._request.file_name or 'picture'}-opaque"
        keep = partial(self._tools.artifacts.keep, data, image_id, hint)
        await anyio.to_thread.run_sync(keep)
        return image_id

    async def _tries_before(self) -> int:
        """The try at which a job that was taken up goes on: a later one may still be running."""
        if self._job.taken_up and is_free(self._route.model.prices):
            most = 1 + retry.MAX_WAITS + self._tools.restarts.most
            for tries in range(most, 1, -1):
                if await self._is_known(tries):
                    return tries
        return 1

    async def _is_known(self, tries: int) -> bool:
        """Whether the engine still has what it was sent with this try."""
        provider = self._tools.providers.get(self._route.model.provider)
        if provider is None:
            return False
        key = self._key(tries)
        found = await bulkhead.resolve(provider, key, await self._tools.remote_jobs.find(key))
        return found.state in ("running", "finished")

    def _key(self, tries: int) -> str:
        return self._name + "+" * (tries - 1)

    async def _free_call(self, key: str, provider: str, *, sent: bool) -> FreeCall:
        """A call that costs nothing; whether it may have been sent before."""
        remote_jobs = self._tools.remote_jobs
        return FreeCall(
            key=key,
            sent=sent,
            remote_id=await remote_jobs.find(key) if sent else "",
            remember=partial(remote_jobs.remember, key, self._job.id, provider),
        )

    async def _stored_by_another(self, charge: Charge) -> list[StoredImage] | None:
        """The pictures of a process that paid for them, kept them, and died before it settled."""
        if not charge.sent:
            return None
        day = self._spec.accepted.date()
        images = await find_persisted(
            self._tools.artifacts, self._name, day, self._route, self._request
        )
        if images is not None:
            charge.already_delivered()
        return images

    def _charge_task(self) -> ChargeTask:
        model, cost, consent = self._route.model, self._route.cost_micro_usd, self._consent
        hold = self._name
        if consent is not None and (consent.provider, consent.model, consent.micro_usd) == (
            model.provider,
            model.id,
            cost,
        ):
            hold = consent.hold  # set aside when a person said yes to this very price
        cap = self._spec.group_micro_usd
        return ChargeTask(
            id=hold,
            provider=model.provider,
            model=model.id,
            images=self._route.request.num_images,
            estimate=cost,
            group=None if cap is None else (self._spec.group, cap),
        )

    async def _with_pictures(self, request: ProviderRequest) -> ProviderRequest:
        """The request with the bytes of the pictures that it works from."""
        ids = (request.image_id, request.mask_id, *request.reference_ids, *request.control)
        if not any(ids):
            return request
        work = partial(with_pictures, self._tools.artifacts, request, self._route.placement)
        return await anyio.to_thread.run_sync(work)

    async def _was_sent_before(self) -> bool:
        """Whether a process that died sent this to a vendor, who charges for it."""
        if not (self._job.taken_up and self._route.cost_micro_usd):
            return False
        try:
            return await self._tools.billing.was_sent(self._charge_task())
        except StorageError:  # the attempt fails by it too, and says so
            return False

    async def _may_try(self) -> bool:
        """Whether a route is not paused by now, where it costs money and was not yet sent."""
        model = self._route.model
        if not self._route.cost_micro_usd:
            return True
        if self._was_sent:
            return True
        return await self._tools.history.may_try(model.provider, model.id, datetime.now(UTC))

    async def _learn(self, images: list[StoredImage]) -> None:
        """Keep what this success teaches: of loading and of making, apart.

        What was compiled is lost with the model: runs that load it wait for both.
        """
        model, request, timing = self._route.model, self._route.request, self._timing
        load, each = 0.0, None
        if timing is not None:
            load = self._load_seconds(timing)
            compiling = min(timing.compile_seconds, timing.seconds - load)
            each = (timing.seconds - load - compiling) / len(images)
            load += compiling if load else 0.0
        if each is not None and is_local(model):
            each /= extra_work(request)
        self._tools.last_models[model.provider] = model.id
        await self._tools.history.succeeded(
            model.provider,
            model.id,
            bucket=bucket(request.width, request.height, request.steps),
            seconds_per_image=each,
            load_seconds=load,
            now=datetime.now(UTC),
        )
        await self._tools.history.count(
            self._name,
            PictureCount(
                day=datetime.now(UTC).date(),
                provider=model.provider,
                model=model.id,
                where=model.where,
                task=request.task,
                width=images[0].width,
                height=images[0].height,
                pictures=len(images),
                timed=0 if timing is None else len(images),
                seconds=0.0 if timing is None else timing.seconds,
            ),
        )
        first = images[0].seed  # one that did not tile has given way to another seed's
        seeds = [None if first is None else (first + i) % 2**32 for i in range(len(images))]
        if [image.seed for image in images] == seeds:
            await self._tools.cache.remember(self._request, self._route, images)

    def _load_seconds(self, timing: Timing) -> float:
        """How much of a call went into loading.

        Where the provider does not tell, a first run is taken to load what others do not take.
        """
        route, model = self._route, self._route.model
        if not is_local(model):
            return 0.0
        if timing.load_seconds is not None:
            return min(timing.load_seconds, timing.seconds)
        if model.state == "loaded" or self._tools.last_models.get(model.provider) == model.id:
            return 0.0
        making = route.seconds - route.wait_seconds - route.load_seconds
        return max(timing.seconds - making, LEAST_LOAD)

    def _is_given_up(self) -> bool:
        """Whether nobody waits for the pictures any more, here or elsewhere.

        A job whose process only ends, or that another one has taken up, goes on at its engine.
        """
        late = self._seconds_left() < DEADLINE_MARGIN
        return not self._job.moved and (self._job.scope.cancel_called or late)

    def _seconds_left(self) -> float:
        if self._deadline is None:
            return math.inf
        return (self._deadline - datetime.now(UTC)).total_seconds()

    def _failed(self, error: ImageError, *, late: bool = False) -> AttemptOutcome:
        if isinstance(error, ProviderError):
            error.charged = self._cost
        if self._remark:
            error.args = (f"{error} ({self._remark})", *error.args[1:])
        return outcomes.failed_attempt(self._route, error, self._cost, self._started, late=late)


class _Progress:
    """The provider's share of the job's progress, which never goes back."""

    def __init__(self, job: RunningJob) -> None:
        self._job = job
        self._furthest = 0.0

    async def __call__(self, fraction: float, message: str) -> None:
        if math.isfinite(fraction):
            self._furthest = max(self._furthest, min(1.0, fraction))
        self._job.report(0.02 + 0.95 * self._furthest, message)
