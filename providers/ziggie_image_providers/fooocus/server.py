"""Know one Fooocus-API: who it is, what it has, and where its jobs stand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

import anyio

from ziggie_image_mcp.provider import ProviderContext, ProviderError, engines
from ziggie_image_mcp.provider.engine_server import EngineServer
from ziggie_image_mcp.provider.engines import Sighting
from ziggie_image_mcp.provider.http import HttpClient, KeyHeader
from ziggie_image_mcp.provider.json_paths import first_object, number, objects, values
from ziggie_image_mcp.provider.vendor import from_base64
from ziggie_image_providers.fooocus import failures
from ziggie_image_providers.fooocus.settings import Settings

KNOWN_SECONDS = 30.0
"""How long it is taken for granted."""

Stage = Literal["waiting", "running", "finished", "failed"]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a Fooocus-API has, as it lists it."""

    models: tuple[str, ...]
    loras: tuple[str, ...]
    styles: tuple[str, ...]
    queued: int = 0


@dataclass(frozen=True, kw_only=True)
class Result:
    """One picture of a job that ended."""

    path: str
    """Of its file on the server; empty where there is none."""
    seed: int | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class JobState:
    """Where a job stands."""

    stage: Stage
    fraction: float = 0.0
    words: str = ""
    preview: bytes | None = field(default=None, repr=False)
    results: tuple[Result, ...] = ()


class Server(EngineServer[Settings]):
    """One Fooocus-API.

    Args:
        name: The provider's name.
        settings: Where it is.
        context: Gives keys, and the transport.
        seconds: How long an answer may take at most.
        places: Where it, or Fooocus without one, is looked for where no address is set.
    """

    kind = "fooocus"
    how_to_start = "start Fooocus-API"
    auth = (KeyHeader(name="X-API-KEY", prefix=""),)
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
        self._files: HttpClient | None = None
        self._known_until = 0.0

    async def find(self) -> None:
        """See that it is there.

        Raises:
            NotReady: It is Fooocus itself, which has no API.
            WrongService: What answers is no Fooocus-API.
            ProviderError: Nothing answers, or not to us.
        """
        if time.monotonic() >= self._known_until:
            await self._places.find(self._identify)
            self._known_until = time.monotonic() + KNOWN_SECONDS

    def forget(self) -> None:
        """What comes up next at this address may be another one."""
        self._known_until = 0.0

    async def _identify(self, http: HttpClient, seconds: float) -> Sighting:
        return await engines.identify(http, self._name, self.kind, min(seconds, self._seconds))

    async def contents(self) -> Contents:
        """All that it lists, asked at once.

        Raises:
            ProviderError: It does not list its models.
        """
        bodies: dict[str, object] = {}
        failed: list[ProviderError] = []

        async def ask(path: str) -> None:
            try:
                bodies[path] = await self.http.get_json(path)
            except ProviderError as e:
                failed.append(e)

        async with anyio.create_task_group() as group:
            for path in _LISTS:
                group.start_soon(ask, path)
        if failed:
            raise failed[0]
        files, styles, queue = (bodies[path] for path in _LISTS)
        if next(values(files, "model_filenames"), None) is None:
            raise failures.wrong_service(self._name, self.http.url)
        return Contents(
            models=_texts(files, "model_filenames[]"),
            loras=_texts(files, "lora_filenames[]"),
            styles=_texts({"styles": styles}, "styles[]"),
            queued=max(0, int(number(next(values(queue, "running_size"), None)) or 0)),
        )

    async def job(self, job_id: str, *, preview: bool = False) -> JobState | None:
        """Where a job stands; None where it is not known, as after a restart.

        Raises:
            ProviderError: It cannot be asked.
            ValueError: The answer is not in its words.
        """
        params = {"job_id": job_id, "require_step_preview": "true" if preview else "false"}
        answer = await self.http.get("v1/generation/query-job", params=params, accept=(404,))
        body = answer.json()
        if answer.status == 404 and first_object({"job": body}, "job").get("job_stage") == "ERROR":
            return None
        if not answer.ok:
            raise self.http.error(answer, await self.http.keys())
        progress, words = number(body.get("job_progress")) or 0.0, body.get("job_status")
        image = body.get("job_step_preview")
        return JobState(
            stage=_stage(str(body["job_stage"]), begun=progress > 0 or words is not None),
            fraction=min(1.0, max(0.0, progress / 100)),
            words=str(words or ""),
            preview=from_base64(image) if preview and image else None,
            results=tuple(map(_result, objects(body, "job_result[]"))),
        )

    async def running(self) -> str:
        """The id of the job that is made now; empty where there is none.

        Raises:
            ProviderError: It cannot be asked.
        """
        body = await self.http.get_json("v1/generation/job-history")
        return str(first_object(body, "queue[]").get("job_id") or "")

    async def stop(self) -> None:
        """End whatever is made: only for who knows that it is ours.

        Raises:
            ProviderError: It cannot be asked.
        """
        await self.http.post_once("v1/generation/stop", json={}, paid=False)

    async def picture(self, path: str, max_bytes: int) -> bytes:
        """The file of a picture, with what Fooocus wrote into it. It wants no key.

        Raises:
            ProviderError: It cannot be had.
        """
        if self._files is None or self._files.url != self.http.url:
            self._files = self._connect(self.http.url, login=False)
        answer = await self._files.get(f"files/{path}", max_bytes=max_bytes)
        return answer.content

    async def aclose(self) -> None:
        """Close the connections."""
        await super().aclose()
        if self._files is not None:
            await self._files.aclose()


_LISTS: Sequence[str] = (
    "v1/engines/all-models",
    "v1/engines/styles",
    "v1/generation/job-queue",
)


def _stage(word: str, *, begun: bool) -> Stage:
    """A job's stage. One that runs may be called WAITING: version 0.5.0.1 never marks the start."""
    if word == "SUCCESS":
        return "finished"
    if word == "ERROR":
        return "failed"
    if word not in ("WAITING", "RUNNING"):
        raise ValueError(f"a stage {word!r}")
    return "running" if begun or word == "RUNNING" else "waiting"


def _result(item: dict[str, object]) -> Result:
    seed, url = str(item.get("seed") or ""), str(item.get("url") or "")
    parts = [part for part in url.partition("?")[0].split("/") if part][-2:]
    return Result(
        path="/".join(quote(part) for part in parts) if len(parts) == 2 else "",
        seed=int(seed) if seed.isdigit() else None,
        reason=str(item.get("finish_reason") or ""),
    )


def _texts(body: object, path: str) -> tuple[str, ...]:
    return tuple(value for value in values(body, path) if isinstance(value, str))
