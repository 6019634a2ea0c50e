"""Make pictures on a ComfyUI server, with graphs of our own for each family of models."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import anyio
import httpx2
from pydantic import BaseModel

from ziggie_image_mcp.errors import (
    EngineCrashed,
    InvalidOutput,
    ModelMissing,
    ModelUnusable,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RequestRejected,
)
from ziggie_image_mcp.provider.contract import ProviderContext
from ziggie_image_mcp.provider.types import (
    GeneratedImage,
    Generation,
    Model,
    Progress,
    ProviderRequest,
)
from ziggie_image_providers.comfyui import failures, watch
from ziggie_image_providers.comfyui import settings as section
from ziggie_image_providers.comfyui.client import Client
from ziggie_image_providers.comfyui.graph import graph
from ziggie_image_providers.comfyui.listing import Entry, Listing

DEFAULT_SECONDS = 600.0
STOP_SECONDS = 1.8
"""What stopping a job may take in all; the contract allows two seconds."""


class ComfyUI:
    """One ComfyUI server, through its HTTP and websocket API."""

    Settings: ClassVar[type[BaseModel]] = section.Settings
    summary: ClassVar[str] = "ComfyUI: SD 1.5, SDXL and FLUX.1 on a ComfyUI server"
    automatic: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        settings: section.Settings,
        context: ProviderContext,
        transport: httpx2.AsyncBaseTransport | None = None,
        pace: watch.Pace | None = None,
    ) -> None:
        self.name = name
        self._seconds = settings.timeout or context.timeout or DEFAULT_SECONDS
        self._pace = pace or watch.Pace()
        self._client = Client(name, settings, transport)
        local = self._client.loopback if settings.local is None else settings.local
        self._listing = Listing(name, self._client, settings.families, local=local)
        self._entries: dict[str, Entry] = {}
        self._last = ""

    async def models(self) -> Sequence[Model]:
        """List the checkpoints and diffusion models of the server, usable or not."""
        await self._client.system()
        await self._list()
        if not self._entries:
            raise ModelMissing(
                self.name,
                f"ComfyUI at {self._client.url} has no model; put a checkpoint into"
                " ComfyUI/models/checkpoints",
            )
        # No route tells what is loaded: the last one that we used is a fair guess.
        return [replace(e.model, loaded=id == self._last) for id, e in self._entries.items()]

    async def generate(
        self, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        """Make the pictures one after another, each by a job of its own with its own seed."""
        with anyio.move_on_after(self._seconds):
            return await self._generate(request, model, progress)
        raise ProviderTimeout(
            self.name,
            f"ComfyUI did not finish within {self._seconds:g} s, so the job was stopped;"
            " ask for less, or set providers.comfyui.timeout",
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _generate(
        self, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        entry = await self._entry(model)
        await self._check(request, entry.model)
        meter = watch.Meter(progress, request.num_images)
        images: list[GeneratedImage] = []
        try:
            async with watch.listening(self._client) as socket:
                for i in range(request.num_images):
                    seed = (request.seed + i) % 2**32
                    for data in await self._picture(request, entry, seed, socket, meter):
                        images.append(GeneratedImage(data=data, seed=seed))
                    await meter.next()
        except (EngineCrashed, ProviderUnavailable, ModelMissing):
            # What comes up next at this address may be another version with other files.
            self._client.forget()
            self._entries, self._last = {}, ""
            raise
        self._last = model.id
        notes = [socket.note] if socket.note else []
        if request.negative_prompt and request.guidance_scale == 1:
            notes.append("at guidance_scale 1 ComfyUI leaves the negative prompt out")
        return Generation(images=tuple(images), notes=tuple(notes))

    async def _picture(
        self,
        request: ProviderRequest,
        entry: Entry,
        seed: int,
        socket: watch.Socket,
        meter: watch.Meter,
    ) -> list[bytes]:
        assert entry.verdict.kind, "_entry lets only usable models through"
        nodes = graph(
            request,
            entry.file,
            entry.folder,
            entry.verdict.kind,
            entry.companions,
            seed,
            prefix=f"ziggie/{uuid.uuid4()}",
        )
        queued_as = await self._submit(nodes, socket)
        try:
            state = await watch.follow(
                self._client, self.name, queued_as, socket, meter.tell, self._pace
            )
        except BaseException:
            await self._stop(queued_as)
            raise
        if state.status == "cancelled":
            raise failures.stopped(self.name)
        if state.status == "failed":
            raise failures.failed(self.name, state.error)
        kept = [i for i in state.images if i.type == "output"] or state.images
        if not kept:
            raise InvalidOutput(self.name, "ComfyUI finished the job, but made no picture")
        return [await self._client.picture(image) for image in kept]

    async def _submit(self, nodes: Mapping[str, Any], socket: watch.Socket) -> str:
        prompt_id = str(uuid.uuid4())
        socket.follow(prompt_id)
        submitting = asyncio.create_task(self._client.submit(nodes, prompt_id, socket.client_id))
        try:
            queued_as = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            # Whether the server has it by now, only its answer tells.
            with anyio.move_on_after(STOP_SECONDS / 2, shield=True):
                await asyncio.wait({submitting})
            if not submitting.cancel():
                submitting.exception()  # nobody is left to hear it
            await self._stop(prompt_id)
            raise
        except (ProviderTimeout, ProviderUnavailable):
            # The answer was lost, perhaps not the job; it is looked for, never posted twice.
            if not await self._knows(prompt_id):
                raise
            queued_as = prompt_id
        if queued_as != prompt_id:  # a server before 0.3.44 chooses the id itself
            socket.follow(queued_as)
        return queued_as

    async def _knows(self, prompt_id: str) -> bool:
        try:
            return await self._client.state(prompt_id) is not None
        except ProviderError:
            return False  # what went wrong first is raised

    async def _stop(self, prompt_id: str) -> None:
        with anyio.move_on_after(STOP_SECONDS / 2, shield=True):
            await self._client.stop(prompt_id)

    async def _list(self) -> None:
        self._entries = {e.model.id: e for e in await self._listing.entries()}

    async def _entry(self, model: Model) -> Entry:
        if model.id not in self._entries:
            await self._client.system()
            await self._list()
        entry = self._entries.get(model.id)
        if entry is None:
            raise failures.missing(self.name, model.id, "checkpoints", list(self._entries))
        if entry.verdict.kind is None:
            raise ModelUnusable(self.name, entry.model.how_to_install)
        if not entry.model.installed:
            raise ModelMissing(self.name, f"{model.id} lacks files: {entry.model.how_to_install}")
        return entry

    async def _check(self, request: ProviderRequest, model: Model) -> None:
        if request.width % model.multiple_of or request.height % model.multiple_of:
            raise RequestRejected(  # ComfyUI would cut it down in silence
                self.name,
                f"{model.id} makes sides in multiples of {model.multiple_of} px only,"
                f" not {request.width}x{request.height}",
            )
        for input, value in (("sampler_name", request.sampler), ("scheduler", request.scheduler)):
            known = await self._client.choices("KSampler", input) if value else ()
            if value and known and value not in known:
                raise RequestRejected(
                    self.name,
                    f"ComfyUI has no {input} {value!r}{failures.nearest(value, known)}",
                )
