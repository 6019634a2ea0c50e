"""What each local engine answers to who asks what it is, with all that it answers as others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ziggie_image_mcp.provider.testing import Reply, Seen

WEB_UI: dict[str, Any] = {"samples_format": "png", "sd_model_checkpoint": "sd15.safetensors"}
PING: dict[str, Any] = {"internal/ping": {}, "sdapi/v1/sd-models": [], "sdapi/v1/cmd-flags": {}}
OLLAMA = {"api/version": {"version": "0.7.0"}, "api/tags": {"models": []}}
COMFYUI = {"system_stats": {"system": {"comfyui_version": "0.33.0"}, "devices": []}}


def listed(**item: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": "m", **item}]}


ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "koboldcpp": {
        **OLLAMA,
        "api/extra/version": {"result": "KoboldCpp", "version": "1.113.1", "txt2img": True},
        "sdapi/v1/options": WEB_UI,
        "sdapi/v1/sd-models": [],
        "system_stats": {"system": {}, "devices": [{"name": "koboldcpp"}]},
        "v1/models": listed(owned_by="koboldcpp"),
    },
    "sd-server": {
        "sdcpp/v1/capabilities": {"model": {}, "samplers": ["euler"]},
        "sdapi/v1/options": WEB_UI,
        "sdapi/v1/sd-models": [],
        "v1/models": listed(owned_by="local"),
    },
    "invokeai": {"api/v1/app/version": {"version": "6.14.2"}},
    "swarmui": {
        "API/GetNewSession": {"session_id": "s", "server_id": "i", "version": "0.9.8.0"},
    },
    "localai": {
        **OLLAMA,
        ".well-known/localai.json": {"version": "v4.9.0", "endpoints": {}},
        "v1/models": listed(),
    },
    "lemonade": {
        "api/v1/health": {"status": "ok", "model_loaded": None, "version": "11.7.0"},
        "v1/models": listed(recipe="sd-cpp"),
    },
    "sglang": {
        "model_info": {"model_type": "diffusion"},
        "v1/models": listed(owned_by="sglang"),
    },
    "sdnext": {
        "sdapi/v1/version": {"commit": "058a7f0c", "branch": "master", "url": "u"},
        "sdapi/v1/options": WEB_UI,
        "sdapi/v1/sd-models": [],
    },
    "forge-neo": {
        **PING,
        "sdapi/v1/options": {**WEB_UI, "forge_preset": "xl", "forge_checkpoint_xl": "x"},
    },
    "forge": {**PING, "sdapi/v1/options": {**WEB_UI, "forge_preset": "sd"}},
    "draw-things": {"sdapi/v1/options": {"model": "sd.ckpt", "steps": 20}},
    "reforge": {
        **PING,
        "sdapi/v1/options": WEB_UI,
        "sdapi/v1/cmd-flags": {"forge_ref_a1111_home": None},
    },
    "a1111": {**PING, "sdapi/v1/options": WEB_UI},
    "webui": {"internal/ping": {}},
    "fooocus": {
        "ping": "pong",
        "v1/engines/all-models": {"model_filenames": [], "lora_filenames": []},
    },
    "fooocus-page": {"config": {"version": "3.41.2", "title": "Fooocus 2.5.5"}},
    "comfyui": COMFYUI,
    "vllm-omni": {"v1/models": listed(owned_by="vllm"), "v1/images/generations": None},
    "lm-studio": {
        "api/v0/models": listed(object="model", type="llm"),
        "v1/models": listed(owned_by="organization_owner"),
    },
    "ollama": {"api/version": {"version": "0.33.0"}, "api/tags": {"models": [{"name": "m"}]}},
}
"""By path. None: the route is there, and takes no GET."""

UNEXPECTED = Reply(body={"error": "Unexpected endpoint or method. (GET /x)"})
"""LM Studio's answer to what it does not know, with 200."""


@dataclass
class FakeEngine:
    """The script of a `FakeVendor`: answers as one engine of the table, or as these answers say."""

    name: str
    answers: Mapping[str, Any] | None = None

    def __call__(self, seen: Seen) -> Reply:
        path = seen.path.partition("?")[0].lstrip("/")
        known = ANSWERS[self.name] if self.answers is None else self.answers
        if path not in known:
            return UNEXPECTED if self.name == "lm-studio" else Reply(status=404, body={})
        if known[path] is None or (path == "API/GetNewSession") is not (seen.method == "POST"):
            return Reply(status=405, body={"detail": "Method Not Allowed"})
        return Reply(body=known[path])
