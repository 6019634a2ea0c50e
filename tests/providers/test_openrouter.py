from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from tests.support import vendors
from tests.support.fake_vendors import problems
from ziggie_image_mcp.provider import (
    Balance,
    ContentRefused,
    Cost,
    Model,
    ModelMissing,
    PaymentRequired,
    PriceBook,
    Provider,
    ProviderUnavailable,
    RateLimited,
)
from ziggie_image_mcp.provider.testing import FakeVendor, ProviderConformance, Reply, Seen, picture
from ziggie_image_providers.openrouter import OpenRouter

BANANA = "google/gemini-nano-banana-2.1"
GPT = "openai/gpt-image-2.5-flare"
FLUX = "black-forest-labs/flux.2-pro"
SEEDREAM = "bytedance-seed/seedream-5-0-pro"
SDK = "openrouter-sdk-1.3.84"
SPEC = pytest.mark.spec


def usage(cost: Any = 0.0336, **more: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": 9,
        "completion_tokens": 1120,
        "total_tokens": 1129,
        "cost": cost,
    } | more


def drawn(seen: Seen, told: Any = None) -> Reply:
    """OpenRouter by its published answers."""
    if seen.method == "GET":
        return Reply(body={"data": {"label": "a key", "limit_remaining": 12.5}})
    item = {"b64_json": base64.b64encode(picture(1024, 1024)).decode(), "media_type": "image/png"}
    count = seen.body.get("n", 1)
    return Reply(
        body={"created": 1, "data": [item] * count, "usage": usage() if told is None else told}
    )


def endpoints(*prices: Any, slug: str = "a") -> dict[str, Any]:
    return {
        "provider_slug": slug,
        "provider_name": slug,
        "provider_tag": None,
        "supported_parameters": {},
        "supports_streaming": False,
        "allowed_passthrough_parameters": [],
        "pricing": [
            {"billable": billable, "unit": unit, "cost_usd": usd}
            | ({"variant": variant} if variant else {})
            for billable, unit, usd, variant in prices
        ],
    }


@SPEC
async def test_a_request_says_ratio_and_resolution() -> None:
    path, body = await vendors.body_of(OpenRouter, drawn, BANANA)

    assert path == "/images"
    assert body == {
        "model": BANANA,
        "prompt": "a red bicycle",
        "aspect_ratio": "1:1",
        "resolution": "1K",
    }
    assert problems(SDK, "ImageGenerationRequest", body) == []


@SPEC
async def test_pictures_quality_and_a_transparent_ground_go_where_they_are_taken() -> None:
    given: dict[str, Any] = {"reference_ids": ("a",), "references": (picture(),)}
    _, referring = await vendors.body_of(OpenRouter, drawn, BANANA, **given)
    _, edited = await vendors.body_of(OpenRouter, drawn, FLUX, "image_to_image")
    _, cut = await vendors.body_of(OpenRouter, drawn, GPT, transparent=True, quality="high")

    assert referring["input_references"][0]["type"] == "image_url"
    assert edited["seed"] == 7
    assert edited["input_references"][0]["image_url"]["url"].startswith("data:image/png")
    assert (cut["background"], cut["quality"], cut["size"]) == ("transparent", "high", "1024x1024")
    for body in (referring, edited, cut):
        assert problems(SDK, "ImageGenerationRequest", body) == []


@SPEC
@pytest.mark.parametrize(
    ("told", "cost"),
    [
        (usage(0.0336), Cost(micro_usd=33_600, basis="exact")),
        (usage(0, is_byok=True), Cost(micro_usd=0, basis="exact")),
        (usage(0), None),
        (usage(None), None),
        (usage("free"), None),
        ({}, None),
    ],
)
async def test_the_answer_tells_what_it_cost_or_the_list_does(
    told: dict[str, Any], cost: Cost | None
) -> None:
    if told.get("cost") != "free" and told:
        assert problems(SDK, "ImageGenerationResponse", drawn(SEEN, told).body) == []

    made = await vendors.answer_to(OpenRouter, lambda seen: drawn(seen, told), FLUX)

    assert made.cost == (cost or Cost(micro_usd=30_000, basis="list"))


