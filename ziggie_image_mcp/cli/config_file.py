"""Change settings in config.json: the whole file is checked before it takes the old one's place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ziggie_image_mcp.cli import jsonc
from ziggie_image_mcp.config import config, loader
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import ConfigError, StorageError
from ziggie_image_mcp.provider.files import decode_text, encode_like, read_regular
from ziggie_image_mcp.provider.redaction import is_secret
from ziggie_image_mcp.provider.systems import put_in_place


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """A config.json as it stands; with no text where there is none yet."""

    path: Path
    """Where a link leads."""
    data: bytes
    text: str
    block: tuple[str, ...]
    """The keys that lead to our settings: those of Ziggie's own config are a block of it."""
    values: dict[str, Any]


def read(path: Path) -> ConfigFile:
    """Read a config to change it.

    Raises:
        ConfigError: It cannot be understood.
        StorageError: It cannot be read.
    """
    try:
        path = path.resolve()
        data = read_regular(path, loader.MAX_BYTES) if path.exists() else b""
    except (OSError, RuntimeError) as e:
        raise StorageError(f"{path} cannot be read: {getattr(e, 'strerror', None) or e}.") from e
    try:
        text = decode_text(data)
        whole: Any = jsonc.parse(text).value if text.strip() else {}
    except ValueError as e:
        raise ConfigError(f"{path}: {e}.") from e
    if not isinstance(whole, dict):
        raise ConfigError(f"{path}: must hold a JSON object, as {{}}")
    own = cast(dict[str, Any], whole)
    block = own.get(loader.ZIGGIE_BLOCK)
    if isinstance(block, dict):
        found, keys = cast(dict[str, Any], block), (loader.ZIGGIE_BLOCK,)
        return ConfigFile(path=path, data=data, text=text, block=keys, values=found)
    return ConfigFile(path=path, data=data, text=text, block=(), values=own)


def meaning(name: str, text: str) -> tuple[tuple[str, ...], object]:
    """The keys and the value that are meant by a dotted name and a text.

    Raises:
        ConfigError: There is no such setting, or it is a secret.
    """
    keys, kind = loader.setting_named(name)
    value = loader.value_named(text, kind)
    if any(is_secret(key, value) for key in keys) or is_secret("", text):
        provider = keys[1] if keys[0] == "providers" and len(keys) > 1 else "NAME"
        raise ConfigError(
            f"`{'.'.join(keys)}`: keys and tokens do not stand in config.json, nor on a command "
            f"line, which the shell keeps. Use `ziggie-image-mcp keys set {provider}`."
        )
    return keys, value


def with_value(text: str, file: ConfigFile, keys: tuple[str, ...], value: object) -> str:
    """The file's text with this value in it; order, indentation and the rest stay.

    Raises:
        ConfigError: Something else than a block stands on the way.
    """
    try:
        return jsonc.put(text, (*file.block, *keys), value)
    except ValueError as e:
        raise ConfigError(f"{file.path}: {e}.") from e


def without(text: str, file: ConfigFile, keys: tuple[str, ...]) -> str:
    """The file's text without this setting.

    Raises:
        ConfigError: A comment would be lost.
    """
    try:
        return jsonc.remove(text, (*file.block, *keys)) if text.strip() else text
    except ValueError as e:
        raise ConfigError(f"{file.path}: {e}.") from e


async def check(text: str, path: Path) -> Config:
    """Check a config's text to the last key, those of every provider too.

    Raises:
        ConfigError: It makes no sense; what stands on the disk is still what stood there.
    """
    from ziggie_image_mcp.inventory.registry import Registry

    try:
        settings = loader.check_text(text, path)
        loader.provider_budgets(settings)
        loader.provider_privacy(settings)
        loader.provider_concurrency(settings)
        registry = Registry(settings, config.data_dir())
        try:
            await registry.open()
        finally:
            await registry.aclose()
    except ConfigError as e:
        raise ConfigError(f"Refused, and {path} is unchanged: {e}") from e
    return settings


def replace(file: ConfigFile, text: str) -> None:
    """Put the new text in the old one's place at once, with the same rights and encoding.

    Raises:
        StorageError: It cannot be written, or somebody else changed it meanwhile.
    """
    try:
        there = file.path.exists()
        if (file.path.read_bytes() if there else b"") != file.data:
            raise StorageError(f"{file.path} was changed by somebody else meanwhile; try again.")
        file.path.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(file.path, encode_like(text, file.data), 0o644)
    except OSError as e:
        raise StorageError(f"{file.path} cannot be written: {e.strerror or e}.") from e


def shown(value: object) -> str:
    """A value as `config get` prints it: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
