"""Know which local engine answers at an address: by what it answers, never by its port."""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, cast

import anyio
from pydantic import Field, TypeAdapter

from ziggie_image_mcp.errors import NotReady, ProviderError, WrongService
from ziggie_image_mcp.provider.http import Answer, HttpClient
from ziggie_image_mcp.provider.nouns import HERE
from ziggie_image_mcp.provider.settings import Section

ANY_FAILURE = range(300, 600)

AT_ONCE = 4
"""Connections to one server: some, koboldcpp among them, let no more than five wait, and the next
would be a second late."""

SIGN_BYTES = 2**20
"""No answer that tells what an engine is has more; options of web UIs have some 50 KB."""


class Sign(Section):
    """What one route answers at an engine, and at none that is looked for after it."""

    path: str
    post: bool = False
    """Whether it is asked by a POST of `{}`."""
    empty: bool = False
    """Whether the empty JSON object is."""
    text: str = ""
    """What the answer is, as JSON or as it stands."""
    equals: dict[str, str] = Field(default={})
    """Keys of its object, with their values."""
    matches: dict[str, str] = Field(default={})
    """Keys of its object, with patterns of their values."""
    has: tuple[str, ...] = ()
    """Keys of its object, all of them."""
    like: str = ""
    """A pattern that one of its keys has."""
    item: dict[str, tuple[str, ...]] = Field(default={})
    """Keys that one item of its list `data` has, with their possible values."""
    absent: str = ""
    """Another route, which the engine does not have."""
    present: str = ""
    """Another route, which it has: a GET of it is not answered with 404."""
    also: str = ""
    """Another route, which answers with a JSON object."""

    @property
    def routes(self) -> tuple[tuple[str, bool], ...]:
        """What is asked for it: paths, and whether by a POST."""
        beside = (self.absent, self.present, self.also)
        return (self.path, self.post), *((path, False) for path in beside if path)


class Engine(Section):
    """One kind of local engine."""

    title: str
    provider: str
    """The type of provider that speaks with it; empty: it makes no pictures."""
    source: str
    ports: tuple[int, ...]
    """Where it listens by itself."""
    signs: tuple[Sign, ...]
    """Any of them will do."""
    base: str = ""
    """What its address ends with in config.json."""
    emulates: tuple[str, ...] = ()
    """Types of provider whose engines it can be taken for, so that it is looked for before them."""
    version: str = ""
    """The key of the sign's answer that tells it."""
    needs: dict[str, str] = Field(default={})
    """Keys of the sign's answer that must be true, each with what to do where it is not."""
    problem: str = ""
    """Why it makes no pictures for us, and what to do: always, or but for some versions."""
    since: str = ""
    before: str = ""
    """From which version on it does, and up to which."""

    @property
    def routes(self) -> frozenset[tuple[str, bool]]:
        """What is asked to know it."""
        return frozenset(route for sign in self.signs for route in sign.routes)

    def trouble(self, answer: Answer, version: str) -> str:
        """Why this one makes no pictures for us; empty where it does."""
        body = answer.data()
        lacking = next((fix for key, fix in self.needs.items() if not body.get(key)), "")
        if lacking or not self.problem:
            return lacking
        if self.since and _number(self.since) <= _number(version) < _number(self.before):
            return ""
        return f"{self.title} {self.problem}"


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """An engine that answers."""

    name: str
    """Its key in the table."""
    engine: Engine
    version: str = ""
    problem: str = ""
    """Why it makes no pictures for us as it is, and what to do; empty where it does."""
    answers: Mapping[str, Answer] = field(
        default_factory=dict[str, Answer], repr=False, compare=False
    )
    """All that was answered, by path."""


@functools.cache
def engines() -> Mapping[str, Engine]:
    """All that are known, by name, in the order in which they are looked for: engines.json.

    The order, and the answers, are those of their sources (`source`); it matters, since some answer
    as others do too.
    """
    text = (resources.files(__package__ or "") / "engines.json").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Engine]).validate_json(text)


