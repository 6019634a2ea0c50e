"""Read config.json, overlaid by the environment, and check it to the last key."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import platformdirs
from pydantic import BaseModel, TypeAdapter, ValidationError

from ziggie_image_mcp.config.config import (
    APP,
    BESIDE,
    ENV_FILE,
    ENV_PREFIX,
    ENV_TOKEN,
    ENV_TOKENS,
    PRIVACY_OF_CLOUD,
    Budget,
    Config,
    ModelSettings,
    Privacy,
    set_by,
    user_folder,
)
from ziggie_image_mcp.config.environment import setting
from ziggie_image_mcp.errors import ConfigError, nearest, plain_key, quote
from ziggie_image_mcp.provider.files import decode_text, read_regular, whole_path
from ziggie_image_mcp.provider.redaction import hidden, hidden_settings
from ziggie_image_mcp.provider.shell import shell_command
from ziggie_image_mcp.provider.written import described

MAX_BYTES = 2**20
"""Of config.json."""
MOST = 10**12
"""Of any number in it."""

MOST_CALLS = 64
"""Of one provider at once, where `concurrency` bounds them."""

ZIGGIE_BLOCK = "imageGeneration"
"""Of Ziggie's own config: the other blocks are not ours."""

_HALF_TEXT = re.compile("[\0\ud800-\udfff]")
_COMMENTS = ("//", "/*", "#")
_DOLLARS = re.compile(r"\$\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_WHOLE = re.compile("[0-9]{1,9}")
_PROVIDER: Any = dict[str, Any]
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
                variables = config.variables.items()
                sources = {at: f"environment variable {variable}" for at, variable in variables}
                at = ("providers", name, "budget")
                lines = list(_explain(e, sources | {(): ""}, at))
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
                by = set_by(config.variable("providers", name, "privacy"))
                raise ConfigError(f"`providers.{name}.privacy`{by}: {value} is none of {levels}.")
            values_read[name] = section["privacy"]
    return values_read


def provider_concurrency(config: Config) -> dict[str, int]:
    """How many calls of a provider may run at once, from `providers.<name>.concurrency`.

    Raises:
        ConfigError: One of them is no such number; the message names it.
    """
    values_read: dict[str, int] = {}
    for name, section in config.providers.items():
        value = section.get("concurrency")
        if value is None:
            continue
        figures = str(value).strip() if type(value) in (int, str) else ""
        if not (_WHOLE.fullmatch(figures) and 1 <= int(figures) <= MOST_CALLS):
            by = set_by(config.variable("providers", name, "concurrency"))
            shown = quote(json.dumps(hidden_settings(value), default=str))
            raise ConfigError(
                f"`providers.{name}.concurrency`{by}: {shown} is no whole number from 1 to "
                f"{MOST_CALLS}; leave it out for no bound."
            )
        values_read[name] = int(figures)
    return values_read


def own_hosts(config: Config) -> frozenset[str]:
    """The providers of which the user said that they run on hosts of their own."""
    return frozenset(n for n, section in config.providers.items() if section.get("local") is True)


def default_path() -> Path:
    """Where config.json stands when nothing else is said."""
    return user_folder(partial(platformdirs.user_config_dir, APP, appauthor=False)) / "config.json"


def find(path: Path | None, env: Mapping[str, str] = os.environ) -> Path:
    """The config file in force: the given one, the environment's, or the default place.

    Raises:
        ConfigError: The environment names none that can be one.
    """
    if path is not None:
        return path
    text = setting(env, ENV_FILE)
    if not text:
        return default_path()
    try:
        return Path(whole_path(text))
    except ValueError as e:
        raise ConfigError(f"environment variable {ENV_FILE}: {e}.") from e


def load(path: Path | None = None, env: Mapping[str, str] = os.environ) -> Config:
    """Read config.json and the environment.

    A file that was named must exist; the default one may be missing.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it makes no sense; the message
            names the file, the key and the nearest valid key.
    """
    file = find(path, env)
    named = path is not None or bool(setting(env, ENV_FILE))
    values = _read(file) if named or file.exists() else {}
    return _checked(values, file, env)


def check_text(text: str, file: Path) -> Config:
    """The settings that a file would hold with this text, whatever the environment says.

    Raises:
        ConfigError: As `load` tells; the file is not named, for it does not hold the text.
    """
    return _checked(_parsed(text, file), file, {}, source="")


def _checked(
    values: dict[str, Any], file: Path, env: Mapping[str, str], *, source: str | None = None
) -> Config:
    sources: dict[tuple[str, ...], str] = {(): str(file) if source is None else source}
    variables: dict[tuple[str, ...], str] = {}
    for keys, name, value in _overrides(env):
        _put(values, keys, value, name)
        variables[keys] = name
        sources[keys] = f"environment variable {name}"
    problems = list(_unusable(values, sources))
    if problems:
        raise ConfigError("\n".join(problems))
    try:
        beside = {BESIDE: file.absolute().parent} if file.exists() else None
        config = Config.model_validate(values, context=beside)
    except ValidationError as e:
        raise ConfigError("\n".join(_explain(e, sources))) from e
    config.remember(variables)
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        text = decode_text(read_regular(file, MAX_BYTES))
    except FileNotFoundError as e:
        command = shell_command("ziggie-image-mcp", "config", "init", "--config", str(file))
        raise ConfigError(f"{file}: there is no such file. Write it with `{command}`.") from e
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read: {e.strerror or e}") from e
    except ValueError as e:
        raise ConfigError(f"{file}: {e}.") from e
    return _parsed(text, file)


def _parsed(text: str, file: Path) -> dict[str, Any]:
    try:
        values_read: object = json.loads(text)
    except json.JSONDecodeError as e:
        what = e.msg
        if text[e.pos :].lstrip().startswith(_COMMENTS):
            what = "JSON has no comments; take this one out"
        raise ConfigError(f"{file}: line {e.lineno}, column {e.colno}: {what}") from e
    except (ValueError, RecursionError) as e:  # a number of 5,000 digits, braces in braces in ...
        raise ConfigError(f"{file}: is no JSON that can be read: {e}") from e
    if not isinstance(values_read, dict):
        raise ConfigError(f"{file}: must hold a JSON object, as {{}}")
    values = cast(dict[str, Any], values_read)
    block = values.get(ZIGGIE_BLOCK)
    if isinstance(block, dict):
        return cast(dict[str, Any], block)
    near = next((key for key in values if plain_key(key) == plain_key(ZIGGIE_BLOCK)), None)
    if near is not None and isinstance(values[near], dict):
        raise ConfigError(f"{file}: unknown key `{near}`. Did you mean `{ZIGGIE_BLOCK}`?")
    return values


def overriding(keys: tuple[str, ...], env: Mapping[str, str] = os.environ) -> list[str]:
    """The environment variables by which a setting, or a part of it, is another than in the file.

    Raises:
        ConfigError: A variable stands in a place where none can.
    """
    return [name for at, name, _ in _overrides(env) if at[: len(keys)] == keys[: len(at)]]


def setting_named(name: str) -> tuple[tuple[str, ...], Any]:
    """The keys that a dotted name means, and of what kind its value is.

    Raises:
        ConfigError: There is no such setting; the nearest is named.
    """
    parts, keys, kind = name.strip().split("."), list[str](), cast(Any, Config)
    while parts:
        part = parts.pop(0)
        if kind == _PROVIDER and part == "budget":
            keys, kind = [*keys, part], Budget
            continue
        if get_origin(kind) is dict:
            kind = get_args(kind)[-1]
            if kind is ModelSettings and parts:  # ids of models hold dots
                part, parts = ".".join([part, *parts[:-1]]), parts[-1:]
            keys.append(part)
            continue
        if kind is not Any:
            known = _names(kind)
            key, below = _field(kind, part)
            if key not in known:
                near = nearest(part, known)
                meant = ".".join([*keys, near]) if near else ""
                hint = f" Did you mean `{meant}`?" if near else ""
                raise ConfigError(f"There is no setting `{'.'.join([*keys, part])}`.{hint}")
            part, kind = key, below
        keys.append(part)
    return tuple(keys), kind


def value_named(text: str, kind: Any) -> object:
    """What is meant by the text of a setting: JSON, or the text itself where that fits."""
    if kind is Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return _value(text, kind)


def _names(kind: Any) -> list[str]:
    """The keys of a block of settings."""
    kinds = (k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, BaseModel))
    return [f.alias or name for k in kinds for name, f in k.model_fields.items()]


