"""What a user may set about one SwarmUI."""

from __future__ import annotations

from pydantic import Field, field_validator

from ziggie_image_mcp.provider.settings import EngineSettings, Section


class Price(Section):
    """What a picture costs."""

    price_usd: float = Field(ge=0, le=1_000_000)
    """US dollars; 0 where it costs nothing."""


class Settings(EngineSettings):
    """This provider's section of config.json.

    `key_name` holds a token of its page User, Swarm Auth Tokens; only where it wants accounts.
    """

    base_url: str = Field(default="http://127.0.0.1:7801", repr=False)
    """Where SwarmUI listens; may carry a path."""
    families: dict[str, str] = Field(default_factory=dict[str, str])
    """Model name pattern (as `my_merge*`) to family, as `sdxl`, where SwarmUI does not know it."""
    vaes: dict[str, str] = Field(default_factory=dict[str, str])
    """Model name pattern to the VAE that goes with it, by SwarmUI's name of it."""
    models: dict[str, Price] = Field(default_factory=dict[str, Price])
    """By id or by a pattern of ids: the prices of models that other servers make, of another
    SwarmUI, or of a vendor behind an extension."""
    previews: bool = True
    """Whether pictures of the work are asked for, for whoever waits at a terminal or a page."""

    @field_validator("base_url")
    @classmethod
    def _ends_before_the_route(cls, value: str) -> str:
        return value.removesuffix("/API")
