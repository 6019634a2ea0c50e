"""What a user may set about one InvokeAI server."""

from __future__ import annotations

from pydantic import Field, field_validator

from ziggie_image_mcp.provider.settings import EngineSettings


class Settings(EngineSettings):
    """This provider's section of config.json.

    `key_name` holds `user@example.org:password`, where it runs for several users.
    """

    base_url: str = Field(default="http://127.0.0.1:9090", repr=False)
    """Where InvokeAI listens; may carry a path, and `user:password@` for a proxy's sake."""
    keep: bool = False
    """Whether pictures stay in InvokeAI's gallery; else they are deleted there once they are
    fetched."""

    @field_validator("base_url")
    @classmethod
    def _ends_before_the_route(cls, value: str) -> str:
        return value.removesuffix("/v1").removesuffix("/api")
