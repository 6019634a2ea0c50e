"""Make pictures with xAI's Grok Imagine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ContentRefused,
    Cost,
    Model,
    ModelMissing,
    PaymentRequired,
    ProviderInfo,
    ProviderRequest,
)
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.fields import FieldRow, FieldVendor
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.json_paths import number, objects, values
from ziggie_image_mcp.provider.live_prices import Rates, near
from ziggie_image_mcp.provider.pricing import list_cost, whole
from ziggie_image_mcp.provider.settings import (
    ModelRow,
    RateRow,
    VendorSettings,
    settings_for,
    table,
)
from ziggie_image_mcp.provider.vendor import SyncVendor, sources_at

TICKS_PER_USD = 10**10


class XAI(FieldVendor, SyncVendor):
    """One request, one answer, which tells exactly what it cost; nothing to look up afterwards."""

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="xAI: Grok Imagine",
        key_names=("XAI_API_KEY",),
        home_page="https://console.x.ai",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = settings_for(
        "https://api.x.ai/v1", key="XAI_API_KEY", row=FieldRow
    )
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, FieldRow)
    model_path: ClassVar[str] = "model"
    post: ClassVar[str] = "images/generations"
    probe_path: ClassVar[str] = "api-key"
    trusted_hosts: ClassVar[tuple[str, ...]] = ("x.ai",)
    errors: ClassVar[tuple[Rule, ...]] = (
        Rule(
            status=(400, 403, 422),
            match=r"moderat|content.?policy|safety|violat",
            error=ContentRefused,
            message="xAI refused this prompt or picture",
            charged=None,
        ),
        Rule(
            status=(402, 403, 429),
            match=r"credit|spending limit|billing",
            error=PaymentRequired,
            message="the team has no credit left at xAI, or its limit is reached",
        ),
        Rule(
            status=400,
            match=r"api.?key",
            error=AuthenticationFailed,
            message="the key was refused; set a valid one with `ziggie-image-mcp keys set xai`",
            quoted=False,
        ),
        Rule(status=404, error=ModelMissing, message="xAI has no such model for this team"),
    )

    def path(self, request: ProviderRequest, model: Model) -> str:
        """Pictures given to /generations would be ignored, and charged."""
        given = request.image is not None or request.references
        return "images/edits" if given else self.post

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """One picture to work from stands alone; several in a list."""
        body = {"model": model.id, **super().payload(request, model)}
        images = [{"type": "image_url", **entry} for entry in body.pop("images", ())]
        if len(images) == 1:
            body["image"] = images[0]
        elif images:
            body["images"] = images
        return body

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """The pictures; those that its filter kept back are not among them.

        Raises:
            ContentRefused: It says so behind a status of success.
        """
        body = answer.json()
        every = objects(body, "data[]")
        items = [item for item in every if item.get("respect_moderation") is not False]
        sources = sources_at({"data": items}, ("data[].b64_json", "data[].url"))
        if sources:
            return sources
        reason = body.get("block_reason")
        if reason or body.get("data"):
            words = f": {reason}" if isinstance(reason, str) else ""
            what = f"xAI refused this{words}"
            raise ContentRefused(self.name, what, charged=_told(answer))
        return ()

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """What the answer tells, to the ten-billionth of a dollar."""
        told = _told(answer)
        if told:
            return Cost(micro_usd=told, basis="exact")
        return list_cost(request, model, images)

    async def read_prices(self) -> Rates:
        """The prices of models that have one for every picture.

        Its unit is not documented: read as ticks, and taken only where that is near the table's.
        """
        found: dict[str, Sequence[RateRow]] = {}
        body = await self.http.get_json("image-generation-models")
        for item in objects(body, "models[]"):
            id, price = str(item.get("id")), number(item.get("image_price"))
            row = self.table.get(id)
            if row is None or price is None:
                continue
            plain = [r for r in row.rates if r.unit == "image"]
            if len(plain) == 1 and near(price / TICKS_PER_USD * 1e6, plain[0].micro_usd):
                rate = plain[0].model_copy(update={"micro_usd": price / TICKS_PER_USD * 1e6})
                found[id] = [rate, *(r for r in row.rates if r.unit != "image")]
        return found


def _told(answer: Answer) -> int | None:
    """The cost that an answer tells, micro-USD; None where it tells none."""
    for ticks in values(answer.data(), "usage.cost_in_usd_ticks"):
        if type(ticks) is int and ticks >= 0:
            return whole(ticks / TICKS_PER_USD * 1e6) if ticks else 0
    return None
