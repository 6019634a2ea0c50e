"""Fetch finished pictures from the addresses that a backend's answer names.

Such an address is not to be trusted: it is asked without any key, only over https or at the
backend's own host, at no private address, and at the very address that was checked.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx2

from ziggie_image_mcp.provider.addresses import is_loopback, origin
from ziggie_image_mcp.provider.contract import Resolver
from ziggie_image_mcp.provider.http import CONNECT_SECONDS
from ziggie_image_mcp.provider.pictures import MAX_BYTES, is_picture
from ziggie_image_mcp.provider.trust import trusted

PAUSES = (0.0, 1.0, 2.0)
"""Before each try, seconds."""

SECONDS = 120.0
"""What one try may take."""

MAX_REDIRECTS = 3


class DownloadFailed(Exception):
    """Raised when a picture cannot be fetched; the message is the end of a sentence."""


class _Busy(Exception):
    """Raised when asking again may help."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is known of the backend whose answer named an address."""

    home: httpx2.URL
    """The backend's base URL: at its own host http will do, and its own port is never private."""
    private: bool = False
    """Whether the backend is on this machine or network, and so its pictures may be."""
    trusted_hosts: tuple[str, ...] = ()
    """Hosts of the vendor whose addresses are not looked at: a VPN may show them as private."""
    transport: httpx2.AsyncBaseTransport | None = None
    resolver: Resolver | None = None


async def addresses(host: str) -> Sequence[str]:
    """The IP addresses of a host, by the system."""
    try:
        entries = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return [str(sockaddr[0]) for *_, sockaddr in entries]


async def fetch(
    url: str, source: Source, *, max_bytes: int = MAX_BYTES, input: bool = False
) -> bytes:
    """Fetch one picture; again when the network fails. An `input` may be of more kinds.

    Raises:
        DownloadFailed: The address is not allowed, or the picture is gone, too big or no picture.
    """
    why = ""
    environment = not source.private and not _is_here(url)
    async with httpx2.AsyncClient(
        transport=source.transport,
        verify=trusted(environment=environment),
        timeout=httpx2.Timeout(SECONDS, connect=CONNECT_SECONDS),
        follow_redirects=False,
        trust_env=environment,
    ) as client:
        for pause in PAUSES:
            await anyio.sleep(pause)
            try:
                with anyio.fail_after(SECONDS):
                    data = await _follow(client, url, source, max_bytes)
            except (httpx2.RequestError, TimeoutError) as e:
                why = f"could not be fetched ({type(e).__name__})"
            except _Busy as e:
                why = str(e)
            else:
                if not is_picture(data, input=input):
                    raise DownloadFailed("are no PNG, JPEG or WebP pictures")
                return data
    raise DownloadFailed(why)


async def _follow(client: httpx2.AsyncClient, url: str, source: Source, max_bytes: int) -> bytes:
    for _ in range(MAX_REDIRECTS + 1):
        target, headers, extensions = await _checked(url, source)
        async with client.stream("GET", target, headers=headers, extensions=extensions) as response:
            if response.has_redirect_location:
                url = str(httpx2.URL(url).join(response.headers["location"]))
                continue
            if response.status_code in (403, 404, 410):
                raise DownloadFailed(f"are gone (HTTP {response.status_code})")
            if not response.is_success:
                raise _Busy(f"could not be fetched (HTTP {response.status_code})")
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > max_bytes:
                    raise DownloadFailed(f"are larger than {max_bytes >> 20} MB")
            return bytes(content)
    raise DownloadFailed("could not be fetched: too many redirects")


async def _checked(url: str, source: Source) -> tuple[httpx2.URL, dict[str, str], dict[str, str]]:
    """The address to connect to, with the headers and the TLS name that it needs."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise DownloadFailed("stand at something that is no address") from None
    if parsed.port is not None and not 0 < parsed.port < 2**16:
        raise DownloadFailed("stand at something that is no address")
    host = parsed.host.lower().rstrip(".")
    if parsed.scheme not in ("http", "https") or not host or parsed.userinfo:
        raise DownloadFailed("stand at an address that is not https, so they were not fetched")
    if parsed.scheme == "http" and host != source.home.host:
        raise DownloadFailed("stand at an address that is not https, so they were not fetched")
    if source.private or origin(parsed) == origin(source.home):
        return parsed, {}, {}
    if any(host == h or host.endswith(f".{h}") for h in source.trusted_hosts):
        return parsed, {}, {}
    if is_loopback(parsed):
        raise DownloadFailed("stand at an address on this machine, so they were not fetched")
    if _is_ip(host):
        if not is_public(host):
            raise DownloadFailed("stand at an address inside a private network")
        return parsed, {}, {}
    if source.resolver is None and (source.transport is not None or _is_proxied(parsed)):
        return parsed, {}, {}  # the proxy looks the host up, and connects
    ips = await (source.resolver or addresses)(host)
    if not ips:
        raise _Busy("could not be fetched: their host is not known")
    if not all(is_public(ip) for ip in ips):
        raise DownloadFailed("stand at an address inside a private network, and were not fetched")
    port = f":{parsed.port}" if parsed.port else ""
    return parsed.copy_with(host=ips[0]), {"Host": host + port}, {"sni_hostname": host}


_NOT_PUBLIC = tuple(map(ipaddress.IPv6Network, ("::/96", "64:ff9b:1::/48", "fec0::/10")))
"""IPv4-compatible, translated within a network (RFC 8215), and site-local addresses."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, as is the IPv4 address in an IPv6 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in network for network in _NOT_PUBLIC):
            return False
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _is_here(url: str) -> bool:
    try:
        return is_loopback(url)
    except httpx2.InvalidURL:
        return False


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_proxied(url: httpx2.URL) -> bool:
    proxies = getproxies()
    place = f"{url.host}:{url.port}" if url.port else url.host  # NO_PROXY may name a port
    return bool(proxies.get(url.scheme) or proxies.get("all")) and not proxy_bypass(place)
