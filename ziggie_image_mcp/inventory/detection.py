"""Look for local engines where they listen by themselves, whether or not they can be used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from ziggie_image_mcp.provider.addresses import names_this_machine
from ziggie_image_mcp.provider.contract import ProviderContext
from ziggie_image_mcp.provider.settings import HttpSettings

if TYPE_CHECKING:
    from ziggie_image_mcp.provider.engines import Sighting
    from ziggie_image_mcp.provider.http import Answer

LOOK_SECONDS = 2.0
"""What one look takes at most, whatever hangs."""

KNOCK_SECONDS = 0.5
"""What a port may take to accept a connection."""

FRESH_SECONDS = 30.0
"""How long one look serves."""


@dataclass(frozen=True, kw_only=True)
class Detected:
    """An engine that answers at an address."""

    url: str
    sighting: Sighting


class Detector:
    """The engines that answer, as of a short while ago; looked for by one asker for all.

    Args:
        hosts: Gives the hosts to look at.
        ports: Instead of those of the table.
        clock: Gives seconds that only go up.
    """

    def __init__(
        self,
        hosts: Callable[[], Sequence[str]],
        ports: Sequence[int] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = hosts
        self._ports = ports
        self._clock = clock
        self._latest: tuple[float, tuple[str, ...], tuple[Detected, ...]] | None = None
        self._lock = anyio.Lock()

    async def take(self) -> tuple[Detected, ...]:
        """What answers, as of half a minute ago at most."""
        hosts = tuple(self._hosts())
        async with self._lock:
            now = self._clock()
            if (
                self._latest is None
                or now - self._latest[0] > FRESH_SECONDS
                or hosts != self._latest[1]
            ):
                self._latest = (now, hosts, await detect(hosts, self._ports))
            return self._latest[2]


async def detect(
    hosts: Sequence[str], ports: Sequence[int] = (), seconds: float = LOOK_SECONDS
) -> tuple[Detected, ...]:
    """Ask at all addresses at once; what has not told by then what it is, is left out.

    Args:
        hosts: Where to look.
        ports: Instead of those at which engines listen by themselves.
        seconds: What it may take altogether.
    """
    from ziggie_image_mcp.provider import engines

    ends = time.monotonic() + seconds
    addresses = [(host, port) for host in hosts for port in ports or engines.ports()]
    detected: dict[tuple[str, int], Detected] = {}

    async def look(host: str, port: int) -> None:
        if await _accepts(host, port):
            url = engines.address(host, port)
            sighting = await _identify(url, port, ends - 0.1)
            if sighting is not None:
                detected[host, port] = Detected(url=url, sighting=sighting)

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for host, port in addresses:
                group.start_soon(look, host, port)
    return tuple(detected[address] for address in addresses if address in detected)


async def _accepts(host: str, port: int) -> bool:
    try:
        with anyio.fail_after(KNOCK_SECONDS):
            stream = await anyio.connect_tcp(host, port)
            await stream.aclose()
    except (OSError, TimeoutError):
        return False
    return True


async def _identify(url: str, port: int, ends: float) -> Sighting | None:
    """What answers; who listens there by itself is asked for first, and who can seem to be it."""
    from ziggie_image_mcp.provider import engines
    from ziggie_image_mcp.provider.http import HttpClient

    context = ProviderContext(data_dir=Path(), max_answer_bytes=engines.SIGN_BYTES)
    http = HttpClient("detection", HttpSettings(base_url=url), context)
    everyone = engines.engines()
    usual = {name: e for name, e in everyone.items() if port in e.ports or e.emulates}
    answers: dict[str, Answer] = {}
    sighting: Sighting | None = None
    try:
        for among, share in ((usual, 0.5), (everyone, 1.0)):
            routes = {route for e in among.values() for route in e.routes}
            routes = {(path, post) for path, post in routes if path not in answers}
            left = share * (ends - time.monotonic())
            answers |= await engines.ask(http, routes, max(0.1, left))
            sighting = engines.recognise(answers, among)
            if sighting is not None:
                break
    finally:
        await http.aclose()
    return sighting


def unused(
    detected: Sequence[Detected], urls: Mapping[str, str], mentioned: str
) -> list[tuple[str, str]]:
    """The engines that no provider speaks with: what each is, and what to do.

    Args:
        detected: What answers.
        urls: Where the engines of the providers are, by the providers' names: a block of such a
            name is there, or as good as there.
        mentioned: What is told of the providers; an engine whose address and title stand in it is
            told of already.
    """
    from ziggie_image_mcp.provider import engines

    used, taken = {_origin(url) for url in urls.values()}, set(urls)
    others: list[tuple[str, str]] = []
    for one in detected:
        told = one.url in mentioned and one.sighting.engine.title.lower() in mentioned.lower()
        if _origin(one.url) in used or told:
            continue
        used.add(_origin(one.url))  # this machine may be looked at under two names
        own = one.sighting.name
        names = chain((own,), (f"{own}-{i}" for i in count(2)))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        advice = engines.advice(one.sighting, one.url, name)
        others.append((engines.about(one.sighting, one.url), advice))
    return others


def _origin(url: str) -> tuple[str, int | None]:
    import httpx2

    parsed = httpx2.URL(url)
    host = "" if names_this_machine(parsed.host) else parsed.host
    return host, parsed.port
