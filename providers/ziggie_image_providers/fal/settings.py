"""What a user may set about fal, and what is known of its models."""

from __future__ import annotations

import re

import httpx2
from pydantic import Field, field_validator

from ziggie_image_mcp.provider.fields import FieldRow
from ziggie_image_mcp.provider.settings import VendorSettings

HOME = "https://queue.fal.run"
PRICES = "https://api.fal.ai/v1/models/pricing"
DAY = 86_400


class Row(FieldRow):
    """The facts of one model. In config.json only what differs need be given."""

    edit_path: str = ""
    """Where requests with pictures go; empty: where the others go."""
    unit_usd: float | None = Field(default=None, gt=0)
    """What fal's unit of billing cost when `rates` were read: by it they follow the live price."""


class Settings(VendorSettings[Row]):
    """This provider's section of config.json. The ids of `models` are fal's, as fal-ai/flux/dev."""

    base_url: str = Field(default=HOME, repr=False)
    """Of the queue."""
    key_name: str | None = Field(default="FAL_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds the key, never the key."""
    prices_url: str = ""
    """Of the price list, at fal or at the base URL's host. Empty: fal's own with fal's queue."""
    output_seconds: int = Field(default=DAY, ge=3600)
    """How long a picture lies at fal, where whoever has its address can see it."""

    @field_validator("models")
    @classmethod
    def _are_ids(cls, value: dict[str, Row]) -> dict[str, Row]:
        for id in value:
            if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)+", id, re.ASCII):
                raise ValueError(f"{id!r} is no id as fal-ai/flux/dev")
        return value

    def prices_at(self) -> str:
        """Where the price list is; empty where there is none."""
        is_fal = httpx2.URL(self.base_url).host == httpx2.URL(HOME).host
        return self.prices_url or (PRICES if is_fal else "")
