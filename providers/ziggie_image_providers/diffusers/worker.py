"""The worker process: take requests from stdin, run them, answer on stdout."""

from __future__ import annotations

import os
import queue
import sys
import threading
import warnings
from typing import BinaryIO

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.faults import Stopped, failed


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
        from ziggie_image_providers.diffusers import (  # imports torch and diffusers: seconds
            loading,
            pipeline,
        )

        loading.load(request)
        line.check()
    except (Exception, Stopped) as e:
        line.send(failed(e, "load"))
        return
    line.send(wire.Loaded(in_use=loading.in_use()))
    try:
        inputs = pipeline.inputs(request, payload)
        notes = pipeline.prepare(request) + pipeline.unread(request)
        for number in range(request.num_images):

            def on_step(step: int, steps: int, number: int = number) -> None:
                line.check()
                line.send(wire.Step(picture=number, step=step, steps=steps))

            png = pipeline.picture(request, number, on_step, inputs)
            line.check()
            line.send(wire.Picture(seed=pipeline.seed(request, number)), png)
    except (Exception, Stopped) as e:
        line.send(failed(e, "run"))
        return
    line.send(wire.Done(in_use=loading.in_use(), notes=notes))


def main() -> None:
    """Serve until stdin ends."""
    line = Connection(*take_over_pipes())
    warnings.simplefilter("ignore")  # stderr is kept for the words before a crash
    line.open()
    while True:
        work(line, *line.requests.get())


if __name__ == "__main__":
    main()
