"""Make pictures on SwarmUI, whatever backends it has behind it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar

import anyio

from ziggie_image_mcp.provider import (
    STOP_SECONDS,
    Model,
    ModelMissing,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    Resolution,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.bounds import picture_bytes
from ziggie_image_mcp.provider.delivery import AnswersAtOnce
from ziggie_image_mcp.provider.local_engine import FRESH_SECONDS, OLD_SECONDS, LocalEngine
from ziggie_image_mcp.provider.sampler_names import nearest
from ziggie_image_providers.swarmui import answers, failures, wire
from ziggie_image_providers.swarmui import settings as section
from ziggie_image_providers.swarmui.listing import Entry, Lister, Listing
from ziggie_image_providers.swarmui.server import Server, Session
from ziggie_image_providers.swarmui.stream import Stream

_log = logging.getLogger(__name__)


class SwarmUI(AnswersAtOnce, LocalEngine[Listing]):
    """One SwarmUI.

    Each job has a session of its own, so that it can be ended without ending others'. Its pictures
    come over its websocket and are kept nowhere else.
    """

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="SwarmUI: Stable Diffusion, FLUX and others over its ComfyUI backends",
        automatic=True,
        home_page="https://github.com/mcmonkeyprojects/SwarmUI",
        detection_order=15,
    )
    Settings: ClassVar[type[section.Settings]] = section.Settings

    def __init__(
        self,
        name: str,
        settings: section.Settings,
        context: ProviderContext,
        places: Sequence[str] = (),
    ) -> None:
        super().__init__(name, settings, context)
        self._settings = settings
        self._max_bytes = context.max_answer_bytes
        self._server = Server(name, settings, context, self.seconds, places)
        self._lister = Lister(name, settings, self._server)

    @property
    def url(self) -> str:
        """Where it is, as messages write it."""
        return self._server.http.url

    async def look(self) -> Probe:
        """Ask for its version, what is loaded, and how much memory is free."""
        session = await self._server.find()
        contents = await self._server.contents()
        loaded = (str(m.get("name") or "") for m in contents.models if m.get("loaded") is True)
        return Probe(
            state="ready",
            flavour="SwarmUI",
            version=session.version,
            url=self.url,
            loaded_model=next(loaded, ""),
            queue_length=contents.queued,
            free_memory=contents.free_memory,
        )

    async def list_models(self) -> Sequence[Model]:
        """List its models, usable or not, and the LoRAs, control nets and embeddings beside."""
        listing = await self.listing(FRESH_SECONDS)
        if not listing.entries:
            raise ModelMissing(
                self.name,
                f"SwarmUI at {self.url} has no model; put one into its folder"
                " Models/Stable-Diffusion and refresh its list",
            )
        return [*(entry.model for entry in listing.entries.values()), *listing.additions]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """One request over a websocket, in a session of its own."""
        try:
            listing = await self.listing(OLD_SECONDS)
            if model.id not in listing.entries:
                listing = await self.listing(0.0)
            return await self._make(request, model, run, listing)
        except ProviderError as e:
            self.forget_after(e)
            raise

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Pictures went to the process that asked, and are kept nowhere else."""
        reason = "SwarmUI sends pictures to who asked for them alone, and keeps none of ours"
        return Resolution(state="unknowable", reason=reason)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._server.aclose()

    def forget(self) -> None:
        """What comes up next at this address may be another one."""
        super().forget()
        self._server.forget()

    async def read(self) -> Listing:
        """All that it lists, asked at once."""
        return await self._lister.read()

    def _entry(self, model: Model, listing: Listing) -> Entry:
        entry = listing.entries.get(model.id)
        if entry is None:
            raise failures.missing(self.name, "model", model.id, nearest(model.id, listing.entries))
        self.check_usable(entry.model)
        return entry

    async def _make(
        self, request: ProviderRequest, model: Model, run: Run, listing: Listing
    ) -> Submission:
        entry = self._entry(model, listing)
        job = wire.job(self.name, request, entry, listing)
        session = await self._server.new_session()
        await run.progress(0.02, "sent to SwarmUI")
        body = {"session_id": session.id, **job.body}
        if run.preview is None or not self._settings.previews:
            body["nopreviews"] = True
        stream = Stream(self.name, self._server.http, self.seconds, paid=entry.paid)
        most = min(picture_bytes(request) * 4 // 3 + 2**20, self._max_bytes)
        try:
            outcome = await stream.make(body, run, most)
        except BaseException:
            if stream.sent and run.is_ours():
                await self._stop(session)
            raise
        return answers.generation(self.name, outcome, request, entry, job)

    async def _stop(self, session: Session) -> None:
        """End what runs in a job's session. Never raises, and cannot be cancelled."""
        why = "no answer in time"
        with anyio.move_on_after(STOP_SECONDS, shield=True):
            try:
                await self._server.interrupt(session)
                return
            except ProviderError as e:
                why = str(e)
        _log.warning("%s: a job may still run: %s", self.name, why)
