"""The worker process: take requests from stdin, run them, answer on stdout."""

from __future__ import annotations

import gc
import importlib
import math
import os
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO, Literal

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.batches import batches
from ziggie_image_providers.diffusers.faults import Stopped, failed
from ziggie_image_providers.diffusers.light_imports import compile_seconds

STEP_SECONDS = 0.1
"""Of steps that follow each other quicker, not each is told: nobody could read it."""


def not_too_often(
    tell: Callable[[int, int], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[int, int], None]:
    """Tell of a step, the first and the last of them at any rate."""
    last = -math.inf

    def told(step: int, steps: int) -> None:
        nonlocal last
        if step >= steps or clock() - last >= STEP_SECONDS:
            last = clock()
            tell(step, steps)

    return told


class Connection:
    """The connection to the provider. A thread reads, so that a cancel is heard during work."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._cancelled = threading.Event()
        self.requests: queue.SimpleQueue[tuple[wire.WorkerRequest, bytes]] = queue.SimpleQueue()

    def open(self) -> None:
        """Say hello and begin to listen."""
        self._sink.write(wire.HELLO)
        self._sink.flush()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: wire.Message, payload: bytes = b"") -> None:
        """Answer."""
        self._sink.write(wire.encode(message, payload))
        self._sink.flush()

    def check(self) -> None:
        """Raise Stopped when the request was cancelled."""
        if self._cancelled.is_set():
            raise Stopped("The request was cancelled.")

    def _listen(self) -> None:
        try:
            while len(start := self._source.read(wire.LENGTHS.size)) == wire.LENGTHS.size:
                header, payload = wire.LENGTHS.unpack(start)
                message = wire.decode(self._source.read(header))
                pictures = self._source.read(payload)
                if isinstance(message, wire.WorkerRequest):
                    self._cancelled.clear()
                    self.requests.put((message, pictures))
                elif isinstance(message, wire.Cancel):
                    self._cancelled.set()
        finally:
            os._exit(0)  # nobody is left to work for, and the main thread may be deep in a kernel


def take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the real stdin and stdout for the wire; what others print goes to stderr."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink


def work(line: Connection, request: wire.WorkerRequest, payload: bytes) -> None:
    """Run one request and tell how it went."""
    try:
        # These import torch and diffusers: seconds.
        from ziggie_image_providers.diffusers import loading, pipeline
    except (Exception, Stopped) as e:
        line.send(failed(e, "load"))
        return
    try:
        was_read = loading.load(request)
        line.check()
    except (Exception, Stopped) as e:
        line.send(_failed(e, "load", loading.room))
        return
    line.send(wire.Loaded(in_use=loading.in_use(), was_read=was_read))
    compiled_before = compile_seconds()
    try:
        inputs = pipeline.inputs(request, payload)
        notes = pipeline.prepare(request)

        def make(numbers: Sequence[int]) -> Sequence[bytes]:
            @not_too_often
            def tell(step: int, steps: int) -> None:
                at = wire.Step(picture=numbers[0], step=step, steps=steps, pictures=len(numbers))
                line.send(at)

            def on_step(step: int, steps: int) -> None:
                line.check()
                tell(step, steps)

            return pipeline.pictures(request, numbers, on_step, inputs)

        most = loading.most_at_once(request)
        for number, png in batches(request.num_images, most, make, loading.free_memory):
            line.check()
            line.send(wire.Picture(seed=pipeline.seed(request, number)), png)
        notes += pipeline.notes(request)
    except (Exception, Stopped) as e:
        line.send(_failed(e, "run", loading.room))
        return
    compiled = compile_seconds() - compiled_before
    line.send(wire.Done(in_use=loading.in_use(), notes=notes, compile_seconds=compiled))


def _failed(
    error: BaseException, stage: Literal["load", "run"], room: Callable[[], int | None]
) -> wire.Failed:
    """The message, with how much room there was where memory ran out."""
    message = failed(error, stage)
    if message.fault != "out_of_memory":
        return message
    return message.model_copy(update={"room_bytes": room()})


def main() -> None:
    """Serve until stdin ends."""
    line = Connection(*take_over_pipes())
    warnings.simplefilter("ignore")  # stderr is kept for the words before a crash
    line.open()
    with suppress(Exception):  # the first request meets it again, and tells of it
        importlib.import_module("ziggie_image_providers.diffusers.pipeline")
        importlib.import_module("diffusers.pipelines.pipeline_utils")  # which every model needs
    gc.freeze()  # what was imported stays: it need not be looked through during a picture
    while True:
        work(line, *line.requests.get())


if __name__ == "__main__":
    main()
