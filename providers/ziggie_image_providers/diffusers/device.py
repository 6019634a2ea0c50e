"""One device: one request at a time, one worker, asleep when there is nothing to do."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import anyio

from ziggie_image_mcp.provider import (
    NO_COST,
    ContentRefused,
    DependencyMissing,
    EngineCrashed,
    GeneratedImage,
    Generation,
    InvalidOutput,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    Progress,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RequestRejected,
    duration,
)
from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.oom_kills import count_oom_kills
from ziggie_image_providers.diffusers.process import Child, Ended, Frame

PATIENCE = 1.0
"""Seconds in which a worker must stop when asked to; then it is killed."""

AHEAD_SECONDS = 60.0
"""How long a worker waits that was started ahead: somebody may be asked a question meanwhile."""

LOADING_SHARE = 0.05
"""Share of the progress that is told when the model has been loaded."""

ERRORS: Mapping[wire.Fault, type[ProviderError]] = {
    "cancelled": EngineCrashed,
    "dependency_missing": DependencyMissing,
    "device_missing": ProviderUnavailable,
    "rejected": RequestRejected,
    "model_missing": ModelMissing,
    "model_unusable": ModelUnusable,
    "out_of_memory": OutOfMemory,
    "crashed": EngineCrashed,
    "invalid_output": InvalidOutput,
    "refused": ContentRefused,
}


Learn = Callable[[wire.WorkerRequest, wire.InUse | None, int | None], Awaitable[None]]
"""Is told what a request led to: what the worker held then, or None and how much room there was
when memory ran out, bytes, where anybody knows."""


async def _learn_nothing(
    request: wire.WorkerRequest, in_use: wire.InUse | None, room: int | None
) -> None:
    """Keep nothing."""


class Device:
    """A device and the worker process that has it. Belongs to the event loop that first uses it.

    Args:
        name: The provider's.
        idle_seconds: After so long without work the worker is ended.
        load_seconds: Limit for loading a model.
        step_seconds: Limit for one step.
        total_seconds: Limit for the pictures of a request, from a loaded model on.
        learn: Is told what a request took in memory, or that memory ran out.
        oom_kills: Counts what the system has killed for want of memory; None where nothing tells.
    """

    def __init__(
        self,
        name: str,
        *,
        idle_seconds: float,
        load_seconds: float,
        step_seconds: float,
        total_seconds: float | None,
        learn: Learn = _learn_nothing,
        oom_kills: Callable[[], int | None] = count_oom_kills,
    ) -> None:
        self._name = name
        self._learn = learn
        self._oom_kills = oom_kills
        self._idle_seconds = idle_seconds
        self._load_seconds = load_seconds
        self._step_seconds = step_seconds
        self._total_seconds = total_seconds
        self._lock = asyncio.Lock()
        self._child: Child | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._rest: asyncio.Task[None] | None = None
        self._loaded: str | None = None
        self._in_use: wire.InUse | None = None
        self._made = 0
        self._unused = False
        """The worker was started ahead of a request, and none has come."""

    @property
    def loaded(self) -> str | None:
        """Path of the model that the worker holds; None where no worker lives."""
        return self._loaded if self.is_running else None

    @property
    def in_use(self) -> wire.InUse | None:
        """What the worker holds, as it said last; None where no worker lives."""
        return self._in_use if self.is_running else None

    @property
    def rung(self) -> str:
        """How the model in memory is held; empty where no worker lives."""
        return "" if self.in_use is None else self.in_use.rung

    def made(self, model: str) -> int:
        """How many pictures were asked for by the model of this path since it was loaded."""
        return self._made if self.loaded == model else 0

    @property
    def is_running(self) -> bool:
        """Whether a worker is up, which need not be started then."""
        return self._child is not None and self._child.alive

    @property
    def is_asleep(self) -> bool:
        """Whether no worker is up, and no request waits for one."""
        return not (self.is_running or self._lock.locked())

    async def run(
        self, request: wire.WorkerRequest, progress: Progress, payload: bytes = b""
    ) -> Generation:
        """Run one request when the device is free; the payload is what it says.

        Raises:
            ProviderError: A child of it that names what went wrong.
        """
        async with self._acquire(progress):
            began, kills = time.monotonic(), self._oom_kills()
            ram = available_ram() + (self.in_use.ram_bytes if self.in_use else 0)
            child = await self._worker()
            self._unused = False
            try:
                with anyio.CancelScope() as working:
                    return await self._converse(child, request, progress, payload, began, working)
            except Ended as e:
                error = self._crash(e, kills)
                if isinstance(error, OutOfMemory):
                    await self._learn(request, None, ram if _is_on_cpu(request) else None)
                raise error from e
            raise ProviderTimeout(
                self._name,
                f"The pictures were not ready {duration(self._total_seconds or 0)} after the "
                f"model: raise providers.{self._name}.timeout or api.timeout, or ask for less.",
            )

    async def start_ahead(self) -> None:
        """Start a worker for a request that may come, where none is there.

        Raises:
            EngineCrashed: The operating system would not.
        """
        if self._lock.locked() or self.is_running:
            return
        async with self._lock:
            self._quiet_alarm()
            await self._worker()
            self._unused = True
            self._tidy()

    async def stand_down(self) -> None:
        """End a worker that was started ahead, unless a request has it by now."""
        if self._unused and not self._lock.locked():
            self._quiet_alarm()
            await self._sleep()

    async def aclose(self) -> None:
        """End the worker. May be called twice."""
        self._quiet_alarm()
        child, self._child = self._child, None
        if child is not None:
            await child.stop(PATIENCE)
        if self._rest is not None:
            await asyncio.wait([self._rest])

    @asynccontextmanager
    async def _acquire(self, progress: Progress) -> AsyncGenerator[None]:
        if self._lock.locked():
            await progress(0.0, "waiting for the device")
        async with self._lock:
            self._quiet_alarm()
            try:
                yield
            finally:
                try:
                    if self._child is not None and self._child.busy:
                        await self._child.interrupt(PATIENCE)
                finally:
                    self._tidy()

    async def _worker(self) -> Child:
        if self._child is not None and not self._child.alive:  # it ended while it had no work
            await self._child.stop(PATIENCE)
            self._child = None
        if self._child is None:
            self._loaded = self._in_use = None
            try:
                self._child = await Child.start()
            except OSError as e:
                raise EngineCrashed(self._name, f"The worker could not be started: {e}") from e
        return self._child

    async def _converse(
        self,
        child: Child,
        request: wire.WorkerRequest,
        progress: Progress,
        payload: bytes,
        began: float,
        working: anyio.CancelScope,
    ) -> Generation:
        images: list[GeneratedImage] = []
        limit, load_seconds = self._load_seconds, None
        if self.loaded != request.path:
            self._forget_model()
            await progress(0.0, "loading the model")
        await child.send(request, payload)
        while True:
            frame = await self._next(child, limit)
            limit = self._step_seconds
            match frame.message:
                case wire.Loaded(in_use=in_use, was_read=was_read):
                    self._loaded, self._in_use = request.path, in_use
                    self._made = request.num_images + (0 if was_read else self._made)
                    load_seconds = time.monotonic() - began if was_read else 0.0
                    if self._total_seconds is not None:
                        working.deadline = anyio.current_time() + self._total_seconds
                    await progress(LOADING_SHARE, "the model is loaded")
                case wire.Step() as at:
                    await progress(share(request, at), words(request, at))
                case wire.Picture(seed=seed):
                    images.append(GeneratedImage(data=frame.payload, seed=seed))
                case wire.Done(in_use=in_use, notes=notes, compile_seconds=compile_seconds):
                    self._in_use = in_use
                    await self._learn(request, in_use, None)
                    await progress(1.0, "done")
                    return Generation(
                        images=tuple(images),
                        notes=(*notes, *changed_rung(request.rung, in_use.rung)),
                        cost=NO_COST,
                        load_seconds=load_seconds,
                        compile_seconds=compile_seconds,
                    )
                case wire.Failed(fault=fault, message=message, room_bytes=room):
                    if load_seconds is None:
                        self._forget_model()
                    if fault == "out_of_memory":
                        await self._learn(request, None, room)
                        await child.stop(PATIENCE)  # a new process has no fragmented memory
                    raise ERRORS[fault](self._name, message)
                case wire.WorkerRequest() | wire.Cancel():
                    raise EngineCrashed(self._name, "The worker sent what only we may send.")

    def _forget_model(self) -> None:
        self._loaded, self._made = None, 0

    async def _next(self, child: Child, limit: float) -> Frame:
        with anyio.move_on_after(limit):
            return await child.receive()
        raise ProviderTimeout(
            self._name, f"The worker has said nothing for {duration(limit)} and was stopped."
        )

    def _crash(self, end: Ended, kills_before: int | None) -> ProviderError:
        if end.unreadable:
            return EngineCrashed(self._name, f"The worker was stopped. {end.unreadable}")
        words = f": {end.last_words}" if end.last_words else "."
        if end.returncode == -9:
            return self._killed(end.manner, words, kills_before)
        if "out of memory" in end.last_words.lower():
            return OutOfMemory(
                self._name,
                f"The worker {end.manner}, as happens when memory runs out{words} "
                "Use a smaller model or size, or close other programs.",
            )
        return EngineCrashed(
            self._name, f"The worker {end.manner}{words} The next call starts a new one."
        )

    def _killed(self, manner: str, words: str, kills_before: int | None) -> ProviderError:
        """Tell the kernel's kill for want of memory from that of a person or another program."""
        kills = self._oom_kills()
        if kills is not None and kills_before is not None and kills > kills_before:
            return OutOfMemory(
                self._name,
                f"The worker {manner}: the system's memory ran out, and Linux ended it{words} "
                "Use a smaller model or size, or close other programs.",
            )
        by = "whether memory ran out is not known here"
        if kills is not None and kills_before is not None:
            by = "not by Linux for want of memory, but by another program or a person"
        return EngineCrashed(
            self._name,
            f"The worker {manner}, {by}{words} If memory ran out (earlyoom and systemd-oomd kill "
            "so), use a smaller model or size. The next call starts a new worker.",
        )

    def _tidy(self) -> None:
        """Forget a dead worker, or set the alarm for a living one."""
        if self._child is None or not self._child.alive:
            self._child = None
            return
        loop = asyncio.get_running_loop()
        seconds = min(self._idle_seconds, AHEAD_SECONDS) if self._unused else self._idle_seconds
        self._alarm = loop.call_later(seconds, self._go_to_rest)

    def _quiet_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _go_to_rest(self) -> None:
        self._rest = asyncio.get_running_loop().create_task(self._sleep())

    async def _sleep(self) -> None:
        if self._lock.locked():
            return  # work came first, and sets the alarm again at its end
        async with self._lock:
            child, self._child = self._child, None
            if child is not None:
                await child.stop(PATIENCE)


def available_ram() -> int:
    """Main memory that programs could have now, bytes."""
    return int(importlib.import_module("psutil").virtual_memory().available)


def _is_on_cpu(request: wire.WorkerRequest) -> bool:
    return "cpu" in (request.rung, request.device)


def changed_rung(planned: str, actual: str) -> tuple[str, ...]:
    """Say where the worker found less memory free than the decision did, in a sentence."""
    if not planned or planned == actual:
        return ()
    note = f"the model was held by {actual}, which is slower, and not {planned} as planned"
    return (f"{note}: less GPU memory was free when it was loaded",)


def share(request: wire.WorkerRequest, at: wire.Step) -> float:
    """Say how much of a request is done after a step."""
    done = at.picture + at.pictures * min(1.0, at.step / max(at.steps, 1))
    done /= request.num_images
    return LOADING_SHARE + (0.98 - LOADING_SHARE) * done


def words(request: wire.WorkerRequest, at: wire.Step) -> str:
    """Say the same in a sentence."""
    first, last = at.picture + 1, at.picture + at.pictures
    which = f"picture {first}" if first == last else f"pictures {first} to {last}"
    picture = f"{which} of {request.num_images}, " if request.num_images > 1 else ""
    return f"{picture}step {at.step} of {at.steps}"
