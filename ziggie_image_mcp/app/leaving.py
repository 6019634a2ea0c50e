"""End a process in order: finish what is paid for, hand over what another can fetch, and say so."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import anyio

from ziggie_image_mcp.jobs.running import RunningJob
from ziggie_image_mcp.jobs.scheduler import Scheduler, silent
from ziggie_image_mcp.provider.systems import own_group

GRACE_SECONDS = 30.0
"""How long a process that is to end waits for an answer that is paid for and that only it can get.
A second Ctrl-C ends it at once."""

HAND_OVER_SECONDS = 1.5
"""The same for what another process can fetch as well: clients kill a server that is still there
two seconds after they closed its input."""

RECORD_SECONDS = 2.0
"""How long it waits until the end of a job is recorded."""

LOOK_SECONDS = 0.05

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Ending:
    """Whether this process is to end. A signal or the end of its input says so."""

    def __init__(self) -> None:
        self._begun = anyio.Event()
        self.hurried = False
        """Somebody is out of patience."""
        self.signal = 0
        """The one that came; 0 where none did."""

    def begin(self) -> None:
        """The process is to end in order."""
        self._begun.set()

    def take_signal(self, number: int) -> None:
        """The same by a signal. Of Ctrl-C the second means at once."""
        self.hurried = self.hurried or self.signal == number == signal.SIGINT
        self.signal = number
        self._begun.set()

    async def wait(self) -> None:
        """Wait until the process is to end."""
        await self._begun.wait()


@contextmanager
def signals() -> Generator[Ending]:
    """Take this process' signals for the time of the block, on every system alike."""
    ending, loop = Ending(), asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(ending.take_signal, number)

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def finish_paid(
    scheduler: Scheduler, ending: Ending, answered: Callable[[], Awaitable[None]]
) -> list[RunningJob]:
    """Wait for the answers that are paid for, and send nothing more; the jobs still without one.

    `answered` waits until the clients have theirs.
    """
    scheduler.leave()
    started, told = anyio.current_time(), dict[str, RunningJob]()
    while paying := scheduler.paying():
        new = [job for job in paying if job.id not in told]
        if new:
            told |= {job.id: job for job in new}
            tell(f"Leaving when what is paid for has come: {_names(new)}")
        waited = anyio.current_time() - started
        worth_it = any(
            waited < (HAND_OVER_SECONDS if job.can_be_fetched else GRACE_SECONDS) for job in paying
        )
        if ending.hurried or not worth_it:
            break
        await anyio.sleep(LOOK_SECONDS)
    left = [job for job in told.values() if job.is_paying]
    done = [job for job in told.values() if not job.is_paying]
    for job in done:
        await scheduler.wait(job.id, RECORD_SECONDS, silent)
    if done:
        await answered()
        tell(f"What was paid for has come, and is kept: {_names(done)}")
    return left


def hand_over(jobs: Sequence[RunningJob], config_file: Path | None) -> None:
    """Leave jobs to another process of this machine. One is started, for others may leave too."""
    lost = [job for job in jobs if not job.can_be_fetched]
    if lost:
        tell(
            "Paid for, and no answer has come; the next server asks the vendor what became of it: "
            + _names(lost)
        )
    fetched = [job for job in jobs if job.can_be_fetched]
    if not fetched:
        return
    start_finisher([job.id for job in fetched], config_file)
    who = "another server, or a process that was started for it, fetches it"
    tell(f"Paid for, and still being made; {who}: {_names(fetched)}")


def tell(text: str) -> None:
    """Say something to the operator: stdout belongs to the protocol."""
    with suppress(OSError, ValueError):  # who closed it reads nothing
        print(text, file=sys.stderr, flush=True)


def _names(jobs: Sequence[RunningJob]) -> str:
    return ", ".join(job.id for job in jobs)


def start_finisher(job_ids: Sequence[str], config_file: Path | None) -> None:
    """A process that outlives this one and its client, takes the jobs up, and ends after them."""
    command = [sys.executable, "-m", "ziggie_image_mcp"]
    if config_file is not None:
        command += ["--config", str(config_file.absolute())]
    subprocess.Popen(  # noqa: S603  ourselves
        [*command, "finish", *job_ids],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **own_group(detached=True),
    )
