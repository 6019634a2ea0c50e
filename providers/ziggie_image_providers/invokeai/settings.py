"""What a user may set about one InvokeAI server."""

from __future__ import annotations

from pydantic import Field, field_validator

from ziggie_image_mcp.provider.settings import HttpSettings


class Settings(HttpSettings):
    """This provider's section of config.json."""

    base_url: str = Field(default="http://127.0.0.1:9090", repr=False)
    """Where InvokeAI listens; may carry a path, and `user:password@` for a proxy's sake."""
    key_name: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds `user@example.org:password`, where it runs for several users."""
    keep: bool = False
    """Whether pictures stay in InvokeAI's gallery; else they are deleted there once they are
    fetched."""

    @field_validator("base_url")
    @classmethod
    def _ends_before_the_route(cls, value: str) -> str:
        return value.removesuffix("/v1").removesuffix("/api")
