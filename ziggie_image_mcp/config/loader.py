"""Read config.json, overlaid by the environment, and check it to the last key."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args

import platformdirs
from pydantic import BaseModel, ValidationError

from ziggie_image_mcp.config.config import (
    APP,
    ENV_FILE,
    ENV_PREFIX,
    ENV_TOKEN,
    ENV_TOKENS,
    PRIVACY_OF_CLOUD,
    Budget,
    Config,
    ModelSettings,
    Privacy,
)
from ziggie_image_mcp.errors import ConfigError, nearest, plain_key, quote
from ziggie_image_mcp.provider.files import read_regular
from ziggie_image_mcp.provider.redaction import hidden, hidden_settings

MAX_BYTES = 2**20
"""Of config.json."""
MOST = 10**12
"""Of any number in it."""

_HALF_TEXT = re.compile("[\0\ud800-\udfff]")
_Sources = Mapping[tuple[str, ...], str]
"""Where a setting was read, by the keys that lead to it; () for all others."""


def provider_budgets(config: Config) -> dict[str, Budget]:
    """The caps of single providers, from `providers.<name>.budget`.

    Raises:
        ConfigError: One of them makes no sense; the message names it.
    """
    values_read: dict[str, Budget] = {}
    for name, section in config.providers.items():
        if "budget" in section:
            try:
                values_read[name] = Budget.model_validate(section["budget"])
            except ValidationError as e:
                lines = list(_explain(e, {(): f"providers.{name}.budget"}))
                raise ConfigError("\n".join(lines)) from e
    return values_read


def provider_privacy(config: Config) -> dict[str, Privacy]:
    """What the user knows of how providers treat prompts, from `providers.<name>.privacy`.

    Raises:
        ConfigError: One of them is no level; the message names it.
    """
    values_read: dict[str, Privacy] = {}
    for name, section in config.providers.items():
        if "privacy" in section:
            if section["privacy"] not in PRIVACY_OF_CLOUD:
                value = quote(json.dumps(hidden_settings(section["privacy"]), default=str))
                levels = ", ".join(PRIVACY_OF_CLOUD)
                raise ConfigError(f"`providers.{name}.privacy`: {value} is none of {levels}.")
            values_read[name] = section["privacy"]
    return values_read


def own_hosts(config: Config) -> frozenset[str]:
    """The providers of which the user said that they run on hosts of their own."""
    return frozenset(n for n, section in config.providers.items() if section.get("local") is True)


def default_path() -> Path:
    """Where config.json stands when nothing else is said."""
    return Path(platformdirs.user_config_dir(APP, appauthor=False)) / "config.json"


def find(path: Path | None, env: Mapping[str, str] = os.environ) -> Path:
    """The config file in force: the given one, the environment's, or the default place."""
    if path is not None:
        return path
    return Path(env[ENV_FILE]).expanduser() if env.get(ENV_FILE) else default_path()


def load(path: Path | None = None, env: Mapping[str, str] = os.environ) -> Config:
    """Read config.json and the environment.

    A file that was named must exist; the default one may be missing.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it makes no sense; the message
            names the file, the key and the nearest valid key.
    """
    file = find(path, env)
    named = path is not None or bool(env.get(ENV_FILE))
    values: dict[str, Any] = {}
    if named or file.exists():
        values = _read(file)
    sources: dict[tuple[str, ...], str] = {(): str(file)}
    for keys, name, value in _overrides(env):
        _put(values, keys, value, name)
        sources[keys] = f"environment variable {name}"
    problems = list(_unusable(values, sources))
    if problems:
        raise ConfigError("\n".join(problems))
    try:
        return Config.model_validate(values)
    except ValidationError as e:
        raise ConfigError("\n".join(_explain(e, sources))) from e


