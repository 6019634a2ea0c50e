"""What a user may set about Runware."""

from __future__ import annotations

from pydantic import Field

from ziggie_image_mcp.provider.fields import FieldRow
from ziggie_image_mcp.provider.settings import VendorSettings


class Settings(VendorSettings[FieldRow]):
    """This provider's section of config.json. The ids of `models` are AIRs, as runware:100@1."""

    base_url: str = Field(default="https://api.runware.ai/v1", repr=False)
    key_name: str | None = Field(default="RUNWARE_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds the key, never the key."""
    prices_url: str = "https://content.runware.ai"
    """Where its public catalogue tells prices."""
