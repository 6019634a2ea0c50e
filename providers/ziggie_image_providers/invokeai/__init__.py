"""Make pictures on an InvokeAI server, with graphs of our own for each base of models."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
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
    ProviderUnavailable,
    RemoteJob,
    Resolution,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.local_engine import FRESH_SECONDS, OLD_SECONDS, LocalEngine
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.sampler_names import nearest
from ziggie_image_providers.invokeai import failures, graphs, watch
from ziggie_image_providers.invokeai import settings as section
from ziggie_image_providers.invokeai.answers import Fetcher
from ziggie_image_providers.invokeai.graphs import Pictures
from ziggie_image_providers.invokeai.listing import Entry, Lister, Listing
from ziggie_image_providers.invokeai.plan import Plan, plan
from ziggie_image_providers.invokeai.server import Server

_log = logging.getLogger(__name__)


LITTER_SECONDS = 60.0
"""How long pictures are left on the server after they were fetched: a process that dies before it
has kept them fetches them again."""

_IDS = uuid.UUID("b52d4c0a-6d5c-4a0e-9a76-2f3f6a1c9e44")
"""Of this provider alone: what ids of batches are derived in."""


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """A request of this process that is in the server's queue."""

    notes: tuple[str, ...]
    uploaded: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Litter:
    """Pictures on the server that nobody needs any more."""

    since: float
    names: tuple[str, ...]


