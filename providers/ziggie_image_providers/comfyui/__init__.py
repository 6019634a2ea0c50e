"""Make pictures on a ComfyUI server, with graphs of our own for each family of models."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import anyio

from ziggie_image_mcp.provider import (
    NO_COST,
    PROBE_SECONDS,
    AuthenticationFailed,
    Balance,
    CancelOutcome,
    EngineCrashed,
    Estimate,
    GeneratedImage,
    Generation,
    InvalidOutput,
    Model,
    ModelMissing,
    ModelUnusable,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RemoteJob,
    RequestRejected,
    Resolution,
    Run,
    Submission,
    duration,
)
from ziggie_image_mcp.provider.bounds import picture_bytes
from ziggie_image_mcp.provider.pricing import estimate
from ziggie_image_providers.comfyui import failures, families, watch, wire
from ziggie_image_providers.comfyui import settings as section
from ziggie_image_providers.comfyui.client import Client
from ziggie_image_providers.comfyui.graph import graph
from ziggie_image_providers.comfyui.listing import Entry, Listing

_log = logging.getLogger(__name__)

DEFAULT_SECONDS = 600.0
STOP_SECONDS = 1.4
"""What stopping may take; closing a websocket comes on top, and the contract allows two seconds."""

_IDS = uuid.UUID("5a1c1b1e-6f0e-4b57-9a37-6d0f5f6f7f10")
"""Of this project alone: what ids are derived in."""


class ComfyUI:
    """One ComfyUI server, through its HTTP and websocket API.

    Each picture of a request is a prompt of its own in ComfyUI's queue. A remote id is the ids of
    these prompts with commas between. They are derived from the run's key, so that whoever knows
    the key finds them again; a server before 0.3.44 chooses others.
    """

    contract: ClassVar[int] = 1
    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="ComfyUI: SD 1.5, SDXL and FLUX.1 on a ComfyUI server",
        automatic=True,
        home_page="https://github.com/Comfy-Org/ComfyUI",
        detection_order=10,
    )
    Settings: ClassVar[type[section.Settings]] = section.Settings

    def __init__(
        self,
        name: str,
        settings: section.Settings,
        context: ProviderContext,
        pace: watch.Pace | None = None,
    ) -> None:
        self.name = name
        self._seconds = settings.timeout or context.timeout or DEFAULT_SECONDS
        self._pace = pace or watch.Pace()
        self._client = Client(name, settings, context, self._seconds)
        self._listing = Listing(name, self._client, settings.families)
        self._entries: dict[str, Entry] = {}
        self._last_model = ""
        self._queued: set[str] = set()
        """The prompts that this process has seen in the queue and not to their end."""
        self._sockets: dict[str, watch.Socket] = {}
        """By remote id: those of submitted requests that nobody collects yet."""
        self._collecting: dict[str, list[str]] = {}
        """By remote id: its prompts and those posted later, till it is done or cancelled."""

    async def probe(self) -> Probe:
        """Ask for version, queue and memory. No route tells what is loaded: see `list_models`."""
        try:
            with anyio.fail_after(PROBE_SECONDS - 0.1):
                stats = await self._client.system()
                length = await self._client.queue_length()
        except failures.WrongService as e:
            return Probe(state="wrong_service", message=str(e))
        except AuthenticationFailed as e:
            return Probe(state="unauthorised", message=str(e))
        except ProviderError as e:
            return Probe(state="unreachable", message=str(e))
        except TimeoutError:
            message = f"{self._client.url} did not answer within {duration(PROBE_SECONDS)}"
            return Probe(state="unreachable", message=message)
        device = stats.devices[0] if stats.devices else None
        return Probe(
            state="ready",
            version=stats.system.comfyui_version,
            loaded_model=self._last_model,
            queue_length=length,
            free_memory=device.vram_free if device and device.type != "cpu" else None,
        )

    async def list_models(self) -> Sequence[Model]:
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
        return [
            replace(e.model, state="loaded") if id == self._last_model else e.model
            for id, e in self._entries.items()
        ]

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """Nothing: it is the user's own."""
        return estimate(request, model)

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Put all pictures into the queue, each as a prompt of its own with its own seed."""
        ids: list[str] = []
        socket = watch.Socket(_client_id(run.key))
        try:
            entry = await self._entry(model)
            await self._check(request, entry)
            await socket.open(self._client)  # before the prompts: what went by is not told again
            for i in range(request.num_images):
                ids.append(_prompt_id(run.key, i))
                await self._post(ids, i, request, entry, socket.client_id)
        except BaseException as e:
            self._forget_after(e)
            if run.is_ours():
                await self._stop(ids, STOP_SECONDS / 2)  # the other half went by in `_post`
            await socket.close()
            raise
        remote_id = ",".join(ids)
        self._sockets[remote_id] = socket
        return RemoteJob(id=remote_id)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Wait for the pictures in turn. What the server does not have any more is posted again."""
        ids = remote_id.split(",")
        ids += [_prompt_id(run.key, i) for i in range(len(ids), request.num_images)]
        self._collecting[remote_id] = ids
        socket = self._sockets.pop(remote_id, None)
        limit = watch.WorkLimit(self._seconds)
        try:
            with limit.scope:
                if socket is None:
                    socket = watch.Socket(_client_id(run.key))
                    await socket.open(self._client)
                meter = watch.Meter(run.progress, request.num_images, limit)
                generation = await self._collect(ids, request, model, run, socket, meter)
                self._collecting.pop(remote_id, None)
                return generation
            raise ProviderTimeout(
                self.name,
                f"ComfyUI did not finish within {duration(self._seconds)} of work, so the job was"
                f" stopped; ask for less, or set providers.{self.name}.timeout",
            )
        except Exception as e:
            self._forget_after(e)
            if run.is_ours():
                await self.cancel(remote_id)
            raise
        finally:
            self._queued.difference_update(ids)
            if socket is not None:
                await socket.close()

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Look up the prompts that were posted, or those that a run with this key would post."""
        most = families.MAX_IMAGES
        ids = remote_id.split(",") if remote_id else [_prompt_id(key, i) for i in range(most)]
        states: dict[str, wire.PromptState] = {}
        try:
            for id in ids:
                state = await self._look(id)
                if state is not None:
                    states[id] = state
                elif not remote_id:
                    break  # they are posted in this order
        except ProviderError as e:
            return Resolution(state="unknowable", remote_id=remote_id, reason=str(e))
        if not states:
            return Resolution(state="not_sent", reason="ComfyUI does not have it")
        remote_id = remote_id or ",".join(states)
        if not all(state.ended for state in states.values()):
            return Resolution(state="running", remote_id=remote_id)
        if any(state.status == "completed" for state in states.values()):
            return Resolution(state="finished", remote_id=remote_id)
        error = self._error_of(next(iter(states.values())))
        return Resolution(state="failed", remote_id=remote_id, cost=NO_COST, reason=str(error))

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """Take all pictures off the queue, and interrupt the one that is being made."""
        outcome = await self._stop(self._collecting.pop(remote_id, remote_id.split(",")))
        socket = self._sockets.pop(remote_id, None)
        if socket is not None:
            await socket.close()
        return outcome

    async def balance(self) -> Balance | None:
        """There is no account."""
        return None

    async def aclose(self) -> None:
        """Close the connections."""
        sockets, self._sockets = self._sockets, {}
        for socket in sockets.values():
            await socket.close()
        await self._client.aclose()

    async def _collect(
        self,
        ids: list[str],
        request: ProviderRequest,
        model: Model,
        run: Run,
        socket: watch.Socket,
        meter: watch.Meter,
    ) -> Generation:
        # All at once, so that they wait in ComfyUI's queue and not here.
        states = [
            await self._state_or_post(ids, i, request, model, run)
            for i in range(request.num_images)
        ]
        images: list[GeneratedImage] = []
        failed: dict[int, ProviderError] = {}
        for i, state in enumerate(states):
            if state is None or not state.ended:
                socket.follow(ids[i])
                state = await watch.follow(
                    self._client, self.name, ids[i], socket, meter.tell, self._pace
                )
            if state.status == "completed":
                images += [
                    GeneratedImage(data=data, seed=_seed(request, i))
                    for data in await self._pictures(state, request)
                ]
            else:
                failed[i] = self._error_of(state)
                if not images and not any(
                    s is not None and s.status == "completed" for s in states
                ):
                    raise failed[i]  # the others would fare no better
            await meter.next()
        self._last_model = model.id
        notes = [socket.note] if socket.note else []
        notes += [f"picture {i + 1} failed: {error}" for i, error in failed.items()]
        if request.negative_prompt and request.guidance_scale == 1:
            notes.append("at guidance_scale 1 ComfyUI leaves the negative prompt out")
        return Generation(
            images=tuple(images),
            notes=tuple(notes),
            cost=NO_COST,
            load_seconds=socket.load_seconds,
        )

    async def _state_or_post(
        self, ids: list[str], i: int, request: ProviderRequest, model: Model, run: Run
    ) -> wire.PromptState | None:
        """Where a prompt stands that another process posted; None once it is known to be queued."""
        if ids[i] in self._queued:
            return None
        state = await self._look(ids[i])
        if state is None:
            if ids[i] != _prompt_id(run.key, i):
                raise failures.lost(self.name)
            entry = await self._entry(model)
            await self._post(ids, i, request, entry, _client_id(run.key))
        return state

    async def _look(self, prompt_id: str) -> wire.PromptState | None:
        """Where a prompt stands; None when the server does not have it.

        Looked for twice: on its way from an older server's queue to its history it is in neither.
        """
        state = await self._client.state(prompt_id)
        if state is None:
            await anyio.sleep(self._pace.first)
            state = await self._client.state(prompt_id)
        return state

    async def _pictures(self, state: wire.PromptState, request: ProviderRequest) -> list[bytes]:
        images = [i for i in state.images if i.type == "output"] or state.images
        if not images:
            raise InvalidOutput(self.name, "ComfyUI finished the job, but made no picture")
        if len(images) > request.num_images:
            what = f"ComfyUI made {len(images)} pictures of {request.num_images}"
            raise InvalidOutput(self.name, what)
        return [await self._client.picture(image, picture_bytes(request)) for image in images]

    def _error_of(self, state: wire.PromptState) -> ProviderError:
        if state.status == "cancelled":
            return failures.stopped(self.name)
        return failures.failed(self.name, state.error)

    async def _post(
        self, ids: list[str], i: int, request: ProviderRequest, entry: Entry, client_id: str
    ) -> None:
        """Post picture i under the id that stands in `ids`, and write there the one that it got."""
        assert entry.verdict.kind, "_entry lets only usable models through"
        nodes = graph(
            request,
            entry.file,
            entry.folder,
            entry.verdict.kind,
            entry.companions,
            _seed(request, i),
            prefix=f"ziggie/{ids[i]}",
        )
        posting = asyncio.create_task(self._client.post_prompt(nodes, ids[i], client_id))
        try:
            posted = await asyncio.shield(posting)
        except asyncio.CancelledError:
            # Whether the server has it by now, and under which id, only its answer tells.
            with anyio.move_on_after(STOP_SECONDS / 2, shield=True):
                await asyncio.wait({posting})
            if not posting.cancel() and not posting.cancelled() and not posting.exception():
                ids[i] = posting.result().prompt_id
            raise
        except EngineCrashed:
            # The answer was lost, perhaps not the prompt; it is looked for, never posted twice.
            if not await self._knows(ids[i]):
                raise
        else:
            ids[i] = posted.prompt_id
            if posted.node_errors:  # the sound part of the graph was queued all the same
                raise await self._client.refusal(posted.node_errors.values())
        self._queued.add(ids[i])

    async def _knows(self, prompt_id: str) -> bool:
        try:
            return await self._client.state(prompt_id) is not None
        except ProviderError:
            return False  # what went wrong first is raised

    async def _stop(
        self, prompt_ids: Sequence[str], seconds: float = STOP_SECONDS
    ) -> CancelOutcome:
        """Stop these prompts and no others. Never raises, and cannot be cancelled."""
        why = "no answer in time"
        with anyio.move_on_after(seconds, shield=True):
            try:
                stopped = bool(prompt_ids) and await self._client.stop(prompt_ids)
            except ProviderError as e:
                why = str(e)
            else:
                return CancelOutcome(state="stopped" if stopped else "too_late", cost=NO_COST)
        _log.warning("%s: a job may still run: %s", self.name, why)
        return CancelOutcome(state="unsupported", cost=NO_COST)

    async def _list(self) -> None:
        self._entries = {e.model.id: e for e in await self._listing.entries()}

    async def _entry(self, model: Model) -> Entry:
        if model.id not in self._entries:
            await self._client.system()
            await self._list()
        entry = self._entries.get(model.id)
        if entry is None:
            raise failures.missing(self.name, model.id, "checkpoints", list(self._entries))
        if entry.model.state == "unusable":
            raise ModelUnusable(self.name, entry.model.fix)
        if entry.model.state == "missing":
            raise ModelMissing(self.name, f"{model.id} lacks files: {entry.model.fix}")
        return entry

    async def _check(self, request: ProviderRequest, entry: Entry) -> None:
        step = entry.verdict.kind.multiple_of if entry.verdict.kind else 1
        if request.width % step or request.height % step:
            raise RequestRejected(  # ComfyUI would cut it down in silence
                self.name,
                f"{entry.model.id} makes sides in multiples of {step} px only,"
                f" not {request.width}x{request.height}",
            )
        for input, value in (("sampler_name", request.sampler), ("scheduler", request.scheduler)):
            choices = await self._client.choices("KSampler", input) if value else ()
            if value and choices and value not in choices:
                raise RequestRejected(
                    self.name,
                    f"ComfyUI has no {input} {value!r}{failures.nearest(value, choices)}",
                )

    def _forget_after(self, error: BaseException) -> None:
        """What comes up next at this address may be another version with other files."""
        if isinstance(error, EngineCrashed | ProviderUnavailable | ModelMissing):
            self._client.forget()
            self._entries, self._last_model = {}, ""


def _prompt_id(key: str, i: int) -> str:
    return str(uuid.uuid5(_IDS, f"{key}.{i}"))


def _client_id(key: str) -> str:
    """Whose events the prompts of a run are: the same for whoever goes on with it."""
    return str(uuid.uuid5(_IDS, f"{key}.client"))


def _seed(request: ProviderRequest, i: int) -> int:
    return (request.seed + i) % 2**32
