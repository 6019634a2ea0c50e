"""The template of an engine of the user's own, reached over HTTP."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar, Generic, TypeVar

import anyio

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    EngineCrashed,
    ModelMissing,
    ModelUnusable,
    ProviderError,
    ProviderUnavailable,
    WrongService,
    duration,
)
from ziggie_image_mcp.provider import pricing
from ziggie_image_mcp.provider.contract import CONTRACT, PROBE_SECONDS, ProviderContext
from ziggie_image_mcp.provider.nouns import Balance, Model, Probe, ProviderRequest
from ziggie_image_mcp.provider.pricing import Estimate
from ziggie_image_mcp.provider.settings import ProviderSettings

DEFAULT_SECONDS = 600.0
"""What a job may take: of the engine's own work, without its queue."""

FRESH_SECONDS, OLD_SECONDS = 1.0, 30.0
"""How long a listing serves for who lists, and for a request of a model that is in it."""

L = TypeVar("L")


class LocalEngine(Generic[L]):
    """What such engines have in common: being looked at, and a listing that serves for a while.

    Args:
        name: The provider's name.
        settings: Its section of config.json.
        context: As every provider gets it.
    """

    contract: ClassVar[int] = CONTRACT

    def __init__(self, name: str, settings: ProviderSettings, context: ProviderContext) -> None:
        self.name = name
        self.seconds = settings.timeout or context.timeout or DEFAULT_SECONDS
        self._listing: tuple[float, L] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it is, as messages write it."""

    @abstractmethod
    async def look(self) -> Probe:
        """How it is now; `probe` says what a failure means.

        Raises:
            ProviderError: Nothing answers, or not to us.
        """

    @abstractmethod
    async def read(self) -> L:
        """All that it lists.

        Raises:
            ProviderError: It cannot be asked.
        """

    def forget(self) -> None:
        """Sometimes extended: what comes up next at this address may be another one."""
        self._listing = None

    @property
    def latest(self) -> L | None:
        """What it listed last, however long ago."""
        return self._listing[1] if self._listing else None

    async def listing(self, seconds: float) -> L:
        """What it lists, as of so many seconds ago at most.

        Raises:
            ProviderError: It cannot be asked.
        """
        if self._listing is None or time.monotonic() - self._listing[0] >= seconds:
            listed = await self.read()
            self._listing = time.monotonic(), listed
        return self._listing[1]

    def forget_after(self, error: BaseException) -> None:
        """Forget what it was, where an error says that it may be another one now."""
        if isinstance(error, EngineCrashed | ProviderUnavailable | ModelMissing):
            self.forget()

    def check_usable(self, model: Model) -> None:
        """Refuse a model that is listed and cannot be run.

        Raises:
            ModelUnusable: Nothing helps.
            ModelMissing: Files are missing.
        """
        if model.state == "unusable":
            raise ModelUnusable(self.name, f"{model.id}: {model.fix}")
        if model.state == "missing":
            raise ModelMissing(self.name, f"{model.id}: {model.fix}")

    async def probe(self) -> Probe:
        """Whether it is there, and as what."""
        return await probed(self.url, self.look)

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """Nothing for what it makes itself; else what the user's row says."""
        return pricing.estimate(request, model)

    async def balance(self) -> Balance | None:
        """There is no account."""
        return None


class LateTasks:
    """Work that goes on behind the call that began it, and ends with the provider."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it go on."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """End all of it. May be called twice."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def probed(url: str, look: Callable[[], Awaitable[Probe]]) -> Probe:
    """How a backend is, where looking may fail or take too long.

    Args:
        url: Where it is, as messages write it.
        look: Looks.
    """
    try:
        with anyio.fail_after(PROBE_SECONDS - 0.1):
            return await look()
    except WrongService as e:
        return Probe(state="wrong_service", message=str(e))
    except AuthenticationFailed as e:
        return Probe(state="unauthorised", message=str(e))
    except ProviderError as e:
        return Probe(state="unreachable", message=str(e))
    except TimeoutError:
        message = f"{url} did not answer within {duration(PROBE_SECONDS)}"
        return Probe(state="unreachable", message=message)
