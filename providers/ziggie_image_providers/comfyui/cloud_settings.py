"""What a user may set about Comfy Cloud, and what its models are priced at by that."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ziggie_image_mcp.provider import PriceBook, Rate
from ziggie_image_mcp.provider.pricing import OWN_PRICE
from ziggie_image_mcp.provider.settings import HttpSettings, Section
from ziggie_image_providers.comfyui import settings as section


class ModelPrice(Section):
    """What is known better of one model than of the others."""

    price_usd: float = Field(ge=0, le=1_000_000)
    """What a picture of it may cost at most."""


class Settings(HttpSettings):
    """This provider's section of config.json.

    Comfy Cloud tells no price of a run, neither before it nor after it. So a model is used only
    where one of the prices here bounds what it may cost.
    """

    base_url: str = Field(default="https://cloud.comfy.org", repr=False)
    key_name: str = Field(default="COMFY_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds the key, never the key."""
    price_usd: float | None = Field(default=None, ge=0, le=1_000_000)
    """What a picture may cost at most, of any model. It counts as spent, as nobody tells more."""
    price_per_second_usd: float | None = Field(default=None, ge=0, le=1_000)
    """What a second of the GPU costs on your plan. What is told of the run's time is then its cost;
    where there is no `priceUsd`, a run of `timeout` seconds is the most that it may be."""
    models: dict[str, ModelPrice] = Field(default_factory=dict[str, ModelPrice])
    """By a model's id: its own price, which wins."""
    families: dict[str, section.Family] = Field(default_factory=dict[str, section.Family])
    """File name pattern to family, as of `comfyui`."""
    companions: dict[str, str] = Field(default_factory=dict[str, str])
    """Which file stands in for a text encoder or VAE, as of `comfyui`."""
    hires: Literal["auto", "never"] = "auto"
    """As of `comfyui`."""
    refiner: Literal["auto", "never"] = "auto"
    """As of `comfyui`."""
    face_restoration: str = ""
    """As of `comfyui`."""

    @field_validator("base_url")
    @classmethod
    def _ends_before_api(cls, value: str) -> str:
        return value.removesuffix("/v2").removesuffix("/api")

    @property
    def is_priced(self) -> bool:
        """Whether any model has a price."""
        general = (self.price_usd, self.price_per_second_usd)
        return bool(self.models) or any(price is not None for price in general)

    def prices(self, model_id: str, seconds: float) -> PriceBook:
        """What a model costs at most; without rates where nobody said.

        Args:
            model_id: Of the model.
            seconds: After which a run is stopped.
        """
        own = self.models.get(model_id)
        picture = self.price_usd if own is None else own.price_usd
        rates: tuple[Rate, ...] = ()
        if picture is not None:
            rates = (Rate(unit="image", micro_usd=picture * 1e6),)
        elif self.price_per_second_usd is not None:
            rates = (Rate(unit="request", micro_usd=self.price_per_second_usd * seconds * 1e6),)
        return PriceBook(rates=rates, source=OWN_PRICE if rates else "")

    def as_server(self) -> section.Settings:
        """The same as a ComfyUI server has it, for what is told of files and graphs."""
        fields = section.Settings.model_fields.keys() & Settings.model_fields.keys()
        return section.Settings.model_validate({name: getattr(self, name) for name in fields})
