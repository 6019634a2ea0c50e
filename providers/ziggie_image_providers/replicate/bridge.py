"""Let Replicate's SDK travel over our HTTP client. Loads the SDK; import it only when needed."""

from __future__ import annotations

import httpx
import httpx2
from replicate.client import Client as Sdk

from ziggie_image_providers.replicate.client import Refused, passed_on


class Bridge(httpx.AsyncBaseTransport):
    """Sends the SDK's requests with our client. Its `answers` are kept as they came.

    A failing status is raised here, so that the SDK never sees one that it would retry.
    """

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self.answers: list[httpx2.Response] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, once."""
        answer = await self._http.request(
            request.method,
            str(request.url),
            content=await request.aread(),
            headers=passed_on(request),
        )
        if not answer.is_success:
            raise Refused(answer)
        self.answers.append(answer)
        return httpx.Response(answer.status_code, content=answer.content, request=request)


def make(http: httpx2.AsyncClient, token: str, base_url: str) -> tuple[Sdk, Bridge]:
    """An SDK client for one call."""
    bridge = Bridge(http)
    return Sdk(api_token=token, base_url=base_url, transport=bridge), bridge
