"""Know one SwarmUI: who it is, its sessions, and what it has."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ProviderContext,
    ProviderError,
    engines,
)
from ziggie_image_mcp.provider.engine_server import EngineServer
from ziggie_image_mcp.provider.http import Answer, HttpClient, KeyHeader
from ziggie_image_mcp.provider.json_paths import first_object, number, objects, values
from ziggie_image_mcp.provider.places import KNOWN_SECONDS
from ziggie_image_providers.swarmui import failures
from ziggie_image_providers.swarmui.settings import Settings

SESSION = "API/GetNewSession"
SESSION_SECONDS = 600.0
"""How long one session serves for reading. SwarmUI forgets those that nobody used for long."""

LIST_DEPTH = 20
"""Folders in folders that are listed: the most that SwarmUI takes."""

NO_BACKENDS = ("disabled", "errored", "all_disabled", "empty", "loading")
"""What SwarmUI says of its backends where none makes a picture now."""

REFUSALS = range(400, 500)


@dataclass(frozen=True, kw_only=True)
class Session:
    """One session: InterruptAll ends what runs in it, and nothing else."""

    id: str
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a SwarmUI has, as it lists it."""

    models: tuple[Mapping[str, Any], ...]
    loras: tuple[Mapping[str, Any], ...] = ()
    nets: tuple[Mapping[str, Any], ...] = ()
    embeddings: tuple[Mapping[str, Any], ...] = ()
    vaes: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]]
    """What parameters take, by their ids, where that is a list."""
    features: frozenset[str]
    """What its backends can do together."""
    queued: int | None = None
    """Of anybody; None where the account may not see it."""
    memory: int | None = None
    """Of its largest GPU, bytes, and how much of it is free; None where the account may not see."""
    free_memory: int | None = None


