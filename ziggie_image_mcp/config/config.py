"""The user's settings: one pydantic model per block of config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ziggie_image_mcp.provider.capabilities import OutputFormat

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


MOST_DOLLARS = 1_000_000


class Section(BaseModel):
    """One block of config.json: camelCase keys, no unknown ones."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
    )


def _is_folder(value: str) -> str:
    try:
        Path(value).expanduser()
    except RuntimeError as e:
        raise ValueError(f"{value} names the folder of a user that is not there") from e
    return value


Folder = Annotated[str, AfterValidator(_is_folder)]


class Api(Section):
    """The local engine's address, as the source report writes it."""

    type: str = Field(default="comfyui", description="A provider's name, as comfyui.")
    url: str | None = Field(
        default=None, description="The engine's address, as http://localhost:8188."
    )
    timeout: int | None = Field(
        default=None,
        ge=1000,
        le=86_400_000,
        description="Milliseconds that one generation may take.",
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

    per_image: float | None = Field(default=None, ge=0, le=MOST_DOLLARS)
    per_day: float | None = Field(default=None, ge=0, le=MOST_DOLLARS)
    per_month: float | None = Field(default=None, ge=0, le=MOST_DOLLARS)
    confirm_above: float | None = Field(default=None, ge=0, le=MOST_DOLLARS)


class Output(Section):
    """Where and how pictures are kept."""

    directory: Folder | None = Field(
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
        default=3600,
        ge=1,
        le=3_000_000_000,
        description="Seconds that one call may take, all its attempts together.",
    )
    queue_limit: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Jobs that may wait for one device; more are refused.",
    )
    cache: bool = Field(
        default=True, description="The same request with the same seed gives the stored picture."
    )
    keep_jobs: int = Field(
        default=30,
        ge=1,
        le=36_500,
        description="Days for which ended jobs are known. Pictures stay.",
    )
    workers: bool = Field(
        default=False,
        description="Servers leave every picture to `ziggie-image-mcp worker` processes.",
    )
    output: Output = Output()
    input_directories: tuple[Annotated[Folder, Field(min_length=1)], ...] | None = Field(
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
