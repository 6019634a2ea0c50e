"""Make pictures on AUTOMATIC1111's web UI, on its relatives, and on servers with its API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import anyio

from ziggie_image_mcp.provider import (
    STOP_SECONDS,
    Model,
    ModelMissing,
    Preview,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    ProviderTimeout,
    Resolution,
    Run,
    Submission,
    duration,
)
from ziggie_image_mcp.provider.bounds import answer_bytes
from ziggie_image_mcp.provider.delivery import MALFORMED, AnswersAtOnce
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.local_engine import (
    FRESH_SECONDS,
    OLD_SECONDS,
    LateTasks,
    LocalEngine,
)
from ziggie_image_mcp.provider.sampler_names import nearest
from ziggie_image_providers.a1111 import answers, failures, wire
from ziggie_image_providers.a1111 import settings as section
from ziggie_image_providers.a1111.listing import Lister, Listing
from ziggie_image_providers.a1111.server import Identity, Server, State

_log = logging.getLogger(__name__)


ASKED_SECONDS = 5.0
"""What an answer about progress may take: a server that loads a model is slow."""
LONGEST = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a running job is asked after."""

    progress: float = 0.7
    late: float = 1.0
    """Of a job that was cancelled while it waited."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A job on the server."""

    id: str
    identity: Identity
    alone: bool
    """Whether nothing else ran when it was sent, where the server tells of no task by its id."""


