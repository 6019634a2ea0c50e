"""One worker process, from its start to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import anyio

from ziggie_image_mcp import __version__
from ziggie_image_mcp.provider.systems import own_group
from ziggie_image_providers.diffusers import cpu_share, wire

WORKER = "ziggie_image_providers.diffusers.worker"
LEAVE = 1.0
"""Seconds in which a process that has closed its pipe must be gone."""

TAIL = 8192
"""Bytes kept of what the worker last wrote to stderr."""


class Ended(Exception):
    """Raised when the worker is gone."""

    def __init__(self, returncode: int, last_words: str, unreadable: str = "") -> None:
        super().__init__(f"ended with {returncode}")
        self.returncode = returncode
        self.last_words = last_words
        self.unreadable = unreadable
        """Why its answers could not be read, and it was killed for that; empty where they could."""

    @property
    def is_crash(self) -> bool:
        """Whether it died of itself: nobody ended it, as far as can be told."""
        return not self.unreadable and self.returncode not in (0, -9)

    @property
    def manner(self) -> str:
        """How it ended, in words."""
        if self.returncode < 0:
            try:
                return f"was ended by {signal.Signals(-self.returncode).name}"
            except ValueError:
                return f"was ended by signal {-self.returncode}"
        if self.returncode >= 0xC0000000:  # so Windows says a crash
            return f"crashed with 0x{self.returncode:08X}"
        return f"ended with exit status {self.returncode}"


@dataclass(frozen=True)
class Frame:
    """A message from the worker, and its payload."""

    message: wire.Message
    payload: bytes


class Child:
    """A worker process and the pipes to it. It belongs to the event loop that started it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        requests: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        errors: asyncio.StreamReader,
    ) -> None:
        self._process = process
        self._requests = requests
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._tail = b""
        self._unreadable = ""
        self._readers = (
            asyncio.create_task(self._read(answers)),
            asyncio.create_task(self._drain(errors)),
        )
        self.busy = False
        """A request was sent, and its last message has not come."""
        self.alive = True

    @classmethod
    async def start(cls) -> Child:
        """Start a worker.

        Raises:
            OSError: The operating system would not.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            WORKER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(os.environ),
            **own_group(),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        return cls(process, process.stdin, process.stdout, process.stderr)

    async def send(self, message: wire.Message, payload: bytes = b"") -> None:
        """Send one message; a broken pipe shows in `receive`."""
        self.busy = self.busy or isinstance(message, wire.WorkerRequest)
        try:
            self._requests.write(wire.encode(message, payload))
            await self._requests.drain()
        except ConnectionError:
            return  # `receive` raises Ended, which says more

    async def receive(self) -> Frame:
        """Wait for the next message. May be cancelled without losing one.

        Raises:
            Ended: The worker is gone.
        """
        frame = await self._frames.get()
        if frame is None:
            self._frames.put_nowait(None)  # whoever asks again hears the same
            self.busy = False
            await self.stop(LEAVE)
            last = [line for line in self._tail.decode(errors="replace").splitlines() if line]
            words = last[-1].strip()[:300] if last else ""
            raise Ended(self._process.returncode or 0, words, self._unreadable)
        if isinstance(frame.message, wire.Done | wire.Failed):
            self.busy = False
        return frame

    async def interrupt(self, patience: float) -> None:
        """Make the worker stop its request: ask, wait, then kill."""
        try:
            with anyio.move_on_after(patience, shield=True):
                await self.send(wire.Cancel())
                while self.busy:
                    await self.receive()
        except Ended:
            return
        finally:
            if self.busy:
                self.kill()
        if not self.alive:
            await self.stop(LEAVE)

    async def stop(self, patience: float) -> None:
        """End the process: a closed stdin asks, a kill insists. May be called again."""
        self.alive = False
        self._requests.close()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(patience):
                await self._process.wait()
            self.kill()
            await self._process.wait()
            # A process that the worker left behind may hold the pipes open: do not wait for it.
            await asyncio.wait(self._readers, timeout=1)
            for reader in self._readers:
                reader.cancel()

    def kill(self) -> None:
        """End the process now."""
        self.alive = False
        if self._process.returncode is not None:
            return
        if sys.platform == "win32" or not hasattr(os, "killpg"):
            self._process.kill()
            return
        # Not `Process.kill`: it polls first, and so takes the exit status away from asyncio.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _read(self, answers: asyncio.StreamReader) -> None:
        try:
            await answers.readuntil(wire.GREETING)
            version = (await answers.readline()).strip()
            if version != __version__.encode():
                theirs = version.decode(errors="replace")
                self._unreadable = (
                    f"It is of ziggie-image-mcp {theirs}, and this server of {__version__}: "
                    "start the server anew."
                )
                raise ValueError(theirs)
            while True:
                lengths = await answers.readexactly(wire.LENGTHS.size)
                header, payload = wire.check_lengths(lengths)
                message = wire.decode(await answers.readexactly(header))
                self._frames.put_nowait(Frame(message, await answers.readexactly(payload)))
        except (asyncio.IncompleteReadError, OSError):
            pass  # the worker is gone, and `receive` says so
        except (asyncio.LimitOverrunError, ValueError):
            self._unreadable = self._unreadable or "Its answer is none that is known here."
            self.kill()
        finally:
            self.alive = False
            self._frames.put_nowait(None)

    async def _drain(self, errors: asyncio.StreamReader) -> None:
        while chunk := await errors.read(65536):
            self._tail = (self._tail + chunk)[-TAIL:]


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Say what the worker's environment is: this one, quiet, fair and without the network."""
    return {
        **own,
        **cpu_share.waiting(own),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as the driver counts, by which the card was chosen
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DIFFUSERS_VERBOSITY": "error",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUTF8": "1",
    }
