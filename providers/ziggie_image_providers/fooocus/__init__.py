"""Make pictures on Fooocus-API, which runs Fooocus's SDXL models without its page."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import anyio

from ziggie_image_mcp.provider import (
    NO_COST,
    STOP_SECONDS,
    CancelOutcome,
    EngineCrashed,
    Generation,
    Model,
    ModelMissing,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RemoteJob,
    Resolution,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.bounds import picture_bytes
from ziggie_image_mcp.provider.delivery import MALFORMED
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.json_paths import objects
from ziggie_image_mcp.provider.local_engine import (
    FRESH_SECONDS,
    OLD_SECONDS,
    LateTasks,
    LocalEngine,
)
from ziggie_image_mcp.provider.sampler_names import nearest
from ziggie_image_providers.fooocus import answers, failures, wire
from ziggie_image_providers.fooocus import settings as section
from ziggie_image_providers.fooocus.listing import Lister, Listing
from ziggie_image_providers.fooocus.server import JobState, Server

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a job is asked after, seconds."""

    first: float = 0.3
    factor: float = 1.5
    longest: float = 1.5
    late: float = 1.0
    """Of a job that was cancelled while it waited."""
    patience: float = 10.0
    """How long a server may be silent in the middle of a job before it counts as gone."""


class Fooocus(LocalEngine[Listing]):
    """One Fooocus-API.

    A request is put into its queue, and asked after by the id that it gives. It keeps jobs and
    pictures, so that they outlive a restart of ours, but not one of its own.
    """

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Fooocus-API: Fooocus's SDXL models, styles, edits and upscaler",
        automatic=True,
        home_page="https://github.com/mrhan1993/Fooocus-API",
        detection_order=30,
    )
    Settings: ClassVar[type[section.Settings]] = section.Settings

    def __init__(
        self,
        name: str,
        settings: section.Settings,
        context: ProviderContext,
        pace: Pace | None = None,
        places: Sequence[str] = (),
    ) -> None:
        super().__init__(name, settings, context)
        self._settings = settings
        self._pace = pace or Pace()
        self._server = Server(name, settings, context, self.seconds, places)
        self._lister = Lister(name, settings, self._server)
        self._late = LateTasks()
        """Those that wait for a cancelled job to begin, to end it then."""

    @property
    def url(self) -> str:
        """Where it is, as messages write it."""
        return self._server.http.url

    async def look(self) -> Probe:
        """Ask whether it is there, and how many jobs it has."""
        await self._server.find()
        contents = await self._server.contents()
        return Probe(
            state="ready",
            flavour="Fooocus-API",
            url=self.url,
            queue_length=contents.queued,
        )

    async def list_models(self) -> Sequence[Model]:
        """List its models, its upscaler, and its LoRAs."""
        listing = await self.listing(FRESH_SECONDS)
        if not listing.contents.models:
            raise ModelMissing(
                self.name,
                f"Fooocus at {self.url} has no model; put one of SDXL into its folder"
                " models/checkpoints",
            )
        return [*listing.models.values(), *listing.additions]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Put one job into its queue."""
        try:
            listing = await self.listing(OLD_SECONDS)
            if model.id not in listing.models:
                listing = await self.listing(0.0)
            self._check(model, listing)
            job = wire.job(self.name, request, model, listing, self._settings)
            if run.preview is None or not self._settings.previews:
                job.body.setdefault("advanced_params", {})["disable_preview"] = True
            return await self._post(job, run)
        except ProviderError as e:
            self.forget_after(e)
            raise

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Ask after the job until it has ended, and fetch its pictures."""
        try:
            state = await self._end(remote_id, run)
            if state.stage == "failed":
                raise failures.job_failed(self.name, state.words)
            answers.check(self.name, state.results)
            await run.progress(0.95, "fetching the pictures")
            good = [r for r in state.results if r.reason == "SUCCESS" and r.path]
            most = picture_bytes(request)
            pictures = [
                (one, await self._server.picture(one.path, most))
                for one in good[: request.num_images]
            ]
            return answers.generation(self.name, request, model, pictures)
        except EngineCrashed:
            self.forget()
            raise

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Look a job up by its id; by our key it cannot be found."""
        if not remote_id:
            reason = "Fooocus-API gives its jobs ids of its own, and this one's is not known"
            return Resolution(state="unknowable", reason=reason)
        try:
            state = await self._look(remote_id)
        except ProviderError as e:
            return Resolution(state="unknowable", remote_id=remote_id, reason=str(e))
        if state is None:
            return Resolution(state="not_sent", reason="Fooocus-API does not have the job")
        if state.stage == "failed":
            reason = str(failures.job_failed(self.name, state.words))
            return Resolution(state="failed", remote_id=remote_id, cost=NO_COST, reason=reason)
        if state.stage == "finished":
            return Resolution(state="finished", remote_id=remote_id)
        return Resolution(state="running", remote_id=remote_id)

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """End the job if it is the one that is made; if it waits, end it when it begins."""
        why = "no answer in time"
        with anyio.move_on_after(STOP_SECONDS, shield=True):
            try:
                state = await self._look(remote_id)
                if state is None or state.stage in ("finished", "failed"):
                    return CancelOutcome(state="too_late", cost=NO_COST)
                if await self._server.running() == remote_id:
                    await self._server.stop()
                    return CancelOutcome(state="stopped", cost=NO_COST)
                self._late.start(self._stop_later(remote_id))
                return CancelOutcome(state="unsupported", cost=NO_COST)
            except ProviderError as e:
                why = str(e)
        _log.warning("%s: a job may still run: %s", self.name, why)
        return CancelOutcome(state="unsupported", cost=NO_COST)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._late.aclose()
        await self._server.aclose()

    def forget(self) -> None:
        """What comes up next at this address may be another one."""
        super().forget()
        self._server.forget()

    async def read(self) -> Listing:
        """All that it lists, asked at once."""
        return await self._lister.read()

    def _check(self, model: Model, listing: Listing) -> None:
        known = listing.models.get(model.id)
        if known is None:
            near = nearest(model.id, listing.models)
            raise failures.missing(self.name, "model", model.id, near)
        self.check_usable(known)

    async def _post(self, job: wire.Job, run: Run) -> RemoteJob:
        await run.progress(0.01, "sent to Fooocus")
        posting = asyncio.create_task(
            self._server.http.post_once(job.path, json=job.body, paid=False)
        )
        try:
            answer = await asyncio.shield(posting)
        except asyncio.CancelledError:
            # Whether it has the job by now, and under which id, only its answer tells.
            with anyio.move_on_after(STOP_SECONDS / 3, shield=True):
                await asyncio.wait({posting})
            sent = not posting.cancel() and not posting.cancelled() and not posting.exception()
            if sent and run.is_ours():
                with anyio.move_on_after(STOP_SECONDS / 2, shield=True):
                    await self.cancel(_job_id(posting.result()))
            raise
        try:
            for item in objects(answer.json(), "job_result[]"):
                if item.get("finish_reason") != "SUCCESS":
                    raise failures.not_finished(self.name, str(item.get("finish_reason") or ""))
            job_id = _job_id(answer)
        except MALFORMED as e:
            raise await self._server.http.unreadable(answer, paid=False) from e
        if not job_id:
            raise await self._server.http.unreadable(answer, paid=False)
        return RemoteJob(id=job_id)

    async def _look(self, remote_id: str, *, preview: bool = False) -> JobState | None:
        try:
            return await self._server.job(remote_id, preview=preview)
        except MALFORMED as e:
            what = f"Fooocus-API does not tell of the job {remote_id} in its API's words"
            raise ProviderUnavailable(self.name, what) from e

    async def _end(self, remote_id: str, run: Run) -> JobState:
        """The job's state once it has ended."""
        spent, pause, silent = 0.0, self._pace.first, 0.0
        show = run.preview if self._settings.previews else None
        while True:
            started = time.monotonic()
            working = True
            try:
                state = await self._look(remote_id, preview=show is not None)
            except (ProviderUnavailable, ProviderTimeout) as e:
                silent += time.monotonic() - started + pause
                if silent >= min(self._pace.patience, self.seconds):
                    raise failures.silent(self.name, self._server.http.url) from e
            else:
                silent = 0.0
                if state is None:
                    raise failures.lost(self.name)
                if state.stage in ("finished", "failed"):
                    return state
                working = state.stage == "running"
                if show is not None and state.preview:
                    show(state.preview)
                await run.progress(*_words(state))
            await anyio.sleep(min(pause, max(0.0, self.seconds - spent)))
            pause = min(pause * self._pace.factor, self._pace.longest)
            spent += time.monotonic() - started if working else 0.0
            if spent >= self.seconds:
                if run.is_ours():
                    await self.cancel(remote_id)
                raise failures.too_late(self.name, self.seconds)

    async def _stop_later(self, remote_id: str) -> None:
        """End a job that waits behind others' once it is its turn: no route takes it away."""
        while True:
            await anyio.sleep(self._pace.late)
            try:
                state = await self._look(remote_id)
                if state is None or state.stage in ("finished", "failed"):
                    return
                if await self._server.running() == remote_id:
                    await self._server.stop()
                    return
            except ProviderError as e:
                _log.warning("%s: a cancelled job may still run: %s", self.name, e)
                return


def _job_id(answer: Answer) -> str:
    value = answer.data().get("job_id")
    return value if isinstance(value, str) else ""


def _words(state: JobState) -> tuple[float, str]:
    if state.stage == "waiting":
        return 0.01, "waiting behind other jobs of Fooocus"
    return 0.02 + 0.9 * state.fraction, state.words or "working"