def _overrides(env: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """ZIGGIE_IMAGE_BUDGET__PER_DAY=2 as (("budget", "perDay"), name, 2)."""
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX) or name in (ENV_FILE, ENV_TOKEN, ENV_TOKENS):
            continue
        text = setting(env, name)
        if not text:
            continue
        keys: list[str] = []
        kind: Any = Config
        for part in name.removeprefix(ENV_PREFIX).split("__"):
            key, kind = _field(kind, part)
            keys.append(key)
        yield tuple(keys), name, _value(text, kind)


def _value(text: str, kind: Any) -> object:
    """What a variable says: JSON, but for what stands in the place of a text.

    Below `providers` nobody here knows which settings are texts. There numbers stay as they are
    written: the provider's own section takes them for numbers where it has such.
    """
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):  # it is no JSON, or a number of 5,000 digits
        return _as_meant(text, kind)
    if kind is Any:
        return text if type(value) in (int, float) else value
    return text if value is not None and not _fits(value, kind) and _fits(text, kind) else value


def _as_meant(text: str, kind: Any) -> object:
    """One of some words in any case, and dollars with their sign; else the text."""
    if _fits(text, kind):
        return text
    if (dollars := _DOLLARS.fullmatch(text.strip())) and _fits(amount := float(dollars[1]), kind):
        return int(amount) if amount.is_integer() else amount
    words = [w for k in (kind, *get_args(kind)) if get_origin(k) is Literal for w in get_args(k)]
    word = text.strip().lower()
    return next((w for w in words if isinstance(w, str) and w.lower() == word), text)


