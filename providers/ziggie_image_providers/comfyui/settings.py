"""What a user may set about one ComfyUI server."""

from __future__ import annotations

from typing import Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic.alias_generators import to_camel

Family = Literal["sd1", "sdxl", "flux1"]


class Settings(BaseModel):
    """This provider's section of config.json."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    base_url: str = Field(default="http://127.0.0.1:8188", repr=False)
    """Where ComfyUI listens; may carry a path, and `user:password@` for a proxy's sake."""
    headers: dict[str, SecretStr] = {}
    """Sent with every request, as a reverse proxy in front of ComfyUI may want."""
    verify_tls: bool = True
    timeout: float | None = Field(default=None, gt=0)
    """Seconds for one generation; unset: `api.timeout`, or else 600."""
    families: dict[str, Family] = {}
    """File name pattern (as `dreamshaper*`) to family; wins over what the file says of itself."""
    local: bool | None = None
    """Whether the server is the user's own; unset: only when it is on this machine."""

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            url = httpx2.URL(value)
        except httpx2.InvalidURL as e:
            raise ValueError("must be an address as http://127.0.0.1:8188") from e
        if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
            raise ValueError("must be an address as http://127.0.0.1:8188, without a query")
        return value
