"""Know one Fooocus-API: who it is, what it has, and where its jobs stand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

import anyio

from ziggie_image_mcp.provider import ProviderContext, ProviderError, ProviderUnavailable, Where
from ziggie_image_mcp.provider.http import READ_SECONDS, HttpClient, KeyHeader
from ziggie_image_mcp.provider.json_paths import first_object, number, objects, values
from ziggie_image_mcp.provider.vendor import from_base64
from ziggie_image_providers.fooocus import failures
from ziggie_image_providers.fooocus.settings import Settings

PLAIN_FOOOCUS = "http://127.0.0.1:7865"
"""Where Fooocus itself listens, with a page and without an API."""

IDENTIFY_SECONDS = 1.0
KNOWN_SECONDS, SILENT_SECONDS = 30.0, 30.0
"""How long it is taken for granted; how long what hangs at PLAIN_FOOOCUS is left alone."""

ANY = range(300, 600)
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


class Server:
    """One Fooocus-API.

    Args:
        name: The provider's name.
        settings: Where it is.
        context: Gives keys, and the transport.
        seconds: How long an answer may take at most.
        plain: Where Fooocus itself is looked for, to say what it lacks.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        context: ProviderContext,
        seconds: float,
        plain: str = PLAIN_FOOOCUS,
    ) -> None:
        self._name = name
        self._seconds = seconds
        names = [settings.key_name] if settings.key_name else []
        self.http = HttpClient(
            name,
            settings,
            context,
            auth=(KeyHeader(name="X-API-KEY", prefix=""),),
            key_names=names,
            rules=failures.ERRORS,
            fix=f"start Fooocus-API, or set providers.{name}.baseUrl",
            read_seconds=min(READ_SECONDS, seconds),
        )
        elsewhere = settings.model_copy(update={"base_url": plain})
        self._plain = HttpClient(name, elsewhere, context)
        self._looks_around = "base_url" not in settings.model_fields_set
        self._silent_until = 0.0
        self._known_until = 0.0

    @property
    def where(self) -> Where:
        """Whoever's host it is, it is no vendor: it takes no money."""
        return "this_machine" if self.http.where == "this_machine" else "own_network"

    async def find(self) -> None:
        """See that it is there.

        Raises:
            WrongService: What answers is no Fooocus-API, or Fooocus without one.
            ProviderError: Nothing answers, or not to us.
        """
        if time.monotonic() < self._known_until:
            return
        seconds = min(IDENTIFY_SECONDS, self._seconds)
        try:
            answer = await self.http.get("ping", accept=ANY, seconds=seconds)
        except ProviderUnavailable:
            if self._looks_around and await self._is_fooocus(self._plain):
                raise failures.without_api(self._name, self._plain.url) from None
            raise
        denied = answer.status in (401, 403) and answer.data().get("detail") == "Forbidden"
        if denied or 300 <= answer.status < 400 or answer.status >= 500:
            raise self.http.error(answer, await self.http.keys())
        if not answer.ok or answer.content.strip() != b'"pong"':
            if await self._is_fooocus(self.http):
                raise failures.without_api(self._name, self.http.url)
            raise failures.wrong_service(self._name, self.http.url)
        self._known_until = time.monotonic() + KNOWN_SECONDS

    def forget(self) -> None:
        """What comes up next at this address may be another one."""
        self._known_until = 0.0

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
        """The file of a picture, with what Fooocus wrote into it.

        Raises:
            ProviderError: It cannot be had.
        """
        answer = await self.http.get(f"files/{path}", max_bytes=max_bytes)
        return answer.content

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()
        await self._plain.aclose()

    async def _is_fooocus(self, http: HttpClient) -> bool:
        """Whether a page of Fooocus itself is there, as Gradio describes it."""
        if http is self._plain and time.monotonic() < self._silent_until:
            return False
        try:
            answer = await http.get("config", accept=ANY, seconds=IDENTIFY_SECONDS / 2)
        except ProviderError:
            if http is self._plain:
                self._silent_until = time.monotonic() + SILENT_SECONDS
            return False
        return str(answer.data().get("title") or "").startswith("Fooocus")


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
