"""Finding and building providers, and the words for a wrong section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.inventory.registry import Registry, discover


def registry(folder: Path, **config: Any) -> Registry:
    return Registry(Config.model_validate(config), folder)


def test_the_built_in_providers_come_through_the_entry_points() -> None:
    assert {"comfyui", "diffusers"} <= set(discover())


async def test_without_config_the_automatic_providers_are_built(tmp_path: Path) -> None:
    built = registry(tmp_path)

    await built.open()

    assert set(built.providers()) == {"comfyui", "diffusers"}


async def test_a_provider_that_costs_money_is_built_when_there_is_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    built = registry(tmp_path)

    await built.open()

    assert set(built.providers()) == {"comfyui", "diffusers", "openai"}


async def test_one_kind_can_be_configured_twice(tmp_path: Path) -> None:
    built = registry(
        tmp_path, providers={"attic": {"type": "comfyui", "baseUrl": "http://127.0.0.1:9999"}}
    )

    await built.open()

    assert set(built.providers()) == {"comfyui", "diffusers", "attic"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"providers": {"comfyui": {"base_ulr": "x"}}}, ["comfyui", "`base_ulr`", "'baseUrl'"]),
        ({"providers": {"comfyu": {}}}, ["providers.comfyu", "'comfyui'", '"type"']),
        ({"provider": "comfy-ui"}, ["`provider`", "'comfyui'"]),
        ({"api": {"type": "fooocus"}}, ["`api.type`", "Installed: comfyui"]),
    ],
)
async def test_a_wrong_section_is_named(
    config: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        await registry(tmp_path, **config).open()

    for part in said:
        assert part in str(caught.value)
