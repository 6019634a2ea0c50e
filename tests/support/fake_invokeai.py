"""An InvokeAI on a loopback port, with its queue, in the words of version 6.14.2."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ziggie_image_mcp.provider.testing import Reply, Seen, picture

PAGE = Reply(body=b"<!DOCTYPE html><title>Invoke</title>", headers={"content-type": "text/html"})
"""What a GET of a route that it does not have gives: its web page."""
NOT_FOUND = Reply(status=404, body={"detail": "Not Found"})
DENIED = Reply(status=401, body={"detail": "Missing authentication credentials"})
BAD_LOGIN = Reply(status=401, body={"detail": "Incorrect email or password"})
SINGLE_USER = Reply(
    status=403,
    body={
        "detail": "Multiuser mode is disabled. Authentication is not required in single-user mode."
    },
)
INVALID = Reply(
    status=422,
    body={
        "detail": [
            {
                "type": "multiple_of",
                "loc": ["body", "batch", "graph", "nodes", "noise", "noise", "width"],
                "msg": "Input should be a multiple of 8",
                "input": 60,
                "ctx": {"multiple_of": 8},
            }
        ]
    },
)
NO_NODE = Reply(
    status=422,
    body={
        "detail": [
            {
                "type": "union_tag_invalid",
                "loc": ["body", "batch", "graph", "nodes", "a"],
                "msg": "Input tag 'z_image_denoise' found using 'type' does not match any of the"
                " expected tags: 'l2i', 'noise'",
            }
        ]
    },
)
ENQUEUE_FAILED = Reply(
    status=500, body={"detail": "Unexpected error while enqueuing batch: database is locked"}
)
OOM = ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 12.00 GiB")
NO_MODEL = ("Exception", "Unknown model nope")

Record = dict[str, Any]


def record(name: str, base: str, type: str = "main", **more: Any) -> Record:
    """As `v2/models/` tells of a model."""
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{base}/{type}/{name}"))
    facts: Record = {
        "key": key,
        "hash": f"blake3:{key.replace('-', '')}",
        "path": f"/invokeai/models/{name}",
        "file_size": 2_132_625_894,
        "name": name,
        "description": None,
        "source": name,
        "source_type": "path",
        "type": type,
        "format": "checkpoint",
        "base": base,
    }
    if type == "main":
        facts |= {"default_settings": None, "variant": "normal"}
    return facts | more


SD1 = record("dreamshaper", "sd-1")
SDXL = record("juggernaut-xl", "sdxl", default_settings={"width": 1024, "height": 1024})
FLUX = record("flux-dev", "flux", variant="dev", format="gguf_quantized")
SCHNELL = record("flux-schnell", "flux", variant="schnell", format="bnb_quantized_nf4b")
KONTEXT = record("flux-kontext-dev", "flux", variant="dev", format="gguf_quantized")
KLEIN = record("klein-4b", "flux2", variant="klein_4b", format="diffusers")
Z_IMAGE = record("z-image-turbo", "z-image", variant="turbo", format="gguf_quantized")
Z_BASE = record("z-image-base", "z-image", variant="zbase", format="gguf_quantized")
QWEN = record("qwen-image", "qwen-image", variant="generate", format="diffusers")
SD3 = record("sd3.5-medium", "sd-3", format="diffusers")
T5 = record("t5-xxl", "any", "t5_encoder", format="t5_encoder")
CLIP = record("clip-vit-large", "any", "clip_embed", format="diffusers", variant="large")
QWEN3 = record("qwen3-4b", "any", "qwen3_encoder", variant="qwen3_4b")
Q3_8B = record("qwen3-8b", "any", "qwen3_encoder", variant="qwen3_8b")
VAE = record("flux-vae", "flux", "vae")
LORA = record("pixel-art", "sd-1", "lora", format="lycoris")
LORA_XL = record("pixel-art-xl", "sdxl", "lora", format="lycoris")
LORA_FLUX = record("pixel-art-flux", "flux", "lora", format="lycoris")
CANNY = record(
    "control_v11p_sd15_canny",
    "sd-1",
    "controlnet",
    default_settings={"preprocessor": "canny_image_processor"},
)
DEPTH = record(
    "my-net",
    "sd-1",
    "controlnet",
    default_settings={"preprocessor": "depth_anything_image_processor"},
)
UNION = record("flux-union-pro", "flux", "controlnet", default_settings={"preprocessor": None})
ADAPTER = record(
    "ip_adapter_sd15", "sd-1", "ip_adapter", image_encoder_model_id="InvokeAI/ip_adapter_sd"
)
EMBEDDING = record("EasyNegative", "sd-1", "embedding", format="embedding_file")
UPSCALER = record("4x-UltraSharp", "any", "spandrel_image_to_image")
GPT = record(
    "GPT Image 2",
    "external",
    "external_image_generator",
    format="external_api",
    provider_id="openai",
    provider_model_id="gpt-image-2",
    file_size=0,
    variant=None,
)
REFINER = record("sd_xl_refiner_1.0", "sdxl-refiner")
RECORDS = (
    *(SD1, SDXL, FLUX, SCHNELL, KONTEXT, KLEIN, Z_IMAGE, Z_BASE, QWEN, SD3, T5, CLIP, QWEN3, VAE),
    *(LORA, LORA_XL, LORA_FLUX, CANNY, DEPTH, UNION, ADAPTER, EMBEDDING, UPSCALER, GPT, REFINER),
)


@dataclass
class FakeItem:
    """A picture of a batch, in the queue."""

    id: int
    batch: dict[str, Any]
    seed: int | None
    first: bool
    """Of its batch."""
    status: str = "pending"
    error: tuple[str, str] | None = None
    image_name: str = ""


@dataclass
class FakeInvokeAI:
    """The script of a `FakeVendor`.

    A first look at a batch finds it running, and the next one at its end; with `endings`, each look
    ends what runs and begins the next.
    """

    records: list[Record] = field(default_factory=lambda: [*RECORDS])
    endings: list[str | tuple[str, str]] = field(default_factory=list[str | tuple[str, str]])
    """How the next items end: `completed`, `hangs`, `canceled`, or the type and words of an error;
    the last one goes for all others, and none is `completed`."""
    users: dict[str, str] = field(default_factory=dict[str, str])
    """Passwords by e-mail address; none: it runs for one user."""
    refusal: Reply | None = None
    """Of a batch, instead of taking it."""
    loses_answer: bool = False
    """Whether the connection breaks once a batch is taken."""
    room: int = 16
    """So many items fit into the queue."""
    others: int = 0
    """Jobs of others before ours."""
    paused: bool = False
    size: tuple[int, int] | None = None
    """Of the pictures that it makes, where it is another than asked."""
    stats: dict[str, Any] | None = None
    items: list[FakeItem] = field(default_factory=list[FakeItem])
    images: dict[str, bytes] = field(default_factory=dict[str, bytes])
    uploaded: list[str] = field(default_factory=list[str])
    deleted: list[str] = field(default_factory=list[str])
    batches: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tokens: set[str] = field(default_factory=set[str])
    logins: int = 0

    def __call__(self, seen: Seen) -> Reply:
        url = urlsplit(seen.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = unquote(url.path).removeprefix("/api/")
        if path == "v1/app/version":
            return Reply(body={"version": "6.14.2"})
        if path == "v1/auth/login":
            return self._log_in(seen.body)
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        if self.users and token not in self.tokens:
            return DENIED
        if path.startswith("v1/queue/default/"):
            return self._queue(seen, path.removeprefix("v1/queue/default/"), query)
        if path.startswith("v1/images/"):
            return self._picture(seen, path.removeprefix("v1/images/"))
        if path == "v2/models/":
            return Reply(body={"models": self.records})
        if path == "v2/models/stats":
            return Reply(body=self.stats)
        return PAGE if seen.method == "GET" else NOT_FOUND

    def restart(self) -> None:
        """What runs is canceled when it starts anew; what waits stays."""
        for item in self.items:
            if item.status == "in_progress":
                item.status = "canceled"

    def clear(self) -> None:
        """Somebody empties the queue."""
        self.items.clear()

    def _log_in(self, body: Mapping[str, Any]) -> Reply:
        self.logins += 1
        if not self.users:
            return SINGLE_USER
        if self.users.get(body["email"]) != body["password"]:
            return BAD_LOGIN
        token = f"token-{self.logins}-0123456789abcdef"
        self.tokens.add(token)
        return Reply(body={"token": token, "user": {"user_id": "1"}, "expires_in": 86400})

    def _queue(self, seen: Seen, path: str, query: Mapping[str, str]) -> Reply:
        own = [i for i in self.items if i.batch.get("destination") == query.get("destination")]
        match seen.method, path:
            case "POST", "enqueue_batch":
                return self._enqueue(seen.body["batch"])
            case "PUT", "cancel_by_destination":
                ended = [i for i in own if i.status in ("pending", "in_progress")]
                for item in ended:
                    item.status = "canceled"
                return Reply(body={"canceled": len(ended)})
            case "GET", "counts_by_destination":
                self._work()
                who = {"queue_id": "default", "destination": query["destination"]}
                return Reply(body=who | self._counts(own))
            case "GET", "list_all":
                return Reply(body=[self._told(item) for item in reversed(own)])
            case "GET", "status":
                counts = self._counts(self.items)
                counts["pending"] += self.others
                queue = {"queue_id": "default", "item_id": None, **counts}
                processor = {"is_started": not self.paused, "is_processing": False}
                return Reply(body={"queue": queue, "processor": processor})
            case _:
                return PAGE

    def _counts(self, items: list[FakeItem]) -> dict[str, int]:
        states = ("pending", "in_progress", "waiting", "completed", "failed", "canceled")
        counts = {state: sum(i.status == state for i in items) for state in states}
        return {**counts, "total": len(items)}

    def _enqueue(self, batch: dict[str, Any]) -> Reply:
        if self.refusal is not None:
            return self.refusal
        self.batches.append(batch)
        seeds = batch["data"][0][0]["items"] if batch.get("data") else [None]
        taken = seeds[: self.room]
        ids: list[int] = []
        for seed in taken:
            ids.append(len(self.items) + 1)
            first = seed == seeds[0]
            self.items.append(FakeItem(id=ids[-1], batch=batch, seed=seed, first=first))
        body = {
            "queue_id": "default",
            "enqueued": len(taken),
            "requested": len(seeds),
            "batch": batch,
            "priority": 0,
            "item_ids": ids[::-1],
        }
        return Reply(body=body, then="cut" if self.loses_answer else "answer")

    def _work(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        """End what runs, or begin what waits; whether more of it goes on by itself."""
        running = next((item for item in self.items if item.status == "in_progress"), None)
        if running is not None:
            return self._ends(running)
        waiting = next((item for item in self.items if item.status == "pending"), None)
        if waiting is not None and not self.paused and not self.others:
            waiting.status = "in_progress"
            return not self.endings and not waiting.first
        return False

    def _ends(self, item: FakeItem) -> bool:
        ending = self.endings[0] if self.endings else "completed"
        if ending == "hangs":
            return False
        if len(self.endings) > 1:
            self.endings.pop(0)
        if isinstance(ending, tuple):
            item.status, item.error = "failed", ending
        else:
            item.status = ending
        if ending == "completed":
            item.image_name = f"{uuid.uuid4()}.png"
            self.images[item.image_name] = self._made(item)
        return True

    def _made(self, item: FakeItem) -> bytes:
        nodes = item.batch["graph"]["nodes"]
        if self.size is not None:
            return picture(*self.size)
        for node in nodes.values():
            if "width" in node:
                return picture(node["width"], node["height"])
        out = nodes["out"]
        image = self.images[out["image"]["image_name"]]
        sides = (int.from_bytes(image[i : i + 4], "big") * out["scale"] for i in (16, 20))
        return picture(*sides)

    def _told(self, item: FakeItem) -> dict[str, Any]:
        """As list_all tells of an item: with its whole session."""
        prepared = str(uuid.uuid5(uuid.NAMESPACE_URL, str(item.id)))
        results: dict[str, Any] = {}
        mapping: dict[str, list[str]] = {}
        if item.image_name:
            image = {"image_name": item.image_name}
            results[prepared] = {"type": "image_output", "image": image, "width": 1, "height": 1}
            mapping["out"] = [prepared]
        values = [{"node_path": "noise", "field_name": "seed", "value": item.seed}]
        return {
            "item_id": item.id,
            "status": item.status,
            "priority": 0,
            "batch_id": item.batch.get("batch_id"),
            "origin": item.batch.get("origin"),
            "destination": item.batch.get("destination"),
            "session_id": prepared,
            "error_type": item.error[0] if item.error else None,
            "error_message": item.error[1] if item.error else None,
            "error_traceback": None,
            "queue_id": "default",
            "field_values": None if item.seed is None else values,
            "session": {
                "id": prepared,
                "graph": item.batch["graph"],
                "results": results,
                "source_prepared_mapping": mapping,
                "errors": {},
            },
        }

    def _picture(self, seen: Seen, path: str) -> Reply:
        match seen.method, path.split("/"):
            case "POST", ["upload"]:
                data = seen.form["file"]
                assert isinstance(data, bytes)
                name = f"{uuid.uuid4()}.png"
                self.images[name] = data
                self.uploaded.append(name)
                return Reply(status=201, body={"image_name": name, "width": 1, "height": 1})
            case "POST", ["delete"]:
                names = [name for name in seen.body["image_names"] if name in self.images]
                for name in names:
                    del self.images[name]
                self.deleted += names
                body = {"affected_boards": [], "deleted_images": names, "failed_images": []}
                return Reply(body=body)
            case "GET", ["i", name, "full"] if name in self.images:
                return Reply(body=self.images[name])
            case _:
                return NOT_FOUND
