"""ComfyUI is found where it listens by default. The only test that touches that port."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.fake_comfyui import FakeComfyUI
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import take_survey

PORT = 8188


def taken() -> bool:
    """Whether somebody listens there already: a real ComfyUI, or another run of the tests."""
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", PORT)) == 0


@pytest.mark.xdist_group("comfyui_default_port")
async def test_without_config_comfyui_is_found_on_its_own_port(tmp_path: Path) -> None:
    if taken():
        pytest.skip(f"something listens on 127.0.0.1:{PORT}")
    config = Config.model_validate(
        {"providers": {name: {"enabled": False} for name in ("builtin", "diffusers")}}
    )
    registry = Registry(config, tmp_path)
    async with FakeComfyUI(port=PORT) as comfy:
        survey = await take_survey(registry)
    await registry.aclose()

    assert {m.provider for m in survey.models} == {"comfyui"}
    assert comfy.seen
