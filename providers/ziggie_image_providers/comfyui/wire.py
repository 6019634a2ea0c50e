"""The shapes in which ComfyUI answers, as far as we read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

Status = Literal["pending", "in_progress", "completed", "failed", "cancelled"]


class System(BaseModel):
    """What `system_stats` says of the server."""

    model_config = ConfigDict(extra="ignore")

    comfyui_version: str = ""
    ram_total: int | None = None
    ram_free: int | None = None
    """Bytes."""


class Device(BaseModel):
    """One device of `system_stats`."""

    name: str
    type: str
    vram_total: int | None = None
    vram_free: int | None = None
    """Bytes; of a `cpu` those of main memory."""


class SystemStats(BaseModel):
    """The answer of `system_stats`."""

    system: System
    devices: list[Device]


class ExecInfo(BaseModel):
    """What is going on."""

    queue_remaining: int


class QueueLength(BaseModel):
    """The answer of `prompt`, when it is read."""

    exec_info: ExecInfo


class Posted(BaseModel):
    """The good answer to a posted prompt."""

    prompt_id: str
    node_errors: dict[str, NodeErrors] = {}


class Rejection(BaseModel):
    """The bad answer to a posted prompt."""

    error: ErrorBody
    node_errors: dict[str, NodeErrors] = {}


class ErrorBody(BaseModel):
    """What is wrong with a prompt as a whole."""

    type: str
    message: str = ""
    extra_info: dict[str, Any] = {}


class NodeErrors(BaseModel):
    """What is wrong with one node."""

    class_type: str = ""
    errors: list[NodeError] = []


class NodeError(BaseModel):
    """One thing that is wrong with one node."""

    type: str
    extra_info: dict[str, Any] = {}


class ExecutionError(BaseModel):
    """Why a job failed. Traceback and inputs are left unread: they hold paths and tensors."""

    node_type: str = ""
    exception_type: str = ""
    exception_message: str = ""


class Image(BaseModel):
    """Where a finished picture lies on the server."""

    filename: str
    subfolder: str = ""
    type: str = "output"


class Uploaded(BaseModel):
    """Where an uploaded picture lies."""

    name: str
    subfolder: str = ""
    type: str = "input"


class JobReply(BaseModel):
    """The answer of `jobs/{id}`."""

    status: str
    outputs: dict[str, Any] = {}
    execution_error: ExecutionError | None = None


class HistoryStatus(BaseModel):
    """How a job of the history ended."""

    status_str: str = ""
    messages: list[tuple[str, dict[str, Any]]] = []


class HistoryReply(BaseModel):
    """One entry of `history`."""

    outputs: dict[str, Any] = {}
    status: HistoryStatus


class Queue(BaseModel):
    """The answer of `queue`: per job a list whose second item is its id."""

    queue_running: list[list[Any]] = []
    queue_pending: list[list[Any]] = []

    def runs(self, prompt_id: str) -> bool:
        """Tell whether this job is being worked on."""
        return any(prompt_id in request[1:2] for request in self.queue_running)

    def waits(self, prompt_id: str) -> bool:
        """Tell whether this job waits for its turn."""
        return any(prompt_id in request[1:2] for request in self.queue_pending)


class FileFacts(BaseModel):
    """One file of `experiment/models/{folder}`."""

    name: str
    size: int


NAMES = TypeAdapter(tuple[str, ...])
FILES = TypeAdapter(list[FileFacts])
METADATA = TypeAdapter[dict[str, Any]](dict[str, Any])
HISTORY = TypeAdapter(dict[str, HistoryReply])
_STATUSES: dict[str, Status] = {status: status for status in get_args(Status)}


@dataclass(frozen=True, kw_only=True)
class PromptState:
    """Where one prompt stands."""

    status: Status
    images: tuple[Image, ...] = ()
    error: ExecutionError | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status not in ("pending", "in_progress")


def from_job(reply: JobReply) -> PromptState:
    """Read the answer of `jobs/{id}`."""
    images = tuple(_images(reply.outputs)) if reply.status == "completed" else ()
    status = _STATUSES.get(reply.status, "in_progress")  # a word that we do not know is no end
    return PromptState(status=status, images=images, error=reply.execution_error)


def completed(outputs: Mapping[str, Any]) -> PromptState:
    """A prompt that ended well, by what its nodes made."""
    return PromptState(status="completed", images=tuple(_images(outputs)))


def from_history(entry: HistoryReply) -> PromptState:
    """Read one entry of `history`, which older servers have instead of `jobs`."""
    if entry.status.status_str == "success":
        return PromptState(status="completed", images=tuple(_images(entry.outputs)))
    for kind, data in reversed(entry.status.messages):
        if kind == "execution_interrupted":
            return PromptState(status="cancelled")
        if kind == "execution_error":
            return PromptState(status="failed", error=ExecutionError.model_validate(data))
    return PromptState(status="failed")


def _images(outputs: Mapping[str, Any]) -> Iterator[Image]:
    for node in outputs.values():
        listed = cast(dict[str, Any], node).get("images") if isinstance(node, dict) else None
        for item in cast(list[object], listed) if isinstance(listed, list) else []:
            try:
                yield Image.model_validate(item)
            except ValidationError:
                continue  # another kind of output that happens to bear this name


def absent_node(error: ErrorBody) -> str:
    """The class of nodes that an old server does not have; empty where it says something else."""
    found = re.search(r"node ['\"]?([\w.+-]+)['\"]? (?:does not exist|not found)", error.message)
    return found[1] if error.type == "invalid_prompt" and found else ""


def preview(frame: bytes, prompt_id: str) -> bytes:
    """The picture of a binary frame, where it is one of this prompt; else nothing.

    Type 1 is a format and a picture; type 4 the length of a description in JSON, that, and a
    picture.
    """
    kind = int.from_bytes(frame[:4], "big")
    if kind == 1:
        return frame[8:]
    if kind != 4 or len(frame) < 8:
        return b""
    length = int.from_bytes(frame[4:8], "big")
    try:
        about = METADATA.validate_json(frame[8 : 8 + length])
    except ValidationError:
        return b""
    return frame[8 + length :] if about.get("prompt_id") == prompt_id else b""


def model_of_history(history: Mapping[str, Any]) -> str:
    """The model file that the first entry of a history loaded; empty where none can be told."""
    try:
        graph = next(iter(history.values()))["prompt"][2]
        inputs = [node["inputs"] for node in graph.values()]
        return next(str(i[n]) for i in inputs for n in ("ckpt_name", "unet_name") if n in i)
    except (StopIteration, LookupError, TypeError, AttributeError):
        return ""


def options(spec: object) -> tuple[str, ...]:
    """Read the choices of one input, in either of the two ways ComfyUI writes them.

    >>> options([["euler", "lcm"], {"tooltip": "."}]), options(["COMBO", {"options": ["a"]}])
    (('euler', 'lcm'), ('a',))
    """
    parts = cast(list[object], spec) if isinstance(spec, list) else []
    listed = parts[0] if parts else None
    if listed == "COMBO" and len(parts) > 1 and isinstance(parts[1], dict):
        listed = cast(dict[str, object], parts[1]).get("options")
    return tuple(map(str, cast(list[object], listed))) if isinstance(listed, list) else ()


class NodeTable:
    """The classes of nodes of a server, as `object_info` tells them."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self.info = info

    def __contains__(self, node: object) -> bool:
        return node in self.info

    def missing(self, nodes: Iterable[str]) -> list[str]:
        """Those of the classes that the server does not have; none where it does not tell."""
        return [] if not self.info else sorted(node for node in nodes if node not in self.info)

    def choices(self, node: str, input: str) -> tuple[str, ...]:
        """What one input takes; empty where there is no such thing, or it takes anything."""
        return options(self.inputs(node).get(input))

    def inputs(self, node: str) -> dict[str, Any]:
        """The inputs of a class by name, as the server writes them."""
        about = self.info.get(node)
        groups = cast(dict[str, Any], about).get("input") if isinstance(about, dict) else None
        named = cast(dict[str, Any], groups) if isinstance(groups, dict) else {}
        parts = (named.get("optional"), named.get("required"))
        return {
            k: v for p in parts if isinstance(p, dict) for k, v in cast(dict[str, Any], p).items()
        }


def version(text: str) -> tuple[int, ...]:
    """Read a version for comparing; an unreadable one counts as the oldest.

    >>> version("0.3.56") < version("v0.33.0"), version("")
    (True, ())
    """
    match = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    return tuple(int(part) for part in match[1].split(".")) if match else ()