class Server(EngineServer[Settings]):
    """One SwarmUI. All its routes are POSTs of JSON, reading ones included.

    Args:
        name: The provider's name.
        settings: Where it is.
        context: Gives keys, and the transport.
        seconds: How long an answer may take at most.
        places: Where it is looked for where no address is set, the usual one first.
    """

    kind = "swarmui"
    how_to_start = "start SwarmUI"
    auth = (KeyHeader(name="Cookie", prefix="swarm_token="),)
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
        self._session: tuple[float, Session] | None = None
        self._renewing = anyio.Lock()

    async def find(self, forgotten: Session | None = None) -> Session:
        """A session for reading, one for all who ask at the same time.

        Args:
            forgotten: One that it does not know any more.

        Raises:
            WrongService: What answers is no SwarmUI.
            ProviderError: Nothing answers, or not to us.
        """
        async with self._renewing:
            since, session = self._session or (0.0, None)
            old = time.monotonic() - since >= SESSION_SECONDS
            if session is None or old or session == forgotten:
                session = await self._places.find(self._identify)
                self._session = time.monotonic(), session
            return session

    def forget(self) -> None:
        """What comes up next at this address knows none of our sessions."""
        self._session = None

    async def new_session(self) -> Session:
        """A session of its own, as each job has one.

        Raises:
            ProviderError: It gives none.
        """
        return await self._identify(self.http, KNOWN_SECONDS)

    async def _identify(self, http: HttpClient, seconds: float) -> Session:
        """A new session, which only a SwarmUI gives."""
        ends = time.monotonic() + min(seconds, self._seconds)
        answer = await http.post_once(
            SESSION,
            json={},
            paid=False,
            accept=range(300, 500),
            seconds=max(0.1, ends - time.monotonic()),
        )
        body = answer.data()
        if answer.ok and all(isinstance(body.get(k), str) for k in ("session_id", "server_id")):
            return Session(id=body["session_id"], version=str(body.get("version") or "")[:20])
        error = await error_in(http, body)
        if isinstance(error, AuthenticationFailed):
            raise error
        # It is something else, which can say what it is.
        await engines.identify(http, self._name, self.kind, max(0.1, ends - time.monotonic()))
        raise failures.wrong_service(self._name, http.url)

    async def read(self, route: str, **body: object) -> dict[str, Any]:
        """Ask something that makes nothing; in a new session where it has forgotten ours.

        Raises:
            ProviderError: It cannot be asked, or refuses.
        """
        session = await self.find()
        answer = await self._ask(route, session, body)
        if answer.data().get("error_id") == failures.BAD_SESSION:
            answer = await self._ask(route, await self.find(forgotten=session), body)
        told = answer.data()
        error = await error_in(self.http, told)
        if error is None and not answer.ok:
            error = self.http.error(answer, await self.http.keys())
        if error is not None:
            raise error
        return told

    async def interrupt(self, session: Session) -> None:
        """End what runs in a session.

        Raises:
            ProviderError: It cannot be asked, or knows no such session.
        """
        answer = await self._ask("InterruptAll", session, {"other_sessions": False})
        error = await error_in(self.http, answer.data())
        if error is not None:
            raise error

    async def contents(self) -> Contents:
        """All that it lists, asked at once.

        Raises:
            NotReady: No backend of it makes pictures now.
            ProviderError: It does not list its models.
        """
        await self.find()  # one session for all
        bodies: dict[str, dict[str, Any]] = {}
        failed: list[ProviderError] = []

        async def ask(key: str, route: str, **body: object) -> None:
            try:
                bodies[key] = await self.read(route, **body)
            except ProviderError as e:
                bodies[key] = {}
                if key in ("models", "params", "status"):
                    failed.append(e)

        async with anyio.create_task_group() as group:
            for key, subtype in _SUBTYPES.items():
                listing = {"path": "", "depth": LIST_DEPTH, "subtype": subtype}

                async def list_files(key: str = key, listing: Any = listing) -> None:
                    await ask(key, "ListModels", **listing)

                group.start_soon(list_files)
            for key, route in _ROUTES.items():
                group.start_soon(ask, key, route)
        if failed:
            raise failed[0]
        status = first_object(bodies["status"], "backend_status").get("status")
        if not isinstance(bodies["models"].get("files"), list) or status is None:
            raise failures.wrong_service(self._name, self.http.url)
        if status in NO_BACKENDS:
            raise failures.no_backend(self._name, self.http.url, str(status))
        listed = {key: tuple(objects(bodies[key], "files[]")) for key in _SUBTYPES}
        gpus = first_object(bodies["resources"], "gpus")
        free = {_amount(g.get("total_memory")): _amount(g.get("free_memory")) for g in _dicts(gpus)}
        memory = max((total for total in free if total), default=None)
        counts = first_object(bodies["all"], "status")
        queued = number(counts.get("waiting_gens"))
        return Contents(
            models=listed["models"],
            loras=listed["loras"],
            nets=listed["nets"],
            embeddings=listed["embeddings"],
            vaes=tuple(str(item.get("name") or "") for item in listed["vaes"]),
            choices=_choices(bodies["params"]),
            features=frozenset(_texts(bodies["status"], "supported_features[]")),
            queued=None if queued is None else max(0, int(queued)),
            memory=memory,
            free_memory=free.get(memory),
        )

    async def _ask(self, route: str, session: Session, body: Mapping[str, object]) -> Answer:
        return await self.http.post_once(
            f"API/{route}",
            json={"session_id": session.id, **body},
            paid=False,
            accept=REFUSALS,
        )


async def error_in(http: HttpClient, body: Mapping[str, Any]) -> ProviderError | None:
    """The error that a message of SwarmUI tells of; None where it tells of none."""
    message, code = body.get("error"), body.get("error_id")
    if not message and not code:
        return None
    return await http.job_error(str(message or ""), str(code or ""))


_SUBTYPES: Mapping[str, str] = {
    "models": "Stable-Diffusion",
    "loras": "LoRA",
    "nets": "ControlNet",
    "embeddings": "Embedding",
    "vaes": "VAE",
}
_ROUTES: Mapping[str, str] = {
    "params": "ListT2IParams",
    "status": "GetCurrentStatus",
    "all": "GetGlobalStatus",
    "resources": "GetServerResourceInfo",
}
"""The last two are for administrators: what an account may not see is not known."""


def _choices(body: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    found = (
        (str(p.get("id") or ""), tuple(_texts(p, "values[]"))) for p in objects(body, "list[]")
    )
    return {id: names for id, names in found if id and names}


def _texts(body: Mapping[str, Any], path: str) -> list[str]:
    return [value for value in values(body, path) if isinstance(value, str)]


def _dicts(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [value for key in body for value in objects(body, key)]


def _amount(value: object) -> int | None:
    amount = number(value)
    return None if amount is None or amount < 0 else int(amount)
