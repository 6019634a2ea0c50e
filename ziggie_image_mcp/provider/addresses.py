"""Tell what an address is: whose host, and how messages write it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import httpx2

from ziggie_image_mcp.provider.nouns import Where

if TYPE_CHECKING:
    from ziggie_image_mcp.provider.settings import HttpSettings

_OWN_SUFFIXES = (".local", ".lan", ".home", ".internal", ".home.arpa")
"""Of names that no public DNS knows."""


def where_is(settings: HttpSettings) -> Where:
    """Who sees what is sent to this address."""
    where = whose_host(httpx2.URL(settings.base_url).host)
    if where == "this_machine":
        return "vendor" if settings.local is False else where
    if settings.local is not None:
        return "own_network" if settings.local else "vendor"
    return where


def whose_host(host: str) -> Where:
    """Whose a host is, going by its name alone."""
    if names_this_machine(host):
        return "this_machine"
    ip = _ip(host)
    if ip is not None:
        return "own_network" if ip.is_private else "vendor"
    host = host.lower().rstrip(".")
    own = "." not in host or host.endswith(_OWN_SUFFIXES)
    return "own_network" if own else "vendor"


def public_url(url: str | httpx2.URL) -> str:
    """Write an address without user, password, query and fragment, fit for a message.

    >>> public_url("http://me:secret@host:8188/comfy/?token=x")
    'http://host:8188/comfy'
    """
    parsed = httpx2.URL(url)
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{host}{port}{parsed.path.rstrip('/')}"


def origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port: who is asked."""
    return url.scheme, url.host, url.port


def is_loopback(url: str | httpx2.URL) -> bool:
    """Tell whether an address is this machine, going by its name alone."""
    return names_this_machine(httpx2.URL(url).host)


def names_this_machine(host: str) -> bool:
    """Tell whether a host is this machine: `localhost`, `127.0.0.1`, `[::1]`, or any of its own.

    `0.0.0.0` and `[::]` are what servers listen on; who connects to them reaches this machine.
    """
    host = host.lower().strip("[]").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    ip = _ip(host)
    return ip is not None and (ip.is_loopback or ip.is_unspecified)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, the IPv4 one where it is written as IPv6; None for a name."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip
