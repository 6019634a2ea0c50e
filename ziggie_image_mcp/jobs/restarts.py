"""Wait for an engine that went away while it worked on a job."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from ziggie_image_mcp.errors import EngineGone, ImageError, ProviderUnavailable
from ziggie_image_mcp.inventory import engine_status
from ziggie_image_mcp.provider.contract import Provider

Report = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class RestartPatience:
    """How long, and how often in one attempt, an engine is waited for. Seconds."""

    longest: float = 300.0
    """The deadline ends it earlier."""
    first_pause: float = 0.25
    longest_pause: float = 3.0
    most: int = 2
    """A job that brings its engine down each time must end."""

    def may_help(self, error: ImageError, *, waits: int, free: bool, last: bool) -> bool:
        """Whether it may help to wait: only where sending it again costs nothing.

        Args:
            error: How the latest try ended.
            waits: How often the engine was waited for.
            free: Whether the route costs nothing.
            last: Whether no other provider's route is open.
        """
        away = isinstance(error, EngineGone | ProviderUnavailable)
        return away and free and last and waits < self.most

    async def wait(
        self, provider: Provider, error: ImageError, *, seconds: float, report: Report
    ) -> bool:
        """Wait until the engine answers again; whether it is of use to ask it once more.

        What refused the job although it answers is not gone: that is `retry`'s to decide.
        """
        until = time.monotonic() + min(seconds, self.longest)
        pause, away = self.first_pause, isinstance(error, EngineGone)
        while (await engine_status.look_at(provider)).state != "ready":
            away = True
            if time.monotonic() + pause >= until:
                return False
            report(0.0, f"{provider.name} went away; waiting until it answers again")
            await anyio.sleep(pause)
            pause = min(2 * pause, self.longest_pause)
        return away