def engines_for(kind: str) -> Mapping[str, Engine]:
    """The engines of a type of provider, and those that can be taken for one of them."""
    known = engines().items()
    return {name: e for name, e in known if kind == e.provider or kind in e.emulates}


def recognise(
    answers: Mapping[str, Answer], among: Mapping[str, Engine] | None = None
) -> Sighting | None:
    """The first engine that gives these answers; None where it is none of them.

    Args:
        answers: By path.
        among: Those that it may be, in order; unset: all.
    """
    for name, engine in (engines() if among is None else among).items():
        sign = next((sign for sign in engine.signs if _fits(sign, answers)), None)
        if sign is not None:
            answer = answers[sign.path]
            version = str(answer.data().get(engine.version) or "")[:20] if engine.version else ""
            return Sighting(
                name=name,
                engine=engine,
                version=version,
                problem=engine.trouble(answer, version),
                answers=answers,
            )
    return None


async def ask(
    http: HttpClient, routes: Iterable[tuple[str, bool]], seconds: float
) -> dict[str, Answer]:
    """What a server answers at these routes, failing statuses too, asked at once.

    One that hangs or breaks is left out: it is no sign of anything.

    Args:
        http: Whom to ask.
        routes: Paths, and whether they are asked by a POST.
        seconds: What all of them may take together.
    """
    answers: dict[str, Answer] = {}
    ends = time.monotonic() + seconds
    few = anyio.CapacityLimiter(AT_ONCE)

    async def one(path: str, post: bool) -> None:
        async with few:
            left = ends - time.monotonic()
            if left > 0:
                with contextlib.suppress(ProviderError):
                    answers[path] = await _answer(http, path, post, left)

    async with anyio.create_task_group() as group:
        for path, post in sorted(routes):
            group.start_soon(one, path, post)
    return answers


async def _answer(http: HttpClient, path: str, post: bool, seconds: float) -> Answer:
    if not post:
        return await http.get(path, accept=ANY_FAILURE, seconds=seconds)
    return await http.post_once(path, json={}, paid=False, accept=ANY_FAILURE, seconds=seconds)


async def identify(
    http: HttpClient, provider: str, kind: str, seconds: float, also: Collection[str] = ()
) -> Sighting:
    """Which engine of a type of provider answers at an address.

    One question goes first, so that an address where nobody listens costs one connection.

    Args:
        http: Whom to ask.
        provider: The provider's name, for the errors.
        kind: Its type.
        seconds: What it may take altogether.
        also: Paths whose answers are wanted beside.

    Raises:
        NotReady: It is one, and makes no pictures for us.
        WrongService: Another engine answers, which the message names, or something unknown.
        AuthenticationFailed: It wants a login.
        ProviderError: Nothing answers, or only with failures.
    """
    ends = time.monotonic() + seconds
    mine = engines_for(kind)
    signs = [sign for e in mine.values() if e.provider == kind for sign in e.signs]
    paths = Counter(sign.path for sign in signs)
    hello = max(signs, key=lambda sign: paths[sign.path])
    routes = {route for engine in mine.values() for route in engine.routes}
    routes |= {(path, False) for path in also}
    first = await _answer(http, hello.path, hello.post, seconds)
    answers = {hello.path: first}
    routes.discard((hello.path, hello.post))
    answers |= await ask(http, routes, max(0.1, ends - time.monotonic()))
    sighting = recognise(answers, mine)
    if sighting is None:
        if first.status in (401, 403):
            raise http.error(first, await http.keys())
        known = {route for engine in engines().values() for route in engine.routes} - routes
        answers |= await ask(http, known, max(0.1, ends - time.monotonic()))
        sighting = recognise(answers)
    if sighting is None:
        if first.status >= 500 or 300 <= first.status < 400:
            raise http.error(first, await http.keys())
        titles = [e.title for e in mine.values() if e.provider == kind and not e.problem]
        none = f"none of {', '.join(titles)}" if titles[1:] else f"not {titles[0]}"
        what = f"what answers at {http.url} is {none}"
        raise WrongService(provider, f"{what}; set providers.{provider}.baseUrl")
    if sighting.engine.provider != kind:
        raise WrongService(provider, f"{about(sighting, http.url)}; {advice(sighting, http.url)}")
    if sighting.problem:
        raise NotReady(provider, f"at {http.url}: {sighting.problem}")
    return sighting


