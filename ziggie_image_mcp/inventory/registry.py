"""Find the providers, build those that the config allows, and ask them what they have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

import anyio
from pydantic import ValidationError

from ziggie_image_mcp.config import secrets
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import ConfigError, suggestion
from ziggie_image_mcp.inventory.types import Reason, Rejection
from ziggie_image_mcp.provider.contract import (
    ENTRY_POINT_GROUP,
    AnyProvider,
    ProviderContext,
    ProviderType,
)

_WORDS = ("auto", "local", "cloud")
_OWN_KEYS = ("type", "enabled", "budget", "privacy")


@dataclass(frozen=True, kw_only=True)
class _Section:
    name: str
    kind: str
    enabled: bool
    named: bool
    settings: Mapping[str, Any]


def discover() -> dict[str, EntryPoint]:
    """The provider types that are installed, built-in and third-party alike, by name."""
    return {e.name: e for e in sorted(entry_points(group=ENTRY_POINT_GROUP))}


def provider_type(entry: EntryPoint) -> ProviderType:
    """Import the class that an entry point names."""
    return cast(ProviderType, entry.load())


class Registry:
    """The configured providers. Built on first use; imports only what is switched on."""

    def __init__(self, config: Config, data_dir: Path, extra: Iterable[AnyProvider] = ()) -> None:
        self._config = config
        self._data_dir = data_dir
        self._providers: dict[str, AnyProvider] = {p.name: p for p in extra}
        self._off: list[Rejection] = []
        self._named: frozenset[str] = frozenset(self._providers)
        self._built = bool(self._providers)

    def providers(self) -> Mapping[str, AnyProvider]:
        """The providers by name, once `open` has built them."""
        return self._providers

    async def open(self) -> None:
        """Build what the config allows: what it names, what is automatic, what has a key.

        Raises:
            ConfigError: The config names an unknown provider, or a provider's section is wrong.
        """
        if not self._built:
            types = await anyio.to_thread.run_sync(_types)
            self._build(types, await _with_keys(types))
            self._built = True

    def switched_off(self) -> tuple[Rejection, ...]:
        """The providers that the config switches off, or that cannot be built, with the reason."""
        return tuple(self._off)

    def configured(self) -> frozenset[str]:
        """Providers that the user's config names, as against those merely looked for."""
        return self._named

    async def aclose(self) -> None:
        """Close every provider."""
        for provider in self._providers.values():
            await provider.aclose()

    def _build(self, types: Mapping[str, ProviderType], with_key: Collection[str]) -> None:
        plans = list(_sections(self._config, types, with_key))
        names = [*_WORDS, *(p.name for p in plans)]
        if self._config.provider not in names:
            raise ConfigError(
                f"`provider`: {self._config.provider!r} is no provider."
                f"{suggestion(self._config.provider, names)} Known: {', '.join(names)}."
            )
        for one in plans:
            if not one.enabled:
                reason = Reason(
                    code="DISABLED",
                    have=f"providers.{one.name}.enabled: false",
                    need="an enabled provider",
                    fix="change it in config.json",
                )
                self._off.append(Rejection(provider=one.name, model=None, reasons=(reason,)))
                continue
            self._providers[one.name] = self._make(one, types[one.kind])
        self._named = frozenset(p.name for p in plans if p.named and p.enabled)

    def _make(self, one: _Section, kind: ProviderType) -> AnyProvider:
        try:
            settings = kind.Settings.model_validate(one.settings)
        except ValidationError as e:
            valid = [f.alias or n for n, f in kind.Settings.model_fields.items()]
            lines: list[str] = []
            for problem in e.errors(include_url=False):
                key = ".".join(str(part) for part in problem["loc"])
                if problem["type"] == "extra_forbidden":
                    lines.append(f"unknown key `{key}`.{suggestion(key, valid)}")
                else:
                    lines.append(f"`{key}`: {problem['msg']}")
            raise ConfigError(f"providers.{one.name}: {'; '.join(lines)}") from e
        api = self._config.api
        context = ProviderContext(
            data_dir=self._data_dir,
            timeout=api.timeout / 1000 if api and api.timeout and api.type == one.kind else None,
            gpu=self._config.hardware.gpu,
            vram_optimization=self._config.hardware.vram_optimization,
            secret=secrets.find,
        )
        return kind(one.name, settings, context)


def _types() -> dict[str, ProviderType]:
    return {name: provider_type(entry) for name, entry in discover().items()}


async def _with_keys(types: Mapping[str, ProviderType]) -> frozenset[str]:
    """The provider types for which this user has a key."""
    with_key: set[str] = set()

    async def ask(name: str, variable: str) -> None:
        if await secrets.find(variable) is not None:
            with_key.add(name)

    async with anyio.create_task_group() as group:
        for name, variable in secrets.key_names(types).items():
            group.start_soon(ask, name, variable)
    return frozenset(with_key)


def _sections(
    config: Config, types: Mapping[str, ProviderType], with_key: Collection[str]
) -> Iterable[_Section]:
    sections: dict[str, dict[str, Any]] = {n: dict(s) for n, s in config.providers.items()}
    named = set(sections)
    if config.api is not None:
        if config.api.type not in types:
            raise ConfigError(
                f"`api.type`: {config.api.type!r} is no kind of provider."
                f"{suggestion(config.api.type, list(types))} Installed: {', '.join(types)}."
            )
        named.add(config.api.type)
        section = sections.setdefault(config.api.type, {})
        if config.api.url and "baseUrl" not in section and "base_url" not in section:
            section["baseUrl"] = config.api.url
    if config.provider not in _WORDS:
        named.add(config.provider)
    for name in dict.fromkeys((*types, *sections)):
        section = sections.get(name, {})
        kind = str(section.get("type", name))
        if kind not in types:
            raise ConfigError(
                f"providers.{name}: {kind!r} is no kind of provider.{suggestion(kind, types)} "
                f'Installed: {", ".join(types)}. Say which with "type".'
            )
        if name not in named and not types[kind].automatic and name not in with_key:
            continue
        yield _Section(
            name=name,
            kind=kind,
            enabled=bool(section.get("enabled", True)),
            named=name in named,
            settings={k: v for k, v in section.items() if k not in _OWN_KEYS},
        )


def silent_provider(provider: str, code: str, message: str) -> Rejection:
    """The rejection of a whole provider that did not answer."""
    reason = Reason(code=code, have=message, need="an answer", fix="")
    return Rejection(provider=provider, model=None, reasons=(reason,))
