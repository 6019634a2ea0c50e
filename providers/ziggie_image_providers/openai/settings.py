"""What a user may set about OpenAI, and what is known of its models."""

from __future__ import annotations

import functools
from datetime import date
from importlib import resources
from typing import Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator
from pydantic.alias_generators import to_camel

Quality = Literal["low", "medium", "high"]


class Section(BaseModel):
    """One block of settings: camelCase keys, no unknown ones, no values in errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )


class TokenPrices(Section):
    """US dollars for a million tokens."""

    text_in: float = Field(ge=0)
    image_in: float = Field(ge=0)
    image_out: float = Field(ge=0)


class Row(Section):
    """The facts of one model. In config.json only what differs need be given."""

    title: str = ""
    aliases: tuple[str, ...] = ()
    license: str = ""
    commercial_use: bool | None = None
    price_usd: float | None = Field(default=None, ge=0)
    """For one picture of any size and quality; wins over `prices`."""
    prices: dict[Quality, dict[str, float]] = {}
    """US dollars for one picture, without the prompt, by quality and size as 1024x1024."""
    tokens: TokenPrices | None = None
    """What the vendor really charges by, when its answer tells how many tokens it took."""
    source: str = ""
    as_of: date | None = None
    """The day on which the prices were read."""
    native_width: int = Field(default=1024, ge=16)
    native_height: int = Field(default=1024, ge=16)
    min_side: int = Field(default=480, ge=16)
    max_side: int = Field(default=2560, ge=16)
    multiple_of: int = Field(default=16, ge=1)
    min_pixels: int = 655_360
    max_pixels: int = 2560 * 1440
    max_ratio: float = Field(default=3.0, ge=1)
    max_images: int = Field(default=10, ge=1, le=10)
    edits: bool = True
    """Whether it also works from pictures, at /images/edits."""
    image_tokens: int = Field(default=7_000, ge=0)
    """What a picture to work from counts at most. Not published for these models: gpt-image-1
    took 65, 129 for each tile and 6,240 more at high fidelity (from memory, unverified)."""


class Settings(Section):
    """This provider's section of config.json."""

    base_url: str = Field(default="https://api.openai.com/v1", repr=False)
    """OpenAI, or a server that speaks its images API; may carry a path."""
    key_name: str | None = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds the key, never the key; null for a server that wants none."""
    organization: str | None = None
    project: str | None = None
    quality: Quality = "medium"
    """Decides the price as well: from low to high it grows about ninefold to thirtyfold."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds for one request; unset: `api.timeout`, or else 300."""
    models: dict[str, Row] = {}
    """By id: more models, or what you know better of those in the table, as a price."""

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            url = httpx2.URL(value)
        except httpx2.InvalidURL as e:
            raise ValueError("must be an address as https://api.openai.com/v1") from e
        if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
            raise ValueError("must be an address as https://api.openai.com/v1, without a query")
        if url.userinfo:
            raise ValueError("must not carry a user or password; the key goes into a header")
        return value.rstrip("/")


@functools.cache
def table() -> dict[str, Row]:
    """The models that come with this provider, by id; models.json gives the prices' sources."""
    file = resources.files("ziggie_image_providers.openai") / "models.json"
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
