"""Finding and building providers, and the words for a wrong section."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.inventory import registry as module
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import take_survey
from ziggie_image_mcp.provider import ENTRY_POINT_GROUP, Model, ProviderContext, ProviderInfo
from ziggie_image_mcp.provider.settings import ProviderSettings
from ziggie_image_mcp.provider.testing import FakeProvider

AUTOMATIC = {name for name, kind in module.load_types().usable.items() if kind.info.automatic}


def registry(folder: Path, **config: Any) -> Registry:
    return Registry(Config.model_validate(config), folder)


def test_the_built_in_providers_come_through_the_entry_points() -> None:
    assert {"a1111", "builtin", "comfyui", "diffusers"} <= AUTOMATIC


async def test_without_config_the_automatic_providers_are_built(tmp_path: Path) -> None:
    built = registry(tmp_path)

    await built.open()

    assert set(built.providers()) == AUTOMATIC


async def test_a_provider_that_costs_money_is_built_when_there_is_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    built = registry(tmp_path)

    await built.open()

    assert set(built.providers()) == AUTOMATIC | {"openai"}


async def test_one_kind_can_be_configured_twice(tmp_path: Path) -> None:
    built = registry(
        tmp_path, providers={"attic": {"type": "comfyui", "baseUrl": "http://127.0.0.1:9999"}}
    )

    await built.open()

    assert set(built.providers()) == AUTOMATIC | {"attic"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"providers": {"comfyui": {"base_ulr": "x"}}}, ["comfyui", "`base_ulr`", "'baseUrl'"]),
        ({"providers": {"comfyu": {}}}, ["providers.comfyu", "'comfyui'", '"type"']),
        ({"provider": "comfy-ui"}, ["`provider`", "'comfyui'"]),
        ({"api": {"type": "midjourney"}}, ["`api.type`", "Installed: a1111, "]),
    ],
)
async def test_a_wrong_section_is_named(
    config: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        await registry(tmp_path, **config).open()

    for part in said:
        assert part in str(caught.value)


class Plugin(FakeProvider):
    """A third party's provider that is tried without being named."""

    info: ClassVar[ProviderInfo] = ProviderInfo(summary="a plugin", automatic=True)

    def __init__(self, name: str, settings: Any, context: ProviderContext) -> None:
        super().__init__(name)


class Demanding(ProviderSettings):
    """It cannot be used without being named."""

    needed: str


class Faulty(ProviderSettings):
    """It has a bug."""

    def model_post_init(self, context: Any) -> None:
        raise RuntimeError("boom")


class Misnamed(Plugin):
    """It calls itself something else."""

    def __init__(self, name: str, settings: Any, context: ProviderContext) -> None:
        super().__init__("other", settings, context)


def raising(error: BaseException) -> type[Plugin]:
    def __init__(self: Any, name: str, settings: Any, context: ProviderContext) -> None:
        raise error

    return type("Raising", (Plugin,), {"__init__": __init__})


def nothing(*args: object) -> None:
    """In place of `__new__`."""


def models_at_once(self: Plugin) -> list[Model]:
    """In place of a coroutine."""
    return []


def wrong(**members: Any) -> type[Plugin]:
    return type("Wrong", (Plugin,), members)


def install(
    monkeypatch: pytest.MonkeyPatch, plugins: Sequence[tuple[str, type]], *more: EntryPoint
) -> None:
    entries = list(more)
    for index, (name, kind) in enumerate(plugins):
        plugin = types.ModuleType(f"plugin_{index}")
        plugin.__dict__["Kind"] = kind
        monkeypatch.setitem(sys.modules, plugin.__name__, plugin)
        entries.append(EntryPoint(name, f"{plugin.__name__}:Kind", ENTRY_POINT_GROUP))

    def found(group: str) -> list[EntryPoint]:
        return [entry for entry in entries if entry.group == group]

    monkeypatch.setattr(module, "entry_points", found)


@pytest.mark.parametrize(
    ("kind", "code", "have"),
    [
        (wrong(info=None), "PLUGIN_BROKEN", "without `info`"),
        (
            wrong(info=ProviderInfo(summary="x", key_names=(None,))),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            "PLUGIN_BROKEN",
            "without `info`",
        ),
        (wrong(Settings=Demanding), "CONFIG_INVALID", "`needed`: Field required"),
        (wrong(Settings=Faulty), "PLUGIN_BROKEN", "RuntimeError: boom"),
        (raising(ConfigError("a section")), "CONFIG_INVALID", "a section"),
        (raising(SystemExit(2)), "PLUGIN_BROKEN", "SystemExit: 2"),
        (wrong(__new__=nothing), "PLUGIN_BROKEN", "NoneType lacks a part"),
        (Misnamed, "PLUGIN_BROKEN", "has another name"),
        (wrong(list_models=models_at_once), "PROVIDER_BROKEN", "has a bug (TypeError)"),
    ],
)
async def test_what_is_wrong_with_a_plugin_that_nobody_named_is_a_reason(
    kind: type, code: str, have: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, [("good", Plugin), ("bad", kind)])

    survey = await take_survey(registry(tmp_path))

    assert {m.provider for m in survey.models} == {"good"}
    (rejection,) = survey.rejected
    (reason,) = rejection.reasons
    assert (rejection.provider, reason.code) == ("bad", code)
    assert have in reason.have


async def test_a_section_that_the_user_wrote_is_an_error_of_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, [("bad", wrong(Settings=Demanding))])

    with pytest.raises(ConfigError, match="`needed`"):
        await registry(tmp_path, providers={"bad": {}}).open()


@pytest.mark.parametrize("order", [1, -1])
async def test_no_plugin_takes_the_place_of_another(
    order: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = EntryPoint("openai", "ziggie_image_providers.openai:OpenAI", ENTRY_POINT_GROUP)
    plugins = [("openai", Plugin), ("twice", Plugin), ("twice", Plugin)]
    install(monkeypatch, plugins[::order], ours)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    built = registry(tmp_path)

    await built.open()

    assert {name: type(p).__name__ for name, p in built.providers().items()} == {"openai": "OpenAI"}
    reasons = {r.provider: r.reasons[0] for r in built.switched_off()}
    assert set(reasons) == {"openai", "twice"}
    assert "the name of" in reasons["twice"].have
    assert reasons["openai"].fix.startswith("update or uninstall plugin_")