def about(sighting: Sighting, url: str) -> str:
    """What answers at an address, as messages begin with it."""
    version = f" {sighting.version}" if sighting.version else ""
    return f"what answers at {url} is {sighting.engine.title}{version}"


def advice(sighting: Sighting, url: str, name: str = "") -> str:
    """How an engine is used: the block of config.json for it.

    Args:
        sighting: The engine.
        url: Where it is.
        name: Of the block; unset: the engine's own.
    """
    engine = sighting.engine
    if sighting.problem or not engine.provider:
        return sighting.problem
    name = name or sighting.name
    kind = f'"type": "{engine.provider}", ' if name != engine.provider else ""
    keyless = ', "keyName": null' if engine.provider == "openai" else ""
    block = f'"{name}": {{{kind}"baseUrl": "{url}{engine.base}"{keyless}}}'
    return f"to use it, write {block} under providers in config.json"


def ports() -> tuple[int, ...]:
    """All at which an engine listens by itself."""
    return tuple(dict.fromkeys(port for e in engines().values() for port in e.ports))


def places(kind: str, hosts: Sequence[str] = (HERE,)) -> tuple[str, ...]:
    """The addresses at which engines of a type of provider listen by themselves, the usual first.

    Args:
        kind: The type of provider.
        hosts: Where to look.
    """
    own = [e for e in engines().values() if e.provider == kind]
    counted = Counter(port for e in own for port in e.ports if not e.problem)
    usual = {port: place for e in reversed(own) for place, port in enumerate(e.ports)}
    known = sorted(usual, key=lambda port: (-counted[port], usual[port]))
    return tuple(address(host, port) for host in hosts for port in known)


def address(host: str, port: int) -> str:
    """A base URL, of an IPv6 address too."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _fits(sign: Sign, answers: Mapping[str, Answer]) -> bool:
    answer = answers.get(sign.path)
    if answer is None or not answer.ok:
        return False
    if sign.absent and not _has_status(answers.get(sign.absent), (404, 405)):
        return False
    if sign.present and _has_status(answers.get(sign.present), (404,), unknown=True):
        return False
    if sign.also and not _is_object(answers.get(sign.also)):
        return False
    if sign.text:
        return answer.content.strip().strip(b'"') == sign.text.encode()
    if sign.empty:
        return answer.content.strip() == b"{}"
    body = answer.data()
    if not body:
        return False
    return (
        all(body.get(key) == value for key, value in sign.equals.items())
        and all(re.search(p, str(body.get(key, ""))) for key, p in sign.matches.items())
        and all(key in body for key in sign.has)
        and (not sign.like or any(re.search(sign.like, key) for key in body))
        and (not sign.item or any(_is_item(item, sign) for item in _items(body)))
    )


def _has_status(answer: Answer | None, statuses: Collection[int], unknown: bool = False) -> bool:
    return unknown if answer is None else answer.status in statuses


def _is_object(answer: Answer | None) -> bool:
    return answer is not None and answer.ok and bool(answer.data())


def _items(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    items: object = body.get("data")
    values = cast("list[object]", items) if isinstance(items, list) else []
    return [cast("dict[str, Any]", item) for item in values if isinstance(item, dict)]


def _is_item(item: Mapping[str, Any], sign: Sign) -> bool:
    return all(str(item.get(key)) in values for key, values in sign.item.items())


def _number(version: str) -> tuple[int, ...]:
    """A version to be compared, without what stands behind its numbers."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in match[1].split(".")) if match else ()
