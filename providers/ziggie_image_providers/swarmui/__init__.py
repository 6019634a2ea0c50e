"""Make pictures on SwarmUI, whatever backends it has behind it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import ClassVar

import anyio

from ziggie_image_mcp.provider import (
    PROBE_SECONDS,
    STOP_SECONDS,
    AuthenticationFailed,
    Balance,
    EngineCrashed,
    Estimate,
    Model,
    ModelMissing,
    ModelUnusable,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    ProviderUnavailable,
    Resolution,
    Run,
    Submission,
    WrongService,
    duration,
    engines,
)
from ziggie_image_mcp.provider.bounds import picture_bytes
from ziggie_image_mcp.provider.delivery import AnswersAtOnce
from ziggie_image_mcp.provider.pricing import estimate
from ziggie_image_mcp.provider.sampler_names import nearest
from ziggie_image_providers.swarmui import answers, failures, wire
from ziggie_image_providers.swarmui import settings as section
from ziggie_image_providers.swarmui.listing import Entry, Lister, Listing
from ziggie_image_providers.swarmui.server import KIND, Server, Session
from ziggie_image_providers.swarmui.stream import Stream

_log = logging.getLogger(__name__)

DEFAULT_SECONDS = 600.0
FRESH_SECONDS, OLD_SECONDS = 1.0, 30.0
"""How long a listing serves for who lists, and for a request of a model that is in it."""


class SwarmUI(AnswersAtOnce):
    """One SwarmUI.

    Each job has a session of its own, so that it can be ended without ending others'. Its pictures
    come over its websocket and are kept nowhere else.
    """

    contract: ClassVar[int] = 1
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
        self.name = name
        self._settings = settings
        self._seconds = settings.timeout or context.timeout or DEFAULT_SECONDS
        self._max_bytes = context.max_answer_bytes
        self._server = Server(
            name, settings, context, self._seconds, places or engines.places(KIND, context.hosts)
        )
        self._lister = Lister(name, settings, self._server)
        self._listing: Listing | None = None
        self._listed = 0.0

    async def probe(self) -> Probe:
        """Ask for its version, what is loaded, and how much memory is free."""
        url = self._server.http.url
        try:
            with anyio.fail_after(PROBE_SECONDS - 0.1):
                session = await self._server.find()
                contents = await self._server.contents()
        except WrongService as e:
            return Probe(state="wrong_service", message=str(e))
        except AuthenticationFailed as e:
            return Probe(state="unauthorised", message=str(e))
        except ProviderError as e:
            return Probe(state="unreachable", message=str(e))
        except TimeoutError:
            message = f"{url} did not answer within {duration(PROBE_SECONDS)}"
            return Probe(state="unreachable", message=message)
        loaded = (str(m.get("name") or "") for m in contents.models if m.get("loaded") is True)
        return Probe(
            state="ready",
            flavour="SwarmUI",
            version=session.version,
            url=self._server.http.url,
            loaded_model=next(loaded, ""),
            queue_length=contents.queued,
            free_memory=contents.free_memory,
        )

    async def list_models(self) -> Sequence[Model]:
        """List its models, usable or not, and the LoRAs, control nets and embeddings beside."""
        listing = await self._read(FRESH_SECONDS)
        if not listing.entries:
            raise ModelMissing(
                self.name,
                f"SwarmUI at {self._server.http.url} has no model; put one into its folder"
                " Models/Stable-Diffusion and refresh its list",
            )
        return [*(entry.model for entry in listing.entries.values()), *listing.additions]

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """Nothing for what it makes itself; what others want for it only the user can tell."""
        return estimate(request, model)

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """One request over a websocket, in a session of its own."""
        try:
            listing = await self._read(OLD_SECONDS)
            if model.id not in listing.entries:
                listing = await self._read(0.0)
            return await self._make(request, model, run, listing)
        except ProviderError as e:
            if isinstance(e, EngineCrashed | ProviderUnavailable | ModelMissing):
                self._forget()
            raise

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Pictures went to the process that asked, and are kept nowhere else."""
        reason = "SwarmUI sends pictures to who asked for them alone, and keeps none of ours"
        return Resolution(state="unknowable", reason=reason)

    async def balance(self) -> Balance | None:
        """There is no account."""
        return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._server.aclose()

    def _forget(self) -> None:
        self._server.forget()
        self._listing = None

    async def _read(self, seconds: float) -> Listing:
        if self._listing is None or time.monotonic() - self._listed >= seconds:
            self._listing = await self._lister.read()
            self._listed = time.monotonic()
        return self._listing

    def _entry(self, model: Model, listing: Listing) -> Entry:
        entry = listing.entries.get(model.id)
        if entry is None:
            raise failures.missing(self.name, "model", model.id, nearest(model.id, listing.entries))
        if entry.model.state == "unusable":
            raise ModelUnusable(self.name, f"{model.id}: {entry.model.fix}")
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
        stream = Stream(self.name, self._server.http, self._seconds, paid=entry.paid)
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