def _read(file: Path) -> dict[str, Any]:
    try:
        text = read_regular(file, MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError as e:
        raise ConfigError(
            f"{file}: there is no such file. Write one with `ziggie-image-mcp config init`."
        ) from e
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read: {e.strerror or e}") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"{file}: cannot be read: {e}") from e
    try:
        values_read: object = json.loads(text)
    except json.JSONDecodeError as e:
        raise ConfigError(f"{file}: line {e.lineno}, column {e.colno}: {e.msg}") from e
    except (ValueError, RecursionError) as e:  # a number of 5,000 digits, braces in braces in ...
        raise ConfigError(f"{file}: is no JSON that can be read: {e}") from e
    if not isinstance(values_read, dict):
        raise ConfigError(f"{file}: must hold a JSON object, as {{}}")
    values = cast(dict[str, Any], values_read)
    block = values.get("imageGeneration")
    if isinstance(block, dict):  # Ziggie's own config: the other blocks are not ours
        return cast(dict[str, Any], block)
    return values


def _overrides(env: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """ZIGGIE_IMAGE_BUDGET__PER_DAY=2 as (("budget", "perDay"), name, 2)."""
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX) or name in (ENV_FILE, ENV_TOKEN, ENV_TOKENS):
            continue
        keys: list[str] = []
        model: type[BaseModel] | None = Config
        for part in name.removeprefix(ENV_PREFIX).split("__"):
            key, model = _field(model, part)
            keys.append(key)
        text = env[name]
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError):  # it is no JSON, or a number of 5,000 digits
            value = text
        yield tuple(keys), name, value


def _field(model: type[BaseModel] | None, part: str) -> tuple[str, type[BaseModel] | None]:
    """The key that an environment variable's part means, and the model below it."""
    if model is None:
        return part.lower(), None
    for name, info in model.model_fields.items():
        if plain_key(name) == plain_key(part):
            for kind in (info.annotation, *get_args(info.annotation)):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    return info.alias or name, None if "dict" in str(info.annotation) else kind
            return info.alias or name, None
    return part, None  # unknown: validation names it, and the nearest key


def _put(values: dict[str, Any], keys: tuple[str, ...], value: Any, name: str) -> None:
    for depth, key in enumerate(keys[:-1]):
        below = values.setdefault(key, {})
        if below is None:
            below = values[key] = {}
        if not isinstance(below, dict):
            path = ".".join(keys[: depth + 1])
            raise ConfigError(f"environment variable {name}: {path} is no block of settings")
        values = cast(dict[str, Any], below)
    values[keys[-1]] = value


def _unusable(value: object, sources: _Sources, keys: tuple[str, ...] = ()) -> Iterator[str]:
    """What no setting may be, wherever it stands: half a text, or a number without bound."""
    where = f"{_source(keys, sources)}: `{'.'.join(keys)}`"
    if isinstance(value, str) and _HALF_TEXT.search(value):
        yield f"{where}: must be whole text, without NUL and halves of characters"
    elif isinstance(value, int | float) and not abs(value) <= MOST:
        yield f"{where}: must be a finite number, {MOST} at most (it says {quote(str(value))})"
    elif isinstance(value, list):
        for i, part in enumerate(cast(list[object], value)):
            yield from _unusable(part, sources, (*keys, str(i)))
    elif isinstance(value, dict):
        for key, part in cast(dict[str, object], value).items():
            if _HALF_TEXT.search(key):
                yield f"{where}: a key in it is no whole text: {quote(ascii(key))}"
            else:
                yield from _unusable(part, sources, (*keys, key))


def _source(keys: tuple[str, ...], sources: _Sources) -> str:
    """Where a setting was read."""
    return next((text for at, text in sources.items() if at and keys[: len(at)] == at), sources[()])


def _explain(error: ValidationError, sources: _Sources) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        keys = tuple(str(part) for part in problem["loc"])
        source = _source(keys, sources)
        if problem["type"] == "extra_forbidden":
            near = nearest(keys[-1], _keys_at(keys[:-1]))
            hint = f" Did you mean `{near}`?" if near else ""
            yield f"{source}: unknown key `{'.'.join(keys)}`.{hint}"
        else:
            shown = hidden_settings(problem["input"], ([*keys] or [""])[-1])
            value_text = quote(json.dumps(shown, default=str))
            message = hidden(problem["msg"])
            yield f"{source}: `{'.'.join(keys)}`: {message} (it says {value_text})."


def _keys_at(path: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for part in path:
        info = next((f for n, f in model.model_fields.items() if (f.alias or n) == part), None)
        kinds = (info.annotation, *get_args(info.annotation)) if info else (ModelSettings,)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return [info.alias or name for name, info in model.model_fields.items()]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of config.json."""
    schema = Config.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "ziggie-image-mcp config.json"
    return schema
