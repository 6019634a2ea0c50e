"""Nimbus: paid by the picture; one request, one answer."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, ClassVar

from ziggie_image_mcp.provider import (
    ContentRefused,
    Model,
    Option,
    PaymentRequired,
    ProviderInfo,
    ProviderRequest,
    Task,
    TaskCapability,
    options_of,
)
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.settings import ModelRow, settings_for
from ziggie_image_mcp.provider.vendor import SyncVendor, from_base64, to_data_url

OPTIONS: frozenset[Option] = frozenset(("negative_prompt", "seed", "steps"))
ROW = ModelRow(price_usd=0.04, as_of=date(2026, 11, 28), options=OPTIONS, max_images=4)


class Nimbus(SyncVendor):
    """Nimbus images."""

    info = ProviderInfo(summary="Nimbus: one model", key_names=("NIMBUS_API_KEY",))
    Settings = settings_for("https://api.nimbus.test/v1", key="NIMBUS_API_KEY")
    post = "images/generations"
    errors = (
        Rule(status=402, error=PaymentRequired, message="the account at Nimbus is empty"),
        Rule(status=422, match="NSFW", error=ContentRefused),
    )
    table: ClassVar = {"nimbus-1": ROW}

    def tasks(self, row: ModelRow) -> Mapping[Task, TaskCapability]:
        """Nimbus paints anew where a mask is black."""
        able = self.capability(row)
        return {"text_to_image": able, "inpaint": replace(able, mask="black")}

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """The request in Nimbus's words."""
        body: dict[str, Any] = {"model": model.id, "prompt": request.prompt}
        body |= {"n": request.num_images, "width": request.width, "height": request.height}
        body |= {name: getattr(request, name) for name in options_of(model, request.task)}
        if request.image and request.mask:
            body["image"] = to_data_url(request.image)
            body["mask"] = to_data_url(convert_mask(request.mask, "black"))
        return body

    def pictures(self, answer: Answer) -> list[bytes | str]:
        """Each as base64, or as the address where it lies."""
        items = answer.json()["data"]
        return [from_base64(i["b64_json"]) or b"" if "b64_json" in i else i["url"] for i in items]
