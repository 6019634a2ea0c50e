from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from tests.support import vendors
from tests.support.fake_vendors import problems
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ContentRefused,
    Cost,
    Model,
    ModelMissing,
    PaymentRequired,
    PriceBook,
    Provider,
    RateLimited,
)
from ziggie_image_mcp.provider.testing import FakeVendor, ProviderConformance, Reply, Seen, picture
from ziggie_image_providers.xai import XAI

GROK = "grok-imagine-image-2.0"
OLDER = "grok-imagine-image"
SPEC = pytest.mark.spec


def drawn(seen: Seen, ticks: int = 400_000_000) -> Reply:
    """xAI as its published answers have it."""
    if seen.method == "GET":
        return Reply(body={"name": "a key", "models": []})
    item = {"b64_json": base64.b64encode(picture(1024, 1024)).decode(), "mime_type": "image/png"}
    count = seen.body.get("n", 1)
    return Reply(body={"data": [item] * count, "usage": {"cost_in_usd_ticks": ticks * count}})


def answering(body: Any, status: int = 200) -> vendors.Script:
    return lambda seen: drawn(seen) if seen.method == "GET" else Reply(status=status, body=body)


@SPEC
async def test_a_request_says_ratio_tier_and_price_class() -> None:
    path, body = await vendors.body_of(XAI, drawn, GROK, num_images=2, size=(2736, 1536))

    assert path == "/images/generations"
    assert body == {
        "model": GROK,
        "prompt": "a red bicycle",
        "aspect_ratio": "16:9",
        "resolution": "2k",
        "quality": "low",
        "n": 2,
        "response_format": "b64_json",
    }
    assert problems("xai-images", "ImageGenerationRequest", body) == []


async def test_pictures_to_work_from_go_to_the_edits_and_never_to_the_generations() -> None:
    path, body = await vendors.body_of(XAI, drawn, GROK, "image_to_image")
    assert path == "/images/edits"
    assert body["image"]["type"] == "image_url"
    assert body["image"]["url"].startswith("data:image/png;base64,")

    references: dict[str, Any] = {
        "reference_ids": ("a", "b"),
        "references": (picture(), picture(8, 8)),
    }
    path, body = await vendors.body_of(XAI, drawn, GROK, **references)
    assert path == "/images/edits"
    assert [image["type"] for image in body["images"]] == ["image_url"] * 2


@SPEC
async def test_the_answer_tells_what_it_cost() -> None:
    assert problems("xai-images", "ImageGenerationResponse", drawn(SEEN).body) == []

    told = await vendors.answer_to(XAI, drawn, GROK)
    silent = await vendors.answer_to(XAI, lambda seen: drawn(seen, 0), GROK)
    odd = await vendors.answer_to(
        XAI, answering(drawn(SEEN).body | {"usage": {"cost_in_usd_ticks": "many"}}), GROK
    )

    assert told.cost == Cost(micro_usd=40_000, basis="exact")
    assert silent.cost == odd.cost == Cost(micro_usd=40_000, basis="list")


@pytest.mark.parametrize(
    ("size", "quality", "references", "usd"),
    [
        ((1024, 1024), "low", 0, 0.04),
        ((2048, 2048), "low", 0, 0.06),
        ((1024, 1024), "medium", 0, 0.06),
        ((1024, 1024), "low", 2, 0.06),
    ],
)
async def test_the_price_follows_tier_quality_and_pictures_given(
    size: tuple[int, int], quality: str, references: int, usd: float
) -> None:
    async with vendors.provider(XAI) as tested:
        listed = tested.model(GROK, tested.rows[GROK])
        ids = tuple("abc"[:references])
        asked = vendors.request(listed, size=size, quality=quality, reference_ids=ids)
        estimate = tested.estimate(asked, listed)

    assert estimate is not None
    assert estimate.expected == estimate.upper == round(usd * 1e6)


@pytest.mark.parametrize(
    ("status", "body", "kind", "charged"),
    [
        (200, {"data": [], "block_reason": "prompt"}, ContentRefused, None),
        (200, {"data": [{"respect_moderation": False}]}, ContentRefused, None),
        (
            200,
            {"block_reason": "x", "usage": {"cost_in_usd_ticks": 200_000_000}},
            ContentRefused,
            20_000,
        ),
        (400, {"code": "invalid-argument", "error": "Incorrect API key"}, AuthenticationFailed, 0),
        (403, {"error": "Your team has used all available credits"}, PaymentRequired, 0),
        (404, {"error": "The model does not exist"}, ModelMissing, 0),
        (429, {"error": "Too many requests"}, RateLimited, 0),
    ],
)
async def test_refusals_by_all_their_names(
    status: int, body: Any, kind: type[Exception], charged: int | None
) -> None:
    error = await vendors.error_of(XAI, answering(body, status), GROK)

    assert isinstance(error, kind)
    assert error.charged == charged


async def test_a_live_price_is_taken_where_its_unit_can_only_be_ticks() -> None:
    def priced(price: float) -> vendors.Script:
        listing = {"models": [{"id": OLDER, "image_price": price}, {"id": GROK, "image_price": 1}]}
        return lambda seen: Reply(body=listing)

    for price, micro_usd, live in ((3e8, 30_000, True), (3, 20_000, False), (-1, 20_000, False)):
        with FakeVendor(priced(price)) as vendor:
            async with vendors.provider(XAI, vendor.url) as tested:
                listed = await vendors.model(tested, OLDER)
                estimate = tested.estimate(vendors.request(listed), listed)
        assert estimate is not None
        assert estimate.upper == micro_usd
        assert isinstance(listed.prices, PriceBook)
        assert listed.prices.live is live


SEEN = Seen(method="POST", path="/images/generations", headers={}, content=b"{}")


class TestXAI(ProviderConformance):
    provider_type = XAI
    secrets: ClassVar = {"XAI_API_KEY": "xai-0123456789abcdef0123456789"}
    option_values: ClassVar = {"quality": ("low", "medium")}
    max_answer_bytes = 2**21
    refusals: ClassVar = (
        (Reply(body={"data": [], "block_reason": "prompt"}), ContentRefused),
        (Reply(status=429, body={"error": "Too many requests"}), RateLimited),
    )

    def reply(self, seen: Seen) -> Reply:
        return drawn(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [m for m in await provider.list_models() if m.id == GROK]
