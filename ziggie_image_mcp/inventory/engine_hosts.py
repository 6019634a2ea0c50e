"""Where local engines are looked for beside this machine: the config's `engineHosts`, resolved."""

from __future__ import annotations

import ipaddress
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ziggie_image_mcp.provider.nouns import HERE

_log = logging.getLogger(__name__)

DOCKER_HOST = "host.docker.internal"
"""What Docker Desktop calls the machine around a container; on Linux with
`--add-host host.docker.internal:host-gateway`."""

ROUTES = Path("/proc/net/route")
WSL_SECONDS = 3.0


def resolve(hosts: Sequence[str], wsl: Callable[[], str] | None = None) -> tuple[str, ...]:
    """This machine, and those that are there of the ones that the user names.

    Args:
        hosts: Names and addresses, `docker`, `wsl`. A name that nobody knows is left out, with a
            line in the log: each engine would wait for it.
        wsl: Finds the other side of WSL; empty where there is none.
    """
    there = [HERE]
    for host in hosts:
        if host == "wsl":
            name = (wsl or other_side_of_wsl)()
        else:
            name = DOCKER_HOST if host == "docker" else host
        if name and _is_known(name):
            there.append(name)
        else:
            _log.warning("engineHosts: %s is not there; no engine is looked for at it", host)
    return tuple(dict.fromkeys(there))


def other_side_of_wsl() -> str:
    """Windows as WSL sees it, or WSL as Windows sees it; empty on other systems.

    Unverified: inside WSL 2 with its NAT the gateway is Windows, as Microsoft's "Accessing network
    applications with WSL" says; with mirrored networking both are 127.0.0.1, and nothing is needed.
    """
    if sys.platform == "win32":
        return _from_windows()
    return gateway(ROUTES) if "microsoft" in _kernel().lower() else ""


def gateway(routes: Path) -> str:
    """The default gateway in Linux's table of routes; empty where there is none."""
    try:
        rows = [line.split() for line in routes.read_text(encoding="ascii").splitlines()[1:]]
    except (OSError, UnicodeDecodeError):
        return ""
    for row in rows:
        if len(row) > 2 and row[1] == "00000000" and row[2] != "00000000":
            return str(ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(row[2]), "little")))
    return ""


def _kernel() -> str:
    try:
        return Path("/proc/sys/kernel/osrelease").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _from_windows() -> str:
    try:
        told = subprocess.run(
            ["wsl.exe", "hostname", "-I"],  # noqa: S607 - Windows has it on the path
            capture_output=True,
            timeout=WSL_SECONDS,
            check=False,
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next(iter(told.split()), "")


def _is_known(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True
