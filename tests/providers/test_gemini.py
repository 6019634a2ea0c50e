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
    InvalidOutput,
    Model,
    ModelMissing,
    PaymentRequired,
    Provider,
    ProviderUnavailable,
    RateLimited,
)
from ziggie_image_mcp.provider.testing import ProviderConformance, Reply, Seen, picture
from ziggie_image_providers.gemini import REFUSALS, Gemini

BANANA = "gemini-nano-banana-2.1"
PRO = "gemini-3-pro-image"
SDK = "gemini-genai-3.6"
SPEC = pytest.mark.spec

DETAILS = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 1130,
    "thoughtsTokenCount": 100,
    "totalTokenCount": 1240,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}],
    "candidatesTokensDetails": [
        {"modality": "IMAGE", "tokenCount": 1120},
        {"modality": "TEXT", "tokenCount": 10},
    ],
}


def inline(data: bytes, **more: Any) -> dict[str, Any]:
    return {
        "inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()},
        **more,
    }


def said(*parts: Any, usage: Any = DETAILS, finish: str = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}
    body = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": BANANA}
    return body | {"responseId": "r1"} | more


DRAWN = said({"text": "Here it is."}, inline(picture(1024, 1024)))


def answering(body: Any, status: int = 200) -> vendors.Script:
    return lambda seen: (
        Reply(body={"models": []}) if seen.method == "GET" else Reply(status=status, body=body)
    )


def drawn(seen: Seen) -> Reply:
    return answering(DRAWN)(seen)


@SPEC
async def test_a_request_says_ratio_size_and_seed() -> None:
    path, body = await vendors.body_of(Gemini, drawn, BANANA, size=(2752, 1536))

    assert path == f"/v1beta/models/{BANANA}:generateContent"
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "a red bicycle"}]}],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
            "thinkingConfig": {"thinkingLevel": "MINIMAL"},
            "seed": 7,
        },
    }
    assert problems(SDK, "ImageConfig", body["generationConfig"]["imageConfig"]) == []
    assert problems(SDK, "ThinkingConfig", body["generationConfig"]["thinkingConfig"]) == []
    assert problems(SDK, "GenerateContentResponse", DRAWN) == []


async def test_pictures_to_work_from_are_parts() -> None:
    given: dict[str, Any] = {"reference_ids": ("a", "b"), "references": (picture(), picture(8, 8))}
    _, body = await vendors.body_of(Gemini, drawn, BANANA, "image_to_image", **given)

    parts = body["contents"][0]["parts"]
    assert [part["inlineData"]["mimeType"] for part in parts[:3]] == ["image/png"] * 3
    assert base64.b64decode(parts[1]["inlineData"]["data"]) == picture()
    assert parts[3] == {"text": "a red bicycle"}


async def test_a_draft_among_its_thoughts_is_no_picture() -> None:
    body = said(inline(picture(8, 8), thought=True), inline(picture(1024, 1024)))

    made = await vendors.answer_to(Gemini, answering(body), BANANA)

    assert [image.data for image in made.images] == [picture(1024, 1024)]


@pytest.mark.parametrize(
    ("usage", "micro_usd"),
    [
        (DETAILS, 10 * 1.5 + 1120 * 30 + 110 * 7.5),
        ({"promptTokenCount": 10, "candidatesTokenCount": 1120}, 10 * 1.5 + 1120 * 30),
        ({"promptTokenCount": 10, "candidatesTokenCount": 0}, None),
        ({"promptTokenCount": "ten", "candidatesTokenCount": 1120}, None),
        ({"promptTokenCount": -1, "candidatesTokenCount": 1120}, None),
        (None, None),
    ],
)
async def test_the_cost_is_its_tokens_each_kind_by_its_price(
    usage: Any, micro_usd: float | None
) -> None:
    body = said(inline(picture(1024, 1024)), usage=usage)

    made = await vendors.answer_to(Gemini, answering(body), BANANA)

    expected = None if micro_usd is None else round(micro_usd)
    assert made.cost == Cost(micro_usd=expected, basis="computed" if expected else "unknown")


@pytest.mark.parametrize(
    ("size", "usd"), [((1024, 1024), 0.0336), ((2048, 2048), 0.0504), ((4096, 4096), 0.1134)]
)
async def test_the_price_of_a_picture_is_that_of_its_tier(
    size: tuple[int, int], usd: float
) -> None:
    async with vendors.provider(Gemini) as tested:
        listed = tested.model(BANANA, tested.rows[BANANA])
        estimate = tested.estimate(vendors.request(listed, size=size), listed)

    assert estimate is not None
    assert usd * 1e6 < estimate.expected < usd * 1e6 + 4_000 < estimate.upper + 1
    assert estimate.upper < usd * 1e6 + 16_000


@pytest.mark.parametrize("reason", sorted(REFUSALS))
async def test_reasons_to_finish_that_are_refusals(reason: str) -> None:
    body = {"candidates": [{"finishReason": reason, "finishMessage": "Not this."}]}

    error = await vendors.error_of(Gemini, answering(body), BANANA)

    assert isinstance(error, ContentRefused)
    assert reason in str(error)
    assert "Not this." in str(error)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, ContentRefused),
        ({"candidates": [{"finishReason": "PUP_LIMITED_DISABLED"}]}, AuthenticationFailed),
        ({"candidates": [{"finishReason": "NO_IMAGE"}], "usageMetadata": DETAILS}, InvalidOutput),
        (said({"text": "I cannot draw."}, finish="IMAGE_OTHER"), InvalidOutput),
    ],
)
async def test_answers_without_a_picture(body: Any, kind: type[Exception]) -> None:
    assert isinstance(await vendors.error_of(Gemini, answering(body), BANANA), kind)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "API key not valid. Please pass a valid API key.", AuthenticationFailed),
        (402, "Your prepaid credits are depleted.", PaymentRequired),
        (404, "models/x is not found", ModelMissing),
        (429, "Resource exhausted", RateLimited),
        (503, "The model is overloaded", ProviderUnavailable),
    ],
)
async def test_errors_are_what_they_are(status: int, message: str, kind: type[Exception]) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "13s"}]
    error = {"code": status, "message": message, "status": "X", "details": details}

    failed = await vendors.error_of(Gemini, answering({"error": error}, status), BANANA)

    assert isinstance(failed, kind)
    assert failed.charged == 0
    if status == 429:
        assert failed.retry_after == 13


async def test_another_model_than_asked_is_said() -> None:
    body = DRAWN | {"modelVersion": "gemini-2.5-flash-image"}

    made = await vendors.answer_to(Gemini, answering(body), BANANA)

    assert "gemini-2.5-flash-image" in made.notes[0]


async def test_a_picture_model_is_known_by_the_table() -> None:
    async with vendors.provider(Gemini) as tested:
        listed = {model.id: model for model in await tested.list_models()}

    assert "nano-banana" in listed[BANANA].aliases
    assert "image" not in BANANA
    assert listed["gemini-3.1-flash-image"].deprecated_on is not None


class TestGemini(ProviderConformance):
    provider_type = Gemini
    secrets: ClassVar = {"GEMINI_API_KEY": "AIzaSy0123456789abcdef0123456789abcdef"}
    max_answer_bytes = 2**21
    refusals: ClassVar = (
        (Reply(body={"promptFeedback": {"blockReason": "SAFETY"}}), ContentRefused),
        (Reply(status=429, body={"error": {"code": 429, "message": "x"}}), RateLimited),
    )

    def reply(self, seen: Seen) -> Reply:
        return drawn(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [m for m in await provider.list_models() if m.id == BANANA]
