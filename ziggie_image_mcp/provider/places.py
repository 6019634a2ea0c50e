"""Find a local engine at the addresses where its kind listens by itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import anyio

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    NotReady,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    WrongService,
)

FIRST_SECONDS, USUAL_SECONDS, KNOWN_SECONDS = 1.0, 1.7, 10.0
"""What an engine may take to tell what it is: where it may be, where it is by itself, and where it
is said to be or was before: it may be busy there. A probe takes less, of its own accord."""

LEFT_ALONE_SECONDS = 30.0
"""How long an address that was silent, or another service's, is left alone, where there are
others: to ask it what it is takes twenty questions."""


class Connection(Protocol):
    """What speaks with one address."""

    async def aclose(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Connection)
T = TypeVar("T")


class Places(Generic[C]):
    """The addresses of one provider, of which one is taken.

    Args:
        provider: The provider's name.
        urls: Where its engine may be, the usual address first.
        connect: Gives the connection to one of them; opens nothing.
    """

    def __init__(self, provider: str, urls: Sequence[str], connect: Callable[[str], C]) -> None:
        self._provider = provider
        self._connections = {url: connect(url) for url in urls}
        self._urls = tuple(self._connections)
        self._taken = self._urls[0]
        self._left_alone: dict[str, tuple[float, ProviderError | None]] = {}
        """Until when, and what was said there."""
        self._was_here = False

    @property
    def taken(self) -> C:
        """The connection to the one that answered last; to the usual one before."""
        return self._connections[self._taken]

    async def find(self, identify: Callable[[C, float], Awaitable[T]]) -> T:
        """Ask at all addresses at once; the first of them, in their order, whose answer is right.

        Where one was right before, it is asked alone, and the others once it is not.

        Args:
            identify: Tells within these seconds what answers there.

        Raises:
            NotReady: One is there, and makes no pictures for us.
            AuthenticationFailed: One is there, and wants a login.
            ProviderError: None is there; what was said at the usual address.
        """
        if len(self._urls) == 1:
            return await identify(self.taken, KNOWN_SECONDS)
        if self._was_here:
            try:
                return await identify(self.taken, KNOWN_SECONDS)
            except ProviderTimeout:
                raise  # it is loading a model, and answers again when that is done
            except ProviderError:
                self._was_here = False
        right: dict[str, T] = {}
        errors: dict[str, ProviderError] = {}

        async def look(url: str) -> None:
            until, said = self._left_alone.get(url, (0.0, None))
            if until > time.monotonic():
                if said is not None:
                    errors[url] = said
                return
            seconds = USUAL_SECONDS if url == self._urls[0] else FIRST_SECONDS
            try:
                with anyio.fail_after(seconds):
                    right[url] = await identify(self._connections[url], seconds)
            except (TimeoutError, ProviderTimeout):
                self._left_alone[url] = time.monotonic() + LEFT_ALONE_SECONDS, None
            except WrongService as e:
                self._left_alone[url] = time.monotonic() + LEFT_ALONE_SECONDS, e
                errors[url] = e
            except ProviderError as e:
                errors[url] = e

        async with anyio.create_task_group() as group:
            for url in self._urls:
                group.start_soon(look, url)
        first = next((url for url in self._urls if url in right), "")
        self._taken = first or self._urls[0]
        if first:
            self._was_here = True
            return right[first]
        raise self._error(errors)

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            await connection.aclose()

    def _error(self, errors: dict[str, ProviderError]) -> ProviderError:
        usual = self._urls[0]
        in_order = [errors[url] for url in self._urls if url in errors]
        telling = (e for e in in_order if isinstance(e, NotReady | AuthenticationFailed))
        error = next(telling, None) or errors.get(usual)
        what = f"what listens at {usual} does not answer"
        return error or ProviderUnavailable(self._provider, what)
