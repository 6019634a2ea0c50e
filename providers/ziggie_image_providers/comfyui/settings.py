"""What a user may set about one ComfyUI server."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ziggie_image_mcp.provider.settings import HttpSettings

Family = Literal["sd1", "sdxl", "flux1"]


class Settings(HttpSettings):
    """This provider's section of config.json."""

    base_url: str = Field(default="http://127.0.0.1:8188", repr=False)
    """Where ComfyUI listens; may carry a path, and `user:password@` for a proxy's sake."""
    families: dict[str, Family] = Field(default_factory=dict[str, Family])
    """File name pattern (as `dreamshaper*`) to family; wins over what the file says of itself."""
