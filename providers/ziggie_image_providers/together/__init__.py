"""Make pictures with the models that Together serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ziggie_image_mcp.provider import (
    UNKNOWN_COST,
    ContentRefused,
    Cost,
    Estimate,
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
from ziggie_image_mcp.provider.live_prices import Rates, near
from ziggie_image_mcp.provider.pricing import estimate, whole
from ziggie_image_mcp.provider.settings import (
    ModelRow,
    RateRow,
    VendorSettings,
    settings_for,
    table,
)
from ziggie_image_mcp.provider.vendor import SyncVendor, sources_at


class Together(FieldVendor, SyncVendor):
    """One request, one answer; what it cost is known by the list alone."""

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Together: FLUX, Qwen-Image and other open models",
        key_names=("TOGETHER_API_KEY",),
        home_page="https://api.together.ai",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = settings_for(
        "https://api.together.ai/v1", key="TOGETHER_API_KEY", row=FieldRow
    )
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, FieldRow)
    model_path: ClassVar[str] = "model"
    post: ClassVar[str] = "images/generations"
    probe_path: ClassVar[str] = "models"
    trusted_hosts: ClassVar[tuple[str, ...]] = ("together.ai", "together.xyz")
    errors: ClassVar[tuple[Rule, ...]] = (
        Rule(
            match=r"nsfw|content.?policy|moderat|safety",
            error=ContentRefused,
            message="Together refused this prompt or picture",
        ),
        Rule(
            status=402,
            error=PaymentRequired,
            message="the account at Together is at its limit; raise it or add credit",
        ),
        Rule(
            code=("model_not_available", "model_not_found", "invalid_model"),
            error=ModelMissing,
            message="Together does not serve this model any more, or not to this account",
        ),
        Rule(status=404, error=ModelMissing, message="Together serves no such model"),
        Rule(status=529, error=ProviderUnavailable, message="Together is overloaded"),
    )

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """The row's words, and the model's name."""
        return {"model": model.id, **super().payload(request, model)}

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """The list price, which grows with the steps beyond the model's own."""
        plain = estimate(request, model)
        more = _more_steps(request, model)
        if plain is None or more <= 1:
            return plain
        return replace(
            plain, expected=whole(plain.expected * more), upper=whole(plain.upper * more)
        )

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """The list price of what came, as the estimate has it."""
        counted = self.estimate(replace(request, num_images=images), model)
        return UNKNOWN_COST if counted is None else Cost(micro_usd=counted.upper, basis="list")

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """In the answer, or at an address where a server in between changed that."""
        return sources_at(answer.json(), ("data[].b64_json", "data[].url"))

    async def read_prices(self) -> Rates:
        """The `base` prices of its list, whose unit is not documented.

        Read as dollars for a megapixel, and taken only where that is near the table's.
        """
        found: dict[str, Sequence[RateRow]] = {}
        listed = await self.http.get_json("models")
        for item in objects({"models": listed}, "models[]"):
            row = self.table.get(str(item.get("id")))
            base = number(next(values(item, "pricing.base"), None))
            if row is None or base is None:
                continue
            first = next((r.micro_usd for r in row.rates if r.unit == "image"), 0.0)
            if first and near(base * 1e6, first):
                times = base * 1e6 / first
                found[str(item["id"])] = [
                    rate.model_copy(update={"micro_usd": rate.micro_usd * times})
                    for rate in row.rates
                ]
        return found


def _more_steps(request: ProviderRequest, model: Model) -> float:
    """By how much the steps of a request raise its price (docs.together.ai, pricing)."""
    usual = model.defaults.steps
    return 1.0 if usual is None or request.steps is None else max(1.0, request.steps / usual)
