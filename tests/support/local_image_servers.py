"""Servers of one's own with OpenAI's picture routes, as their sources read and refuse requests."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, fields_of

NOT_FOUND = Reply(status=404, body={"detail": "Not Found"})
KEPT = "/generated-images/x.png"
INT32 = 2**31 - 1


def listing(*items: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(items)}


def vllm(id: str) -> dict[str, Any]:
    return {"id": id, "object": "model", "created": 1, "owned_by": "vllm"}


def sglang(id: str, *tasks: str) -> dict[str, Any]:
    told = {"task_type": tasks[0], "supported_task_types": list(tasks)} if tasks else {}
    return {"id": id, "object": "model", "owned_by": "sglang", **told}


def ollama(name: str, *able: str, **more: Any) -> dict[str, Any]:
    digest = "9d1b7f0e"
    return {"name": name, "model": name, "digest": digest, "capabilities": list(able), **more}


LISTINGS: Mapping[str, Mapping[str, Any]] = {
    "vllm-omni": {"/v1/models": listing(vllm("black-forest-labs/FLUX.2-klein-4B"))},
    "sglang": {
        "/v1/models": listing(sglang("black-forest-labs/FLUX.2-dev", "T2I", "TI2I")),
        "/model_info": {"model_type": "diffusion"},
    },
    "lemonade": {
        "/v1/models": listing(
            {
                "id": "SD-Turbo",
                "recipe": "sd-cpp",
                "labels": ["image"],
                "image_defaults": {"steps": 4, "cfg_scale": 1.0, "width": 512, "height": 512},
            },
            {"id": "Flux-2-Klein-4B", "recipe": "sd-cpp", "labels": ["image", "edit"]},
            {"id": "RealESRGAN-x4plus", "recipe": "sd-cpp", "labels": ["upscaling", "image"]},
            {"id": "Qwen3-4B-GGUF", "recipe": "llamacpp", "labels": ["reasoning"]},
            {"id": "cloud-image", "recipe": "cloud", "labels": ["image"]},
        ),
        "/v1/health": {"status": "ok", "model_loaded": None, "version": "11.7.0"},
    },
    "sd-server": {
        "/v1/models": listing({"id": "sd-cpp-local", "object": "model"}),
        "/sdcpp/v1/capabilities": {"model": {}, "samplers": []},
    },
    "localai": {
        "/v1/models": listing({"id": "dreamshaper", "object": "model"}),
        "/v1/models/capabilities": listing(
            {"id": "dreamshaper", "capabilities": ["image"], "output_modalities": ["image"]},
            {
                "id": "stable-diffusion-x4-upscaler",
                "capabilities": ["image"],
                "output_modalities": ["image"],
            },
            {"id": "llama", "capabilities": ["chat"], "output_modalities": ["text"]},
        ),
        "/.well-known/localai.json": {"version": "v4.9.0"},
        "/api/tags": {"models": [ollama("dreamshaper")]},
        "/api/version": {"version": "0.9.0"},
    },
    "koboldcpp": {
        "/v1/models": listing({"id": "koboldcpp/sd15", "object": "model", "owned_by": "koboldcpp"}),
        "/api/extra/version": {"result": "KoboldCpp", "version": "1.116", "txt2img": True},
        "/api/tags": {"models": [ollama("koboldcpp")]},
        "/api/version": {"version": "0.7.0"},
    },
    "ollama": {
        "/v1/models": listing({"id": "x/z-image-turbo:latest", "owned_by": "x"}),
        "/api/tags": {
            "models": [
                ollama("x/z-image-turbo:latest", "image"),
                ollama("llama3.2:latest", "completion", "tools"),
                ollama("x/far:cloud", "image", remote_host="https://ollama.com:443"),
            ]
        },
        "/api/version": {"version": "0.32.5"},
    },
    "compatible": {"/v1/models": listing({"id": "something", "object": "model"})},
}

IDS = {
    "vllm-omni": ["black-forest-labs/FLUX.2-klein-4B"],
    "sglang": ["black-forest-labs/FLUX.2-dev"],
    "lemonade": ["SD-Turbo", "Flux-2-Klein-4B", "RealESRGAN-x4plus", "cloud-image"],
    "sd-server": ["sd-cpp-local"],
    "localai": ["dreamshaper", "stable-diffusion-x4-upscaler"],
    "koboldcpp": ["koboldcpp/sd15"],
    "ollama": ["x/z-image-turbo:latest", "x/far:cloud"],
    "compatible": ["something"],
}
"""What makes pictures there."""


def local_server(
    name: str, answer: Reply | None = None, lists: Mapping[str, Any] | None = None
) -> FakeVendor:
    """A server of this flavour; `answer` instead of a picture, `lists` instead of its lists."""
    return FakeVendor(lambda seen: reply_of(name, seen, answer, lists))


def reply_of(
    name: str, seen: Seen, answer: Reply | None = None, lists: Mapping[str, Any] | None = None
) -> Reply:
    """What a server of this flavour answers."""
    if seen.method == "GET":
        if seen.path == KEPT:
            return Reply(body=png(64, 64))
        if seen.path == "/v1/images/generations" and name in ("vllm-omni", "sglang"):
            return Reply(status=405, body={"detail": "Method Not Allowed"})  # FastAPI's
        body = (LISTINGS[name] if lists is None else lists).get(seen.path)
        return NOT_FOUND if body is None else Reply(body=body)
    if answer is not None:
        return answer
    return _POSTS.get(name, _plain)(seen)


def png(width: int, height: int, seed: int = 0) -> bytes:
    """A picture whose colour is its seed's."""
    colour = (seed % 251, seed // 251 % 251, 128)
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def _b64(*pictures: bytes, **more: Any) -> Reply:
    items = [{"b64_json": base64.b64encode(data).decode()} for data in pictures]
    return Reply(body={"created": 1_795_000_000, "data": items, **more})


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def _plain(seen: Seen) -> Reply:
    fields = fields_of(seen)
    size = _size(str(fields.get("size", "512x512")))
    return _b64(*[png(*size)] * int(str(fields.get("n", 1))))


def _vllm_omni(seen: Seen) -> Reply:
    fields = fields_of(seen)
    model = IDS["vllm-omni"][0]
    if fields.get("model", model) != model:
        what = f"request specifies '{fields['model']}' but server is running '{model}'."
        return Reply(status=400, body=vllm_error(f"Model mismatch: {what}"))
    if fields.get("response_format", "b64_json") != "b64_json":
        what = "Only response_format 'b64_json' is supported now."
        return Reply(status=400, body=vllm_error(what))
    size = _size(str(fields["size"]))
    pictures = [png(*size, seed=int(str(fields.get("seed", 0))))] * int(str(fields.get("n", 1)))
    return _b64(*pictures, output_format="png", size="{}x{}".format(*size))


def vllm_error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}}


