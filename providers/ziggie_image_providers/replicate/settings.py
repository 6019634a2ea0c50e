"""What a user may set about Replicate, and what is known of its models."""

from __future__ import annotations

import functools
import re
from datetime import date
from importlib import resources
from typing import Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator
from pydantic.alias_generators import to_camel

Wish = Literal["negative_prompt", "seed", "steps", "guidance_scale", "num_images"]
"""Our words for what a model may take besides the prompt and the size."""


class Section(BaseModel):
    """One block of settings: camelCase keys, no unknown ones, no values in errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )


class Row(Section):
    """The facts of one model. In config.json only what differs need be given."""

    title: str = ""
    aliases: tuple[str, ...] = ()
    family: str | None = None
    license: str = ""
    commercial_use: bool | None = None
    price_usd: float | None = Field(default=None, ge=0)
    """For one picture."""
    source: str = ""
    as_of: date | None = None
    """The day on which the price was read."""
    inputs: dict[Wish, str] = {}
    """Our word to the name of the model's input; what is not here the model does not take."""
    always: dict[str, str | int | float | bool] = {}
    """Sent with every job, as output_format."""
    shape_input: str = "aspect_ratio"
    """The input that takes one of `shapes`."""
    shapes: dict[str, tuple[int, int]] = {}
    """Value of that input to the pixels it gives. Empty: the model takes width and height."""
    native_width: int = Field(default=1024, ge=16)
    native_height: int = Field(default=1024, ge=16)
    min_side: int = Field(default=256, ge=16)
    max_side: int = Field(default=1440, ge=16)
    multiple_of: int = Field(default=32, ge=1)
    max_images: int = Field(default=1, ge=1)
    max_seed: int = 2**32 - 1
    default_steps: int | None = None
    default_guidance: float | None = None
    distilled: bool = False


class Settings(Section):
    """This provider's section of config.json."""

    base_url: str = Field(default="https://api.replicate.com", repr=False)
    """Without the /v1; may carry a path."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds for one job; unset: `api.timeout`, or else 300."""
    models: dict[str, Row] = {}
    """By id, as owner/name, or owner/name:version for one that is not an official model: more
    models, or what you know better of those in the table, as a price."""

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            url = httpx2.URL(value)
        except httpx2.InvalidURL as e:
            raise ValueError("must be an address as https://api.replicate.com") from e
        if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
            raise ValueError("must be an address as https://api.replicate.com, without a query")
        if url.userinfo:
            raise ValueError("must not carry a user or password; the token goes into a header")
        if url.path.rstrip("/").endswith("/v1"):
            raise ValueError("must be given without the /v1 at its end")
        return value.rstrip("/")

    @field_validator("models")
    @classmethod
    def _are_ids(cls, value: dict[str, Row]) -> dict[str, Row]:
        for id in value:
            if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*(:[0-9a-f]{64})?", id, re.ASCII):
                raise ValueError(f"{id!r} is no id as owner/name or owner/name:version")
        return value


@functools.cache
def table() -> dict[str, Row]:
    """The models that come with this provider, by id; models.json gives the prices' sources."""
    file = resources.files("ziggie_image_providers.replicate") / "models.json"
    return TypeAdapter(dict[str, Row]).validate_json(file.read_text(encoding="utf-8"))


def rows(settings: Settings) -> dict[str, Row]:
    """The table with the user's changes and additions."""
    merged = dict(table())
    for id, own in settings.models.items():
        changes = {name: getattr(own, name) for name in own.model_fields_set}
        if "price_usd" in changes:  # the user's own price has no age
            changes.setdefault("as_of", None)
        merged[id] = merged.get(id, Row()).model_copy(update=changes)
    return merged
