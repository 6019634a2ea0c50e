"""ComfyUI is found where it listens by default. The only tests that touch those ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.fake_comfyui import FakeComfyUI
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import take_survey

PORT, OTHER_PORT = 8188, 8000


def taken(port: int = PORT) -> bool:
    """Whether somebody listens there already: a real ComfyUI, or another run of the tests."""
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


async def found(port: int, folder: Path) -> tuple[set[str], FakeComfyUI]:
    """Who has models, where a ComfyUI listens at the port and nothing is set."""
    config = Config.model_validate(
        {"providers": {name: {"enabled": False} for name in ("builtin", "diffusers")}}
    )
    registry = Registry(config, folder)
    async with FakeComfyUI(port=port) as comfy:
        survey = await take_survey(registry)
    await registry.aclose()
    return {m.provider for m in survey.models}, comfy


@pytest.mark.xdist_group("comfyui_default_port")
async def test_without_config_comfyui_is_found_on_its_own_port(tmp_path: Path) -> None:
    if taken():
        pytest.skip(f"something listens on 127.0.0.1:{PORT}")
    providers, comfy = await found(PORT, tmp_path)

    assert providers == {"comfyui"}
    assert comfy.seen


@pytest.mark.xdist_group("comfyui_default_port")
async def test_where_nothing_listens_there_port_8000_is_asked(
    tmp_path: Path,
) -> None:
    if taken() or taken(OTHER_PORT):
        pytest.skip(f"something listens on 127.0.0.1:{PORT} or {OTHER_PORT}")
    providers, comfy = await found(OTHER_PORT, tmp_path)

    assert providers == {"comfyui"}
    assert comfy.seen
