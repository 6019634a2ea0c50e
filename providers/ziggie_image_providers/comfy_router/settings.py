"""What a user may set about Comfy Router, and what is known of its models."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, JsonValue, field_validator

from ziggie_image_mcp.provider import MaskPolarity, Task
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings

MODEL_ID = r"[a-z0-9]+(?:[._-][a-z0-9]+)*/[a-z0-9]+(?:[._-][a-z0-9]+)*"
"""partner/model, as Comfy writes it."""

Wish = Literal[
    "prompt",
    "width",
    "height",
    "size",
    "bucket",
    "num_images",
    "negative_prompt",
    "seed",
    "steps",
    "guidance_scale",
    "quality",
    "transparent",
]
"""Our words for what a model may take besides pictures."""

MIB = 2**20


class Row(ModelRow):
    """The facts of one model. In config.json only what differs need be given.

    Where a value goes in the model's body is said as a path: `parameters.n`, `image[]` for one
    more of a list, `messages[0]` for the first.
    """

    works: frozenset[Task] = Field(default=frozenset(("text_to_image",)), min_length=1)
    """The tasks that it does."""
    inputs: dict[Wish, str] = Field(default={"prompt": "prompt"})
    """Our word to a path; what is not here the model does not take."""
    always: dict[str, JsonValue] = Field(default={})
    """By path: sent with every job, as output_format."""
    size_separator: str = "x"
    """Between width and height in `size`."""
    transparent_word: str = "transparent"
    """What asks for a transparent ground."""
    images: tuple[str, ...] = ()
    """Paths of pictures to work from, in their order; a last one with [] takes all the others."""
    max_inputs: int = Field(default=1, ge=1)
    """How many pictures it takes, that to change and references together."""
    edits_with_references: bool = True
    """False where a picture to change is taken alone."""
    encoding: Literal["data_url", "base64"] = "data_url"
    """How it takes them."""
    max_input_bytes: int = Field(default=25 * MIB, ge=1)
    max_input_pixels: int | None = Field(default=None, ge=1)
    mask: str = ""
    """Path of a mask; empty where it takes none."""
    mask_polarity: MaskPolarity = "alpha"
    max_mask_bytes: int = Field(default=4 * MIB - 1, ge=1)
    max_seed: int = Field(default=2**32 - 1, ge=1)
    default_quality: str = ""


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