def _sglang(seen: Seen) -> Reply:
    fields = fields_of(seen)
    usual = "b64_json" if seen.is_form else "url"
    if fields.get("response_format", usual) != "b64_json":
        what = "response_format='url' requires cloud storage to be configured."
        return Reply(status=400, body={"detail": what})
    size, count = _size(str(fields["size"])), int(str(fields.get("n", 1)))
    return _b64(*[png(*size)] * max(1, min(count, 10)), id="r1", peak_memory_mb=1.0)


def _lemonade(seen: Seen) -> Reply:
    if seen.path == "/v1/images/upscale":
        with Image.open(io.BytesIO(base64.b64decode(seen.body["image"], validate=True))) as image:
            return _b64(png(4 * image.width, 4 * image.height))
    fields = fields_of(seen)
    for name in ("seed", "steps", "n"):
        if seen.is_form and name in fields and int(str(fields[name])) > INT32:
            what = f"Invalid value for '{name}': must be an integer"
            body = {"error": {"message": what, "type": "invalid_request_error"}}
            return Reply(status=400, body=body)
    return _plain(seen)


def _sd_server(seen: Seen) -> Reply:
    fields = fields_of(seen)
    match = re.search("<sd_cpp_extra_args>(.*?)</sd_cpp_extra_args>", str(fields["prompt"]))
    told: dict[str, Any] = json.loads(match[1]) if match else {}
    width, height = (-(-side // 64) * 64 for side in _size(str(fields["size"])))
    pictures = [
        png(width, height, seed=told.get("seed", 42) + i) for i in range(int(str(fields["n"])))
    ]
    return _b64(*pictures, output_format="png")


def _localai(seen: Seen) -> Reply:
    if seen.path == "/v1/images/upscale":
        if seen.form.get("scale", "2") not in ("2", "4"):
            what = "code=400, message=scale must be 2 or 4"
            return Reply(status=400, body={"error": {"message": what, "code": 400, "type": ""}})
        return Reply(body={"data": [{"url": f"{seen.origin}{KEPT}"}]})
    fields = seen.body
    if fields.get("response_format") != "b64_json":
        return Reply(body={"data": [{"url": f"{seen.origin}{KEPT}"}]})
    try:
        base64.b64decode(fields.get("file", ""), validate=True)
    except binascii.Error:
        fields["file"] = ""  # logged, and drawn from the text alone
    size = _size(fields["size"]) if "x" in fields.get("size", "") else (512, 512)
    return _b64(*[png(*size, seed=fields.get("seed", 0))] * fields.get("n", 1))


def _ollama(seen: Seen) -> Reply:
    fields = seen.body
    image = str(fields.get("image", ""))
    if seen.path.endswith("edits") and not image.startswith("data:image/png;base64,"):
        body = {"error": {"message": "invalid image: invalid image input", "type": "api_error"}}
        return Reply(status=400, body=body)
    return _b64(png(*_size(fields["size"]), seed=fields.get("seed", 0)))


_POSTS: Mapping[str, Callable[[Seen], Reply]] = {
    "vllm-omni": _vllm_omni,
    "sglang": _sglang,
    "lemonade": _lemonade,
    "sd-server": _sd_server,
    "localai": _localai,
    "ollama": _ollama,
}
