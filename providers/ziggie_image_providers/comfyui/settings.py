"""What a user may set about one ComfyUI server."""

from __future__ import annotations

from typing import Literal, cast

from pydantic import Field, field_validator

from ziggie_image_mcp.provider.files import whole_path
from ziggie_image_mcp.provider.settings import Folder, HttpSettings, Section

Family = Literal[
    "sd1",
    "sd2",
    "sdxl",
    "playground",
    "sd3",
    "flux1",
    "flux2",
    "flux2-klein",
    "flux3-klein",
    "hidream",
    "pixart",
    "qwen-image",
    "z-image",
    "chroma",
    "lumina",
]


class WorkflowSettings(Section):
    """A workflow of the user's own, which is used as a model."""

    file: str
    """Its JSON, or a picture that carries it: a whole path."""
    inputs: dict[str, str | list[str]] = Field(default_factory=dict[str, "str | list[str]"])
    """Where it takes what: `prompt` to `"6.text"`, a node's id and its input. What is left out is
    found by the nodes' titles, or by going back from the sampler."""
    family: str | None = None
    """Architecture of its model: settings for the family then go for it too."""
    price_usd: float | None = Field(default=None, gt=0)
    """What a run costs at most, where it has nodes of paid partners. Without it, it is not used."""

    @field_validator("file")
    @classmethod
    def _is_whole(cls, value: str) -> str:
        return whole_path(value)


class Settings(HttpSettings):
    """This provider's section of config.json."""

    base_url: str = Field(default="http://127.0.0.1:8188", repr=False)
    """Where ComfyUI listens; may carry a path, and `user:password@` for a proxy's sake. An /api at
    its end is left out: every call has it."""
    folder: Folder | None = None
    """Where it is installed on this machine: `models pull --to` puts files below it."""
    families: dict[str, Family] = Field(default_factory=dict[str, Family])
    """File name pattern (as `dreamshaper*`) to family; wins over what the file says of itself."""
    companions: dict[str, str] = Field(default_factory=dict[str, str])
    """Which file stands in for a text encoder or VAE, as `t5xxl` to `my_t5.safetensors`; wins over
    what their names say."""
    hires: Literal["auto", "never"] = "auto"
    """Whether pictures far above a model's native area are drawn smaller first."""
    refiner: Literal["auto", "never"] = "auto"
    """Whether SDXL's base model hands over to its refiner, where that is there."""
    max_batch: int | None = Field(default=None, ge=1, le=16)
    """How many pictures are sampled together at most; unset: as its free GPU memory bears."""
    face_restoration: str = ""
    """The file of a face restoration model, which then goes over every picture; node pack
    facerestore_cf."""
    workflows: dict[str, WorkflowSettings] = Field(default_factory=dict[str, WorkflowSettings])
    """Name to a workflow of the user's own: its file, or a block with more."""
    free_after: float | None = Field(default=None, gt=0, le=86_400)
    """Seconds without a job after which ComfyUI is asked to give its memory back; unset: never."""
    previews: bool = True
    """Whether pictures of the work are asked for, for whoever waits at a terminal or a page."""

    @field_validator("workflows", mode="before")
    @classmethod
    def _as_blocks(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        named = cast(dict[str, object], value)
        return {k: {"file": v} if isinstance(v, str) else v for k, v in named.items()}

    @field_validator("base_url")
    @classmethod
    def _ends_before_api(cls, value: str) -> str:
        return value.removesuffix("/api")
