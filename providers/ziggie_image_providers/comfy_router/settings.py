"""What a user may set about Comfy Router, and what is known of its models."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from ziggie_image_mcp.provider.fields import FieldRow
from ziggie_image_mcp.provider.settings import VendorSettings

MODEL_ID = r"[a-z0-9]+(?:[._-][a-z0-9]+)*/[a-z0-9]+(?:[._-][a-z0-9]+)*"
"""partner/model, as Comfy writes it."""


class Row(FieldRow):
    """The facts of one model. In config.json only what differs need be given."""


class Settings(VendorSettings[Row]):
    """This provider's section of config.json. The ids of `models` are partner/model."""

    base_url: str = Field(default="https://api.comfy.org", repr=False)
    key_name: str | None = Field(default="COMFY_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds the key, never the key."""

    @field_validator("base_url")
    @classmethod
    def _has_no_version(cls, value: str) -> str:
        return value.removesuffix("/v2")

    @field_validator("models")
    @classmethod
    def _are_ids(cls, value: dict[str, Row]) -> dict[str, Row]:
        for id in value:
            if not re.fullmatch(MODEL_ID, id, re.ASCII):
                raise ValueError(f"{id!r} is no id as partner/model, in small letters")
        return value
