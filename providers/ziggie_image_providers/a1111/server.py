"""Know one server: where it listens, which of the family it is, what it has and what it does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import anyio

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ProviderContext,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    Where,
)
from ziggie_image_mcp.provider.http import READ_SECONDS, Answer, HttpClient, KeyHeader
from ziggie_image_mcp.provider.json_paths import number
from ziggie_image_mcp.provider.vendor import from_base64
from ziggie_image_providers.a1111 import failures
from ziggie_image_providers.a1111.flavours import (
    MODELS,
    OPTIONS,
    PING,
    PROGRESS,
    Flavour,
    flavours,
    paths,
    recognise,
)
from ziggie_image_providers.a1111.settings import Settings

PLACES = (
    "http://127.0.0.1:7860",
    "http://127.0.0.1:7861",
    "http://127.0.0.1:1234",
    "http://127.0.0.1:5001",
)
"""Where they listen by themselves: a web UI, one without its page, sd-server, koboldcpp."""

FIRST_SECONDS, IDENTIFY_SECONDS = 1.0, 1.7
"""What a first answer may take where nobody said that a server is there; and all of them where it
is."""

SILENT_SECONDS, KNOWN_SECONDS = 30.0, 30.0
"""How long an address of ours that was silent is left alone; how long a flavour is taken for
granted."""

CONTROL_NETS, CONTROL_MODULES = "controlnet/model_list", "controlnet/module_list"
ANY_FAILURE = range(300, 600)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which of the family a server is."""

    name: str
    flavour: Flavour
    by_task: bool
    """Whether it tells of one task by its id, which it does beside its web page only."""
    progress: bool
    """Whether it tells how far it is: koboldcpp does from the summer of 2026 on."""
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a server has, as it lists it."""

    options: Mapping[str, Any]
    models: tuple[Mapping[str, Any], ...] = ()
    samplers: tuple[tuple[str, ...], ...] = ()
    """Names of each, the one that is sent first."""
    schedulers: tuple[tuple[str, ...], ...] = ()
    upscalers: tuple[str, ...] = ()
    loras: tuple[Mapping[str, Any], ...] = ()
    embeddings: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    nets: tuple[str, ...] = ()
    net_modules: tuple[str, ...] = ()
    queued: int = 0
    memory: int | None = None
    """Of its GPU, bytes, and how much of it is free; None where it does not tell."""
    free_memory: int | None = None


@dataclass(frozen=True, kw_only=True)
class State:
    """What a server says of a task, or of whatever it does."""

    active: bool
    queued: bool = False
    fraction: float | None = None
    preview: bytes | None = None


class Server:
    """One server.

    Args:
        name: The provider's name.
        settings: Where it is.
        context: Gives keys, and the transport.
        seconds: How long an answer may take at most.
        places: Where it is looked for where no address is set, the usual one first.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        context: ProviderContext,
        seconds: float,
        places: Sequence[str],
    ) -> None:
        self._name = name
        self._settings = settings
        self._context = context
        self._seconds = seconds
        set_by_user = "base_url" in settings.model_fields_set
        self._places = (settings.base_url,) if set_by_user else tuple(places)
        self._clients: dict[str, HttpClient] = {}
        self.http = self._client(self._places[0])
        self._silent: dict[str, float] = {}
        self._identity: tuple[float, Identity] | None = None
        self._was_here = False

    @property
    def where(self) -> Where:
        """Whoever's host it is, it is no vendor: it takes no money."""
        return "this_machine" if self.http.where == "this_machine" else "own_network"

    async def find(self) -> Identity:
        """Which it is; where no address is set, also where relatives listen by themselves.

        Raises:
            WrongService: What answers is none of the family.
            ProviderError: Nothing answers, or not to us.
        """
        if self._identity and time.monotonic() - self._identity[0] < KNOWN_SECONDS:
            return self._identity[1]
        if len(self._places) == 1:
            identity = await self._identify(self.http, min(IDENTIFY_SECONDS, self._seconds))
        else:
            identity = await self._look_around()
        self._identity, self._was_here = (time.monotonic(), identity), True
        return identity

    def forget(self) -> None:
        """What comes up next at this address may be another one."""
        self._identity = None

    async def _look_around(self) -> Identity:
        """Ask at all usual addresses at once; the first of them, in their order, that is one."""
        usual = self._places[0]
        asked = {url: self._client(url) for url in self._places}
        identities: dict[str, Identity] = {}
        errors: dict[str, ProviderError] = {}

        async def ask(url: str) -> None:
            if self._silent.get(url, 0.0) > time.monotonic():
                return
            try:
                with anyio.fail_after(FIRST_SECONDS):
                    identities[url] = await self._identify(asked[url], FIRST_SECONDS)
            except (TimeoutError, ProviderTimeout):
                if asked[url] is self.http and self._was_here:
                    return  # it is loading a model, and answers again when that is done
                self._silent[url] = time.monotonic() + SILENT_SECONDS
            except ProviderError as e:
                errors[url] = e

        async with anyio.create_task_group() as group:
            for url in asked:
                group.start_soon(ask, url)
        first = next((url for url in asked if url in identities), "")
        self.http = asked[first or usual]
        if first:
            return identities[first]
        in_order = [errors[url] for url in asked if url in errors]
        known = (e for e in in_order if isinstance(e, failures.NotReady | AuthenticationFailed))
        error = next(known, None) or errors.get(usual)
        if error is None:
            error = ProviderUnavailable(self._name, f"what listens at {usual} does not answer")
        raise error

    async def _identify(self, http: HttpClient, seconds: float) -> Identity:
        first = await http.get(OPTIONS, accept=ANY_FAILURE, seconds=seconds)
        if first.status in (401, 403) or first.status >= 500 or 300 <= first.status < 400:
            raise http.error(first, await http.keys())
        answers = {OPTIONS: first}

        async def ask(path: str) -> None:
            try:
                answers[path] = await http.get(path, accept=ANY_FAILURE, seconds=seconds)
            except ProviderError:
                return  # one route that hangs is no sign of anything

        async with anyio.create_task_group() as group:
            for path in sorted(paths() - {OPTIONS}):
                group.start_soon(ask, path)
        has_page = PING in answers and answers[PING].ok and _json(answers[PING]) == {}
        name = recognise(answers)
        if not name:
            if has_page and first.status in (404, 405):
                raise failures.without_api(self._name, http.url)
            raise failures.wrong_service(self._name, http.url)
        flavour = flavours()[name]
        body = answers[flavour.sign.path].data()
        for key, fix in flavour.needs.items():
            if not body.get(key):
                raise failures.NotReady(self._name, fix)
        version = str(body.get(flavour.version) or "")[:20] if flavour.version else ""
        progress = PROGRESS in answers and "progress" in answers[PROGRESS].data()
        return Identity(
            name=name,
            flavour=flavour,
            by_task=has_page and flavour.interrupts == "task",
            progress=progress and answers[PROGRESS].ok,
            version=version,
        )

    async def contents(self, identity: Identity) -> Contents:
        """All that it lists, asked at once.

        Raises:
            ProviderError: It does not list its models.
        """
        flavour = identity.flavour
        routes = {"options": OPTIONS, "samplers": "sdapi/v1/samplers"}
        routes["schedulers"] = "sdapi/v1/schedulers"
        if not flavour.sign.absent:
            routes["models"] = MODELS
        if flavour.upscales:
            routes["upscalers"] = "sdapi/v1/upscalers"
        if flavour.lora:
            routes["loras"] = "sdapi/v1/loras"
        if flavour.embeddings:
            routes["embeddings"] = "sdapi/v1/embeddings"
        if flavour.forge:
            routes["modules"] = "sdapi/v1/sd-modules"
        if flavour.control:
            routes |= {"nets": CONTROL_NETS, "net_modules": CONTROL_MODULES}
        if identity.progress:
            routes["memory"] = "sdapi/v1/memory"
        if identity.by_task:
            routes["pending"] = "internal/pending-tasks"
        bodies: dict[str, Any] = {}
        failed: list[ProviderError] = []

        async def ask(key: str, path: str) -> None:
            needed = key in ("options", "models")
            try:
                answer = await self.http.get(path, accept=() if needed else ANY_FAILURE)
                bodies[key] = _json(answer) if answer.ok else None
            except ProviderError as e:
                if needed:
                    failed.append(e)

        async with anyio.create_task_group() as group:
            for key, path in routes.items():
                group.start_soon(ask, key, path)
        if failed:
            raise failed[0]
        options, models = as_dict(bodies.get("options")), _dicts(bodies.get("models"))
        listed = "models" not in routes or isinstance(bodies.get("models"), list)
        if not isinstance(bodies.get("options"), dict) or not listed:
            raise failures.wrong_service(self._name, self.http.url)
        memory = as_dict(as_dict(as_dict(bodies.get("memory")).get("cuda")).get("system"))
        embeddings = as_dict(as_dict(bodies.get("embeddings")).get("loaded"))
        return Contents(
            options=options,
            models=tuple(models),
            samplers=_names(bodies.get("samplers"), "name"),
            schedulers=_names(bodies.get("schedulers"), "label", "name"),
            upscalers=tuple(names[0] for names in _names(bodies.get("upscalers"), "name")),
            loras=tuple(_dicts(bodies.get("loras"))),
            embeddings=tuple(map(str, embeddings)),
            modules=tuple(n[0] for n in _names(bodies.get("modules"), "model_name", "filename")),
            nets=texts(as_dict(bodies.get("nets")).get("model_list")),
            net_modules=texts(as_dict(bodies.get("net_modules")).get("module_list")),
            queued=int(number(as_dict(bodies.get("pending")).get("size")) or 0),
            memory=_bytes(memory.get("total")),
            free_memory=_bytes(memory.get("free")),
        )

    async def state(self, identity: Identity, task_id: str, *, preview: bool = False) -> State:
        """What it says of a task; of one whose ids it does not know, of whatever it does.

        Raises:
            ProviderError: It cannot be asked.
        """
        if identity.by_task:
            asked = {"id_task": task_id, "live_preview": preview, "id_live_preview": -1}
            answer = await self.http.post_once("internal/progress", json=asked, paid=False)
            body = answer.data()
            active, queued = body.get("active") is True, body.get("queued") is True
        else:
            params = {"skip_current_image": "false" if preview else "true"}
            answer = await self.http.get(PROGRESS, params=params)
            body = answer.data()
            count = number(as_dict(body.get("state")).get("job_count"))
            active, queued = bool(count and count > 0) or bool(body.get("progress")), False
        image = body.get("live_preview") or body.get("current_image")
        return State(
            active=active,
            queued=queued,
            fraction=number(body.get("progress")),
            preview=from_base64(image) if preview and image else None,
        )

    async def interrupt(self) -> None:
        """End whatever runs: only for who knows that it is ours.

        Raises:
            ProviderError: It cannot be asked.
        """
        await self.http.post_once("sdapi/v1/interrupt", json={}, paid=False)

    async def aclose(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    def _client(self, url: str) -> HttpClient:
        if url not in self._clients:
            names = [self._settings.key_name] if self._settings.key_name else []
            self._clients[url] = HttpClient(
                self._name,
                self._settings.model_copy(update={"base_url": url}),
                self._context,
                auth=(KeyHeader(basic=True),),
                key_names=names,
                rules=failures.ERRORS,
                fix=f"start the web UI with --api, or set providers.{self._name}.baseUrl",
                read_seconds=min(READ_SECONDS, self._seconds),
            )
        return self._clients[url]


def _bytes(value: object) -> int | None:
    amount = number(value)
    return None if amount is None or amount < 0 else int(amount)


def _json(answer: Answer) -> object:
    try:
        value: object = answer.json()
    except ValueError:
        return None
    return value


def as_dict(value: object) -> dict[str, Any]:
    """A JSON object; an empty one of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def texts(value: object) -> tuple[str, ...]:
    """The texts of a JSON list; none of anything else."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return tuple(item for item in items if isinstance(item, str))


def _names(value: object, *keys: str) -> tuple[tuple[str, ...], ...]:
    """The names of listed things: those under the keys, in this order, and then their aliases."""
    named: list[tuple[str, ...]] = []
    for item in _dicts(value):
        names = [item[key] for key in keys if isinstance(item.get(key), str) and item[key]]
        names += texts(item.get("aliases"))
        if names:
            named.append(tuple(dict.fromkeys(names)))
    return tuple(named)
