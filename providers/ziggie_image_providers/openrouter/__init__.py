"""Make pictures with the models of many vendors by one key of OpenRouter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ziggie_image_mcp.provider import (
    Balance,
    ContentRefused,
    Cost,
    Model,
    ModelMissing,
    PaymentRequired,
    ProviderInfo,
    ProviderRequest,
    ProviderUnavailable,
)
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.fields import FieldRow, FieldVendor
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.json_paths import number, objects, values
from ziggie_image_mcp.provider.live_prices import Rates, asked_apart
from ziggie_image_mcp.provider.pricing import list_cost, whole
from ziggie_image_mcp.provider.settings import (
    ModelRow,
    RateRow,
    VendorSettings,
    settings_for,
    table,
)
from ziggie_image_mcp.provider.vendor import SyncVendor, sources_at
from ziggie_image_providers.openrouter.prices import rates_of


class OpenRouter(FieldVendor, SyncVendor):
    """One request, one answer, which mostly tells what it cost; nothing to look up afterwards."""

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="OpenRouter: Nano Banana, FLUX, GPT Image, Grok, Seedream and others by one key",
        key_names=("OPENROUTER_API_KEY",),
        home_page="https://openrouter.ai",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = settings_for(
        "https://openrouter.ai/api/v1", key="OPENROUTER_API_KEY", row=FieldRow
    )
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, FieldRow)
    post: ClassVar[str] = "images"
    probe_path: ClassVar[str] = "key"
    errors: ClassVar[tuple[Rule, ...]] = (
        Rule(
            status=402,
            match="key.?limit",
            error=PaymentRequired,
            message="the key is at its own limit; raise it on openrouter.ai",
        ),
        Rule(
            status=402,
            error=PaymentRequired,
            message="the credit at OpenRouter does not cover this; add some on openrouter.ai",
        ),
        Rule(
            status=(400, 403, 422),
            match=r"moderat|flagged|content.?policy|safety",
            error=ContentRefused,
            message="the model's vendor refused this prompt or picture",
        ),
        Rule(status=404, error=ModelMissing, message="OpenRouter has no such picture model"),
        Rule(
            status=503,
            error=ProviderUnavailable,
            message="none of the model's vendors takes the request now; try later",
        ),
    )

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """The row's words; no other vendor draws it than one of the model's own."""
        body = {"model": model.id, **super().payload(request, model)}
        for reference in body.get("input_references", ()):
            reference["type"] = "image_url"
        return body

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """All come in the answer."""
        return sources_at(answer.json(), ("data[].b64_json",))

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """What the answer tells; null is not 0, and of one's own key at a vendor 0 is the truth."""
        usage = next(objects(answer.data(), "usage"), None) or {}
        told = number(usage.get("cost"))
        if told is not None and (told > 0 or (told == 0 and usage.get("is_byok") is True)):
            return Cost(micro_usd=whole(told * 1e6), basis="exact")
        return list_cost(request, model, images)

    async def balance(self) -> Balance | None:
        """What the key may still spend, where it has a limit; the account's credit is not told."""
        left = number(next(values(await self.http.get_json("key"), "data.limit_remaining"), None))
        return None if left is None else Balance(micro_usd=round(left * 1e6))

    async def read_prices(self) -> Rates:
        """The prices of the models listed here, each asked for apart; the dearest endpoint's."""

        async def ask(id: str, row: FieldRow) -> Sequence[RateRow]:
            entry = await self.http.get_json(f"images/models/{id}/endpoints")
            return rates_of(entry, row)

        return await asked_apart(self.rows, ask)
