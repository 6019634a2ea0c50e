"""Have a job made over SwarmUI's websocket: it tells how far it is, and gives the pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from ziggie_image_mcp.provider import ProviderError, ProviderTimeout, Run, duration
from ziggie_image_mcp.provider.http import HttpClient
from ziggie_image_mcp.provider.json_paths import number, objects
from ziggie_image_mcp.provider.sockets import open_socket
from ziggie_image_mcp.provider.vendor import from_base64
from ziggie_image_providers.swarmui import failures
from ziggie_image_providers.swarmui.server import error_in

ROUTE = "API/GenerateText2ImageWS"

_MESSAGES_BYTES = 64 * 2**20
"""Beside pictures: what all previews and counts of one picture may come to."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as SwarmUI gave it."""

    data: bytes = field(repr=False)
    metadata: Mapping[str, Any]
    """Which values it was made with; empty where that is not told."""


@dataclass(kw_only=True)
class Outcome:
    """What came of a job."""

    pictures: dict[int, Picture] = field(default_factory=dict[int, Picture])
    """By their number, from 0 on."""
    discarded: set[int] = field(default_factory=set[int])
    """Those that an extension of SwarmUI sorted out."""
    error: ProviderError | None = None
    """The first that it told of."""
    strange: int = 0
    """Messages with a picture that is none."""


class Stream:
    """One job over one websocket.

    Args:
        name: The provider's name.
        http: Of the server.
        seconds: How long the work may take, without the wait behind others' jobs.
        paid: Whether somebody may charge for the job.
    """

    def __init__(self, name: str, http: HttpClient, seconds: float, *, paid: bool) -> None:
        self._name = name
        self._http = http
        self._seconds = seconds
        self._paid = paid
        self.sent = False
        """Whether the request went out, as far as can be told."""

    async def make(self, body: Mapping[str, Any], run: Run, max_bytes: int) -> Outcome:
        """Send a request, and take in all that comes of it.

        Args:
            body: With the session that it runs in.
            run: Takes the progress.
            max_bytes: Of one message.

        Raises:
            EngineGone: The connection broke, and the pictures with it.
            ProviderTimeout: The work took too long. It still goes on.
            ProviderError: No connection came about, or what came is not in SwarmUI's words.
        """
        opening = min(3.0, self._seconds)
        connection = await open_socket(
            self._name, self._http, ROUTE, max_bytes=max_bytes, seconds=opening
        )
        try:
            self.sent = True
            await connection.send(json.dumps(body))
            return await self._listen(connection, run, int(body["images"]), max_bytes)
        except (WebSocketException, OSError) as e:
            raise failures.gone(self._name, self._http.url, paid=self._paid) from e
        finally:
            with anyio.move_on_after(0.5, shield=True):
                await connection.close()

    async def _listen(
        self, connection: ClientConnection, run: Run, count: int, max_bytes: int
    ) -> Outcome:
        outcome, clock = Outcome(), _Clock(self._seconds)
        room = count * max_bytes + _MESSAGES_BYTES
        while True:
            try:
                with anyio.fail_after(clock.left):
                    frame = await connection.recv()
            except TimeoutError:
                raise self._too_late() from None
            except ConnectionClosed as e:
                if outcome.error is not None:
                    return outcome  # what SwarmUI refuses it says, and closes
                if e.sent is not None and e.sent.code == CloseCode.MESSAGE_TOO_BIG:
                    what = f"sent more than {max_bytes >> 20} MB"
                    raise self._http.lost(what, paid=self._paid) from None
                raise
            room -= len(frame)
            message = _message(frame)
            if message is None or room < 0:
                what = (
                    "sent what is not in SwarmUI's words" if room >= 0 else "sent no end of words"
                )
                raise self._http.lost(what, paid=self._paid)
            if await self._take(message, outcome, run, clock, count):
                return outcome

    async def _take(
        self, message: Mapping[str, Any], outcome: Outcome, run: Run, clock: _Clock, count: int
    ) -> bool:
        """Take in one message; True once nothing more will come."""
        error = await error_in(self._http, message)
        if error is not None:
            outcome.error = outcome.error or error
            return not outcome.pictures
        if "image" in message:
            _keep(message, outcome)
        for item in objects(message, "status"):
            clock.note(working=bool(number(item.get("live_gens"))))
            if not outcome.pictures and not clock.working:
                await run.progress(0.02, _waiting(item))
        for item in objects(message, "gen_progress"):
            clock.note(working=True)
            await _tell(item, outcome, run, count)
        discarded = message.get("discard_indices")
        if isinstance(discarded, list):
            indices = cast("list[object]", discarded)
            outcome.discarded |= {i for i in indices if isinstance(i, int)}
            return True
        return message.get("socket_intention") == "close"

    def _too_late(self) -> ProviderError:
        return ProviderTimeout(
            self._name,
            f"SwarmUI did not finish within {duration(self._seconds)} of work, so the job was"
            f" stopped; ask for less, or set providers.{self._name}.timeout",
            charged=None if self._paid else 0,
        )


class _Clock:
    """Counts the time in which the job is worked at; what waits behind others is not counted."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._spent = 0.0
        self._since: float | None = time.monotonic()
        self.working = True
        """Until it is told otherwise, as of a server that says nothing."""

    @property
    def left(self) -> float | None:
        """Seconds until it is too late; None while others' jobs are made."""
        if self._since is None:
            return None
        return max(0.0, self._seconds - self._spent - (time.monotonic() - self._since))

    def note(self, *, working: bool) -> None:
        """Go by what is told of the job now."""
        now = time.monotonic()
        if working and self._since is None:
            self._since = now
        elif not working and self._since is not None:
            self._spent += now - self._since
            self._since = None
        self.working = working


def _message(frame: str | bytes) -> dict[str, Any] | None:
    try:
        message: object = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", message) if isinstance(message, dict) else None


def _keep(message: Mapping[str, Any], outcome: Outcome) -> None:
    """Keep a picture: of the batch alone, not of what is shown beside it, as a grid of them all."""
    inner = message["image"]  # its documents say an object, its code sends the fields flat
    fields = cast("Mapping[str, Any]", inner) if isinstance(inner, dict) else message
    try:
        index = int(str(fields.get("batch_index")))
    except ValueError:
        index = -1
    data = from_base64(fields.get("image"))
    if data is None:
        outcome.strange += 1
    elif index >= 0:
        outcome.pictures[index] = Picture(data=data, metadata=_metadata(fields.get("metadata")))


def _metadata(text: object) -> Mapping[str, Any]:
    try:
        value: object = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _waiting(status: Mapping[str, Any]) -> str:
    if number(status.get("loading_models")):
        return "loading the model"
    return "waiting behind other jobs of SwarmUI"


async def _tell(item: Mapping[str, Any], outcome: Outcome, run: Run, count: int) -> None:
    preview = item.get("preview")
    if run.preview is not None and isinstance(preview, str):
        head = preview[:32].lower()
        data = from_base64(preview)
        if data is not None and head.startswith(
            ("data:image/jpeg", "data:image/png", "data:image/webp")
        ):
            run.preview(data)
    share = min(1.0, max(0.0, number(item.get("overall_percent")) or 0.0))
    done = len(outcome.pictures)
    words = f"working: {share:.0%}"
    if count > 1:
        words = f"picture {min(done + 1, count)} of {count}: {words}"
    await run.progress(0.05 + 0.9 * min(1.0, (done + share) / count), words)
