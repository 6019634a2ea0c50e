"""The user's settings: config.json, overlaid by the environment, checked to the last key."""

from __future__ import annotations

import difflib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast, get_args

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.types import OutputFormat

APP = "ziggie-image-mcp"
ENV_PREFIX = "ZIGGIE_IMAGE_"
ENV_FILE = "ZIGGIE_IMAGE_CONFIG"
"""Names the config file; ENV_PREFIX followed by a key overrides that key."""
ENV_TOKEN = "ZIGGIE_IMAGE_TOKEN"  # noqa: S105 - the name of a variable
"""The bearer token of the HTTP server: a secret, so never in config.json."""
ENV_TOKENS = "ZIGGIE_IMAGE_TOKENS"
"""More tokens, each of another caller who sees his own jobs only: alice:SECRET,bob:OTHER."""

Preference = Literal["cost", "speed", "quality", "balanced"]
Privacy = Literal["any", "no_training", "zero_retention", "local_only"]
"""The later, the stricter."""
PRIVACY_OF_CLOUD: tuple[Privacy, ...] = ("any", "no_training", "zero_retention")
"""What a provider off this machine can promise."""


class Section(BaseModel):
    """One block of config.json: camelCase keys, no unknown ones."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )


class Api(Section):
    """The local engine's address, as the source report writes it."""

    type: str = Field(default="comfyui", description="A provider's name, as comfyui.")
    url: str | None = Field(
        default=None, description="The engine's address, as http://localhost:8188."
    )
    timeout: int | None = Field(
        default=None, ge=1000, description="Milliseconds that one generation may take."
    )


class DefaultSettings(Section):
    """Sampling settings for requests that name none. Distilled models keep their own."""

    steps: int | None = Field(default=None, ge=1, le=500)
    cfg: float | None = Field(default=None, ge=0, le=50, description="Guidance scale.")
    sampler: str | None = Field(default=None, description="In the engine's words, as euler.")
    scheduler: str | None = Field(default=None, description="In the engine's words, as normal.")


class HardwareSettings(Section):
    """How this machine may be used."""

    gpu: str = Field(default="auto-detect", description="auto-detect, cpu, or a device as cuda:1.")
    vram_optimization: bool = Field(
        default=True,
        description="Move parts of a model to main memory when it would not fit the GPU.",
    )


class Budget(Section):
    """Caps on spending, US dollars. Without a cap nothing is spent unasked."""

    per_image: float | None = Field(default=None, ge=0)
    per_day: float | None = Field(default=None, ge=0)
    per_month: float | None = Field(default=None, ge=0)
    confirm_above: float | None = Field(default=None, ge=0)


class Output(Section):
    """Where and how pictures are kept."""

    directory: str | None = Field(
        default=None,
        description="Folder, or an fsspec URL as s3://bucket/prefix; by default in the user's "
        "Pictures.",
    )
    format: OutputFormat = "png"
    metadata: bool = Field(default=True, description="Write prompt and settings into the file.")


class ModelSettings(Section):
    """What you know better about a model than we do."""

    enabled: bool = True
    aliases: tuple[str, ...] = ()
    steps: int | None = Field(default=None, ge=1, le=500)
    guidance_scale: float | None = Field(default=None, ge=0, le=50)
    quality: float | None = Field(default=None, ge=0, le=10)
    commercial_use: bool | None = None


class Config(Section):
    """Everything that a user can set. All of it has a default: no config is a config."""

    schema_url: str | None = Field(default=None, alias="$schema")
    enabled: bool = True
    provider: str = Field(default="auto", description="auto, local, cloud, or one provider's name.")
    api: Api | None = None
    default_model: str | None = Field(
        default=None, description="Used when a request names no model."
    )
    default_settings: DefaultSettings = DefaultSettings()
    hardware: HardwareSettings = HardwareSettings()
    preference: Preference = "balanced"
    privacy: Privacy = "any"
    budget: Budget = Budget()
    allow_paid_fallback: Literal["never", "ask", "withinBudget"] = "ask"
    commercial_use: bool = Field(
        default=False, description="True leaves out models whose licence forbids commercial use."
    )
    deadline: int = Field(
        default=3600, ge=1, description="Seconds that one call may take, all its attempts together."
    )
    queue_limit: int = Field(
        default=100, ge=1, description="Jobs that may wait for one device; more are refused."
    )
    cache: bool = Field(
        default=True, description="The same request with the same seed gives the stored picture."
    )
    keep_jobs: int = Field(
        default=30, ge=1, description="Days for which ended jobs are known. Pictures stay."
    )
    workers: bool = Field(
        default=False,
        description="Servers leave every picture to `ziggie-image-mcp worker` processes.",
    )
    output: Output = Output()
    input_directories: tuple[str, ...] | None = Field(
        default=None,
        description="Folders from which edit_image may read files; by default Pictures, Downloads "
        "and Desktop. The picture folder always is one.",
    )
    database: str | None = Field(
        default=None, description="SQLAlchemy URL; by default an SQLite file."
    )
    providers: dict[str, dict[str, Any]] = Field(
        default_factory=dict[str, dict[str, Any]],
        description="Settings by provider. `type` names the kind where the name differs from it; "
        "`enabled: false` switches one off; `budget` caps it alone; `privacy` says what it "
        "promised you: no_training or zero_retention.",
    )
    models: dict[str, ModelSettings] = Field(
        default_factory=dict[str, ModelSettings],
        description="Settings by model id; * and ? match.",
    )


