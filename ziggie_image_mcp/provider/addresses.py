"""Tell what an address is: whose host, and how messages write it."""

from __future__ import annotations

import ipaddress

import httpx2

from ziggie_image_mcp.provider.nouns import Where
from ziggie_image_mcp.provider.settings import HttpSettings

_OWN_SUFFIXES = (".local", ".lan", ".home", ".internal", ".home.arpa")
"""Of names that no public DNS knows."""


def where_is(settings: HttpSettings) -> Where:
    """Who sees what is sent to this address."""
    url = httpx2.URL(settings.base_url)
    if is_loopback(url):
        return "vendor" if settings.local is False else "this_machine"
    if settings.local is not None:
        return "own_network" if settings.local else "vendor"
    try:
        return "own_network" if ipaddress.ip_address(url.host).is_private else "vendor"
    except ValueError:
        host = url.host.lower().rstrip(".")
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


def is_loopback(url: str | httpx2.URL) -> bool:
    """Tell whether an address is this machine, going by its name alone."""
    host = httpx2.URL(url).host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
