"""Let Replicate's SDK travel over our HTTP client. Loads the SDK; import it only when needed.

The SDK (1.0.7) is kept to what it does well: it says how predictions are created and cancelled. It
retries nothing, sees no failing status and no token, and reads no answer for us: it raises on the
status `aborted`, and drops what a refusal says beyond its title.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from replicate.client import Client

from ziggie_image_mcp.provider.http import Answer, HttpClient


class Bridge(httpx.AsyncBaseTransport):
    """Sends the SDK's requests with our client, which adds address and token, and raises."""

    def __init__(self, http: HttpClient, *, paid: bool, seconds: float) -> None:
        self.answer: Answer | None = None
        """What came back, as it came."""
        self._http, self._paid, self._seconds = http, paid, seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, once."""
        content = await request.aread()
        self.answer = await self._http.post_once(
            request.url.path,
            json=json.loads(content) if content else None,
            paid=self._paid,
            seconds=self._seconds,
        )
        return httpx.Response(self.answer.status, content=self.answer.content, request=request)


async def create(
    http: HttpClient, model: str, inputs: Mapping[str, Any], *, paid: bool, seconds: float
) -> Answer | None:
    """Order a prediction, once.

    Raises:
        ProviderError: Replicate said no, or nobody knows what it said.
    """
    name, _, version = model.partition(":")
    sdk, bridge = _open(http, paid=paid, seconds=seconds)
    with _unread(bridge):
        if version:
            await sdk.predictions.async_create(version=version, input=dict(inputs))
        else:
            await sdk.models.predictions.async_create(model=name, input=dict(inputs))
    return bridge.answer


async def cancel(http: HttpClient, id: str, *, seconds: float) -> Answer | None:
    """Ask for a prediction to be stopped.

    Raises:
        ProviderError: Replicate said no, or did not answer.
    """
    sdk, bridge = _open(http, paid=False, seconds=seconds)
    with _unread(bridge):
        await sdk.predictions.async_cancel(id)
    return bridge.answer


def _open(http: HttpClient, *, paid: bool, seconds: float) -> tuple[Client, Bridge]:
    bridge = Bridge(http, paid=paid, seconds=seconds)
    placeholder = "-"
    return Client(api_token=placeholder, base_url="https://sdk.invalid", transport=bridge), bridge


@contextmanager
def _unread(bridge: Bridge) -> Generator[None]:
    """Let it pass when the SDK cannot read an answer that came: we may."""
    try:
        yield
    except Exception:
        if bridge.answer is None:
            raise
