"""Processes that have imported once what many tests start, and fork it whenever one starts it.

A cold worker imports torch for 5 to 10 seconds, a command line for half of one, and the tests start
dozens of either. `opened` starts this file as a program for each, and puts `site/` on the path of
every Python below: `sitecustomize.py` there hands the start over. What is started is still a
process of its own, which ends, is told and is killed like any other. Workers are forked in every
test but those with the fixture `cold`; the command line in those with the fixture `warm`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

WORKER = "ziggie_image_providers.diffusers.worker"
BUILDER = "tests.support.random_models"
"""Imports torch too, and is forked where workers are."""
SERVER = "ziggie_image_mcp"
KINDS = {"torch": (WORKER, BUILDER), "server": (SERVER,)}
SITE = Path(__file__).parent / "site"
POSSIBLE = sys.platform == "linux"
LATER = (
    "anyio._backends._asyncio",
    "dbos",
    "dbos._serialization",
    "filelock",
    "httpx2",
    "mcp.server.mcpserver",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "psutil",
    "rich.table",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvicorn",
)
"""What a server imports where it is needed."""


@contextmanager
def opened() -> Generator[None]:
    """Change the environment, so that programs started from now on are forked."""
    if not POSSIBLE or "ZIGGIE_TEST_FORK_SERVER" in os.environ:
        yield
        return
    with ExitStack() as stack:
        # The path of a socket must be short.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="zim-n-", dir="/tmp"))
        for kind, programs in KINDS.items():
            stack.enter_context(_started(kind, f"{folder}/{kind}"))
            for program in programs:
                os.link(f"{folder}/{kind}", f"{folder}/{program}")
        own = {
            "ZIGGIE_TEST_FORK_SERVER": folder,
            "ZIGGIE_TEST_FORKED": f"{WORKER} {BUILDER}",
            "PYTHONPATH": str(SITE),
        }
        os.environ.update(own)
        try:
            yield
        finally:
            for name in own:
                os.environ.pop(name, None)


@contextmanager
def _started(kind: str, address: str) -> Generator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        command = [sys.executable, __file__, kind, str(listener.fileno())]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], start_new_session=True
        )
    try:
        yield
    finally:
        try:
            process.communicate(timeout=30)  # it ends when its stdin does
        finally:
            process.kill()


class ForkServer:
    """One thread, so that it may fork at any time."""

    def __init__(self, kind: str, listener: socket.socket) -> None:
        self._kind = kind
        self._listener = listener
        self._events = selectors.DefaultSelector()
        self._ready = False

    def serve(self) -> dict[str, Any] | None:
        """Until stdin ends; in a fork: give back what is to be run."""
        self._events.register(0, selectors.EVENT_READ)
        self._events.register(self._listener, selectors.EVENT_READ)
        while True:
            for key, _ in self._events.select():
                if key.fileobj == 0:
                    return None
                if key.fileobj is not self._listener:
                    self._reap(key.fd, *key.data)
                elif (wish := self._fork(self._listener.accept()[0])) is not None:
                    return wish

    def _fork(self, line: socket.socket) -> dict[str, Any] | None:
        data, streams, _, _ = socket.recv_fds(line, 1 << 16, 3)
        while data and not data.endswith(b"\n"):
            data += line.recv(1 << 16)
        if not data:
            line.close()
            return None  # killed before it could say what it wants
        if not self._ready:
            prepare(self._kind)
            gc.freeze()  # a collection would copy every page
            self._ready = True
        pid = os.fork()
        if pid == 0:
            self._events.close()
            self._listener.close()
            wish: dict[str, Any] = json.loads(data)
            become(wish, streams, line)
            return wish
        for stream in streams:
            os.close(stream)
        with suppress(OSError):
            line.sendall(struct.pack("i", pid))
        self._events.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, line))
        return None

    def _reap(self, handle: int, pid: int, line: socket.socket) -> None:
        self._events.unregister(handle)
        os.close(handle)
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):
            line.sendall(struct.pack("i", status))
        line.close()


def prepare(kind: str) -> None:
    """Import what such programs import on their way, and do nothing else."""
    if kind == "server":
        package = importlib.import_module(SERVER)
        ours = [m.name for m in pkgutil.iter_modules(package.__path__, f"{SERVER}.")]
        for name in (*LATER, *(name for name in ours if not name.endswith("__main__"))):
            with suppress(ImportError):
                importlib.import_module(name)
        return
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    importlib.import_module(WORKER)
    pipeline: Any = importlib.import_module("ziggie_image_providers.diffusers.pipeline")
    tiny = importlib.import_module("ziggie_image_providers.builtin.models").FOLDER
    pipeline.diffusers.DiffusionPipeline.from_pretrained(tiny, local_files_only=True)
    for name in ("AutoPipelineForImage2Image", "AutoPipelineForInpainting"):
        getattr(pipeline.diffusers, name)
    importlib.import_module("PIL.ImageFilter")
    importlib.import_module("psutil")


def become(wish: dict[str, Any], streams: Sequence[int], line: socket.socket) -> None:
    """Be as the process that another one was about to become."""
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.setsid()
    os.chdir(wish["folder"])
    os.environ.clear()
    os.environ.update(wish["env"])
    sys.argv = ["-m", *wish["arguments"]]
    sys.path[0] = wish["folder"]
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), encoding)  # noqa: SIM115
    for place, name in ((1, "stdout"), (2, "stderr")):
        raw = open(place, "wb", closefd=False)  # noqa: SIM115
        last = errors or ("strict" if place == 1 else "backslashreplace")
        setattr(sys, name, io.TextIOWrapper(raw, encoding, last, line_buffering=place == 2))
    threading.Thread(target=die_with, args=[line], daemon=True).start()


def die_with(line: socket.socket) -> None:
    """Die when the process that lent its streams is dead."""
    with suppress(OSError):
        line.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


def run(program: str) -> NoReturn:
    """Run to the end, in all but the freeing of what is in memory: which takes half of the time."""
    code: object = 0
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as e:
        code = e.code
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    if isinstance(code, str):
        print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else bool(code))


if __name__ == "__main__":
    _wish = ForkServer(sys.argv[1], socket.socket(fileno=int(sys.argv[2]))).serve()
    if _wish is not None:
        run(_wish["program"])
