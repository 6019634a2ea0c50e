"""Fetch finished pictures from the addresses that a model's output names."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

import anyio
import httpx2

from ziggie_image_mcp.provider import http as _http

MAX_BYTES = 40 * 2**20
ATTEMPTS = 3
PAUSE_SECONDS = 1.0
MAX_REDIRECTS = 3
VENDOR_HOSTS = ("replicate.delivery",)
"""Hosts whose addresses are not looked at: a VPN may show them as private ones."""

Resolve = Callable[[str], Awaitable[Sequence[str]]]
Sleep = Callable[[float], Awaitable[None]]


class Lost(Exception):
    """Raised when a picture cannot be fetched; the message is the end of a sentence."""


async def addresses(host: str) -> Sequence[str]:
    """The IP addresses of a host; none when it cannot be resolved here, as behind a proxy."""
    try:
        found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return [str(sockaddr[0]) for *_, sockaddr in found]


async def fetch(
    http: httpx2.AsyncClient,
    url: str,
    *,
    loopback: bool,
    resolve: Resolve = addresses,
    sleep: Sleep = anyio.sleep,
) -> bytes:
    """Fetch one picture. It is asked for without any token, and again when the network fails.

    Args:
        http: A client without default headers.
        url: What the model's output says.
        loopback: Whether the API itself is on this machine, as in tests; then its pictures may be.
        resolve: Gives the addresses of a host.
        sleep: Waits between attempts.

    Raises:
        Lost: The address is not allowed, or the picture is gone, too big or out of reach.
    """
    why = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            await sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            return await _follow(http, url, loopback=loopback, resolve=resolve)
        except httpx2.RequestError as e:
            why = f"could not be fetched ({type(e).__name__})"
        except _Busy as e:
            why = str(e)
    raise Lost(why)


class _Busy(Exception):
    """Raised when asking again may help."""


async def _follow(http: httpx2.AsyncClient, url: str, *, loopback: bool, resolve: Resolve) -> bytes:
    for _ in range(MAX_REDIRECTS + 1):
        await _check(url, loopback=loopback, resolve=resolve)
        async with http.stream("GET", url) as response:
            if response.has_redirect_location:
                url = str(response.url.join(response.headers["location"]))
                continue
            if response.status_code in (403, 404, 410):
                raise Lost(f"are gone (HTTP {response.status_code}): they are kept for an hour")
            if not response.is_success:
                raise _Busy(f"could not be fetched (HTTP {response.status_code})")
            return await _read(response)
    raise Lost("could not be fetched: too many redirects")


async def _check(url: str, *, loopback: bool, resolve: Resolve) -> None:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise Lost("stand at something that is no address") from None
    if loopback and parsed.scheme in ("http", "https") and parsed.host:
        return
    if parsed.scheme != "https" or not parsed.host or parsed.userinfo:
        raise Lost("stand at an address that is not https, so they were not fetched")
    host = parsed.host.lower().rstrip(".")
    if any(host == vendor or host.endswith(f".{vendor}") for vendor in VENDOR_HOSTS):
        return
    if _http.is_loopback(parsed):
        raise Lost("stand at an address on this machine, so they were not fetched")
    for address in [host] if _is_ip(host) else await resolve(host):
        if not _is_public(address):
            raise Lost("stand at an address inside a private network, so they were not fetched")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (inner or ip).is_global and not ip.is_multicast


async def _read(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_BYTES:
            raise Lost(f"are larger than {MAX_BYTES / 2**20:.0f} MB, so they were not kept")
    return bytes(content)
