"""The jobs that run in this process now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import anyio

from ziggie_image_mcp.billing.charge import Charge
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.jobs.records import JobOutcome
from ziggie_image_mcp.provider.nouns import Preview


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
    """Another process has taken the job up, or will: this one ends, or was taken for dead."""
    charge: Charge | None = None
    """The call that it makes now, where that costs money."""
    config: Config | None = None
    """The settings by which its routes were chosen."""
    costs: dict[str, int] = field(default_factory=dict[str, int])
    """What its attempts of this process cost, 1e-6 USD, by their names."""
    device: str = ""
    """For which it waits, by its name among all hosts."""
    fraction: float = 0.0
    message: str = ""
    outcome: JobOutcome | None = None

    @property
    def is_paying(self) -> bool:
        """Whether a call was sent that is paid for, and whose answer has not come."""
        return self.charge is not None and self.charge.sent

    @property
    def can_be_fetched(self) -> bool:
        """Whether another process can get that answer too."""
        return self.charge is not None and bool(self.charge.remote_id)

    async def leave_to_others(self) -> NoReturn:
        """Stop here, and record nothing: another process goes on where it stands."""
        self.moved = True
        self.scope.cancel()
        while True:
            await anyio.sleep_forever()  # until the scope ends it

    def report(self, fraction: float, message: str) -> None:
        """Wake those that wait in this process."""
        self.fraction, self.message = fraction, message
        self.changed.set()
        self.changed = anyio.Event()


class RunningJobs(dict[str, RunningJob]):
    """By id."""

    leaving = False
    """The process is to end: it sends nothing more that costs money."""
    left_some = False
    """It has left a job to others."""
    show: Callable[[str, bytes], None] | None = None
    """Takes pictures of the unfinished work with their job's id, where somebody here looks at them.
    None of them is kept, or told to a model."""

    def preview_of(self, job_id: str) -> Preview | None:
        """What a job shows its pictures to; None where nobody looks."""
        return None if self.show is None else partial(self.show, job_id)
