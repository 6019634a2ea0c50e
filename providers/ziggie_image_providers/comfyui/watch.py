"""Watch a prompt until it ends: the socket shows how far it is, polling says what became of it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from ziggie_image_mcp.provider import Progress, ProviderTimeout, ProviderUnavailable
from ziggie_image_mcp.provider.sockets import AbortingConnection, OneConnection
from ziggie_image_providers.comfyui import failures, wire
from ziggie_image_providers.comfyui.client import Client
from ziggie_image_providers.comfyui.graph import SAMPLER, stage_of

_quiet = logging.getLogger(f"{__name__}.websocket")
_quiet.setLevel(logging.INFO)  # at DEBUG it would write our headers, and keys may be among them

Tell = Callable[[float, str], Awaitable[None]]
"""Say how far one picture is: a share of 0 to 1, and a short sentence."""

_STAGES = {
    "model": (0.02, "loading the model"),
    "clip": (0.04, "loading the text encoders"),
    "vae": (0.05, "loading the VAE"),
    "lora": (0.05, "loading a LoRA"),
    "control_net": (0.06, "loading a control net"),
    "upscaler": (0.1, "enlarging"),
    "refiner": (0.08, "loading the refiner"),
    "preprocessor": (0.06, "drawing a control map"),
    "positive": (0.07, "reading the prompt"),
    "negative": (0.08, "reading the prompt"),
    SAMPLER: (0.1, "sampling"),
    "refine": (0.7, "refining"),
    "decode": (0.92, "decoding"),
    "save": (0.97, "saving"),
}
"""How far a picture is when a node of our graphs begins."""
_LOADERS = ("model", "clip", "vae", "lora", "control_net", "refiner")
_UNSTEPPED = {*_STAGES} - {SAMPLER, "refine", "upscaler"}
"""Our nodes whose progress is not that of the picture; in workflows of others any may be."""
_QUEUED = "waiting in ComfyUI's queue"
_NOT_WORK = {_QUEUED, *(_STAGES[node][1] for node in _LOADERS)}
"""What is told while others' prompts are made, or files are read."""
_SAMPLED = 0.9
_ENDS = ("execution_success", "execution_error", "execution_interrupted")
_OPEN_SECONDS = 3.0
_MAX_FRAME = 8 * 2**20
"""Bytes of one event or preview; after a longer one the server is asked instead."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often the server is asked, seconds."""

    first: float = 0.01
    factor: float = 1.5
    longest: float = 1.0
    watched_first: float = 1.0
    """The first pause while a socket tells us more anyway."""
    watched_longest: float = 5.0
    patience: float = 5.0
    """How long a server may be silent in the middle of a job before it counts as dead."""


class WorkLimit:
    """Cancels a scope once the engine has worked for so long: without its queue and its loading."""

    def __init__(self, seconds: float) -> None:
        self.scope = anyio.CancelScope()
        self._left = seconds
        self._working = False

    def note(self, sentence: str) -> None:
        """Go by what is told of the prompt now."""
        working, now = sentence not in _NOT_WORK, anyio.current_time()
        if working and not self._working:
            self.scope.deadline = now + self._left
        elif self._working and not working:
            self._left = self.scope.deadline - now
            self.scope.deadline = math.inf
        self._working = working


class Meter:
    """Turns what is told of one picture after another into a share of the whole that only grows."""

    def __init__(self, progress: Progress, pictures: int, limit: WorkLimit) -> None:
        self._limit = limit
        self._progress = progress
        self._pictures = pictures
        self._done = 0
        self._last = (0.0, "")

    async def tell(self, share: float, sentence: str) -> None:
        """Say how far the present picture is. What is no news is not passed on."""
        self._limit.note(sentence)
        whole = min(1.0, (self._done + share) / self._pictures)
        if self._pictures > 1:
            sentence = f"picture {self._done + 1} of {self._pictures}: {sentence}"
        now = (max(whole, self._last[0]), sentence)
        if now != self._last:
            self._last = now
            await self._progress(*now)

    async def next(self, count: int = 1) -> None:
        """Count the present picture as done, or as many as were made together."""
        await self.tell(float(count), "done")
        self._done += count


