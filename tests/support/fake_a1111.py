"""A web UI on a loopback port, or a relative of it, in the words of the real ones."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ziggie_image_mcp.provider.testing import Reply, Seen, picture

NOT_FOUND = Reply(status=404, body={"detail": "Not Found"})
HASH = "31e35c80fc"
SDXL = f"sd_xl_base_1.0.safetensors [{HASH}]"
SD15 = "v1-5-pruned-emaonly.safetensors [6ce0161689]"
FLUX = "flux1-dev-Q8_0.gguf"
NF4 = "flux1-dev-bnb-nf4-v2.safetensors [bea01d51bd]"

OOM = Reply(
    status=500,
    body={
        "error": "OutOfMemoryError",
        "detail": "",
        "body": "",
        "errors": "CUDA out of memory. Tried to allocate 12.00 GiB",
    },
)
FORGE_OOM = Reply(
    status=500,
    body={
        "error": "OutOfMemoryError",
        "detail": None,
        "body": "",
        "message": "CUDA out of memory. Tried to allocate 12.00 GiB",
    },
)
NANS = Reply(
    status=500,
    body={
        "error": "NansException",
        "detail": "",
        "body": "",
        "errors": "A tensor with all NaNs was produced in VAE.",
    },
)
INVALID = Reply(
    status=422,
    body={"detail": [{"loc": ["body", "steps"], "msg": "value is not a valid integer"}]},
)
NO_SCRIPT = Reply(status=422, body={"detail": "always on script controlnet not found"})
DENIED = Reply(
    status=401,
    body={"detail": "Incorrect username or password"},
    headers={"www-authenticate": "Basic"},
)

SAMPLERS: list[dict[str, Any]] = [
    {"name": "DPM++ 2M", "aliases": ["k_dpmpp_2m"], "options": {"scheduler": "karras"}},
    {"name": "Euler a", "aliases": ["k_euler_a", "k_euler_ancestral"], "options": {}},
    {"name": "Euler", "aliases": ["k_euler"], "options": {}},
]
SCHEDULERS = [
    {"name": name, "label": label, "aliases": None, "default_rho": -1, "need_inner_model": False}
    for name, label in (
        ("automatic", "Automatic"),
        ("normal", "Normal"),
        ("karras", "Karras"),
        ("simple", "Simple"),
        ("sgm_uniform", "SGM Uniform"),
    )
]
UPSCALERS = [
    {"name": n, "model_name": None, "model_path": None, "model_url": None, "scale": 4}
    for n in ("None", "Lanczos", "Nearest", "R-ESRGAN 4x+")
]
LORAS: list[dict[str, Any]] = [
    {
        "name": "pixel-art-xl",
        "alias": "PixelArt",
        "path": "/webui/models/Lora/pixel-art-xl.safetensors",
        "metadata": {"ss_base_model_version": "sdxl_base_v1-0"},
    },
    {"name": "mine", "alias": "mine", "path": "/webui/models/Lora/mine.pt", "metadata": {}},
]
MODULES = [
    {"model_name": name, "filename": f"/forge/models/{name}"}
    for name in ("ae.safetensors", "clip_l.safetensors", "t5xxl_fp8_e4m3fn.safetensors", "own.vae")
]
CAPABILITIES = {
    "model": {"name": "sd_xl_base_1.0.safetensors", "stem": "sd_xl_base_1.0"},
    "samplers": ["euler", "euler_a", "dpm++2m"],
    "schedulers": ["discrete", "karras"],
    "loras": [],
    "limits": {},
}
WEB_UI = {"a1111", "forge", "forge-neo", "reforge"}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "a1111": {},
    "reforge": {},
    "sdnext": {},
    "sd-server": {},
    "koboldcpp": {},
    "forge": {"forge_preset": "sd", "forge_additional_modules": []},
    "forge-neo": {
        "forge_preset": "xl",
        "forge_additional_modules": [],
        "forge_checkpoint_xl": SDXL,
    },
}
DRAW_THINGS: dict[str, Any] = {
    "model": "sd_xl_base_1.0_f16.ckpt",
    "negative_prompt": "",
    "seed": 1,
    "steps": 20,
    "guidance_scale": 7.5,
    "sampler": "DPM++ 2M Karras",
    "strength": 1,
    "batch_count": 1,
    "loras": [],
    "controls": [],
    "width": 1024,
    "height": 1024,
}


def model(title: str) -> dict[str, Any]:
    """As sd-models tells of one."""
    file = title.partition(" [")[0]
    hash = title.partition("[")[2].rstrip("]")
    return {
        "title": title,
        "model_name": file.rpartition(".")[0],
        "hash": hash or None,
        "sha256": None,
        "filename": f"/webui/models/Stable-diffusion/{file}",
        "config": None,
    }


@dataclass
class FakeWebUI:
    """The script of a `FakeVendor`: answers as one flavour of the family."""

    flavour: str = "a1111"
    models: list[str] = field(default_factory=lambda: [SDXL, SD15])
    modules: list[dict[str, str]] = field(default_factory=lambda: [*MODULES])
    loras: list[dict[str, Any]] = field(default_factory=lambda: [*LORAS])
    nets: list[str] | None = field(
        default_factory=lambda: [
            "control_v11p_sd15_canny [d14c016b]",
            "diffusers_xl_depth [0a1b2c3d]",
        ]
    )
    """None: the extension is not there."""
    paths: dict[str, str] = field(default_factory=dict[str, str])
    """Where files of these names lie."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """Beside those of the flavour."""
    api: bool = True
    """False: a web UI that was started without --api."""
    page: bool = True
    """False: one with --nowebui."""
    login: str = ""
    info: dict[str, Any] | None = field(default_factory=dict[str, Any])
    """What `info` says otherwise; None: it is empty."""
    answer: Reply | None = None
    """Of txt2img and img2img, instead of pictures."""
    images: list[str] | None = None
    """In base64, instead of those that were asked for."""
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of the task that is asked after; it changes as `interrupt` comes."""
    gate: threading.Event | None = None
    """Holds the pictures back; an interrupt lets them go."""
    posted: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    asked: list[str] = field(default_factory=list[str])
    """Method and path, as they come in."""

    def __call__(self, seen: Seen) -> Reply:
        path = seen.path.partition("?")[0].lstrip("/")
        self.asked.append(f"{seen.method} {path}")
        if path.startswith("sdapi/") and self.login:
            login = base64.b64encode(self.login.encode()).decode()
            if seen.headers.get("authorization") != f"Basic {login}":
                return DENIED
        if path.startswith("sdapi/") and not self.api:
            return NOT_FOUND
        if path in ("sdapi/v1/txt2img", "sdapi/v1/img2img"):
            return self._make(seen)
        if path == "sdapi/v1/extra-single-image":
            self.posted.append(seen.body)
            data = base64.b64decode(seen.body["image"])
            width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
            times = seen.body["upscaling_resize"]
            enlarged = base64.b64encode(picture(width * times, height * times)).decode()
            return Reply(body={"image": enlarged, "html_info": "<div></div>"})
        if path == "sdapi/v1/interrupt":
            self.state = {"active": False, "queued": False, "completed": True}
            if self.gate is not None:
                self.gate.set()
            return Reply(status=204 if self.flavour == "sdnext" else 200, body={})
        body = self._lists(path)
        return NOT_FOUND if body is None else Reply(body=body)

    def _lists(self, path: str) -> object:
        return self._own(path) if self._own(path) is not None else self._shared(path)

    def _own(self, path: str) -> object:
        """What only some of the family have."""
        flavour = self.flavour
        known: dict[str, Any] = {}
        if flavour in WEB_UI and self.page:
            known["internal/ping"] = {}
            known["internal/pending-tasks"] = {"size": 0, "tasks": []}
            idle = {"active": False, "queued": False, "completed": False, "progress": None}
            known["internal/progress"] = {**idle, "live_preview": None, **self.state}
        if flavour in WEB_UI:
            flags = {"api": True, "nowebui": not self.page}
            known["sdapi/v1/cmd-flags"] = flags | (
                {} if flavour == "a1111" else {"forge_ref_a1111_home": None}
            )
            if self.nets is not None:
                known["controlnet/model_list"] = {"model_list": self.nets}
                known["controlnet/module_list"] = {"module_list": ["None", "canny", "depth_midas"]}
        if flavour in WEB_UI or flavour == "sdnext":
            busy = 1 if self.state.get("active") else 0
            known["sdapi/v1/progress"] = {
                "progress": self.state.get("progress") or 0.0,
                "eta_relative": 0.0,
                "state": {"job": "", "job_count": busy, "interrupted": False},
                "current_image": None,
                "textinfo": None,
            }
            known["sdapi/v1/memory"] = {
                "ram": {"free": 1, "used": 1, "total": 2},
                "cuda": {"system": {"free": 5_000_000_000, "used": 1, "total": 8_000_000_000}},
            }
            known["sdapi/v1/upscalers"] = UPSCALERS
            known["sdapi/v1/loras"] = self.loras
            known["sdapi/v1/embeddings"] = {"loaded": {"EasyNegative": {}}, "skipped": {}}
        if flavour in ("forge", "forge-neo"):
            known["sdapi/v1/sd-modules"] = self.modules
        if flavour == "sdnext":
            known["sdapi/v1/version"] = {
                "app": "sd.next",
                "commit": "058a7f0c",
                "branch": "master",
                "url": "https://github.com/vladmandic/sdnext",
            }
            known["sdapi/v1/samplers"] = [{"name": s["name"], "options": {}} for s in SAMPLERS]
            known["sdapi/v1/embeddings"] = {"loaded": ["EasyNegative"], "skipped": []}
        if flavour == "sd-server":
            known["sdcpp/v1/capabilities"] = CAPABILITIES
            known["sdapi/v1/loras"] = [{"name": x["name"], "path": x["path"]} for x in self.loras]
            for key, names in (("samplers", "euler"), ("schedulers", "karras")):
                listed = ["default", *dict.fromkeys((*CAPABILITIES[key], names))]
                known[f"sdapi/v1/{key}"] = [{"name": n, "label": n} for n in listed]
        if flavour == "koboldcpp":
            kobold = {"result": "KoboldCpp", "version": "1.113.1", "txt2img": bool(self.models)}
            known["api/extra/version"] = kobold
            if self.state:
                known["sdapi/v1/progress"] = {"progress": self.state["progress"], "state": {}}
            known["system_stats"] = {"devices": [{"name": "koboldcpp"}]}
        return known.get(path)

    def _shared(self, path: str) -> object:
        if self.flavour == "draw-things":
            return DRAW_THINGS | self.options if path == "sdapi/v1/options" else None
        loaded = self.models[0] if self.models else None
        known: dict[str, Any] = {
            "sdapi/v1/options": {
                "samples_format": "png",
                "sd_model_checkpoint": loaded,
                **OPTIONS[self.flavour],
                **self.options,
            },
            "sdapi/v1/sd-models": [
                model(t) | ({"filename": self.paths[t]} if t in self.paths else {})
                for t in self.models
            ],
            "sdapi/v1/samplers": SAMPLERS,
            "sdapi/v1/schedulers": SCHEDULERS,
        }
        return known.get(path)

    def _make(self, seen: Seen) -> Reply:
        body = seen.body
        self.posted.append(body)
        if self.gate is not None:
            self.gate.wait(30)
        if self.answer is not None:
            return self.answer
        count = body.get("n_iter", 1) * body.get("batch_size", 1) * body.get("batch_count", 1)
        width = body.get("hr_resize_x", body["width"])
        height = body.get("hr_resize_y", body["height"])
        images = self.images
        if images is None:
            images = [base64.b64encode(picture(width, height)).decode()] * count
        reply: dict[str, Any] = {"images": images, "parameters": body}
        if self.flavour != "draw-things":
            info = self._info(body, count)
            reply["info"] = info if self.flavour == "koboldcpp" else json.dumps(info)
            if self.info is None:
                reply["info"] = ""
        return Reply(body=reply)

    def _info(self, body: dict[str, Any], count: int) -> dict[str, Any]:
        asked = body.get("override_settings", {}).get("sd_model_checkpoint")
        title = asked if asked in self.models else self.models[0]
        seed = body.get("seed", -1)
        return {
            "prompt": body["prompt"],
            "seed": seed,
            "all_seeds": [seed + i for i in range(count)],
            "width": body["width"],
            "height": body["height"],
            "sampler_name": body.get("sampler_name", "Euler"),
            "steps": body["steps"],
            "cfg_scale": body.get("cfg_scale"),
            "sd_model_name": model(title)["model_name"],
            "sd_model_hash": model(title)["hash"],
            "index_of_first_image": 0,
            "extra_generation_params": {},
            **(self.info or {}),
        }