@SPEC
async def test_its_own_prices_win_over_the_table_the_dearest_endpoint_first() -> None:
    tiers = [("output_image", "image", 0.05, "1K"), ("output_image", "image", 0.09, "2K")]
    dear = [("output_image", "image", 0.06, "1K"), ("input_image", "image", 0.01, None)]
    entry = {"id": SEEDREAM, "endpoints": [endpoints(*tiers), endpoints(*dear, slug="b")]}
    assert problems(SDK, "ImageModelEndpointsResponse", entry) == []

    def listing(seen: Seen) -> Reply:
        found = seen.path.endswith(f"/{SEEDREAM}/endpoints")
        return Reply(body=entry) if found else Reply(status=404, body={"error": {"code": 404}})

    with FakeVendor(listing) as vendor:
        async with vendors.provider(OpenRouter, vendor.url) as tested:
            listed = await vendors.model(tested, SEEDREAM)
            small = tested.estimate(vendors.request(listed), listed)
            large = tested.estimate(vendors.request(listed, size=(2048, 2048)), listed)
            other = await vendors.model(tested, FLUX)

    assert small is not None
    assert large is not None
    assert (small.upper, large.upper) == (60_000, 90_000)
    assert isinstance(listed.prices, PriceBook)
    assert listed.prices.live
    assert isinstance(other.prices, PriceBook)
    assert not other.prices.live


@pytest.mark.parametrize(
    "prices",
    [
        [("output_image", "second", 0.05, None)],
        [("output_image", "token", 3e-5, None)],
        [("output_image", "image", -1, None)],
        [("output_image", "image", 0, None), ("input_text", "token", 1e-6, None)],
        [("input_text", "token", 1e-6, None)],
    ],
)
async def test_prices_that_cannot_be_read_leave_the_model_without_one(prices: Any) -> None:
    entry = {"id": SEEDREAM, "endpoints": [endpoints(*prices)]}
    with FakeVendor(lambda seen: Reply(body=entry)) as vendor:
        async with vendors.provider(OpenRouter, vendor.url) as tested:
            listed = await vendors.model(tested, SEEDREAM)
            assert tested.estimate(vendors.request(listed), listed) is None


@pytest.mark.parametrize("usd", [0, 30, 0.0003])
async def test_a_price_of_tokens_that_cannot_be_one_leaves_the_tables(usd: float) -> None:
    entry = {"id": BANANA, "endpoints": [endpoints(("output_image", "token", usd, None))]}
    with FakeVendor(lambda seen: Reply(body=entry)) as vendor:
        async with vendors.provider(OpenRouter, vendor.url) as tested:
            listed = await vendors.model(tested, BANANA)

    assert isinstance(listed.prices, PriceBook)
    assert not listed.prices.live


async def test_what_the_key_may_still_spend_is_told() -> None:
    with FakeVendor(drawn) as vendor:
        async with vendors.provider(OpenRouter, vendor.url) as tested:
            assert await tested.balance() == Balance(micro_usd=12_500_000)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (402, {"message": "x", "metadata": {"limit_source": "openrouter_key_limit"}}, "limit"),
        (402, {"message": "Insufficient credits"}, "credit"),
    ],
)
async def test_an_empty_wallet_and_a_key_at_its_limit_are_told_apart(
    status: int, error: Any, kind: str
) -> None:
    def script(seen: Seen) -> Reply:
        return drawn(seen) if seen.method == "GET" else Reply(status=status, body={"error": error})

    failed = await vendors.error_of(OpenRouter, script, BANANA)

    assert isinstance(failed, PaymentRequired)
    assert kind in str(failed)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, "Your input was flagged", ContentRefused),
        (400, "Request was blocked by moderation", ContentRefused),
        (404, "No such model", ModelMissing),
        (429, "Rate limited", RateLimited),
        (503, "No provider fits", ProviderUnavailable),
    ],
)
async def test_errors_are_what_they_are(status: int, message: str, kind: type[Exception]) -> None:
    body = {"error": {"code": status, "message": message}}

    def script(seen: Seen) -> Reply:
        return drawn(seen) if seen.method == "GET" else Reply(status=status, body=body)

    assert isinstance(await vendors.error_of(OpenRouter, script, BANANA), kind)


SEEN = Seen(method="POST", path="/images", headers={}, content=b"{}")


class TestOpenRouter(ProviderConformance):
    provider_type = OpenRouter
    secrets: ClassVar = {"OPENROUTER_API_KEY": "sk-or-v1-0123456789abcdef0123456789abcdef"}
    max_answer_bytes = 2**21
    refusals: ClassVar = (
        (Reply(status=403, body={"error": {"code": 403, "message": "flagged"}}), ContentRefused),
        (Reply(status=402, body={"error": {"code": 402, "message": "empty"}}), PaymentRequired),
    )

    def reply(self, seen: Seen) -> Reply:
        return drawn(seen, usage(0.01))

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [m for m in await provider.list_models() if m.id in (FLUX, GPT)]
