"""The user's settings: one pydantic model per block of config.json."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import platformdirs
from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ziggie_image_mcp.config.section import Section
from ziggie_image_mcp.config.styles import Style, check_names
from ziggie_image_mcp.errors import ConfigError, plain_key
from ziggie_image_mcp.provider.capabilities import OutputFormat
from ziggie_image_mcp.provider.files import whole_path, with_variables

APP = "ziggie-image-mcp"
ENV_PREFIX = "ZIGGIE_IMAGE_"
ENV_FILE = "ZIGGIE_IMAGE_CONFIG"
"""Names the config file; ENV_PREFIX followed by a key overrides that key."""
ENV_TOKEN = "ZIGGIE_IMAGE_TOKEN"  # noqa: S105 - the name of a variable
"""The bearer token of the HTTP server: a secret, so never in config.json."""
ENV_TOKENS = "ZIGGIE_IMAGE_TOKENS"
"""More tokens, each of another caller who sees his own jobs only: alice:SECRET,bob:OTHER.

Blanks alone are an error here and in ENV_TOKEN, not unset as in other variables: whoever wrote
them meant to shut the server, and without a token it is open to all who reach it.
"""

Preference = Literal["cost", "balanced", "speed", "quality"]
QualityTier = Literal["draft", "standard", "high"]
Work = Literal["text_to_image", "image_to_image", "inpaint", "upscale", "remove_background"]
"""The tasks that a request may be for: beyond the edges is `inpaint` too."""
Privacy = Literal["any", "no_training", "zero_retention", "local_only"]
"""The later, the stricter."""
PRIVACY_OF_CLOUD: tuple[Privacy, ...] = ("any", "no_training", "zero_retention")
"""What a provider off this machine can promise."""


MOST_DOLLARS = 1_000_000


def _folder(value: str, info: ValidationInfo) -> str:
    if not value.strip() or "://" in value:
        return value.strip()
    context = cast(dict[str, Path], info.context or {})
    return whole_path(value, context.get(BESIDE))


def _host(value: str) -> str:
    """A host alone, since engines are looked for at several ports of it."""
    is_name = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value)
    if not is_name and not _is_ip(value):
        raise ValueError(f"{value!r} is no host; write a name or an address without port")
    return value


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _database(value: str) -> str:
    scheme, slashes, path = value.strip().partition(":///")
    if not slashes or not scheme.startswith("sqlite"):
        return value.strip()  # a password may well have a $ in it
    return f"{scheme}:///{with_variables(path)}"


BESIDE = "beside"
"""In the context of a validation: the folder of config.json."""
Folder = Annotated[str, AfterValidator(_folder)]


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
        description="Milliseconds that the engine may work on one call. Neither waiting in its "
        "queue nor loading the model counts.",
    )


class DefaultSettings(Section):
    """Sampling settings of SD 1.5, SD 2 and SDXL models for requests that name none.

    Models of other families mean something else by them, and keep their own; `models` sets those.
    """

    steps: int | None = Field(default=None, ge=1, le=500, description="Sampling steps.")
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

    per_image: float | None = Field(
        default=None, ge=0, le=MOST_DOLLARS, description="The most that one picture may cost."
    )
    per_day: float | None = Field(
        default=None, ge=0, le=MOST_DOLLARS, description="The most that a day may cost, in UTC."
    )
    per_month: float | None = Field(
        default=None, ge=0, le=MOST_DOLLARS, description="The most that a month may cost, in UTC."
    )
    confirm_above: float | None = Field(
        default=None,
        ge=0,
        le=MOST_DOLLARS,
        description="Ask above this price, also where `allowPaidFallback` is withinBudget.",
    )


class Output(Section):
    """Where and how pictures are kept."""

    directory: Folder | None = Field(
        default=None,
        description="Folder, or an fsspec URL as s3://bucket/prefix; by default in the user's "
        "Pictures.",
    )
    format: OutputFormat = Field(
        default="png", description="Of the files, where a call names none."
    )
    metadata: bool = Field(default=True, description="Write prompt and settings into the file.")
    previews: bool = Field(
        default=True,
        description="Show the model a small preview; false for models that cannot see.",
    )


class Verify(Section):
    """What is checked on the finished picture."""

    text: Literal["auto"] | bool = Field(
        default="auto",
        description="Read back the words that a prompt puts in quotes; what is free is made again "
        "with another seed where they are wrong. auto: where the extra `verify` is installed.",
    )
    unsafe: bool = Field(
        default=False,
        description="Refuse pictures in which nudity is seen: they are not kept. Needs the extra "
        "`safety`; what a vendor charges for such a picture stays charged.",
    )


class ModelSettings(Section):
    """What you know better about a model than we do."""

    enabled: bool = Field(default=True, description="false: it is never used.")
    aliases: tuple[str, ...] = Field(default=(), description="More names that stand for it.")
    steps: int | None = Field(
        default=None, ge=1, le=500, description="Sampling steps, where a call names none."
    )
    guidance_scale: float | None = Field(
        default=None, ge=0, le=50, description="Guidance scale, where a call names none."
    )
    sampler: str | None = Field(default=None, description="In the engine's words, as euler.")
    scheduler: str | None = Field(default=None, description="In the engine's words, as normal.")
    quality: float | None = Field(
        default=None, ge=0, le=10, description="What you think of its pictures, 0 to 10."
    )
    commercial_use: bool | None = Field(
        default=None, description="Whether you may use its pictures commercially."
    )


LEAST_BATCH, MOST_BATCH = 2, 1_000_000


class RouteCondition(Section):
    """For which requests a rule of `routes` is. What is left out fits every request."""

    task: tuple[Work, ...] | None = Field(
        default=None, description="One task or several, as text_to_image or inpaint."
    )
    quality: tuple[QualityTier, ...] | None = Field(
        default=None, description="Of the request, one or several: draft, standard, high."
    )
    batch: bool | int | None = Field(
        default=None,
        description="true: made by the command `batch`; false: not; a number: so many pictures or "
        "more are asked for at once, by a batch or by one call.",
    )

    @field_validator("batch", mode="before")
    @classmethod
    def _of_pictures(cls, value: object) -> object:
        if value is None or isinstance(value, bool):
            return value
        if not isinstance(value, int) or not LEAST_BATCH <= value <= MOST_BATCH:
            raise ValueError(
                f"must be true, false, or a number of pictures from {LEAST_BATCH} to {MOST_BATCH:,}"
            )
        return value


class RouteRule(Section):
    """One rule of `routes`."""

    when: RouteCondition = RouteCondition()
    use: str = Field(
        default="auto",
        min_length=1,
        description="local, cloud or one provider's name, where the request names none.",
    )
    preference: Preference | None = Field(
        default=None, description="What counts most, where the request does not say."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set & {"use", "preference"}:
            raise ValueError('a rule says `use`, `preference` or both, as {"use": "local"}')
        return self


class Config(Section):
    """Everything that a user can set. All of it has a default: no config is a config.

    `provider: "local"` means local: beside it a paid way out must be asked for by its key.
    """

    @model_validator(mode="before")
    @classmethod
    def _local_is_local(cls, values: Any) -> Any:
        if isinstance(values, dict):
            known = cast(dict[str, Any], values)
            keys = {"allowPaidFallback", "allow_paid_fallback"}
            if known.get("provider") == "local" and not keys & known.keys():
                return known | {"allowPaidFallback": "never"}
        return cast(object, values)

    schema_url: str | None = Field(
        default=None, alias="$schema", description="For editors: where this file's schema stands."
    )
    enabled: bool = Field(default=True, description="false switches all generation off.")
    provider: str = Field(default="auto", description="auto, local, cloud, or one provider's name.")
    api: Api | None = None
    default_model: str | None = Field(
        default=None, description="Used when a request names no model."
    )
    default_settings: DefaultSettings = DefaultSettings()
    hardware: HardwareSettings = HardwareSettings()
    preference: Preference = Field(
        default="balanced", description="What counts most among the routes that can do it."
    )
    routes: tuple[RouteRule, ...] = Field(
        default=(),
        description="Rules by kind of request; the first that fits is taken. They narrow what "
        "`provider` allows, and permit no spending.",
    )
    privacy: Privacy = Field(
        default="any",
        description="local_only never lets a prompt leave this machine, but to engines with "
        "`local: true`; no_training and zero_retention ask for a provider's promise.",
    )
    budget: Budget = Budget()
    allow_paid_fallback: Literal["never", "ask", "withinBudget"] = Field(
        default="ask",
        description="never pays; ask: a yes for each price; withinBudget: no question within the "
        "caps.",
    )
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
    verify: Verify = Verify()
    input_directories: tuple[Annotated[Folder, Field(min_length=1)], ...] | None = Field(
        default=None,
        description="Folders from which edit_image may read files; by default Pictures, Downloads "
        "and Desktop. The picture folder always is one.",
    )
    input_urls: bool = Field(
        default=False,
        description="Fetch pictures to work from at https addresses of the open internet.",
    )
    engine_hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(
        default=(),
        description="Where local engines are looked for at their usual ports beside this machine: "
        "hosts, docker (this container's host), wsl (the other side of WSL).",
    )
    database: Annotated[str, AfterValidator(_database)] | None = Field(
        default=None, description="SQLAlchemy URL; by default an SQLite file."
    )
    providers: dict[str, dict[str, Any]] = Field(
        default_factory=dict[str, dict[str, Any]],
        description="Settings by provider. `type` names the kind where the name differs from it; "
        "`enabled: false` switches one off; `budget` caps it alone; `privacy` says what it "
        "promised you: no_training or zero_retention; `concurrency` bounds how many of its "
        "calls run at once.",
    )
    models: dict[str, ModelSettings] = Field(
        default_factory=dict[str, ModelSettings],
        description="Settings by model id, in which * and ? match, or by family, as flux1.",
    )
    styles: dict[str, Style] = Field(
        default_factory=dict[str, Style],
        description="Values that go together, by a name that a call gives as `style`.",
    )
    _variables: dict[tuple[str, ...], str] = PrivateAttr(default_factory=dict[tuple[str, ...], str])

    @field_validator("styles")
    @classmethod
    def _names_apart(cls, styles: dict[str, Style]) -> dict[str, Style]:
        check_names(styles)
        return styles

    def remember(self, variables: Mapping[tuple[str, ...], str]) -> None:
        """Keep which environment variable set what, by the keys that lead to it."""
        self._variables.update(variables)

    @property
    def variables(self) -> Mapping[tuple[str, ...], str]:
        """The environment variables that set something, by the keys that lead to it."""
        return self._variables

    def variable(self, *keys: str) -> str:
        """The environment variable that has the say in a setting; empty where the file has it."""
        plain = [plain_key(key) for key in keys]
        setting = (
            (len(at), name)
            for at, name in self._variables.items()
            if [plain_key(key) for key in at] == plain[: len(at)]
        )
        return max(setting, default=(0, ""))[1]

    def how_to_enable(self, *keys: str) -> str:
        """How what `enabled: false` switches off is switched on where that is said."""
        name = self.variable(*keys, "enabled")
        if name:
            return f"change or unset the environment variable {name}, which wins over config.json"
        return "change it in config.json"


def set_by(variable: str) -> str:
    """That an environment variable set it, in brackets and with a blank before; or nothing."""
    return f" (environment variable {variable})" if variable else ""


def user_folder(where: Callable[[], str]) -> Path:
    """A folder of the user who runs this.

    Raises:
        ConfigError: Nobody knows where the user's home is.
    """
    try:
        return Path(where())
    except RuntimeError as e:
        raise ConfigError(
            "This user has no home folder that the system knows of: set HOME to a folder of yours."
        ) from e


def data_dir() -> Path:
    """The server's own folder for state."""
    return user_folder(partial(platformdirs.user_data_dir, APP, appauthor=False))


def output_dir(config: Config) -> Path | str:
    """The folder for pictures; text where it is a URL."""
    if config.output.directory and "://" in config.output.directory:
        return config.output.directory
    if config.output.directory:
        return Path(config.output.directory)
    return user_folder(platformdirs.user_pictures_dir) / APP


def input_roots(config: Config) -> list[Path]:
    """The folders from which pictures to work from may be read."""
    named = config.input_directories
    if named is None:
        users = (
            platformdirs.user_pictures_dir,
            platformdirs.user_downloads_dir,
            platformdirs.user_desktop_dir,
        )
        named = tuple(str(user_folder(where)) for where in users)
    own = output_dir(config)
    return [*(Path(folder) for folder in named), *([own] if isinstance(own, Path) else [])]