def _fits(value: object, kind: Any) -> bool:
    try:
        TypeAdapter[object](kind).validate_python(value)
    except ValidationError:
        return False
    return True


def _field(kind: Any, part: str) -> tuple[str, Any]:
    """The key that a part of a variable's name means, and of what kind its value is."""
    kinds = (kind, *get_args(kind))
    model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
    if kind == _PROVIDER and plain_key(part) == "budget":  # of a provider
        return "budget", Budget
    if get_origin(kind) is dict:
        return part.lower(), kinds[-1]
    if model is None:
        return part.lower(), Any
    for name, info in model.model_fields.items():
        if plain_key(name) == plain_key(part):
            kind = info.annotation
            return info.alias or name, Annotated[kind, *info.metadata] if info.metadata else kind
    return part, Any  # unknown: validation names it, and the nearest key


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
    source = _source(keys, sources)
    where = f"{f'{source}: ' if source else ''}`{'.'.join(keys)}`"
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


def _explain(
    error: ValidationError, sources: _Sources, above: tuple[str, ...] = ()
) -> Iterator[str]:
    """What is wrong, a line each; `above` are the keys that lead to what was checked."""
    for problem in error.errors(include_url=False):
        inner = tuple(str(part) for part in problem["loc"])
        keys = (*above, *inner)
        source = _source(keys, sources)
        source = f"{source}: " if source else ""
        if problem["type"] == "extra_forbidden":
            near = nearest(keys[-1], _keys_at((*above[2:], *inner[:-1])))
            hint = f" Did you mean `{near}`?" if near else ""
            yield f"{source}unknown key `{'.'.join(keys)}`.{hint}"
        else:
            shown = hidden_settings(problem["input"], ([*keys] or [""])[-1])
            value_text = quote(json.dumps(shown, default=str))
            message = hidden(described({**problem, "loc": keys}))
            says = "it says" if source else "value:"
            yield f"{source}`{'.'.join(keys)}`: {message} ({says} {value_text})."


def _keys_at(path: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for part in path:
        if part.isdigit():  # of a list, whose own rows are already looked at
            continue
        info = next((f for n, f in model.model_fields.items() if (f.alias or n) == part), None)
        kinds = (info.annotation, *get_args(info.annotation)) if info else (model,)
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
