"""Whatever is asked for changes what an engine gets or gives, or is said, or refused."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult
from PIL import Image

from tests.support.calls import said
from tests.support.factory import opener, service
from tests.support.fake_comfyui import FakeComfyUI
from tests.support.fake_vendors import FakeVendor, painted, predicting
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_mcp.routing.request import declared_arguments
from ziggie_image_mcp.server.tools import make_server

CHANGED: dict[str, Any] = {
    "prompt": "a blue moon over the sea",
    "negative_prompt": "clouds",
    "width": {"width": 128, "height": 256},
    "height": {"width": 256, "height": 128},
    "aspect_ratio": "16:9",
    "num_images": 2,
    "seed": 8,
    "steps": 3,
    "guidance_scale": 3.25,
    "sampler": "euler_ancestral",
    "scheduler": "normal",
    "model": "another",
    "provider": "another",
    "output_format": "webp",
    "file_name": "moonlight",
    "transparent": True,
    "seamless": True,
    "references": "REFERENCE",
    "control": "canny:REFERENCE",
    "loras": "pixel-art:0.8",
    "style": "inked",
    "asset": "background size=32x32",
}
"""For each argument another value. Those of `STEERS` choose among routes."""
STEERS = {"max_cost_usd", "allow_paid", "preference", "quality"}
PROVIDERS = ("builtin", "comfyui", "openai", "replicate")


def test_there_is_another_value_for_every_argument() -> None:
    names = {argument.name for argument in declared_arguments("generate")}

    assert set(CHANGED) == (names - STEERS) | {"references", "control"}


@asynccontextmanager
async def session(folder: Path, providers: dict[str, Any]) -> AsyncGenerator[Client]:
    off = {name: {"enabled": False} for name in (*PROVIDERS, "diffusers") if name not in providers}
    made = service(
        folder,
        providers=off | providers,
        cache=False,
        allowPaidFallback="withinBudget",
        budget={"perImage": 1, "perDay": 100, "perMonth": 100},
        inputDirectories=[str(folder)],
        styles={"inked": {"prompt": "an ink drawing of {prompt}"}},
    )
    try:
        await made.registry.open()
        async with Client(make_server(opener(made))) as client:
            yield client
    finally:
        await made.aclose()


def signature(answer: CallToolResult) -> dict[str, Any]:
    """What shows of the picture: its bytes, its name and kind, and what is said of it."""
    if answer.is_error:
        return {"refused": said(answer)}
    data = json.loads(said(answer))
    paths = [Path(image["path"]) for image in data["images"]]
    pixels = [hashlib.sha256(Image.open(path).convert("RGBA").tobytes()) for path in paths]
    return {
        "pixels": [digest.hexdigest() for digest in pixels],
        "names": [re.sub(r"-\d{8}-[0-9a-f]{16}", "", path.name) for path in paths],
        "notes": data.get("notes", []),
    }


def changed_call(name: str, base: dict[str, Any], folder: Path) -> dict[str, Any]:
    value = CHANGED[name]
    if str(value).endswith("REFERENCE"):
        Image.new("RGB", (64, 64), "red").save(folder / "reference.png")
        value = value.replace("REFERENCE", str(folder / "reference.png"))
    return base | (value if isinstance(value, dict) else {name: value})


def assert_it_shows(name: str, before: object, after: dict[str, Any]) -> None:
    assert after != before, f"{name} is dropped in silence"
    if "refused" in after and after.get("wire", "[]") == "[]":  # else it was for another reason
        others = {"width": "size", "height": "size", "sampler": "sampler", "loras": "lora"}
        words = others.get(name, "")
        assert any(
            part in after["refused"].lower()
            for part in (words or name.split("_")[0], name, str(CHANGED[name]).lower())
        ), after["refused"]


async def test_builtin_shows_it_in_pixels_or_says_or_refuses_it(tmp_path: Path) -> None:
    base = {"prompt": "a red star", "seed": 7, "steps": 2}
    small = base | {"width": 128, "height": 128}
    async with session(tmp_path, {"builtin": {}}) as client:

        async def show(call: dict[str, Any]) -> dict[str, Any]:
            return signature(await client.call_tool("generate_image", call))

        before, of_its_own_size = await show(small), await show(base)
        for name in CHANGED:
            free = name == "aspect_ratio"
            call = changed_call(name, base if free else small, tmp_path)
            assert_it_shows(name, of_its_own_size if free else before, await show(call))

    assert "refused" not in before


async def test_comfyui_gets_it_or_it_is_said_or_refused(tmp_path: Path) -> None:
    base = {"prompt": "a red star", "seed": 7, "steps": 2, "model": "sd_xl_base_1.0"}
    base |= {"width": 256, "height": 256}
    async with FakeComfyUI(image=picture(256, 256)) as server:
        async with session(tmp_path, {"comfyui": {"baseUrl": server.url}}) as client:

            async def show(call: dict[str, Any]) -> dict[str, Any]:
                done = len(server.prompts)
                shown = signature(await client.call_tool("generate_image", call))
                sent = json.dumps([body["prompt"] for body in server.prompts[done:]])
                return shown | {"wire": re.sub(r"ziggie/[0-9a-f-]{36}", "", sent)}

            before = await show(base)
            for name in CHANGED:
                assert_it_shows(name, before, await show(changed_call(name, base, tmp_path)))

    assert "refused" not in before
    assert before["wire"] != "[]"


@pytest.mark.parametrize("vendor", ["openai", "replicate"])
async def test_a_vendor_gets_it_or_it_is_said_or_refused(
    vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8-test")
    ready = threading.Event()
    ready.set()
    base: dict[str, Any] = {"prompt": "a red star", "provider": vendor}
    section: dict[str, Any] = {"local": False, "flavour": "openai"}
    if vendor == "replicate":
        base |= {"seed": 7, "model": "black-forest-labs/flux-schnell"}
        section = {"local": False}
    with FakeVendor(painted if vendor == "openai" else predicting(ready)) as server:
        async with session(tmp_path, {vendor: section | {"baseUrl": server.url}}) as client:

            async def show(call: dict[str, Any]) -> dict[str, Any]:
                done = len(server.seen)
                shown = signature(await client.call_tool("generate_image", call))
                posts = [s.content for s in server.seen[done:] if s.method == "POST"]
                return shown | {"wire": repr(posts)}

            before = await show(base)
            for name in CHANGED:
                assert_it_shows(name, before, await show(changed_call(name, base, tmp_path)))

    assert "refused" not in before
    assert before["wire"] != "[]"
