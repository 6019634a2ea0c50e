"""Turn what goes wrong over HTTP into our errors, once for all providers."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)

NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)
"""Failures before a request went out: a paid job that met one of these was not charged."""


def public_url(url: str | httpx2.URL) -> str:
    """Write an address without user, password, query and fragment, fit for a message.

    >>> public_url("http://me:secret@host:8188/comfy/?token=x")
    'http://host:8188/comfy'
    """
    parsed = httpx2.URL(url)
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{host}{port}{parsed.path.rstrip('/')}"


def is_loopback(url: str | httpx2.URL) -> bool:
    """Tell whether an address is this machine, going by its name alone."""
    host = httpx2.URL(url).host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the `Retry-After` header asks for, or None when it does not say."""
    header = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except ValueError:
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if seconds < float("inf") else None


def status_error(provider: str, response: httpx2.Response, detail: str = "") -> ProviderError:
    """Say what a failing status means.

    Args:
        provider: The provider's name.
        response: The answer; its body is not quoted, it may hold anything.
        detail: What the provider made of the body, one sentence fit for the caller.
    """
    status, where = response.status_code, public_url(response.request.url)
    header = f" {detail}" if detail else ""
    if status in (401, 403):
        return AuthenticationFailed(
            provider, f"{where} refused access (HTTP {status}); check the key or headers.{header}"
        )
    if status == 402:
        return PaymentRequired(provider, f"{where} wants the account topped up (HTTP 402).{header}")
    if status == 429:
        wait = retry_after(response)
        when = f"try again in {wait:.0f} s" if wait is not None else "try again later"
        return RateLimited(provider, f"{where} asks to wait (HTTP 429); {when}.{header}", wait)
    if status in (408, 504):
        return ProviderTimeout(provider, f"{where} answered too late (HTTP {status}).{header}")
    if status in (400, 409, 413, 415, 422):
        why = header or " It did not say why."
        return RequestRejected(provider, f"{where} refused the request (HTTP {status}).{why}")
    if status in (404, 405, 410):
        return ProviderUnavailable(
            provider, f"{where} is not there (HTTP {status}); check the base URL.{header}"
        )
    if status >= 500:
        return ProviderUnavailable(
            provider, f"{where} failed (HTTP {status}); look at the server's log.{header}"
        )
    return ProviderError(provider, f"{where} answered HTTP {status}.{header}")


def transport_error(
    provider: str, error: httpx2.RequestError | httpx2.InvalidURL, url: str, fix: str = ""
) -> ProviderError:
    """Say what it means that there was no answer at all.

    Args:
        provider: The provider's name.
        error: What the HTTP client raised; its text is not quoted.
        url: The address that was asked.
        fix: What to do when nothing answers there.
    """
    where = public_url(url)
    then = f"; {fix}" if fix else ""
    if isinstance(error, httpx2.ConnectError) and "CERTIFICATE" in str(error).upper():
        return ProviderUnavailable(
            provider, f"the TLS certificate of {where} is not trusted; add it to the trust store"
        )
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return ProviderUnavailable(provider, f"nothing answers at {where}{then}")
    if isinstance(error, httpx2.ProxyError):
        return ProviderUnavailable(
            provider, f"the proxy did not lead to {where}; check HTTP_PROXY and NO_PROXY"
        )
    if isinstance(error, httpx2.TimeoutException):
        return ProviderTimeout(provider, f"{where} answered too late")
    if isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError):
        return ProviderUnavailable(provider, f"{where} broke the connection{then}")
    return ProviderUnavailable(
        provider, f"{where} could not be asked ({type(error).__name__}); check the base URL"
    )
