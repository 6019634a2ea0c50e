"""What a user may set about one Stable Diffusion web UI, or a server that speaks its API."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ziggie_image_mcp.provider.settings import EngineSettings, Folder

Family = Literal[
    "sd1",
    "sd2",
    "sdxl",
    "sd3",
    "flux1",
    "flux2-klein",
    "qwen-image",
    "z-image",
    "lumina",
    "chroma",
]


class Settings(EngineSettings):
    """This provider's section of config.json.

    `key_name` holds `user:password`, where they do not stand in the address.
    """

    base_url: str = Field(default="http://127.0.0.1:7860", repr=False)
    """Where the server listens; may carry the path of `--subpath`, and `user:password@` of
    `--api-auth`. Unset, its relatives' usual ports on this machine are looked at too."""
    folder: Folder | None = None
    """Where it is installed on this machine: `models pull --to` puts files below it."""
    families: dict[str, Family] = Field(default_factory=dict[str, Family])
    """File name pattern (as `dreamshaper*`) to family; wins over what the name says."""
    modules: dict[str, list[str]] = Field(default_factory=dict[str, list[str]])
    """Of Forge: model name pattern to the VAE and text encoders that go with it; an empty list for
    a file that holds all."""
    hires: Literal["auto", "never"] = "auto"
    """Whether pictures far above a model's native area are drawn smaller first."""
    previews: bool = True
    """Whether pictures of the work are asked for, for whoever waits at a terminal or a page."""

    @field_validator("base_url")
    @classmethod
    def _ends_before_the_route(cls, value: str) -> str:
        return value.removesuffix("/v1").removesuffix("/sdapi")
