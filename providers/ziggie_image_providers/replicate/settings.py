"""What a user may set about Replicate, and what is known of its models."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from ziggie_image_mcp.provider.fields import FieldRow, Word
from ziggie_image_mcp.provider.settings import VendorSettings


class Row(FieldRow):
    """The facts of one model. In config.json only what differs need be given.

    A model that has no `inputs` here is described by the schema that Replicate tells of it. The
    prompt and the size need no `inputs` in a row that has others.
    """

    inputs: dict[Word, str] = Field(default={})
    """Our word to the name of the model's input; what is not here the model does not take."""
    shape_input: str = "aspect_ratio"
    """The input that takes one of `shapes`."""
    max_side: int = Field(default=1440, ge=16)
    multiple_of: int = Field(default=32, ge=1)


class Settings(VendorSettings[Row]):
    """This provider's section of config.json.

    The ids of `models` are owner/name, or owner/name:version for one that is not official.
    """

    base_url: str = Field(default="https://api.replicate.com", repr=False)
    """May carry a path; a /v1 at its end is left out."""
    key_name: str | None = Field(default="REPLICATE_API_TOKEN", pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds the token, never the token."""

    @field_validator("base_url")
    @classmethod
    def _has_no_version(cls, value: str) -> str:
        return value.removesuffix("/v1")

    @field_validator("models")
    @classmethod
    def _are_ids(cls, value: dict[str, Row]) -> dict[str, Row]:
        for id in value:
            if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*(:[0-9a-f]{64})?", id, re.ASCII):
                raise ValueError(f"{id!r} is no id as owner/name or owner/name:version")
        return value
