"""What a user may set about one ComfyUI server."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ziggie_image_mcp.provider.settings import HttpSettings

Family = Literal["sd1", "sdxl", "flux1"]


class Settings(HttpSettings):
    """This provider's section of config.json."""

    base_url: str = Field(default="http://127.0.0.1:8188", repr=False)
    """Where ComfyUI listens; may carry a path, and `user:password@` for a proxy's sake. An /api at
    its end is left out: every call has it."""
    families: dict[str, Family] = Field(default_factory=dict[str, Family])
    """File name pattern (as `dreamshaper*`) to family; wins over what the file says of itself."""

    @field_validator("base_url")
    @classmethod
    def _ends_before_api(cls, value: str) -> str:
        return value.removesuffix("/api")