@functools.lru_cache(maxsize=256)
def micro_usd(dollars: float) -> int:
    """US dollars as 1e-6 USD, rounded down: a cap is never widened by rounding."""
    return int(Decimal(str(dollars)).scaleb(6))


def provider_budgets(config: Config) -> dict[str, Budget]:
    """The caps of single providers, from `providers.<name>.budget`.

    Raises:
        ConfigError: One of them makes no sense; the message names it.
    """
    found: dict[str, Budget] = {}
    for name, section in config.providers.items():
        if "budget" in section:
            try:
                found[name] = Budget.model_validate(section["budget"])
            except ValidationError as e:
                lines = list(_explain(e, {(): f"providers.{name}.budget"}))
                raise ConfigError("\n".join(lines)) from e
    return found


def provider_privacy(config: Config) -> dict[str, Privacy]:
    """What the user knows of how providers treat prompts, from `providers.<name>.privacy`.

    Raises:
        ConfigError: One of them is no level; the message names it.
    """
    found: dict[str, Privacy] = {}
    for name, section in config.providers.items():
        if "privacy" in section:
            if section["privacy"] not in PRIVACY_OF_CLOUD:
                given = json.dumps(section["privacy"], default=str)[:80]
                raise ConfigError(
                    f"`providers.{name}.privacy`: {given} is none of {', '.join(PRIVACY_OF_CLOUD)}."
                )
            found[name] = section["privacy"]
    return found


def default_path() -> Path:
    """Where config.json stands when nothing else is said."""
    return Path(platformdirs.user_config_dir(APP, appauthor=False)) / "config.json"


def data_dir() -> Path:
    """The server's own folder for state."""
    return Path(platformdirs.user_data_dir(APP, appauthor=False))


def output_dir(config: Config) -> Path | str:
    """The folder for pictures; text where it is a URL."""
    if config.output.directory and "://" in config.output.directory:
        return config.output.directory
    if config.output.directory:
        return Path(config.output.directory).expanduser().absolute()
    return Path(platformdirs.user_pictures_dir()) / APP


def input_roots(config: Config) -> list[Path]:
    """The folders from which pictures to work from may be read."""
    named = config.input_directories
    if named is None:
        users = (
            platformdirs.user_pictures_dir(),
            platformdirs.user_downloads_dir(),
            platformdirs.user_desktop_dir(),
        )
        named = tuple(users)
    own = output_dir(config)
    return [*(Path(folder) for folder in named), *([own] if isinstance(own, Path) else [])]


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
    try:
        return Config.model_validate(values)
    except ValidationError as e:
        raise ConfigError("\n".join(_explain(e, sources))) from e


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as e:
        raise ConfigError(
            f"{file}: there is no such file. Write one with `ziggie-image-mcp config init`."
        ) from e
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: cannot be read: {e}") from e
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError as e:
        raise ConfigError(f"{file}: line {e.lineno}, column {e.colno}: {e.msg}") from e
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: must hold a JSON object, as {{}}")
    values = cast(dict[str, Any], found)
    block = values.get("imageGeneration")
    if isinstance(block, dict):  # Ziggie's own config: the other blocks are not ours
        return cast(dict[str, Any], block)
    return values


def _plain(key: str) -> str:
    return key.replace("_", "").replace("-", "").lower()


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
        except json.JSONDecodeError:
            value = text
        yield tuple(keys), name, value


def _field(model: type[BaseModel] | None, part: str) -> tuple[str, type[BaseModel] | None]:
    """The key that an environment variable's part means, and the model below it."""
    if model is None:
        return part.lower(), None
    for name, info in model.model_fields.items():
        if _plain(name) == _plain(part):
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


def _explain(error: ValidationError, sources: Mapping[tuple[str, ...], str]) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        keys = tuple(str(part) for part in problem["loc"])
        source = next(
            (text for at, text in sources.items() if at and keys[: len(at)] == at), sources[()]
        )
        if problem["type"] == "extra_forbidden":
            near = nearest(keys[-1], _keys_at(keys[:-1]))
            hint = f" Did you mean `{near}`?" if near else ""
            yield f"{source}: unknown key `{'.'.join(keys)}`.{hint}"
        else:
            given = json.dumps(problem["input"], default=str)[:80]
            yield f"{source}: `{'.'.join(keys)}`: {problem['msg']} (it says {given})."


def _keys_at(path: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for part in path:
        info = next((f for n, f in model.model_fields.items() if (f.alias or n) == part), None)
        kinds = (info.annotation, *get_args(info.annotation)) if info else (ModelSettings,)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return [info.alias or name for name, info in model.model_fields.items()]


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that a typo most likely meant, or None."""
    by_plain = {_plain(k): k for k in known}
    close = difflib.get_close_matches(_plain(word), by_plain, n=1, cutoff=0.6)
    return by_plain[close[0]] if close else None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of config.json."""
    schema = Config.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "ziggie-image-mcp config.json"
    return schema
