"""Open a websocket to a backend as its HTTP client speaks to it: same host, keys, certificates."""

from __future__ import annotations

import logging
import ssl

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from ziggie_image_mcp.errors import ProviderTimeout, ProviderUnavailable, duration
from ziggie_image_mcp.provider.http import Answer, HttpClient

_quiet = logging.getLogger(f"{__name__}.websocket")
_quiet.setLevel(logging.INFO)  # at DEBUG it would write our headers, and keys are among them

OPEN_SECONDS = 3.0
PING_SECONDS = 20.0
"""How often the other side is asked for a sign of life, and how long it may wait for it."""
CLOSE_SECONDS = 0.4


async def open_socket(
    provider: str,
    http: HttpClient,
    path: str,
    *,
    max_bytes: int,
    seconds: float = OPEN_SECONDS,
) -> ClientConnection:
    """Connect; nothing has been sent yet. Redirects are not followed.

    Args:
        provider: The provider's name.
        http: Of the backend.
        path: Below its base URL.
        max_bytes: How long one message may be; after a longer one the connection is closed.
        seconds: How long connecting may take.

    Raises:
        ProviderError: It did not come about.
    """
    headers = await http.sent_headers()
    try:
        with anyio.fail_after(seconds):
            return await OneConnection(
                f"ws{http.url.removeprefix('http')}/{path}",
                ssl=certificate_check(http),
                additional_headers=headers,
                proxy=True if http.proxied else None,
                create_connection=AbortingConnection,
                compression=None,
                logger=_quiet,
                max_size=max_bytes,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=CLOSE_SECONDS,
                open_timeout=None,
            )
    except InvalidStatus as e:
        response = e.response
        answer = Answer(
            status=response.status_code,
            content=bytes(response.body or b""),
            headers={name.lower(): value for name, value in response.headers.raw_items()},
        )
        raise http.error(answer, await http.keys()) from e
    except TimeoutError as e:
        what = f"{http.url} gave no websocket within {duration(seconds)}"
        raise ProviderTimeout(provider, what) from e
    except (OSError, ValueError, ImportError, WebSocketException) as e:
        # ValueError, ImportError: a header or a proxy that the library cannot use.
        what = (
            f"{http.url} gave no websocket ({type(e).__name__}); see whether it runs, and whether"
        )
        raise ProviderUnavailable(provider, f"{what} a proxy before it lets them through") from e


def certificate_check(http: HttpClient) -> ssl.SSLContext | None:
    """How the certificate is checked; None leaves it to the default."""
    tls = http.tls()
    if tls is True or not http.url.startswith("https"):
        return None
    if isinstance(tls, ssl.SSLContext):
        return tls
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class AbortingConnection(ClientConnection):
    """A connection that is cut where too much comes: else it would be read on till its end."""

    def data_received(self, data: bytes) -> None:
        """Take what comes in, up to what cannot be read."""
        super().data_received(data)
        if self.protocol.parser_exc is not None:
            self.transport.abort()


class OneConnection(connect):
    """A connection that follows no redirects, as they would carry our headers elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Take a redirect for the failure that it is here."""
        return exc
