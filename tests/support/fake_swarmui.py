"""A SwarmUI on a loopback port, in the words of the real one (read at 062407c7, 2026-08-21)."""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ziggie_image_mcp.provider.testing import Reply, Seen, picture

SDXL = "OfficialStableDiffusion/sd_xl_base_1.0.safetensors"
SD15 = "dreamshaper_8.safetensors"
FLUX = "flux1-dev-fp8.safetensors"
WAN = "wan2.2_ti2v_5B_fp16.safetensors"
REMOTE = "juggernautXL_v9.safetensors"
VENDORS = "API Models/OpenAI/gpt-image-1.5"
MINE = "my_merge.safetensors"

INVALID_SESSION = Reply(
    status=401,
    body={
        "error": "Invalid session ID. You may need to refresh the page.",
        "error_id": "invalid_session_id",
    },
)
BAD_ROUTE = Reply(status=400, body={"error_id": "bad_route", "error": "Unknown API route"})
LOGIN = Reply(body={"error": "Invalid or unauthorized."})
DENIED = Reply(
    status=400,
    body={"error_id": "bad_permissions", "error": "You lack permissions for this route."},
)
IDLE = {"waiting_gens": 0, "loading_models": 0, "waiting_backends": 0, "live_gens": 0}
ADMINS = ("getglobalstatus", "getserverresourceinfo")


def model(name: str, architecture: str, compat_class: str, side: int, **more: Any) -> Any:
    """As ListModels tells of one."""
    return {
        "name": name,
        "title": None,
        "author": None,
        "description": "",
        "preview_image": "imgs/model_placeholder.jpg",
        "loaded": False,
        "architecture": architecture or None,
        "class": architecture or None,
        "compat_class": compat_class or None,
        "resolution": f"{side}x{side}",
        "standard_width": side,
        "standard_height": side,
        "license": None,
        "tags": None,
        "is_supported_model_format": True,
        "local": True,
        **more,
    }


XL = "stable-diffusion-xl-v1"
MODELS = (
    model(SDXL, f"{XL}-base", XL, 1024, loaded=True),
    model(SD15, "stable-diffusion-v1", "stable-diffusion-v1", 512),
    model(FLUX, "Flux.1-dev", "flux-1", 1024),
    model(WAN, "wan-2_2-ti2v-5b", "wan-22-5b", 960),
    model(MINE, "", "", 0),
    model(REMOTE, f"{XL}-base", XL, 1024, local=False),
    # An extension puts its vendors' models among the files themselves, as local ones.
    model(VENDORS, "gpt-image-1.5", "gpt-image-1.5", 1024, loaded=True, tags=["api", "openai"]),
)
LORAS = (
    model("styles/pixel-art-xl.safetensors", f"{XL}-base/lora", XL, 1024),
    model("mine.safetensors", "", "", 0),
)
NETS = (
    model("control_v11p_sd15_canny.safetensors", "stable-diffusion-v1/controlnet",
          "stable-diffusion-v1", 512),
    model("xl_depth.safetensors", f"{XL}-base/controlnet", XL, 1024),
)  # fmt: skip
EMBEDDINGS = (model("EasyNegative.safetensors", "stable-diffusion-v1/textual-inversion",
                    "stable-diffusion-v1", 512),)  # fmt: skip
VAES = (model("sdxl_vae.safetensors", f"{XL}-base/vae", XL, 1024),)
CHOICES: Mapping[str, list[str]] = {
    "sampler": ["euler", "euler_ancestral", "dpmpp_2m", "lcm"],
    "scheduler": ["normal", "karras", "simple", "sgm_uniform"],
    "controlnetpreprocessor": ["None", "MiDaS-DepthMapPreprocessor", "CannyEdgePreprocessor"],
}
FEATURES = ("comfyui", "refiners", "controlnet", "seamless", "variation_seed")


def param(id: str, values: list[str]) -> dict[str, Any]:
    """As ListT2IParams tells of one."""
    return {"name": id, "id": id, "type": "dropdown", "values": values, "value_names": values}


