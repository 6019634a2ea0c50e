from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from tests.support import vendors
from tests.support.fake_vendors import problems
from ziggie_image_mcp.provider import (
    ContentRefused,
    Cost,
    Lora,
    Model,
    ModelMissing,
    PaymentRequired,
    Provider,
    ProviderUnavailable,
    RateLimited,
)
from ziggie_image_mcp.provider.testing import FakeVendor, ProviderConformance, Reply, Seen, picture
from ziggie_image_providers.together import Together

SCHNELL = "black-forest-labs/FLUX.1-schnell"
LORA = "black-forest-labs/FLUX.1-dev-lora"
FLUX2 = "black-forest-labs/FLUX.2-pro"
KONTEXT = "black-forest-labs/FLUX.1-kontext-pro"
SPEC = pytest.mark.spec


def drawn(seen: Seen, kind: str = "b64_json") -> Reply:
    """Together by its published answers."""
    if seen.method == "GET":
        return Reply(body=picture(1024, 1024)) if seen.path == "/made.png" else Reply(body=[])
    asked = seen.body
    value = base64.b64encode(picture(1024, 1024)).decode()
    value = f"{seen.origin}/made.png" if kind == "url" else value
    data = [{"index": i, "type": kind, kind: value} for i in range(asked.get("n", 1))]
    return Reply(body={"id": "o1", "model": asked["model"], "object": "list", "data": data})


def failing(status: int, message: str, code: str | None = None) -> vendors.Script:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return lambda seen: Reply(body=[]) if seen.method == "GET" else Reply(status=status, body=error)


@SPEC
async def test_a_request_has_the_names_of_the_published_schema() -> None:
    path, body = await vendors.body_of(Together, drawn, SCHNELL, num_images=2)

    assert path == "/images/generations"
    assert body == {
        "model": SCHNELL,
        "prompt": "a red bicycle",
        "width": 1024,
        "height": 1024,
        "seed": 7,
        "steps": 4,
        "n": 2,
        "response_format": "base64",
        "output_format": "png",
    }
    assert problems("together-sdk-3.1", "ImageGenerateParams", body) == []


@SPEC
async def test_loras_and_pictures_go_where_each_model_takes_them() -> None:
    lora = Lora(id="https://huggingface.co/strangerzonehf/Flux-Midjourney-Mix2-LoRA", weight=0.8)
    _, laid = await vendors.body_of(Together, drawn, LORA, loras=(lora,))
    given: dict[str, Any] = {"reference_ids": ("a", "b"), "references": (picture(), picture(8, 8))}
    _, referring = await vendors.body_of(Together, drawn, FLUX2, **given)
    _, edited = await vendors.body_of(Together, drawn, KONTEXT, "image_to_image")

    assert laid["image_loras"] == [{"path": lora.id, "scale": 0.8}]
    assert len(referring["reference_images"]) == 2
    assert edited["image_url"].startswith("data:image/png;base64,")
    for body in (laid, referring, edited):
        assert problems("together-sdk-3.1", "ImageGenerateParams", body) == []


async def test_pictures_come_as_base64_or_at_an_address() -> None:
    inline = await vendors.answer_to(Together, drawn, SCHNELL)
    linked = await vendors.answer_to(Together, lambda seen: drawn(seen, "url"), SCHNELL)

    assert inline.images[0].data == linked.images[0].data == picture(1024, 1024)
    assert inline.cost == Cost(micro_usd=2_700, basis="list")


@pytest.mark.parametrize(("steps", "times"), [(1, 1), (4, 1), (8, 2), (12, 3)])
async def test_more_steps_than_usual_cost_more(steps: int, times: int) -> None:
    async with vendors.provider(Together) as tested:
        listed = tested.model(SCHNELL, tested.rows[SCHNELL])
        estimate = tested.estimate(vendors.request(listed, size=(512, 512), steps=steps), listed)

    assert estimate is not None
    assert estimate.upper == 2_700 * times


@pytest.mark.parametrize(
    ("status", "message", "code", "kind"),
    [
        (422, "NSFW content detected in prompt", None, ContentRefused),
        (402, "Credit limit exceeded", None, PaymentRequired),
        (404, "Unable to access model", "model_not_available", ModelMissing),
        (400, "Unable to access non-serverless model", "model_not_available", ModelMissing),
        (429, "Rate limit", None, RateLimited),
        (529, "overloaded", None, ProviderUnavailable),
    ],
)
async def test_errors_are_what_they_are(
    status: int, message: str, code: str | None, kind: type[Exception]
) -> None:
    error = await vendors.error_of(Together, failing(status, message, code), SCHNELL)

    assert isinstance(error, kind)
    assert error.charged == 0


async def test_a_live_price_is_taken_where_it_can_only_be_one_of_a_megapixel() -> None:
    def listing(base: Any) -> vendors.Script:
        entry = {"id": SCHNELL, "type": "image", "pricing": {"base": base, "hourly": 0}}
        return lambda seen: Reply(body=[entry, {"id": "chat"}, None])

    for base, micro_usd in ((0.003, 3_000), (0, 2_700), (3, 2_700), ("0.003", 2_700)):
        with FakeVendor(listing(base)) as vendor:
            async with vendors.provider(Together, vendor.url) as tested:
                listed = await vendors.model(tested, SCHNELL)
                estimate = tested.estimate(vendors.request(listed, size=(512, 512)), listed)
        assert estimate is not None
        assert estimate.upper == micro_usd


class TestTogether(ProviderConformance):
    provider_type = Together
    secrets: ClassVar = {"TOGETHER_API_KEY": "tgp_v1_0123456789abcdef0123456789"}
    max_answer_bytes = 2**21
    refusals: ClassVar = (
        (Reply(status=422, body={"error": {"message": "NSFW content"}}), ContentRefused),
        (Reply(status=402, body={"error": {"message": "limit"}}), PaymentRequired),
    )

    def reply(self, seen: Seen) -> Reply:
        return drawn(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [m for m in await provider.list_models() if m.id in (SCHNELL, KONTEXT)]
