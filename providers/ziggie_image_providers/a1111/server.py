"""Know one server: where it listens, which of the family it is, what it has and what it does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import anyio

from ziggie_image_mcp.provider import ProviderContext, ProviderError, WrongService, engines
from ziggie_image_mcp.provider.engine_server import EngineServer
from ziggie_image_mcp.provider.engines import ANY_FAILURE
from ziggie_image_mcp.provider.http import Answer, HttpClient, KeyHeader
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
)
from ziggie_image_providers.a1111.settings import Settings

KNOWN_SECONDS = 30.0
"""How long a flavour is taken for granted."""

CONTROL_NETS, CONTROL_MODULES = "controlnet/model_list", "controlnet/module_list"


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


class Server(EngineServer[Settings]):
    """One server.

    Args:
        name: The provider's name.
        settings: Where it is.
        context: Gives keys, and the transport.
        seconds: How long an answer may take at most.
        places: Where it is looked for where no address is set, the usual one first.
    """

    kind = "a1111"
    how_to_start = "start the web UI with --api"
    auth = (KeyHeader(basic=True),)
    errors = failures.ERRORS

    def __init__(
        self,
        name: str,
        settings: Settings,
        context: ProviderContext,
        seconds: float,
        places: Sequence[str] = (),
    ) -> None:
        super().__init__(name, settings, context, seconds, places)
        self._identity: tuple[float, Identity] | None = None

    async def find(self) -> Identity:
        """Which it is; where no address is set, also where relatives listen by themselves.

        Raises:
            WrongService: What answers is none of the family.
            ProviderError: Nothing answers, or not to us.
        """
        if self._identity is None or time.monotonic() - self._identity[0] >= KNOWN_SECONDS:
            self._identity = (time.monotonic(), await self._places.find(self._identify))
        return self._identity[1]

    def forget(self) -> None:
        """What comes up next at this address may be another one."""
        self._identity = None

    async def _identify(self, http: HttpClient, seconds: float) -> Identity:
        sighting = await engines.identify(
            http, self._name, self.kind, min(seconds, self._seconds), (PING, PROGRESS)
        )
        answers, flavour = sighting.answers, flavours()[sighting.name]
        has_page = PING in answers and answers[PING].ok and _json(answers[PING]) == {}
        progress = PROGRESS in answers and "progress" in answers[PROGRESS].data()
        return Identity(
            name=sighting.name,
            flavour=flavour,
            by_task=has_page and flavour.interrupts == "task",
            progress=progress and answers[PROGRESS].ok,
            version=sighting.version,
        )

    async def contents(self, identity: Identity) -> Contents:
        """All that it lists, asked at once.

        Raises:
            ProviderError: It does not list its models.
        """
        flavour = identity.flavour
        routes = {"options": OPTIONS, "samplers": "sdapi/v1/samplers"}
        if "scheduler" in flavour.words:  # SD.Next is slow to say that it cannot list its own
            routes["schedulers"] = "sdapi/v1/schedulers"
        if flavour.lists_models:
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
            what = f"what answers at {self.http.url} does not list what it has"
            raise WrongService(self._name, f"{what}; set providers.{self._name}.baseUrl")
        memory = as_dict(as_dict(as_dict(bodies.get("memory")).get("cuda")).get("system"))
        embeddings = as_dict(bodies.get("embeddings")).get("loaded")
        return Contents(
            options=options,
            models=tuple(models),
            samplers=_names(bodies.get("samplers"), "name"),
            schedulers=_names(bodies.get("schedulers"), "label", "name"),
            upscalers=tuple(names[0] for names in _names(bodies.get("upscalers"), "name")),
            loras=tuple(_dicts(bodies.get("loras"))),
            embeddings=texts(embeddings) or tuple(as_dict(embeddings)),
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
