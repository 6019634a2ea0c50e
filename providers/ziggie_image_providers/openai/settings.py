"""What a user may set about OpenAI, or about a server that speaks its images API."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from pydantic import Field, field_validator

from ziggie_image_mcp.provider import PriceBook, Prices, Rate, When, Where
from ziggie_image_mcp.provider.pricing import Unit
from ziggie_image_mcp.provider.settings import ModelRow, Section, VendorSettings, table

Quality = Literal["low", "medium", "high", "xhigh", "max"]
Complexity = Literal["low", "medium", "high"]

FlavourName = Literal[
    "auto",
    "openai",
    "azure",
    "vllm-omni",
    "sglang",
    "lemonade",
    "sd-server",
    "localai",
    "koboldcpp",
    "lm-studio",
    "ollama",
    "compatible",
]


class TokenPrices(Section):
    """US dollars for a million tokens."""

    text_in: float = Field(ge=0)
    image_in: float = Field(ge=0)
    image_out: float = Field(ge=0)


class Row(ModelRow):
    """The facts of one model. In config.json only what differs need be given.

    Its price is `price_usd`, or else `rates`, changed by `tokens` and `prices` where these are set.
    """

    picture_prices: dict[Quality, dict[str, float]] = Field(default={}, alias="prices")
    """US dollars for one picture, without the prompt, by quality and size as 1024x1024."""
    tokens: TokenPrices | None = None
    """What the vendor really charges by, when its answer tells how many tokens it took."""
    like: str = ""
    """A model of OpenAI's whose facts and price this one has: behind the name of a deployment, or
    what a gateway calls it."""
    complexity: Complexity | None = None
    """Instead of the provider's."""
    takes_complexity: bool = False
    """Whether the model reads a complexity."""
    min_side: int = Field(default=480, ge=16)
    max_side: int = Field(default=3840, ge=16)
    multiple_of: int = Field(default=16, ge=1)
    min_pixels: int = 655_360
    max_pixels: int | None = 3840 * 2160
    max_ratio: float | None = Field(default=3.0, ge=1)
    max_images: int = Field(default=10, ge=1, le=10)
    max_prompt: int | None = Field(default=32_000, ge=1)
    paints: bool = True
    """Whether it makes pictures from text alone."""
    edits: bool = True
    """Whether it also works from pictures."""
    masks: bool | None = None
    """Whether it reads a mask; unset: as the server's models do."""
    upscales: Literal[2, 4] | None = None
    """Of a model that only enlarges: how many times."""
    image_tokens: int = Field(default=7_000, ge=0)
    """What a picture to work from counts at most. Not published for these models: gpt-image-1
    took 65, 129 for each tile and 6,240 more at high fidelity (from memory, unverified)."""

    def prices(self, where: Where) -> Prices:
        """The row's prices."""
        if self.price_usd is not None:
            return super().prices(where)
        return PriceBook(rates=tuple(_rates(self)), as_of=self.as_of, source=self.source)


class Settings(VendorSettings[Row]):
    """This provider's section of config.json."""

    base_url: str = Field(default="https://api.openai.com/v1", repr=False)
    """OpenAI, or a server that speaks its images API; with the /v1, but for OpenAI itself."""
    key_name: str | None = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds the key, never the key; null for a server that wants none."""
    flavour: FlavourName = "auto"
    """Which server it is. `auto`: on this machine and network by what the server lists, elsewhere
    OpenAI, also behind a gateway, or Azure. OpenAI's own models are listed where it is OpenAI."""
    organization: str | None = None
    """Sent as `OpenAI-Organization`, where the key is of several."""
    project: str | None = None
    """Sent as `OpenAI-Project`, where the key is of several."""
    quality: Quality = "medium"
    """Decides the price as well: from low to high it grows about ninefold to thirtyfold."""

    complexity: Complexity | None = None
    """How much a model plans before it draws, where it reads that (2.6); unset: as it likes."""
    moderation: Literal["auto", "low"] | None = None
    """How strict OpenAI's filter is; unset: as it likes."""
    api_version: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    """Of Azure: `preview` or `v1` for its v1 routes; a day, as 2025-04-01-preview, for the classic
    ones, which name the deployment in the path."""

    @field_validator("base_url")
    @classmethod
    def _has_version(cls, value: str) -> str:
        return f"{value}/v1" if value == "https://api.openai.com" else value

    @field_validator("models")
    @classmethod
    def _are_like_known_ones(cls, value: dict[str, Row]) -> dict[str, Row]:
        known = table(__package__ or "", Row)
        for id, row in value.items():
            if row.like and row.like not in known:
                raise ValueError(f"{id}: `like` must be one of {', '.join(known)}")
        return value

    @property
    def is_classic(self) -> bool:
        """Whether Azure is asked by its classic routes."""
        return self.api_version is not None and self.api_version[:1].isdigit()


def _rates(row: Row) -> Iterator[Rate]:
    """The row's rates, with what its `tokens`, `prices` and `image_tokens` change of them."""
    rates = [rate.rate() for rate in row.rates]
    if row.tokens is not None:
        dollars: dict[Unit, float] = {
            "text_token_in": row.tokens.text_in,
            "image_token_in": row.tokens.image_in,
            "image_token_out": row.tokens.image_out,
        }
        rates = [replace(r, micro_usd=dollars.get(r.unit, r.micro_usd)) for r in rates]
        missing = dollars.keys() - {rate.unit for rate in rates}
        rates += [Rate(unit=unit, micro_usd=dollars[unit]) for unit in dollars if unit in missing]
    own = "image_tokens" in row.model_fields_set
    rates = [
        replace(r, most=row.image_tokens)
        if r.unit == "image_token_in" and (own or r.most is None)
        else r
        for r in rates
    ]
    if not row.picture_prices:
        yield from rates
        return
    token = next((r.micro_usd for r in rates if r.unit == "image_token_out"), 0.0)
    yield from (rate for rate in rates if rate.unit != "image_token_out")
    for quality, sizes in row.picture_prices.items():
        steps = ((math.prod(int(s) for s in size.split("x")), usd) for size, usd in sizes.items())
        for pixels, usd in sorted(steps):
            when = When(quality=quality, max_pixels=pixels)
            if token:  # then the answer tells how many there were
                most = usd * 1e6 / token
                yield Rate(unit="image_token_out", micro_usd=token, when=when, most=most)
            else:
                yield Rate(unit="image", micro_usd=usd * 1e6, when=when)