class A1111(AnswersAtOnce, LocalEngine[Listing]):
    """One server with AUTOMATIC1111's routes.

    The answer to a request is its pictures. Meanwhile the server is asked how far it is, and who
    cancels has it interrupted, but only while it works at this very task.
    """

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Stable Diffusion web UIs: AUTOMATIC1111, Forge, SD.Next; sd-server, koboldcpp",
        automatic=True,
        home_page="https://github.com/AUTOMATIC1111/stable-diffusion-webui",
        detection_order=20,
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
        """Ask which of the family it is, what it has loaded, and how much memory is free."""
        identity = await self._server.find()
        contents = await self._server.contents(identity)
        loaded = contents.options.get("sd_model_checkpoint") or contents.options.get("model")
        return Probe(
            state="ready",
            flavour=identity.flavour.title,
            version=identity.version,
            url=self.url,
            loaded_model=str(loaded or ""),
            queue_length=contents.queued if identity.by_task else None,
            free_memory=contents.free_memory,
        )

    async def list_models(self) -> Sequence[Model]:
        """List its models and upscalers, and the LoRAs, control nets and embeddings beside."""
        listing = await self.listing(FRESH_SECONDS)
        models = [entry.model for entry in listing.entries.values()]
        if not any(entry.kind for entry in listing.entries.values()):
            raise ModelMissing(
                self.name,
                f"{listing.identity.flavour.title} at {self.url} has no model; put"
                " a checkpoint into its models/Stable-diffusion folder and refresh its list",
            )
        return [*models, *listing.additions]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """One POST, and questions how far it is until it is answered."""
        try:
            listing = await self.listing(OLD_SECONDS)
            if model.id not in listing.entries:
                listing = await self.listing(0.0)
            return await self._make(request, model, run, listing)
        except ProviderError as e:
            self.forget_after(e)
            raise

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Pictures whose asker is gone are not kept by these servers."""
        reason = "these servers do not keep the pictures of a request whose connection is gone"
        return Resolution(state="unknowable", reason=reason)

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

    async def _make(
        self, request: ProviderRequest, model: Model, run: Run, listing: Listing
    ) -> Submission:
        entry, identity = listing.entries.get(model.id), listing.identity
        title = identity.flavour.title
        if entry is None:
            near = nearest(model.id, listing.entries)
            raise failures.missing(self.name, title, "model", model.id, near)
        self.check_usable(entry.model)
        id = f"ziggie-{run.key}"
        if entry.kind is None:
            job = wire.upscale(request, entry)
        else:
            job = wire.job(self.name, request, entry, listing, self._settings, id)
        watched = identity.flavour.interrupts != "" and identity.progress and not identity.by_task
        alone = watched and await self._is_idle(identity)
        answer = await self._post(job, request, run, _Task(id=id, identity=identity, alone=alone))
        try:
            if entry.kind is None:
                return answers.enlarged(self.name, title, answer)
            return answers.generation(self.name, title, answer, request, entry, job)
        except MALFORMED as e:
            raise await self._server.http.unreadable(answer, paid=False) from e

    async def _is_idle(self, identity: Identity) -> bool:
        try:
            with anyio.fail_after(min(ASKED_SECONDS, self.seconds)):
                return not (await self._server.state(identity, "")).active
        except (ProviderError, TimeoutError):
            return False

    async def _post(self, job: wire.Job, request: ProviderRequest, run: Run, task: _Task) -> Answer:
        await run.progress(0.02, f"sent to {task.identity.flavour.title}")
        posting = asyncio.create_task(
            self._server.http.post_once(
                job.path,
                json=job.body,
                paid=False,
                seconds=LONGEST,
                max_bytes=answer_bytes(request),
            )
        )
        try:
            return await self._wait(posting, run, task)
        except BaseException:
            ended = posting.done()
            posting.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({posting})
            if not ended and run.is_ours():
                await self._stop(task)
            raise

    async def _wait(self, posting: asyncio.Task[Answer], run: Run, task: _Task) -> Answer:
        started = time.monotonic()
        while True:
            left = started + self.seconds - time.monotonic()
            await asyncio.wait({posting}, timeout=max(0.0, min(self._pace.progress, left)))
            if posting.done():
                return posting.result()
            state = await self._state(task, preview=run.preview)
            if state is not None and state.queued:
                started = time.monotonic()  # others' work is not counted
            if time.monotonic() - started >= self.seconds:
                title = task.identity.flavour.title
                raise ProviderTimeout(
                    self.name,
                    f"{title} did not finish within {duration(self.seconds)} of work, so the job"
                    f" was stopped; ask for less, or set providers.{self.name}.timeout",
                )
            await run.progress(*_words(state, time.monotonic() - started))

    async def _state(self, task: _Task, preview: Preview | None = None) -> State | None:
        """How far the task is; None where the server does not tell, or not now."""
        if not task.identity.progress:
            return None
        show = preview if self._settings.previews else None
        try:
            with anyio.fail_after(min(ASKED_SECONDS, self.seconds)):
                state = await self._server.state(task.identity, task.id, preview=show is not None)
        except (ProviderError, TimeoutError):
            return None
        if show is not None and state.preview:
            show(state.preview)
        return state

    async def _stop(self, task: _Task) -> None:
        """End the task, and nobody else's. Never raises, and cannot be cancelled."""
        if not task.identity.by_task and not task.alone:
            return
        why = "no answer in time"
        with anyio.move_on_after(STOP_SECONDS, shield=True):
            try:
                state = await self._server.state(task.identity, task.id)
                if state.active:
                    await self._server.interrupt()
                elif state.queued:
                    self._late.start(self._stop_later(task))
                return
            except ProviderError as e:
                why = str(e)
        _log.warning("%s: a job may still run: %s", self.name, why)

    async def _stop_later(self, task: _Task) -> None:
        """End a task that waits behind others' once it is its turn: no route takes it away."""
        while True:
            await anyio.sleep(self._pace.late)
            try:
                state = await self._server.state(task.identity, task.id)
                if state.active:
                    await self._server.interrupt()
                if not state.queued:
                    return
            except ProviderError as e:
                _log.warning("%s: a cancelled job may still run: %s", self.name, e)
                return


def _words(state: State | None, seconds: float) -> tuple[float, str]:
    if state is not None and state.queued:
        return 0.02, "waiting behind other jobs of the server"
    if state is None or state.fraction is None or not state.active:
        return 0.85 * seconds / (seconds + 20), "working"
    fraction = min(max(state.fraction, 0.0), 1.0)
    return 0.05 + 0.9 * fraction, f"working: {fraction:.0%}"
