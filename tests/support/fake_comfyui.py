"""A ComfyUI on a loopback port that does what a test tells it, in the words of the real one."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request
from websockets.server import ServerProtocol

from ziggie_image_mcp.provider.testing import picture

PNG = picture(8, 8)
STATS: dict[str, Any] = {
    "system": {"os": "linux", "comfyui_version": "0.33.0", "argv": ["main.py"]},
    "devices": [
        {"name": "cuda:0 Some GPU", "type": "cuda", "index": 0, "vram_free": 5_000_000_000}
    ],
}
FILES = {
    "checkpoints": ["v1-5-pruned.safetensors", "sd_xl_base_1.0.safetensors"],
    "diffusion_models": ["flux1-schnell.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl_fp16.safetensors"],
    "vae": ["ae.safetensors"],
}
NODES: dict[str, Any] = json.loads(
    (Path(__file__).parent / "comfyui_object_info.json").read_text(encoding="utf-8")
)
"""The classes of nodes that our graphs use, as ComfyUI 0.33.0 tells of them, without the words."""
OOM = {
    "node_id": "sampler",
    "node_type": "KSampler",
    "executed": ["model"],
    "exception_message": "Allocation on device 0 would exceed allowed memory. (out of memory)\n",
    "exception_type": "torch.OutOfMemoryError",
    "traceback": ['  File "/home/me/ComfyUI/execution.py", line 1'],
    "current_inputs": {"seed": [1]},
}

BROKEN = OOM | {"exception_message": "bad value\n", "exception_type": "ValueError"}

Ending = Literal["completed", "failed", "cancelled", "hangs", "lost", "dies"]


@dataclass
class FakeComfyUI:
    """Answers on `url` while its block lasts. What it was asked stands in `seen`, in order."""

    ending: Ending = "completed"
    endings: list[Ending] = field(default_factory=list["Ending"])
    """Of the first prompts, in turn; the rest have `ending`. What is posted after one that hangs
    waits in the queue for as long as it hangs."""
    version: str = "0.33.0"
    devices: list[dict[str, Any]] = field(default_factory=lambda: STATS["devices"])
    ram_total: int | None = None
    files: Mapping[str, Sequence[str]] = field(default_factory=lambda: FILES)
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    """Bytes of files, by their names."""
    has_jobs: bool = True
    """False: a server before 0.5.1, with queue and history only."""
    has_cancel: bool = True
    has_socket: bool = True
    preview_bytes: int = 0
    """Of the preview that each step sends; 0 for none."""
    preview: bytes = b""
    """A whole frame, which each step sends instead."""
    drops_socket: bool = False
    """Whether the socket breaks in the middle of the job."""
    lag: int = 0
    """How many times the job is asked for in vain after its end was announced."""
    steps: int = 4
    chooses_ids: bool = False
    """Whether it calls jobs as it likes, as a server before 0.3.44."""
    rejection: Mapping[str, Any] | None = None
    node_errors: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: Mapping[str, Any] = field(default_factory=lambda: BROKEN)
    slow_answer: asyncio.Event | None = None
    """Holds back the answer to a posted prompt, which is queued already."""
    image_type: str = "output"
    image: bytes = PNG
    foreign: str = ""
    """The id of somebody else's job, whose events are broadcast too."""
    port: int = 0
    """0 for any that is free."""
    url: str = ""
    seen: list[str] = field(default_factory=list[str])
    prompts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    first_frames: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    posted: asyncio.Event = field(default_factory=asyncio.Event)
    states: dict[str, str] = field(default_factory=dict[str, str])

    async def __aenter__(self) -> Self:
        self._sockets: dict[str, tuple[ServerProtocol, asyncio.StreamWriter]] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
        if self._handlers:
            await asyncio.wait(self._handlers)

    def kill(self) -> None:
        """Answer nobody any more."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def finish(self) -> None:
        """Let all prompts that hang come to a good end."""
        self.states = {
            id: "completed" if state == "hangs" else state for id, state in self.states.items()
        }

    def forget(self, *ids: str) -> None:
        """Know nothing of these prompts, or of any, as after a restart."""
        for id in ids or tuple(self.states):
            del self.states[id]

    @property
    def running(self) -> str:
        """The id of the prompt that is being made."""
        return next((id for id, state in self.states.items() if state == "hangs"), "")

    @property
    def pending(self) -> list[str]:
        """The ids of those that wait."""
        return [i for i, state in self.states.items() if state == "hangs" and i != self.running]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._handlers.add(task)
        self._writers.add(writer)
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            self._handlers.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        self.headers.append(headers)
        path = urlsplit(target).path
        if headers.get("upgrade") == "websocket":
            await self._socket(head, target, reader, writer)
            return False
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.seen.append(f"{method} {path}")
        sent: dict[str, Any] = (
            json.loads(body) if body.startswith(b"{") else {}
        )  # the others are uploads
        status, answer = await self._answer(method, path, sent)
        if method == "POST" and self.ending == "dies" and path == "/api/prompt":
            self.kill()
            return False
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        writer.write(
            f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        await writer.drain()
        return True

    async def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, object]:
        match method, path.removeprefix("/api/").split("/"):
            case "GET", ["system_stats"]:
                system = {"comfyui_version": self.version, "ram_total": self.ram_total}
                return 200, {"system": system, "devices": self.devices}
            case "GET", ["experiment", "models", folder]:
                names = [name for name in self.files.get(folder, ()) if name in self.sizes]
                return 200, [{"name": n, "size": self.sizes[n], "pathIndex": 0} for n in names]
            case "GET", ["models", folder]:
                known = folder in self.files
                return (200, self.files[folder]) if known else (404, b"404: Not Found")
            case "GET", ["object_info"]:
                return 200, NODES
            case "GET", ["embeddings"]:
                return 200, []
            case "GET", ["history"]:
                return 200, {}
            case "POST", ["upload", "image"]:
                return 200, {"name": "picture.png", "subfolder": "ziggie", "type": "temp"}
            case "POST", ["free"]:
                return 200, b""
            case "GET", ["prompt"]:
                remaining = len(self.pending) + bool(self.running)
                return 200, {"exec_info": {"queue_remaining": remaining}}
            case "POST", ["prompt"]:
                return await self._prompt(body)
            case "GET", ["jobs"] if self.has_jobs:
                return 200, {"jobs": [], "pagination": {}}
            case "GET", ["jobs", id] if self.has_jobs:
                return self._job(id)
            case "POST", ["jobs", id, "cancel"] if self.has_jobs and self.has_cancel:
                return 200, {"cancelled": self._stop(id)}
            case "GET", ["queue"]:
                running = [[1, self.running]] if self.running else []
                pending = [[2, id] for id in self.pending]
                return 200, {"queue_running": running, "queue_pending": pending}
            case "POST", ["queue"]:
                for id in {*self.pending}.intersection(body["delete"]):
                    self.forget(id)
                return 200, b""
            case "POST", ["interrupt"]:
                if body["prompt_id"] == self.running:
                    self._stop(self.running)
                return 200, b""
            case "GET", ["history", id]:
                return 200, self._history(id)
            case "GET", ["view"]:
                return 200, self.image
            case _:
                return 404, b"404: Not Found"

    async def _prompt(self, body: dict[str, Any]) -> tuple[int, object]:
        self.prompts.append(body)
        if self.rejection is not None:
            return 400, self.rejection
        id = str(uuid.uuid4()) if self.chooses_ids else body["prompt_id"]
        ending = self.endings.pop(0) if self.endings else self.ending
        self.states.pop(id, None)
        self.states[id] = ending
        if id not in self.pending:
            self._announce(body["client_id"], id, ending)
        self.posted.set()
        if self.slow_answer is not None:
            await self.slow_answer.wait()
        return 200, {"prompt_id": id, "number": 1, "node_errors": self.node_errors}

    def _stop(self, id: str) -> bool:
        if id in self.pending:
            self.forget(id)
            return True
        if id != self.running:
            return False
        self.states[id] = "cancelled"
        return True

    def _state(self, id: str) -> str:
        state = self.states.get(id, "lost")
        if state not in ("hangs", "lost") and self.lag:
            self.lag -= 1
            return "hangs"
        return state

    def _outputs(self, id: str) -> dict[str, Any]:
        """As many pictures as the prompt has noises; those of the usual sampler are one."""
        image = {"filename": "x_00001_.png", "subfolder": "ziggie", "type": self.image_type}
        own = [p["prompt"] for p in self.prompts if p.get("prompt_id") == id]
        kinds = [node["class_type"] for graph in own[-1:] for node in graph.values()]
        images = [image] * max(1, kinds.count("RandomNoise"))
        return {"words": {"text": ["hello"]}, "save": {"images": images}}

    def _job(self, id: str) -> tuple[int, object]:
        state = self._state(id)
        if state == "lost":
            return 404, {"error": "Job not found"}
        facts: dict[str, Any] = {"id": id, "priority": 1, "outputs_count": 0, "workflow": {}}
        if state == "hangs":
            waits = id in self.pending
            return 200, facts | {"status": "pending" if waits else "in_progress"}
        if state == "failed":
            facts |= {"execution_error": dict(self.error)}
        outputs = self._outputs(id) if state == "completed" else {}
        return 200, facts | {"status": state, "outputs": outputs}

    def _history(self, id: str) -> dict[str, Any]:
        state = self._state(id)
        if state in ("hangs", "lost"):
            return {}
        last: dict[str, list[Any]] = {
            "completed": ["execution_success", {}],
            "failed": ["execution_error", dict(self.error)],
            "cancelled": ["execution_interrupted", {"node_id": "sampler"}],
        }
        status = "success" if state == "completed" else "error"
        messages = [["execution_start", {"prompt_id": id}], last[state]]
        return {
            id: {
                "outputs": self._outputs(id),
                "status": {
                    "status_str": status,
                    "completed": state == "completed",
                    "messages": messages,
                },
            }
        }

    async def _socket(
        self,
        head: bytes,
        target: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        client_id = parse_qs(urlsplit(target).query)["clientId"][0]
        protocol = ServerProtocol()
        protocol.receive_data(head)
        [request] = protocol.events_received()
        assert isinstance(request, Request)
        refusal = protocol.reject(404, "no socket here")
        protocol.send_response(protocol.accept(request) if self.has_socket else refusal)
        if self.has_socket:
            self.seen.append("socket")
            self._sockets[client_id] = (protocol, writer)
            self._say(client_id, "status", sid=client_id, status={})
        writer.write(b"".join(protocol.data_to_send()))
        while self.has_socket and (data := await reader.read(4096)):
            protocol.receive_data(data)
            for frame in protocol.events_received():
                text = getattr(frame, "data", b"")
                if text[:1] == b"{":
                    self.first_frames.append(json.loads(text))
            writer.write(b"".join(protocol.data_to_send()))
            if protocol.close_expected():
                return

    def _say(self, client_id: str, kind: str, **data: object) -> None:
        if client_id in self._sockets:
            protocol, writer = self._sockets[client_id]
            protocol.send_text(json.dumps({"type": kind, "data": data}).encode())
            writer.write(b"".join(protocol.data_to_send()))

    def _announce(self, client: str, id: str, ending: Ending) -> None:
        """Send what the real one sends while a job runs."""
        if self.foreign:
            self._say(client, "progress", node="sampler", value=4, max=4, prompt_id=self.foreign)
            self._say(client, "executing", node=None, prompt_id=self.foreign)
        self._say(client, "execution_start", prompt_id=id, timestamp=1)
        self._say(client, "executing", node="model", display_node="model", prompt_id=id)
        self._say(client, "executing", node="sampler", display_node="sampler", prompt_id=id)
        for step in range(1, self.steps + 1):
            self._say(client, "progress", node="sampler", value=step, max=self.steps, prompt_id=id)
            if (self.preview or self.preview_bytes) and client in self._sockets:
                protocol, writer = self._sockets[client]
                protocol.send_binary(self.preview or bytes(self.preview_bytes))
                writer.write(b"".join(protocol.data_to_send()))
            if step == 2 and self.drops_socket:
                self._sockets.pop(client)[1].transport.abort()
            if step == 2 and ending == "hangs":
                return
        if ending in ("lost", "dies"):
            return
        self._say(client, "executing", node="decode", display_node="decode", prompt_id=id)
        if ending == "completed":
            self._say(client, "execution_success", prompt_id=id, timestamp=2)
        self._say(client, "executing", node=None, prompt_id=id)
