"""Speak to Replicate's API: predictions through its SDK, everything else directly.

The SDK (1.0.7) is kept to what it does well. It creates and cancels predictions; it travels over
our own HTTP client, so that it retries nothing, trusts the same certificates, and hands us each
answer as it came. It reads no answer for us: it raises on the status `aborted`, and drops what a
refusal says beyond its title.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import httpx2
from pydantic import BaseModel, Field, ValidationError

from ziggie_image_mcp.errors import DependencyMissing

if TYPE_CHECKING:
    import httpx
    from replicate.client import Client as Sdk

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
ENDED = ("succeeded", "failed", "canceled", "aborted")

_NOT_PASSED_ON = ("host", "content-length", "accept-encoding", "connection", "transfer-encoding")


class Metrics(BaseModel):
    """What a finished prediction took."""

    image_count: int | None = None


class Prediction(BaseModel):
    """The state of a prediction, as much of it as we need."""

    id: str = Field(min_length=1)
    status: str
    output: Any = None
    error: Any = None
    metrics: Metrics | None = None
    data_removed: bool | None = None


class Refused(Exception):
    """Raised when Replicate answers with a failing status."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__(f"HTTP {answer.status_code}")
        self.answer = answer


class Client:
    """One account's connections. The token is given with each call, and kept nowhere."""

    def __init__(
        self, name: str, base_url: str, transport: httpx2.AsyncBaseTransport | None
    ) -> None:
        self.base_url = base_url
        self._name = name
        self._transport = transport
        self._http: httpx2.AsyncClient | None = None

    def http(self) -> httpx2.AsyncClient:
        """The HTTP client; it carries no token, so pictures can be fetched with it too."""
        if self._http is None:
            self._http = httpx2.AsyncClient(
                transport=self._transport,
                timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
                follow_redirects=False,
            )
        return self._http

    async def aclose(self) -> None:
        """Close the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    def check(self) -> None:
        """Tell whether the SDK is installed, without loading it.

        Raises:
            DependencyMissing: It is not.
        """
        if importlib.util.find_spec("replicate") is None:
            raise self._missing("is not installed")

    async def load(self) -> None:
        """Load the SDK now, so that nothing waits for it later.

        Raises:
            DependencyMissing: It cannot be loaded.
        """
        await anyio.to_thread.run_sync(self._load)

    async def create(self, model: str, inputs: Mapping[str, Any], token: str) -> Prediction | None:
        """Order a prediction, once. None when the answer cannot be read, though it was a success.

        Raises:
            DependencyMissing: The SDK is not installed.
            Refused: Replicate said no.
            httpx2.RequestError: There was no answer.
        """
        name, _, version = model.partition(":")

        async def create(sdk: Sdk) -> object:
            if version:
                return await sdk.predictions.async_create(version=version, input=dict(inputs))
            return await sdk.models.predictions.async_create(model=name, input=dict(inputs))

        return await self._through_sdk(create, token)

    async def cancel(self, id: str, token: str) -> Prediction | None:
        """Ask for a prediction to be stopped, and tell what became of it, where that can be read.

        Raises:
            DependencyMissing: The SDK is not installed.
            Refused: Replicate said no.
            httpx2.RequestError: There was no answer.
        """

        async def stop(sdk: Sdk) -> object:
            return await sdk.predictions.async_cancel(id)

        return await self._through_sdk(stop, token)

    async def look(self, id: str, token: str) -> httpx2.Response:
        """Ask for a prediction's state.

        Raises:
            httpx2.RequestError: There was no answer.
        """
        return await self.http().get(
            f"{self.base_url}/v1/predictions/{id}", headers={"Authorization": f"Bearer {token}"}
        )

    async def _through_sdk(
        self, work: Callable[[Sdk], Awaitable[object]], token: str
    ) -> Prediction | None:
        make = await anyio.to_thread.run_sync(self._load)
        sdk, bridge = make(self.http(), token, self.base_url)
        try:
            await work(sdk)
        except (ValueError, TypeError):  # the SDK could not read the answer; we may
            if not bridge.answers:
                raise
        return read(bridge.answers[-1]) if bridge.answers else None

    def _load(self) -> Callable[[httpx2.AsyncClient, str, str], tuple[Sdk, Any]]:
        try:
            importlib.import_module("replicate")
            from ziggie_image_providers.replicate.bridge import make
        except Exception as e:
            raise self._missing(f"cannot be loaded ({type(e).__name__})") from e
        return make

    def _missing(self, what: str) -> DependencyMissing:
        return DependencyMissing(
            self._name,
            f"the package replicate {what}; install it with"
            ' `pip install "ziggie-image-mcp[replicate]"`',
        )


def read(answer: httpx2.Response) -> Prediction | None:
    """The prediction in an answer, or None when there is none in it."""
    try:
        return Prediction.model_validate_json(answer.content)
    except ValidationError:
        return None


def passed_on(request: httpx.Request) -> dict[str, str]:
    """The headers of the SDK's request that are its own, and not those of a connection."""
    return {k: v for k, v in request.headers.items() if k.lower() not in _NOT_PASSED_ON}
