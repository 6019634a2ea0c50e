"""Say what it means that a request got no answer, or one that asks to wait."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast

import httpx2

from ziggie_image_mcp.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from ziggie_image_mcp.provider.addresses import public_url
from ziggie_image_mcp.provider.json_paths import values

NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)
"""Failures before a request went out: a paid job that met one of these was not charged."""


_IS_PLAIN = re.compile("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST", re.IGNORECASE)
"""What OpenSSL says, by its version, where no TLS comes back."""
_WANTS_TLS = re.compile(
    rb"HTTP request was sent to HTTPS port|HTTP request to an HTTPS server", re.IGNORECASE
)


def says_tls(content: bytes) -> bool:
    """Whether an answer only says that the address should begin with https, as nginx and Go do."""
    return _WANTS_TLS.search(content) is not None


def transport_error(
    provider: str,
    error: httpx2.RequestError | httpx2.InvalidURL | TimeoutError,
    url: str,
    fix: str = "",
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
            provider,
            f"the TLS certificate of {where} is not trusted; set providers.{provider}.caFile, or"
            " add it to the trust store",
        )
    if isinstance(error, httpx2.ConnectError) and _IS_PLAIN.search(str(error)):
        return ProviderUnavailable(
            provider, f"{where} does not speak TLS; write http:// in providers.{provider}.baseUrl"
        )
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return ProviderUnavailable(provider, f"nothing answers at {where}{then}")
    if isinstance(error, httpx2.ProxyError):
        return ProviderUnavailable(
            provider, f"the proxy did not lead to {where}; check HTTP_PROXY and NO_PROXY"
        )
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return ProviderTimeout(provider, f"{where} answered too late")
    if isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError):
        if where.startswith("http:"):  # what speaks TLS hangs up on who does not
            then += f"; where it speaks TLS, write https:// in providers.{provider}.baseUrl"
        return ProviderUnavailable(provider, f"{where} broke the connection{then}")
    return ProviderUnavailable(
        provider, f"{where} could not be asked ({type(error).__name__}); check the base URL"
    )


def wait_asked(headers: Mapping[str, str], body: object = None) -> float | None:
    """Seconds that an answer asks for by `Retry-After`, `Retry-After-Ms` or its body; or None."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    header = headers.get("retry-after", "").strip()
    seconds = _number(header)
    if seconds is None and header:
        try:
            when = parsedate_to_datetime(header)
        except ValueError:
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    if seconds is None and isinstance(body, dict):
        facts = cast("dict[str, object]", body)
        told = _number(facts.get("retry_after"))
        return told if told is not None else _retry_delay(facts)
    return seconds


def _retry_delay(body: Mapping[str, object]) -> float | None:
    """Google's way of saying it: RetryInfo among the details, as `13s`."""
    for told in values(body, "error.details[].retryDelay"):
        if isinstance(told, str) and told.endswith("s"):
            return _number(told[:-1])
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
