"""Make pictures on a ComfyUI server, with graphs of our own for each family of models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import anyio

from ziggie_image_mcp.provider import (
    NO_COST,
    UNKNOWN_COST,
    Balance,
    CancelOutcome,
    EngineCrashed,
    Estimate,
    GeneratedImage,
    Generation,
    InvalidOutput,
    Model,
    OutcomeUnknown,
    OutOfMemory,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    ProviderTimeout,
    RemoteJob,
    Resolution,
    Run,
    Submission,
    duration,
)
from ziggie_image_mcp.provider.bounds import picture_bytes
from ziggie_image_mcp.provider.local_engine import DEFAULT_SECONDS, probed
from ziggie_image_mcp.provider.pricing import estimate
from ziggie_image_mcp.provider.sizes import Size
from ziggie_image_providers.comfyui import (
    capabilities,
    drafting,
    failures,
    groups,
    memory,
    watch,
    wire,
)
from ziggie_image_providers.comfyui import settings as section
from ziggie_image_providers.comfyui.compose import compose, compose_upscale
from ziggie_image_providers.comfyui.drafting import Draft
from ziggie_image_providers.comfyui.graph import Nodes
from ziggie_image_providers.comfyui.groups import Group
from ziggie_image_providers.comfyui.listing import Entry
from ziggie_image_providers.comfyui.server import Server
from ziggie_image_providers.comfyui.workflow import models as workflows

_log = logging.getLogger(__name__)

STOP_SECONDS = 1.4
"""What stopping may take; closing a websocket comes on top, and the contract allows two seconds."""

PARTNER_KEY = "COMFY_API_KEY"
"""What nodes of paid partners are run with, where the server has no account of its own."""


@dataclass
class _Work:
    """A request that this process runs: what its prompts are made of."""

    run: Run
    request: ProviderRequest
    model: Model
    entry: Entry
    draft: Draft | None
    """None for an upscaler."""


@dataclass
class _Collection:
    """What is still to come of a request."""

    todo: list[Group]
    ids: list[str]
    """Of all its prompts, so that a cancel stops them."""
    socket: watch.Socket
    meter: watch.Meter
    states: dict[str, wire.PromptState | None] = field(
        default_factory=dict[str, "wire.PromptState | None"]
    )

    def put(self, groups: list[Group]) -> None:
        """Do these first."""
        self.todo[:0] = groups
        self.ids += [group.id for group in groups]


class ComfyUI:
    """One ComfyUI server, through its HTTP and websocket API.

    Each picture of a request is a prompt of its own in ComfyUI's queue, or several are one where
    the GPU has room to sample them together. A remote id is the ids of these prompts with commas
    between. They are derived from the run's key, so that whoever knows the key finds them again; a
    server before 0.3.44 chooses others.
    """

    contract: ClassVar[int] = 1
    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="ComfyUI: Stable Diffusion, FLUX, Qwen-Image and others on a ComfyUI server",
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
        self._settings = settings
        self._context = context
        self._server = Server(name, settings, context, self._seconds)
        self._queued: set[str] = set()
        """The prompts that this process has seen in the queue and not to their end."""
        self._works: dict[str, _Work] = {}
        """By remote id: those of submitted requests that nobody collects yet."""
        self._sockets: dict[str, watch.Socket] = {}
        """By remote id: those of submitted requests that nobody collects yet."""
        self._collecting: dict[str, list[str]] = {}
        """By remote id: its prompts and those posted later, till it is done or cancelled."""

    async def probe(self) -> Probe:
        """Ask for version, queue and memory. No route tells what is loaded: see `list_models`."""
        return await probed(self._server.client.url, self.look)

    async def look(self) -> Probe:
        """How it is now; `probe` says what a failure means.

        Raises:
            ProviderError: Nothing answers, or not to us.
        """
        stats = await self._server.find()
        length = await self._server.client.queue_length()
        device = stats.devices[0] if stats.devices else None
        return Probe(
            state="ready",
            version=stats.system.comfyui_version,
            url=self._server.client.url,
            loaded_model=self._server.last_model,
            queue_length=length,
            free_memory=device.vram_free if device and device.type != "cpu" else None,
        )

    async def list_models(self) -> Sequence[Model]:
        """List the models of the server, usable or not, and what can be laid over them."""
        return await self._server.models()

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """Nothing: it is the user's own."""
        return estimate(request, model)

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Put all pictures into the queue, each with its own seed."""
        posted: list[Group] = []
        socket = watch.Socket(groups.client_id(run.key))
        try:
            work = await self._begin(request, model, run)
            most = await self._at_once(work)
            await socket.open(
                self._server.client
            )  # before the prompts: what went by is not told again
            for group in groups.divide(run.key, request.num_images, most):
                posted.append(group)
                posted[-1] = await self._post(posted, work, socket.client_id)
        except BaseException as e:
            self._server.forget_after(e)
            if run.is_ours():
                # The other half of the time went by in `_post`.
                await self._stop([g.id for g in posted], STOP_SECONDS / 2)
            await socket.close()
            raise
        remote_id = groups.write(posted)
        self._sockets[remote_id], self._works[remote_id] = socket, work
        return RemoteJob(id=remote_id)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Wait for the pictures in turn. What the server does not have any more is posted again."""
        todo = groups.read(remote_id)
        made = sum(group.count for group in todo)
        todo += [
            Group(id=groups.prompt_id(run.key, i), start=i) for i in range(made, request.num_images)
        ]
        ids = self._collecting[remote_id] = [group.id for group in todo]
        socket, work = self._sockets.pop(remote_id, None), self._works.pop(remote_id, None)
        limit = watch.WorkLimit(self._seconds)
        try:
            with limit.scope:
                if socket is None:
                    socket = watch.Socket(groups.client_id(run.key))
                    await socket.open(self._server.client)
                meter = watch.Meter(run.progress, request.num_images, limit)
                socket.show = run.preview
                collection = _Collection(todo=todo, ids=ids, socket=socket, meter=meter)
                work = work or await self._begin(request, model, run)
                generation = await self._collect(collection, work)
                self._collecting.pop(remote_id, None)
                self._server.free_later(lambda: bool(self._collecting))
                return generation
            raise ProviderTimeout(
                self.name,
                f"ComfyUI did not finish within {duration(self._seconds)} of work, so the job was"
                f" stopped; ask for less, or set providers.{self.name}.timeout",
            )
        except Exception as e:
            self._server.forget_after(e)
            if run.is_ours():
                await self.cancel(remote_id)
            if model.where == "vendor" and not isinstance(e, OutcomeUnknown):
                raise _may_be_paid(self.name, e) from e
            raise
        finally:
            self._queued.difference_update(ids)
            if socket is not None:
                await socket.close()

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Look up the prompts that were posted, or those that a run with this key would post."""
        states: dict[str, wire.PromptState] = {}
        try:
            known = groups.read(remote_id) if remote_id else await self._posted(key)
            for group in known:
                state = await self._look(group.id)
                if state is not None:
                    states[group.id] = state
        except ProviderError as e:
            return Resolution(state="unknowable", remote_id=remote_id, reason=str(e))
        if not states:
            reason = "ComfyUI does not have it"
            if any(own.price_usd for own in self._settings.workflows.values()):
                return Resolution(state="unknowable", remote_id=remote_id, reason=reason)
            return Resolution(state="not_sent", reason=reason)
        remote_id = remote_id or groups.write(known)
        if not all(state.ended for state in states.values()):
            return Resolution(state="running", remote_id=remote_id)
        if any(state.status == "completed" for state in states.values()):
            return Resolution(state="finished", remote_id=remote_id)
        error = self._error_of(next(iter(states.values())))
        return Resolution(state="failed", remote_id=remote_id, cost=NO_COST, reason=str(error))

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """Take all pictures off the queue, and interrupt the one that is being made."""
        ids = [group.id for group in groups.read(remote_id)]
        outcome = await self._stop(self._collecting.pop(remote_id, ids))
        socket, _ = self._sockets.pop(remote_id, None), self._works.pop(remote_id, None)
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
        await self._server.aclose()

    async def _posted(self, key: str) -> list[Group]:
        """The prompts of a run that the server has: they are posted in their order."""
        found: list[Group] = []
        start = 0
        while start < capabilities.MAX_IMAGES:
            for count in groups.COUNTS:
                id = groups.prompt_id(key, start, count)
                if await self._look(id) is not None:
                    found.append(Group(id=id, start=start, count=count))
                    break
            else:
                break
            start += found[-1].count
        return found

    async def _collect(self, collection: _Collection, work: _Work) -> Generation:
        # All at once, so that they wait in ComfyUI's queue and not here.
        for i in range(len(collection.todo)):
            await self._see_to(collection, i, work)
        images: list[GeneratedImage] = []
        failed: dict[int, ProviderError] = {}
        notes = [] if work.draft is None else [*work.draft.notes]
        socket, meter = collection.socket, collection.meter
        while collection.todo:
            group = collection.todo.pop(0)
            state = collection.states.get(group.id)
            if state is None or not state.ended:
                socket.follow(group.id)
                state = await watch.follow(
                    self._server.client, self.name, group.id, socket, meter.tell, self._pace
                )
            if state.status == "completed":
                pictures = await self._pictures(state, work, group.count, notes)
                seeds = (_seed(work.request, group.start + k) for k in range(len(pictures)))
                images += [
                    GeneratedImage(data=data, seed=seed)
                    for data, seed in zip(pictures, seeds, strict=True)
                ]
                await meter.next(group.count)
                continue
            error = self._error_of(state)
            if _is_paid(work):
                raise error  # `collect` says that it may be paid for
            smaller = groups.smaller(work.run.key, group) if work.draft else []
            if isinstance(error, OutOfMemory) and smaller:
                how = "in tiles" if smaller[0].tiled else f"{smaller[0].count} at a time"
                notes.append(f"the memory did not do, so that it was made {how}")
                collection.put(smaller)
                for i in range(len(smaller)):
                    await self._see_to(collection, i, work)
                continue
            failed |= dict.fromkeys(range(group.start, group.start + group.count), error)
            completed = (s for s in collection.states.values() if s and s.status == "completed")
            if not images and next(completed, None) is None:
                raise error  # the others would fare no better
            await meter.next(group.count)
        self._server.last_model = work.model.id
        notes += [socket.note] if socket.note else []
        notes += [f"picture {i + 1} failed: {error}" for i, error in failed.items()]
        if work.request.negative_prompt and work.request.guidance_scale == 1:
            notes.append("at guidance_scale 1 ComfyUI leaves the negative prompt out")
        return Generation(
            images=tuple(images),
            notes=tuple(dict.fromkeys(notes)),
            cost=UNKNOWN_COST if _is_paid(work) else NO_COST,
            load_seconds=socket.load_seconds,
        )

    async def _see_to(self, collection: _Collection, i: int, work: _Work) -> None:
        """Find out where a prompt stands that another process posted, or post it."""
        group = collection.todo[i]
        if group.id in self._queued:
            return
        state = await self._look(group.id)
        if state is None and _is_paid(work):
            raise OutcomeUnknown(self.name, "ComfyUI no longer has the job; it may have been paid")
        if state is None:
            own = groups.prompt_id(work.run.key, group.start, group.count, tiled=group.tiled)
            if group.id != own:
                raise failures.lost(self.name)
            before = collection.todo[: i + 1]
            collection.todo[i] = await self._post(before, work, groups.client_id(work.run.key))
            collection.ids.append(collection.todo[i].id)
        collection.states[collection.todo[i].id] = state

    async def _look(self, prompt_id: str) -> wire.PromptState | None:
        """Where a prompt stands; None when the server does not have it.

        Looked for twice: on its way from an older server's queue to its history it is in neither.
        """
        state = await self._server.client.state(prompt_id)
        if state is None:
            await anyio.sleep(self._pace.first)
            state = await self._server.client.state(prompt_id)
        return state

    async def _pictures(
        self, state: wire.PromptState, work: _Work, count: int, notes: list[str]
    ) -> list[bytes]:
        images = [i for i in state.images if i.type == "output"] or state.images
        if not images:
            raise InvalidOutput(self.name, "ComfyUI finished the job, but made no picture")
        if work.entry.workflow is not None and len(images) > count:
            notes.append(f"the workflow saved {len(images)} pictures; the first one is kept")
            images = images[:count]
        if len(images) != count:
            what = f"ComfyUI made {len(images)} pictures of {count}"
            raise InvalidOutput(self.name, what)
        most = picture_bytes(work.request)
        return [await self._server.client.picture(image, most) for image in images]

    def _error_of(self, state: wire.PromptState) -> ProviderError:
        if state.status == "cancelled":
            return failures.stopped(self.name)
        return failures.failed(self.name, state.error)

    async def _begin(self, request: ProviderRequest, model: Model, run: Run) -> _Work:
        """Decide how a request is run."""
        entry = await self._server.entry(model)
        draft = None
        if entry.kind is not None:
            draft = drafting.draft(self.name, request, entry, self._server.contents, self._settings)
        return _Work(run=run, request=request, model=entry.model, entry=entry, draft=draft)

    async def _at_once(self, work: _Work) -> int:
        """How many pictures are sampled together."""
        request = work.request
        if request.num_images == 1 or work.draft is None or not work.draft.batches:
            return 1
        if self._settings.max_batch is not None:
            return self._settings.max_batch
        stats = await self._server.client.system()
        device = stats.devices[0] if stats.devices else None
        if device is None or device.type == "cpu":
            return 1
        free = device.vram_free
        if free is not None and work.model.id != self._server.last_model:
            free -= work.model.memory.vram_bytes or 0
        return memory.pictures_at_once(free, request.width, request.height, request.num_images)

    async def _graph(self, work: _Work, group: Group) -> Nodes:
        """The graph of a prompt. Its pictures are uploaded: a second time that changes nothing."""
        request, prefix = work.request, f"ziggie/{group.id}"
        upload = self._server.client.upload
        if work.entry.workflow is not None:
            pictures = workflows.Pictures(
                image=await upload(request.image) if request.image else "",
                mask=await upload(request.mask) if request.mask else "",
                references=tuple([await upload(picture) for picture in request.references]),
            )
            seed = _seed(request, group.start)
            return workflows.compose(work.entry.workflow, request, seed, pictures, prefix)
        if work.draft is None:
            assert request.image, "the core gives the picture"
            times = request.factor or 1
            size = Size(request.width * times, request.height * times)
            return compose_upscale(work.entry.file, await upload(request.image), size, prefix)
        family = work.entry.model.family
        job = await drafting.with_pictures(
            work.draft.job, self.name, self._server.contents, family, upload
        )
        seeds = [_seed(request, group.start + k) for k in range(group.count)]
        tiled = job.tiled or group.tiled
        nodes = compose(replace(job, seeds=seeds, prefix=prefix, tiled=tiled))
        drafting.check_nodes(
            self.name, {n["class_type"] for n in nodes.values()}, self._server.contents
        )
        return nodes

    async def _post(self, posted: list[Group], work: _Work, client_id: str) -> Group:
        """Post the last of some prompts; what comes back has the id that it got."""
        group = posted[-1]
        nodes = await self._graph(work, group)
        previews = self._settings.previews and work.run.preview is not None
        partner_key = None
        if _is_paid(work):
            partner_key = await self._context.secret(PARTNER_KEY)
        posting = asyncio.create_task(
            self._server.client.post_prompt(
                *(nodes, group.id, client_id), previews=previews, partner_key=partner_key
            )
        )
        try:
            answer = await asyncio.shield(posting)
        except asyncio.CancelledError:
            # Whether the server has it by now, and under which id, only its answer tells.
            with anyio.move_on_after(STOP_SECONDS / 2, shield=True):
                await asyncio.wait({posting})
            if not posting.cancel() and not posting.cancelled() and not posting.exception():
                posted[-1] = replace(group, id=posting.result().prompt_id)
            raise
        except EngineCrashed as e:
            # The answer was lost, perhaps not the prompt; it is looked for, never posted twice.
            if not await self._knows(group.id):
                if _is_paid(work):
                    raise _may_be_paid(self.name, e) from e
                raise
        else:
            posted[-1] = group = replace(group, id=answer.prompt_id)
            if answer.node_errors:  # the sound part of the graph was queued all the same
                raise await self._server.client.refusal(answer.node_errors.values())
        self._queued.add(group.id)
        return group

    async def _knows(self, prompt_id: str) -> bool:
        try:
            return await self._server.client.state(prompt_id) is not None
        except ProviderError:
            return False  # what went wrong first is raised

    async def _stop(
        self, prompt_ids: Sequence[str], seconds: float = STOP_SECONDS
    ) -> CancelOutcome:
        """Stop these prompts and no others. Never raises, and cannot be cancelled."""
        why = "no answer in time"
        with anyio.move_on_after(seconds, shield=True):
            try:
                stopped = bool(prompt_ids) and await self._server.client.stop(prompt_ids)
            except ProviderError as e:
                why = str(e)
            else:
                return CancelOutcome(state="stopped" if stopped else "too_late", cost=NO_COST)
        _log.warning("%s: a job may still run: %s", self.name, why)
        return CancelOutcome(state="unsupported", cost=NO_COST)


def _is_paid(work: _Work) -> bool:
    return work.entry.workflow is not None and work.entry.workflow.paid


def _may_be_paid(provider: str, error: Exception) -> OutcomeUnknown:
    return OutcomeUnknown(provider, f"{error}; its paid nodes may have run")


def _seed(request: ProviderRequest, i: int) -> int:
    return (request.seed + i) % 2**32
