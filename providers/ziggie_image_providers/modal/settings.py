"""What a user may set about a function of his own on Modal."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from ziggie_image_mcp.provider import MaskPolarity
from ziggie_image_mcp.provider.fields import FieldRow, Word
from ziggie_image_mcp.provider.settings import VendorSettings


class Row(FieldRow):
    """The facts of one model: what the function takes, by the words of the contract."""

    inputs: dict[Word, str] = Field(
        default={
            "prompt": "prompt",
            "width": "width",
            "height": "height",
            "num_images": "num_images",
            "seed": "seed",
        }
    )
    images: tuple[str, ...] = ("image", "references[]")
    encoding: Literal["data_url", "base64"] = "base64"
    mask: str = "mask"
    mask_polarity: MaskPolarity = "white"
    max_mask_bytes: int = Field(default=25 * 2**20, ge=1)
    always: dict[str, JsonValue] = Field(default={})


class Settings(VendorSettings[Row]):
    """This provider's section of config.json. Its models are those of `models`, each with a price.

    Modal bills by the second: a price is `rates` with the unit `second`, and how many at most.
    """

    base_url: str = Field(repr=False)
    """Of the function, as https://WORKSPACE--APP-FUNCTION.modal.run."""
    key_name: str | None = Field(default="MODAL_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """The variable that holds the proxy token's id; its secret stands in MODAL_SECRET. Null where
    the function wants none."""
    path: str = ""
    """Below the base URL."""
    contract: Literal["ziggie", "openai"] = "ziggie"
    """Which words the function takes: ours (docs/providers/modal.md), or OpenAI's."""