class Socket:
    """The websocket of one run, open or not; only the events of one prompt at a time are seen.

    A client id must not be connected twice at a time: the server then drops the events of both.
    """

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.connection: ClientConnection | None = None
        self.note = ""
        self._prompt = ""
        self._ended = False
        self._stage = (0.0, "")
        self._outputs: dict[str, Any] = {}
        self.success: wire.PromptState | None = None
        """How the present prompt ended, where it ended well and all that it made was told here."""
        self.show: Callable[[bytes], None] | None = None
        """Takes pictures of the work, JPEG or PNG, where somebody looks at them."""
        self._loading_since: float | None = None
        self._load_seconds = 0.0

    @property
    def watching(self) -> bool:
        """Whether the end of the job will be seen here."""
        return self.connection is not None and not self._ended

    async def open(self, client: Client) -> None:
        """Connect; where that fails, all goes on by polling."""
        try:
            with anyio.fail_after(_OPEN_SECONDS):
                self.connection = await OneConnection(
                    client.socket_url(self.client_id),
                    ssl=client.socket_tls(),
                    additional_headers=client.headers,
                    proxy=True if client.proxied else None,
                    create_connection=AbortingConnection,
                    compression=None,
                    logger=_quiet,
                    max_size=min(_MAX_FRAME, client.max_bytes),
                    max_queue=None,  # a full one would keep the end of the connection waiting
                    ping_timeout=60,
                    close_timeout=0.4,
                    open_timeout=None,
                )
                flags = {"supports_preview_metadata": True}
                await self.connection.send(json.dumps({"type": "feature_flags", "data": flags}))
                await self.connection.recv()  # the first word says that the server knows our id
        except (OSError, TimeoutError, ValueError, ImportError, WebSocketException):
            # ValueError, ImportError: a header or a proxy that the websocket library cannot use.
            self.note = "ComfyUI gave no websocket, so progress was not seen"
            await self.close()

    @property
    def heard(self) -> bool:
        """Whether something was told of the present prompt."""
        return bool(self._stage[1])

    @property
    def load_seconds(self) -> float | None:
        """How long files of a model were read; None where not all of it was seen.

        What ComfyUI still has in memory it does not execute again.
        """
        return None if self.note or self._loading_since is not None else self._load_seconds

    def follow(self, prompt_id: str) -> None:
        """Look for the events of this prompt from now on."""
        self._prompt, self._ended, self._stage = prompt_id, False, (0.0, "")
        self._outputs, self.success = {}, None

    async def wait(self, seconds: float, tell: Tell) -> bool:
        """Read events for some time; True at once when one gives reason to ask the server."""
        until = anyio.current_time() + seconds
        while (left := until - anyio.current_time()) > 0:
            if not self.watching:
                await anyio.sleep(left)
                return False
            before = self._stage
            with anyio.move_on_after(left):
                await self._receive()
            if self._stage != before:
                await tell(*self._stage)
            if not self.watching:
                return True
        return False

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with anyio.move_on_after(0.5, shield=True):
                await connection.close()

    async def _receive(self) -> None:
        assert self.connection
        try:
            frame = await self.connection.recv()
        except ConnectionClosed:
            self.connection = None
            self.note = "the websocket to ComfyUI broke, so progress was seen in part only"
            return
        if isinstance(frame, str):
            self._take(frame)
        elif self.show is not None and (preview := wire.preview(frame, self._prompt)):
            self.show(preview)

    def _take(self, frame: str) -> None:
        try:
            event = json.loads(frame)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        kind, data = (
            cast(dict[str, Any], event).get("type"),
            cast(dict[str, Any], event).get("data"),
        )
        if not isinstance(data, dict):
            return
        facts = cast(dict[str, Any], data)
        if facts.get("prompt_id") != self._prompt:
            return
        node = facts.get("node")
        if kind == "executed" and isinstance(facts.get("output"), dict):
            self._outputs[str(node)] = facts["output"]
        elif kind == "execution_success" and self._outputs:
            self.success, self._ended = wire.completed(self._outputs), True
        elif kind in _ENDS or (kind == "executing" and node is None):
            # Only `executing` without a node comes after the history is written; the others
            # merely mean that it is worth asking.
            self._ended = True
        elif kind == "executing" and stage_of(str(node)) in _STAGES:
            stage = stage_of(str(node))
            self._stage = _STAGES[stage]
            self._count_loading(stage)
        elif kind == "progress" and stage_of(str(node)) not in _UNSTEPPED:
            self._stage = _step(facts.get("value"), facts.get("max")) or self._stage

    def _count_loading(self, node: str) -> None:
        now = anyio.current_time()
        if self._loading_since is not None:
            self._load_seconds += now - self._loading_since
        self._loading_since = now if node in _LOADERS else None


def _step(value: object, total: object) -> tuple[float, str] | None:
    if not isinstance(value, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    start = _STAGES[SAMPLER][0]
    share = start + (_SAMPLED - start) * min(1.0, max(0.0, value / total))
    return share, f"step {value:.0f} of {total:.0f}"


async def follow(
    client: Client, name: str, prompt_id: str, socket: Socket, tell: Tell, pace: Pace
) -> wire.PromptState:
    """Wait until a job has ended, in whatever way.

    Raises:
        EngineCrashed: The server has gone, or no longer knows the job.
    """
    pause = pace.watched_first if socket.watching else pace.first
    unknown, silent_since = 0, None
    while True:
        if await socket.wait(pause, tell):
            pause = pace.first
        if socket.success is not None:
            return socket.success
        try:
            state = await client.state(prompt_id)
        except (ProviderUnavailable, ProviderTimeout) as e:
            silent_since = silent_since or anyio.current_time()
            if anyio.current_time() - silent_since >= pace.patience:
                raise failures.silent(name, client.url) from e
        else:
            silent_since = None
            unknown = unknown + 1 if state is None else 0
            if unknown == 2:
                raise failures.lost(name)
            if state is not None and state.ended:
                return state
            if state is not None and state.status == "pending":
                await tell(0.0, _QUEUED)
            elif socket.connection is None or not socket.heard:
                await tell(0.0, "ComfyUI is working")
        longest = pace.watched_longest if socket.watching else pace.longest
        pause = min(pause * pace.factor, longest)
