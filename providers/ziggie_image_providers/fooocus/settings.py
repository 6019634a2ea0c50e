"""What a user may set about one Fooocus-API."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ziggie_image_mcp.provider.settings import EngineSettings

Performance = Literal["Speed", "Quality", "Extreme Speed", "Lightning", "Hyper-SD"]


class Settings(EngineSettings):
    """This provider's section of config.json.

    `key_name` holds what it was started with as `--apikey`.
    """

    base_url: str = Field(default="http://127.0.0.1:8888", repr=False)
    """Where Fooocus-API listens; may carry a path."""
    performance: Performance = "Speed"
    """Fooocus's own word. The last three lay a LoRA over the model, which Fooocus downloads, and
    decide guidance, sampler and scheduler themselves."""
    styles: tuple[str, ...] = ()
    """Fooocus's styles, laid over every prompt: its page starts with Fooocus V2, Fooocus Enhance
    and Fooocus Sharp, of which the first adds words of its own."""
    previews: bool = True
    """Whether pictures of the work are asked for, for whoever waits at a terminal or a page."""

    @field_validator("base_url")
    @classmethod
    def _ends_before_the_route(cls, value: str) -> str:
        return value.removesuffix("/v1").removesuffix("/v2")