class InvokeAI(LocalEngine[Listing]):
    """One InvokeAI server, through its HTTP API.

    A request is a batch in InvokeAI's queue, with an item for each picture. Its id, which is its
    destination too, is derived from the run's key: whoever knows the key finds it again.
    """

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="InvokeAI: Stable Diffusion, SDXL, FLUX, Z-Image and others on an InvokeAI server",
        automatic=True,
        home_page="https://github.com/invoke-ai/InvokeAI",
        detection_order=30,
    )
    Settings: ClassVar[type[section.Settings]] = section.Settings

    def __init__(
        self,
        name: str,
        settings: section.Settings,
        context: ProviderContext,
        pace: watch.Pace | None = None,
    ) -> None:
        super().__init__(name, settings, context)
        self._settings = settings
        self._pace = pace or watch.Pace()
        self._server = Server(name, settings, context, self.seconds)
        self._fetcher = Fetcher(name, self._server)
        self._sent: dict[str, _Sent] = {}
        """By remote id: those of this process that were not collected yet."""
        self._litter: list[_Litter] = []
        self._unstopped: set[str] = set()
        """Batches that were to be stopped while the server was away: its queue outlives it."""

    @property
    def url(self) -> str:
        """Where it is, as messages write it."""
        return self._server.http.url

    async def look(self) -> Probe:
        """Ask for version, queue, and what is in memory."""
        sighting = await self._server.find()
        status = await self._server.queue()
        stats = await self._server.stats()
        entries = self.latest.entries.values() if self.latest else ()
        names = (e.model.id for e in entries if e.record and e.kind and stats.holds(e.record))
        return Probe(
            state="ready",
            url=self.url,
            version=sighting.version,
            loaded_model=next(names, ""),
            queue_length=status.queue.open,
        )

    async def list_models(self) -> Sequence[Model]:
        """List its models and upscalers, usable or not, and what can be laid over them."""
        found = await self.listing(FRESH_SECONDS)
        models = [entry.model for entry in found.entries.values()]
        if all("upscale" in model.tasks for model in models):
            raise ModelMissing(
                self.name,
                f"InvokeAI at {self.url} has no model; install one in its model manager",
            )
        return [*models, *found.additions]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Give the server the request's pictures, and put the batch into its queue."""
        id = batch_id(run.key)
        uploaded: list[str] = []
        try:
            entry, found = await self._entry(model)
            planned = plan(self.name, request, entry, found)
            await self._sweep(LITTER_SECONDS)
            for unstopped in [*self._unstopped]:
                await self._stop(unstopped, STOP_SECONDS)
            pictures = await self._upload(planned, uploaded)
            batch = graphs.batch(planned, pictures, id, keep=self._settings.keep)
            await self._post(id, batch, run)
        except BaseException as e:
            self._throw_away(uploaded)
            self.forget_after(e)
            raise
        self._sent[id] = _Sent(notes=planned.notes, uploaded=tuple(uploaded))
        return RemoteJob(id=id)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Wait for the batch, and fetch its pictures."""
        sent = self._sent.get(remote_id, _Sent(notes=(), uploaded=()))
        try:
            await watch.follow(self._server, self.name, remote_id, run, self._pace, self.seconds)
            await run.progress(0.9, "fetching the pictures")
            collection = await self._fetcher.fetch(remote_id, request)
        except Exception as e:
            self.forget_after(e)
            if run.is_ours():
                await self.cancel(remote_id)
            raise
        self._sent.pop(remote_id, None)
        self._throw_away(collection.inputs if self._settings.keep else collection.litter)
        notes = (*sent.notes, *collection.notes)
        return Generation(images=collection.images, notes=notes, cost=NO_COST)

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Look the batch up, by its id or by that which a run with this key would have."""
        id = remote_id or batch_id(key)
        try:
            counts = await self._server.counts(id)
        except ProviderError as e:
            return Resolution(state="unknowable", remote_id=remote_id, reason=str(e))
        if not counts.total:
            return Resolution(state="not_sent", reason="InvokeAI does not have it")
        if counts.open:
            return Resolution(state="running", remote_id=id)
        if counts.completed:
            return Resolution(state="finished", remote_id=id)
        reason = "it failed in InvokeAI" if counts.failed else "it was stopped in InvokeAI"
        return Resolution(state="failed", remote_id=id, cost=NO_COST, reason=reason)

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """Take all pictures off the queue, and stop the one that is being made."""
        sent = self._sent.pop(remote_id, None)
        self._throw_away(sent.uploaded if sent else ())
        return await self._stop(remote_id, STOP_SECONDS)

    async def aclose(self) -> None:
        """Take away what is left on the server, and close the connections."""
        await self._sweep(0.0)
        await self._server.aclose()

    async def read(self) -> Listing:
        """All that it lists."""
        await self._server.find()
        records, status = await self._server.models(), await self._server.queue()
        stats = await self._server.stats()
        lister = Lister(self.name, self._server.where, self._server.http.url)
        return lister.read(records, stats, status.queue.open)

    async def _entry(self, model: Model) -> tuple[Entry, Listing]:
        """What is needed to run a model."""
        found = await self.listing(OLD_SECONDS)
        if model.id not in found.entries:
            found = await self.listing(0.0)
        entry = found.entries.get(model.id)
        if entry is None:
            near = nearest(model.id, found.entries)
            raise failures.missing(self.name, "model", model.id, near)
        self.check_usable(entry.model)
        return entry, found

    async def _upload(self, planned: Plan, uploaded: list[str]) -> Pictures:
        """Give the server all pictures of a request; the names stand in `uploaded`, too."""
        request = planned.request

        async def upload(data: bytes | None) -> str:
            if data is None:
                return ""
            uploaded.append(await self._server.upload(data))
            return uploaded[-1]

        mask = convert_mask(request.mask, "black") if request.mask else None
        return Pictures(
            image=await upload(request.image),
            mask=await upload(mask),
            references=tuple([await upload(data) for data in request.references]),
            control=tuple([await upload(control.image) for _, control in planned.control]),
        )

    async def _post(self, id: str, batch: dict[str, object], run: Run) -> None:
        """Put the batch into the queue. What is cut off is stopped, if it is ours."""
        posting = asyncio.create_task(self._server.enqueue(batch))
        try:
            answer = await asyncio.shield(posting)
        except asyncio.CancelledError:
            # Whether the server has it by now, only its answer tells.
            with anyio.move_on_after(STOP_SECONDS / 2, shield=True):
                await asyncio.wait({posting})
            posting.cancel()
            if run.is_ours():
                await self._stop(id, STOP_SECONDS / 2)
            raise
        except EngineCrashed:
            # The answer was lost, perhaps not the batch; it is looked for, never posted twice.
            if not await self._has(id):
                raise
        else:
            if answer.enqueued < answer.requested:
                await self._stop(id, STOP_SECONDS)
                what = f"InvokeAI's queue took {answer.enqueued} pictures of {answer.requested}"
                raise ProviderUnavailable(self.name, f"{what}: it is full; clear it, or wait")

    async def _has(self, id: str) -> bool:
        try:
            return (await self._server.counts(id)).total > 0
        except ProviderError:
            return False  # what went wrong first is raised

    async def _stop(self, id: str, seconds: float) -> CancelOutcome:
        """Stop this batch and no other. Never raises, and cannot be cancelled."""
        why = "no answer in time"
        with anyio.move_on_after(seconds, shield=True):
            try:
                stopped = await self._server.cancel(id)
            except ProviderError as e:
                why = str(e)
            else:
                self._unstopped.discard(id)
                return CancelOutcome(state="stopped" if stopped else "too_late", cost=NO_COST)
        self._unstopped.add(id)
        _log.warning("%s: a job may still run: %s", self.name, why)
        return CancelOutcome(state="unsupported", cost=NO_COST)

    def _throw_away(self, names: Sequence[str]) -> None:
        if names:
            self._litter.append(_Litter(since=time.monotonic(), names=tuple(names)))

    async def _sweep(self, seconds: float) -> None:
        """Take away what has lain on the server for so long. Never raises, nor takes long."""
        due = [one for one in self._litter if time.monotonic() - one.since >= seconds]
        if not due:
            return
        self._litter = [one for one in self._litter if one not in due]
        with anyio.move_on_after(STOP_SECONDS):
            try:
                await self._server.delete(sorted({name for one in due for name in one.names}))
            except ProviderError as e:
                _log.warning("%s: pictures are left on the server: %s", self.name, e)


def batch_id(key: str) -> str:
    """The id of the batch of a run: the same in every process."""
    return str(uuid.uuid5(_IDS, key))
