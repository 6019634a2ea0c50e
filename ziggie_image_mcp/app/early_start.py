"""Start engines that take seconds to start, while it is being decided which model is taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.provider.contract import Provider, StartsAhead
from ziggie_image_mcp.routing.request import ImageRequest

_log = logging.getLogger(__name__)


class EarlyStarts:
    """What was started ahead of a decision, and is stopped where the decision is another.

    A provider that the last decision of this process did not choose is not started ahead of the
    next one. Belongs to one event loop.

    Args:
        providers: Gives those that there are, by name.
    """

    def __init__(self, providers: Callable[[], Mapping[str, Provider]]) -> None:
        self._providers = providers
        self._chosen: frozenset[str] | None = None
        """By the last decision; None before the first."""
        self._started: dict[str, asyncio.Task[None]] = {}

    def begin(self, config: Config, requests: Sequence[ImageRequest]) -> None:
        """Start what these requests may need; returns at once."""
        if not (config.enabled and requests):
            return
        for name, provider in self._providers().items():
            pins = {config.provider, requests[0].provider or "auto"} - {"auto", "local", name}
            passed_over = self._chosen is not None and name not in self._chosen
            if isinstance(provider, StartsAhead) and not (pins or passed_over):
                before = self._started.get(name)
                if before is None or before.done():
                    start = _quietly(provider.start_ahead(requests[0].model))
                    self._started[name] = asyncio.get_running_loop().create_task(start)

    async def settle(self, chosen: Iterable[str]) -> None:
        """Stop what the decision did not choose."""
        self._chosen = frozenset(chosen)
        for name in self._started.keys() - self._chosen:
            start, provider = self._started.pop(name), self._providers().get(name)
            if isinstance(provider, StartsAhead):
                await start
                await _quietly(provider.stand_down())


async def _quietly(act: Awaitable[None]) -> None:
    """Nothing depends on it: the request itself starts what it needs, and says what is wrong."""
    try:
        await act
    except Exception:  # foreign code
        _log.debug("an engine could not be started ahead, or stopped", exc_info=True)
