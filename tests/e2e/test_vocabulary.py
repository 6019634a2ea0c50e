"""A tool shows an argument from the day on which a provider of this distribution honours it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tests.support.factory import opener, service
from tests.support.fake_a1111 import FakeWebUI
from tests.support.fake_comfyui import FILES, FakeComfyUI
from tests.support.fake_fooocus import FakeFooocus
from tests.support.fake_invokeai import FakeInvokeAI
from tests.support.fake_swarmui import FakeSwarm
from tests.support.model_folders import pipeline
from ziggie_image_mcp.inventory.registry import load_types
from ziggie_image_mcp.provider import Model, ProviderContext
from ziggie_image_mcp.provider.testing import FakeVendor
from ziggie_image_mcp.server.tools import make_server


async def listed(folder: Path) -> Sequence[Model]:
    """The models of all providers, with engines on loopback and keys that nobody checks."""

    async def secret(name: str) -> str | None:
        return "a-key-0123456789"

    context = ProviderContext(data_dir=folder, secret=secret)
    models: list[Model] = []
    nets = {"controlnet": ["control_v11p_sd15_canny.pth"]}
    async with AsyncExitStack() as stack:
        comfyui = await stack.enter_async_context(FakeComfyUI(files=FILES | nets))
        web_ui = stack.enter_context(FakeVendor(FakeWebUI()))
        swarm = stack.enter_context(FakeVendor(FakeSwarm()))
        invokeai = stack.enter_context(FakeVendor(FakeInvokeAI()))
        fooocus = stack.enter_context(FakeVendor(FakeFooocus()))
        sections: dict[str, dict[str, object]] = {
            "a1111": {"baseUrl": web_ui.url},
            "comfyui": {"baseUrl": comfyui.url},
            "fooocus": {"baseUrl": fooocus.url},
            "invokeai": {"baseUrl": invokeai.url},
            "swarmui": {"baseUrl": swarm.url},
            "modal": {"baseUrl": "https://me--pictures.modal.run"},
            "diffusers": {"modelDirs": [str(pipeline(folder / "models" / "sdxl"))]},
        }
        kinds = dict(load_types().usable)
        del kinds["comfy_cloud"]  # the same as comfyui, and asks nobody without a price
        for name, kind in kinds.items():
            section = sections.get(name, {})
            if "live_prices" in kind.Settings.model_fields:
                section = {"livePrices": False} | section  # nobody is asked on the internet
            provider = kind(name, kind.Settings.model_validate(section), context)
            models += await provider.list_models()
            await provider.aclose()
    return models


async def test_what_some_provider_honours_is_shown_and_nothing_else(tmp_path: Path) -> None:
    able = [capability for m in await listed(tmp_path) for capability in m.tasks.values()]

    honoured = {str(option) for capability in able for option in capability.options}
    honoured |= {"loras"} if any(c.loras for c in able) else set()
    honoured |= {"control"} if any(c.control for c in able) else set()
    honoured |= {"references"} if any(c.max_references for c in able) else set()
    tools = await make_server(opener(service(tmp_path))).list_tools()
    making = [tool for tool in tools if tool.name in ("generate_image", "edit_image")]
    shown = {name for tool in making for name in tool.input_schema["properties"]}
    known = {
        *("negative_prompt", "seed", "steps", "guidance_scale", "sampler", "scheduler"),
        *("strength", "transparent", "seamless", "loras", "control", "references"),
    }
    assert shown & known == honoured - {"quality"}
