"""The jobs that run in this process now."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from ziggie_image_mcp.jobs.records import JobOutcome


@dataclass
class RunningJob:
    """A job that runs in this process."""

    id: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Cancelling it stops the job."""
    granted: anyio.Event = field(default_factory=anyio.Event)
    """The device for which it waits is its own."""
    changed: anyio.Event = field(default_factory=anyio.Event)
    """Replaced at each report."""
    finished: anyio.Event = field(default_factory=anyio.Event)
    """This process has done with it."""
    entered: bool = False
    """It has an entry in the device queue."""
    taken_up: bool = False
    """A process that died worked on it before."""
    moved: bool = False
    """Another process took this one for dead, and took the job up."""
    device: str = ""
    """For which it waits, by its name among all hosts."""
    fraction: float = 0.0
    message: str = ""
    outcome: JobOutcome | None = None

    def report(self, fraction: float, message: str) -> None:
        """Wake those that wait in this process."""
        self.fraction, self.message = fraction, message
        self.changed.set()
        self.changed = anyio.Event()


RunningJobs = dict[str, RunningJob]
"""By id."""
