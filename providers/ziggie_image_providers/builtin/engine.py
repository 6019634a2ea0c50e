"""Hold the weights, and do one job at a time in a thread of its own."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

if TYPE_CHECKING:
    from ziggie_image_providers.builtin.cut_out import Network
    from ziggie_image_providers.builtin.tiny import TinyModel
    from ziggie_image_providers.builtin.upscaler import Upscaler

T = TypeVar("T")

Report = Callable[[float, str], None]
"""Tell how far the work is; raises Stopped where nobody waits for it any more."""


class Stopped(Exception):
    """Ends work that was cancelled."""


class Weights:
    """The models in memory, each read on first use. For the engine's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tiny: TinyModel | None = None
        self.upscaler: Upscaler | None = None
        self.networks: dict[Path, Any] = {}
        """Sessions of those that cut out, by file."""

    def get_tiny(self) -> TinyModel:
        """The tiny model."""
        if self.tiny is None:
            from ziggie_image_providers.builtin.tiny import TinyModel

            self.tiny = TinyModel(self._folder)
        return self.tiny

    def get_upscaler(self) -> Upscaler:
        """The upscalers of every factor."""
        if self.upscaler is None:
            from ziggie_image_providers.builtin.upscaler import Upscaler

            self.upscaler = Upscaler()
            self.upscaler.load()
        return self.upscaler

    def get_network(self, network: Network) -> Any:
        """One that cuts out: the last one alone stays, for each may take a gigabyte."""
        if network.path not in self.networks:
            from ziggie_image_providers.builtin.cut_out import open_network

            self.networks.clear()
            self.networks[network.path] = open_network(network)
        return self.networks[network.path]


Work = Callable[[Weights, Report, threading.Event], T]
"""What the thread does; the event says that nobody waits for it any more."""


class Engine:
    """One thread, and what it works with.

    Args:
        folder: Where the weights are.
        idle_seconds: After so long without work they leave the memory.
    """

    def __init__(self, folder: Path, idle_seconds: float) -> None:
        self.weights = Weights(folder)
        self._folder = folder
        self._idle_seconds = idle_seconds
        self._thread: ThreadPoolExecutor | None = None
        self._stops: set[threading.Event] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, work: Work[T], progress: Callable[[float, str], Awaitable[None]]) -> T:
        """Do something in the thread; when cancelled, it ends within one step."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[tuple[float, str] | None] = asyncio.Queue()
        stop = threading.Event()

        def report(fraction: float, message: str) -> None:
            if stop.is_set():
                raise Stopped
            loop.call_soon_threadsafe(heard.put_nowait, (fraction, message))

        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="builtin")
        self._stay()
        self._stops.add(stop)
        future = loop.run_in_executor(self._thread, work, self.weights, report, stop)
        future.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (step := await heard.get()) is not None:
                await progress(*step)
            return future.result()
        finally:
            stop.set()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([future])
            future.exception()  # of work that was stopped, which nobody else looks at
            self._stops.discard(stop)
            if not self._stops:
                self._timer = loop.call_later(self._idle_seconds, self.drop)

    def drop(self) -> None:
        """Free the memory."""
        self._stay()
        self.weights = Weights(self._folder)
        gc.collect()

    async def aclose(self) -> None:
        """Stop what is being done. May be called twice."""
        for stop in self._stops:
            stop.set()
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None
        self.drop()

    def _stay(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
