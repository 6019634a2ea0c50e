"""Know one ComfyUI server: where it listens, what it has, what it ran last."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio

from ziggie_image_mcp.provider import (
    EngineCrashed,
    Model,
    ModelMissing,
    ModelUnusable,
    ProviderContext,
    ProviderError,
    ProviderUnavailable,
    WrongService,
)
from ziggie_image_mcp.provider.engine_server import addresses
from ziggie_image_mcp.provider.places import Places
from ziggie_image_providers.comfyui import failures, wire
from ziggie_image_providers.comfyui.client import Client
from ziggie_image_providers.comfyui.listing import Contents, Entry, Listing
from ziggie_image_providers.comfyui.settings import Settings

_log = logging.getLogger(__name__)

FRESH_SECONDS, OLD_SECONDS = 1.0, 30.0
"""From when on the names of the files are looked at, and from when on all of them are listed anew,
which takes twenty calls."""


class Server:
    """One server, through its `client`.

    Args:
        name: The provider's name.
        settings: Where it is, and what the user says of its files.
        context: Gives keys, and the transport.
        seconds: How long an answer may take at most.
    """

    def __init__(
        self, name: str, settings: Settings, context: ProviderContext, seconds: float
    ) -> None:
        self._name = name
        self._settings = settings
        self._context = context
        self._seconds = seconds
        self._places = Places(name, addresses("comfyui", settings, context), self._connect)
        self._talk_to(self._places.taken)
        self.contents = Contents()
        self.last_model = ""
        """The one that this process used last."""
        self._listed = 0.0
        self._freeing: asyncio.Task[None] | None = None

    async def find(self) -> wire.SystemStats:
        """Ask who is there; where nothing is set, also at the other places where it may listen.

        Raises:
            ProviderError: Nobody answers, or not as ComfyUI.
        """
        before = self._places.taken
        try:
            return await self._places.find(_system)
        finally:
            if self._places.taken is not before:
                self._talk_to(self._places.taken)

    async def models(self) -> Sequence[Model]:
        """What it has, usable or not, and what can be laid over it.

        Raises:
            ProviderError: It cannot be asked, or has no model.
        """
        await self.find()
        await self._list_anew()
        models = [entry.model for entry in self.contents.entries.values()]
        if not models:
            raise ModelMissing(
                self._name,
                f"ComfyUI at {self.client.url} has no model; put a checkpoint into"
                " ComfyUI/models/checkpoints",
            )
        # No route tells what is loaded: the last one that was used is a fair guess.
        loaded = self.last_model or await self._last_of_others()
        waiting = await self.client.queue_length()
        return [
            *(
                replace(m, queued=waiting, state="loaded")
                if m.id == loaded and m.state == "ready"
                else replace(m, queued=waiting)
                for m in models
            ),
            *self.contents.additions,
        ]

    async def entry(self, model: Model) -> Entry:
        """What is needed to run a model.

        Raises:
            ModelMissing: It is not there, or a file that it needs.
            ModelUnusable: It cannot be run here.
            ProviderError: The server cannot be asked.
        """
        if model.id not in self.contents.entries:
            await self.find()
            await self._list()
        entry = self.contents.entries.get(model.id)
        if entry is None:
            known = list(self.contents.entries)
            raise failures.missing(self._name, model.id, "checkpoints", known)
        if entry.model.state == "unusable":
            raise ModelUnusable(self._name, entry.model.fix)
        if entry.model.state == "missing":
            raise ModelMissing(self._name, f"{model.id} lacks files: {entry.model.fix}")
        return entry

    def free_later(self, is_busy: Callable[[], bool]) -> None:
        """Ask it to give its memory back, once nothing was asked of it for as long as is set."""
        seconds = self._settings.free_after
        if seconds is None:
            return
        if self._freeing is not None:
            self._freeing.cancel()

        async def wait_and_free() -> None:
            await anyio.sleep(seconds)
            try:
                if not is_busy() and not await self.client.queue_length():
                    await self.client.free()
                    self.last_model = ""
            except ProviderError as e:
                _log.warning("%s: its memory was not given back: %s", self._name, e)

        self._freeing = asyncio.create_task(wait_and_free())

    def forget_after(self, error: BaseException) -> None:
        """What comes up next at this address may be another version with other files."""
        if isinstance(error, EngineCrashed | ProviderUnavailable | ModelMissing):
            self.client.forget()
            self.contents, self.last_model = Contents(), ""

    async def aclose(self) -> None:
        """Close the connections."""
        if self._freeing is not None:
            self._freeing.cancel()
        await self._places.aclose()

    def _connect(self, url: str) -> Client:
        settings = self._settings.model_copy(update={"base_url": url})
        return Client(self._name, settings, self._context, self._seconds)

    def _talk_to(self, client: Client) -> None:
        self.client = client
        self._listing = Listing(self._name, client, self._settings)

    async def _list(self) -> None:
        self.contents, self._listed = await self._listing.contents(), time.monotonic()

    async def _list_anew(self) -> None:
        """Look again at the files, where any came or went, or it is long ago."""
        age = time.monotonic() - self._listed
        known = self.contents.entries and age < OLD_SECONDS and self._listing.is_complete
        fresh = known and age < FRESH_SECONDS
        if not fresh and not (known and await self._listing.names() == self._listing.last_names):
            await self._list()

    async def _last_of_others(self) -> str:
        """The model that the server ran last, for whomever."""
        file = await self.client.last_model()
        entries = self.contents.entries.values()
        return next((e.model.id for e in entries if file and e.file == file), "")


async def _system(client: Client, seconds: float) -> wire.SystemStats:
    try:
        return await client.system()
    except WrongService:
        await client.tell_what_answers(seconds)
        raise