@dataclass
class FakeSwarm:
    """The script of a `FakeVendor`: answers as one SwarmUI."""

    models: list[Any] = field(default_factory=lambda: [*MODELS])
    backends: str = "running"
    features: tuple[str, ...] = FEATURES
    admin: bool = True
    token: str = ""
    """Where it wants accounts: the token of one."""
    error: str = ""
    """Told instead of pictures; with `before` set, after so many of them."""
    before: int = 0
    drops: tuple[int, ...] = ()
    """Pictures that an extension sorts out."""
    images: list[str] | None = None
    """Data URLs instead of the pictures that were asked for."""
    nested: bool = False
    """Whether pictures come as its documents say, and not as its code does."""
    used: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the metadata say otherwise; None takes a key away."""
    unused: list[Any] = field(default_factory=list[Any])
    waits: bool = False
    """Whether the job waits behind others' before it begins."""
    gate: threading.Event | None = None
    """Holds the pictures back."""
    then: Any = "answer"
    """What becomes of the socket."""
    posted: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    asked: list[str] = field(default_factory=list[str])
    """Routes, as they are asked."""
    sessions: list[str] = field(default_factory=list[str])
    interrupted: list[str] = field(default_factory=list[str])
    """Sessions that were interrupted."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def restart(self) -> None:
        """Forget all sessions, as the real one does when it starts."""
        self.sessions.clear()

    def __call__(self, seen: Seen) -> Reply:
        route = seen.path.partition("?")[0].lstrip("/").lower().removeprefix("api/")
        self.asked.append(route)
        if not seen.path.startswith("/API/"):
            return Reply(
                status=404, body=b"<html>404</html>", headers={"content-type": "text/html"}
            )
        upgraded = seen.headers.get("upgrade") == "websocket"
        if seen.method != "POST" and not upgraded:
            return Reply(status=302, headers={"location": "/Error/NoGetAPI"})
        body: dict[str, Any] = seen.body
        if route == "getnewsession":
            cookie = f"swarm_token={self.token}"
            if self.token and seen.headers.get("cookie") != cookie:
                return LOGIN
            with self._lock:
                self.sessions.append(f"SESSION{next(self._numbers)}")
            return Reply(
                body={
                    "session_id": self.sessions[-1],
                    "user_id": "local",
                    "output_append_user": True,
                    "version": "0.9.8.4-7f2c",
                    "server_id": "a1b2c3",
                    "permissions": ["*"],
                }
            )
        if "session_id" not in body:
            return Reply(status=400, body={"error_id": "basic_api", "error": "missing session id"})
        if body["session_id"] not in self.sessions:
            return INVALID_SESSION
        if route in ADMINS and not self.admin:
            return DENIED
        return self._routes(route, body)

    def _routes(self, route: str, body: dict[str, Any]) -> Reply:
        if route == "generatetext2imagews":
            return self._make(body)
        if route == "interruptall":
            assert body["other_sessions"] is False
            self.interrupted.append(body["session_id"])
            if self.gate is not None:
                self.gate.set()
            return Reply(body={"success": True})
        if route == "listmodels":
            files = {
                "Stable-Diffusion": self.models,
                "LoRA": LORAS,
                "ControlNet": NETS,
                "Embedding": EMBEDDINGS,
                "VAE": VAES,
            }[body["subtype"]]
            assert body["depth"] <= 20
            return Reply(body={"folders": [], "files": list(files)})
        if route == "listt2iparams":
            params = [param(id, values) for id, values in CHOICES.items()]
            return Reply(body={"list": params, "groups": [], "models": {}, "wildcards": []})
        if route == "getcurrentstatus":
            return Reply(body=self._status())
        if route == "getglobalstatus":
            return Reply(body={**self._status(), "status": {**IDLE, "waiting_gens": 2}})
        if route == "getserverresourceinfo":
            gpu = {"id": 0, "name": "RTX", "total_memory": 12 * 2**30, "free_memory": 9 * 2**30}
            small = {**gpu, "id": 1, "total_memory": 8 * 2**30, "free_memory": 8 * 2**30}
            return Reply(body={"cpu": {}, "system_ram": {}, "gpus": {"0": gpu, "1": small}})
        return BAD_ROUTE

    def _status(self, **counts: int) -> dict[str, Any]:
        return {
            "status": {**IDLE, **counts},
            "backend_status": {"status": self.backends, "class": "", "message": ""},
            "supported_features": list(self.features),
        }

    def _make(self, body: dict[str, Any]) -> Reply:
        self.posted.append(body)
        messages = self._messages(body)
        return Reply(body=messages if self.gate else list(messages), then=self.then)

    def _messages(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield self._status(waiting_gens=body["images"])
        if self.error and not self.before:
            yield {"error": self.error}
            return
        if self.waits:
            yield self._status(waiting_gens=1, waiting_backends=1)
        else:
            yield self._status(waiting_gens=1, live_gens=1)
            yield {
                "gen_progress": {
                    "batch_index": "0",
                    "overall_percent": 0.5,
                    "current_percent": 0.1,
                    "preview": "data:image/jpeg;base64,aGVsbG8=",
                }
            }
        if self.gate is not None:
            self.gate.wait(30)
        if body["session_id"] in self.interrupted:
            yield {"error": "Generation session interrupted."}
            return
        yield {"keep_alive": True}
        yield from self._pictures(body)
        yield {"discard_indices": list(self.drops)}
        yield {"socket_intention": "close"}
        yield self._status()

    def _pictures(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        size = body["width"], body["height"]
        own = [f"data:image/png;base64,{base64.b64encode(picture(*size)).decode()}"]
        for i, url in enumerate(self.images or own * body["images"]):
            if self.error and i == self.before:
                yield {"error": self.error}
                break
            fields = {
                "image": url,
                "batch_index": str(i),
                "request_id": "7",
                "metadata": json.dumps(self._metadata(body, i)),
            }
            yield {"image": fields} if self.nested else fields
        if body["images"] > 1:  # small pictures of all in one
            yield {"image": own[0], "batch_index": "-1", "request_id": "7", "metadata": None}

    def _metadata(self, body: dict[str, Any], i: int) -> dict[str, Any]:
        left_out = ("session_id", "initimage", "maskimage", "images")
        params = {k: v for k, v in body.items() if k not in left_out and "imageinput" not in k}
        params["model"] = self._best(body["model"]).removesuffix(".safetensors")
        params["seed"] = body.get("seed", 77) + i
        params |= self.used
        extra: dict[str, Any] = {"date": "2026-11-29", "generation_time": "1.00 sec"}
        if self.unused:
            extra["unused_parameters"] = self.unused
            for key in map(str, self.unused):
                params.pop(key, None)
        return {"sui_image_params": params, "sui_extra_data": extra}

    def _best(self, name: str) -> str:
        """The model of this name, or the shortest that has it in its own, as SwarmUI chooses."""
        names = [str(item["name"]) for item in self.models]
        wanted = _clean(name)
        alike = sorted((n for n in names if wanted in _clean(n)), key=len)
        exact = (n for n in names if _clean(n) == wanted)
        return next(itertools.chain(exact, alike))


def _clean(name: str) -> str:
    return re.sub(r"[^a-z0-9/]", "", name.removesuffix(".safetensors").lower())
