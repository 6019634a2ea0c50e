from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.support.fake_vendors import (
    NO_SPECS,
    PNG,
    Answer,
    FakeVendor,
    has_specs,
    openai_answer,
    openai_error,
    problems,
)
from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ContentRefused,
    InvalidOutput,
    ModelMissing,
    OutcomeUnknown,
    PaymentRequired,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.contract import PaidProvider, ProviderContext
from ziggie_image_mcp.provider.types import Generation, Model, ProviderRequest
from ziggie_image_providers.openai import MASK_NOTE, OpenAI, bound, payload
from ziggie_image_providers.openai.settings import Row, Settings, table

KEY = "sk-proj-0123456789abcdef"
JOB = ProviderRequest(
    prompt="a red bicycle",
    negative_prompt="",
    width=1024,
    height=1024,
    num_images=1,
    seed=7,
    steps=None,
    guidance_scale=None,
)
SPEC = pytest.mark.skipif(not has_specs(), reason=NO_SPECS)

Handler = Callable[[httpx2.Request], httpx2.Response]


def context(key: str | None = KEY, name: str = "OPENAI_API_KEY") -> ProviderContext:
    async def secret(asked: str) -> str | None:
        return key if asked == name else None

    return ProviderContext(data_dir=Path("unused"), secret=secret)


def provider(handler: Handler | None = None, key: str | None = KEY, **settings: Any) -> OpenAI:
    transport = None if handler is None else httpx2.MockTransport(handler)
    return OpenAI("openai", Settings.model_validate(settings), context(key), transport)


async def model(made: OpenAI, id: str = "gpt-image-2") -> Model:
    return next(m for m in await made.models() if m.id == id)


async def submit(made: OpenAI, job: ProviderRequest = JOB, id: str = "gpt-image-2") -> Generation:
    try:
        submission = await made.submit(job, await model(made, id), "our-key")
    finally:
        await made.aclose()
    assert submission.generation is not None
    return submission.generation


def job(**changes: Any) -> ProviderRequest:
    from dataclasses import replace

    return replace(JOB, **changes)


# What it offers


async def test_it_is_a_paid_provider_that_lists_its_table_without_asking_anybody() -> None:
    def nobody(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(request.url)

    made: PaidProvider = provider(nobody)

    listed = {m.id: m for m in await made.models()}
    assert list(listed) == list(table())
    assert listed["gpt-image-2"].features == {"text_to_image", "image_to_image", "inpaint"}
    assert not any(m.local for m in listed.values())
    assert listed["gpt-image-2"].price_micro_usd == 58_500  # 2560x1440 medium, and the prompt
    assert listed["gpt-image-2.6-flare"].price_micro_usd is None


async def test_the_quality_setting_decides_the_price() -> None:
    prices = [
        (await model(provider(quality=quality))).price_micro_usd
        for quality in ("low", "medium", "high")
    ]

    assert prices == [9_500, 58_500, 224_500]


async def test_a_smaller_picture_has_a_lower_bound() -> None:
    listed = await model(provider())

    assert listed.price_by_pixels[:3] == (
        (1024 * 768, 39_500),
        (1024 * 1024, 55_500),
        (1024 * 1536, 55_500),
    )


async def test_without_a_key_it_says_how_to_set_one() -> None:
    with pytest.raises(AuthenticationFailed) as error:
        await provider(key=None).models()

    assert "OPENAI_API_KEY" in str(error.value)
    assert "ziggie-image-mcp keys set OPENAI_API_KEY" in str(error.value)
    assert "shell's environment" in str(error.value)


@pytest.mark.parametrize("key", ["sk-1\nX-Evil: 1", "sk-ключ", "two words"])
async def test_a_key_that_is_none_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(AuthenticationFailed) as error:
        await provider(key=key).models()

    assert key not in str(error.value)


async def test_the_user_can_add_models_and_prices() -> None:
    made = provider(
        models={"gpt-image-2.6-flare": {"priceUsd": 0.06}, "new": {"maxSide": 512, "title": "New"}}
    )

    assert (await model(made, "gpt-image-2.6-flare")).price_micro_usd == 60_000
    assert (await model(made, "gpt-image-2.6-flare")).title == "GPT Image 2.6 flare"
    assert (await model(made, "new")).price_micro_usd is None
    assert (await model(made, "new")).max_side == 512


async def test_a_server_that_wants_no_key_gets_none() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=openai_answer())

    made = provider(answer, key=None, keyName=None, baseUrl="http://gpu.lan:8000/images/v1/")

    await submit(made)
    assert str(seen[0].url) == "http://gpu.lan:8000/images/v1/images/generations"
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize(
    "settings",
    [
        {"baseUrl": "https://me:secret@host/v1"},
        {"baseUrl": "https://host/v1?key=secret"},
        {"baseUrl": "ftp://host"},
        {"keyName": "sk-secret"},
        {"quality": "best"},
        {"apiKey": "secret"},
    ],
)
def test_settings_that_make_no_sense_are_refused_without_showing_them(
    settings: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate(settings)

    assert "secret" not in str(error.value)


def test_every_price_says_where_and_when_it_was_read() -> None:
    for row in table().values():
        assert row.source
        assert row.as_of is not None
        assert row.as_of >= date(2026, 11, 23)


@pytest.mark.parametrize(
    ("size", "micro"),
    [((1024, 768), 39_500), ((1024, 1024), 55_500), ((1536, 864), 55_500), ((2560, 1440), 58_500)],
)
def test_a_size_that_is_not_listed_costs_at_most_what_the_next_listed_ones_do(
    size: tuple[int, int], micro: int
) -> None:
    assert bound(table()["gpt-image-2"], "medium", *size) == micro


def test_a_size_beyond_the_table_has_no_price() -> None:
    assert bound(table()["gpt-image-2"], "medium", 3840, 2176) is None


# What it sends


def test_the_payload_is_what_the_gpt_image_models_want() -> None:
    said = payload(job(num_images=2, width=1536), Model(id="m", provider="p", local=False), "high")

    assert said == {
        "model": "m",
        "prompt": "a red bicycle",
        "n": 2,
        "size": "1536x1024",
        "quality": "high",
        "output_format": "png",
    }


async def test_one_request_carries_key_organization_and_project() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=openai_answer())

    await submit(provider(answer, organization="org-1", project="proj-1"))

    assert [str(r.url) for r in seen] == ["https://api.openai.com/v1/images/generations"]
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert seen[0].headers["openai-organization"] == "org-1"
    assert seen[0].headers["openai-project"] == "proj-1"
    assert json.loads(seen[0].content)["n"] == 1


@SPEC
async def test_request_and_fake_answer_keep_to_the_published_spec() -> None:
    with FakeVendor(lambda seen: Answer(body=openai_answer(2))) as vendor:
        await submit(provider(baseUrl=f"{vendor.url}/v1"), job(num_images=2))

    assert vendor.asked == ["POST /v1/images/generations"]
    assert problems("openai", "CreateImageRequest", vendor.seen[0].body) == []
    assert problems("openai", "ImagesResponse", openai_answer(2)) == []


def plain(colour: str, mode: str = "RGB", size: tuple[int, int] = (1024, 1024)) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, "PNG")
    return out.getvalue()


@SPEC
async def test_an_edit_sends_picture_and_mask_as_the_published_spec_wants() -> None:
    half = Image.new("L", (1024, 1024))
    half.paste(255, (0, 0, 512, 1024))
    out = io.BytesIO()
    half.save(out, "PNG")
    edit = job(image_id="i", image=plain("red"), mask_id="m", mask=out.getvalue())

    with FakeVendor(lambda seen: Answer(body=openai_answer())) as vendor:
        generation = await submit(provider(baseUrl=f"{vendor.url}/v1"), edit)

    sent = vendor.seen[0].form
    words = {key: value for key, value in sent.items() if isinstance(value, str)}
    assert vendor.asked == ["POST /v1/images/edits"]
    assert words == {
        "model": "gpt-image-2",
        "prompt": "a red bicycle",
        "n": "1",
        "size": "1024x1024",
        "quality": "medium",
        "output_format": "png",
    }
    said = words | {"n": 1, "image": "binary", "mask": "binary"}
    assert problems("openai", "CreateImageEditRequest", said) == []
    assert sent["image"] == edit.image
    assert isinstance(sent["mask"], bytes)
    with Image.open(io.BytesIO(sent["mask"])) as mask:
        alphas = [mask.getchannel("A").getpixel(at) for at in ((0, 0), (1023, 0))]
    assert alphas == [0, 255], "OpenAI paints anew where the mask is transparent"
    assert MASK_NOTE in generation.notes


async def test_a_picture_to_work_from_raises_the_price() -> None:
    listed = await model(provider())
    own = await model(provider(models={"mine": {"priceUsd": 0.1, "edits": False}}), "mine")

    assert listed.price_of_given_micro_usd == 7_000 * 8
    assert own.price_of_given_micro_usd == 0
    assert own.features == {"text_to_image"}


@SPEC
def test_the_spec_would_catch_a_wrong_request() -> None:
    assert problems("openai", "CreateImageRequest", {"n": 11, "negative_prompt": "x"}) != []


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [(512, 512, "pixels"), (2560, 2560, "pixels"), (2560, 512, "longer than 3:1")],
)
async def test_a_size_that_would_be_refused_is_not_sent(width: int, height: int, said: str) -> None:
    seen: list[httpx2.Request] = []

    with pytest.raises(RequestRejected, match=said):
        await submit(provider(lambda r: _note(seen, r)), job(width=width, height=height))

    assert seen == []


def _note(seen: list[httpx2.Request], request: httpx2.Request) -> httpx2.Response:
    seen.append(request)
    return httpx2.Response(200, json=openai_answer())


# What it makes of the answer


async def test_the_pictures_come_with_the_cost_of_their_tokens() -> None:
    generation = await submit(
        provider(lambda r: httpx2.Response(200, json=openai_answer(2))), job(num_images=2)
    )

    assert [image.data for image in generation.images] == [PNG, PNG]
    assert generation.cost_micro_usd == 20 * 5 + 880 * 30
    assert any("count of tokens" in note for note in generation.notes)
    assert any("takes no seed" in note for note in generation.notes)


async def test_without_usage_the_cost_is_the_upper_bound() -> None:
    body = {k: v for k, v in openai_answer().items() if k != "usage"}

    generation = await submit(provider(lambda r: httpx2.Response(200, json=body)))

    assert generation.cost_micro_usd == 55_500
    assert any("upper bound" in note for note in generation.notes)


async def test_fewer_pictures_than_asked_for_are_told() -> None:
    generation = await submit(
        provider(lambda r: httpx2.Response(200, json=openai_answer(1))), job(num_images=3)
    )

    assert any("1 of 3" in note for note in generation.notes)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Welcome to our proxy</html>",
        b"{}",
        b'{"created": 1, "data": []}',
        b'{"created": 1, "data": [{"url": "https://elsewhere/x.png"}]}',
        b'{"created": 1, "data": [{"b64_json": "***"}]}',
    ],
)
async def test_a_success_without_pictures_may_have_been_charged(body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        await submit(provider(lambda r: httpx2.Response(200, content=body)))


async def test_a_success_without_pictures_whose_tokens_were_counted_is_charged() -> None:
    usage = {"input_tokens": 100, "output_tokens": 1000, "total_tokens": 1100}
    body: dict[str, object] = {"created": 1, "data": [], "usage": usage}

    with pytest.raises(InvalidOutput) as said:
        await submit(provider(lambda r: httpx2.Response(200, json=body)))

    assert said.value.charged == 100 * 5 + 1000 * 30


ERRORS: list[tuple[int, Any, type[ProviderError]]] = [
    (400, openai_error("moderation_blocked", "image_generation_user_error"), ContentRefused),
    (400, openai_error("content_policy_violation"), ContentRefused),
    (400, openai_error("billing_hard_limit_reached"), PaymentRequired),
    (400, openai_error("invalid_value", said="Invalid size."), RequestRejected),
    (401, openai_error("invalid_api_key", said=f"Incorrect API key: {KEY}"), AuthenticationFailed),
    (403, openai_error(None, said=f"Verify your organization {KEY}"), AuthenticationFailed),
    (403, openai_error("model_not_found"), ModelMissing),
    (404, openai_error("model_not_found"), ModelMissing),
    (404, "not json", ProviderUnavailable),
    (302, {}, ProviderUnavailable),
    (402, {}, PaymentRequired),
    (429, openai_error("rate_limit_exceeded", "requests"), RateLimited),
    (429, openai_error("insufficient_quota", "insufficient_quota"), PaymentRequired),
    (429, openai_error(None, "insufficient_quota"), PaymentRequired),
    (408, {}, OutcomeUnknown),
    (400, openai_error(None, said="not for sk-proj-****abcdef"), RequestRejected),
    (500, openai_error(None, "server_error", f"Sorry {KEY}"), OutcomeUnknown),
    (503, b"overloaded", OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "body", "error"), ERRORS)
async def test_a_refusal_becomes_the_error_that_says_who_must_act_and_is_sent_once(
    status: int, body: Any, error: type[ProviderError]
) -> None:
    with (
        FakeVendor(lambda seen: Answer(status=status, body=body)) as vendor,
        pytest.raises(ProviderError) as said,
    ):
        await submit(provider(baseUrl=f"{vendor.url}/v1"))

    assert type(said.value) is error
    assert vendor.asked == ["POST /v1/images/generations"]
    assert KEY not in str(said.value)
    assert KEY[-6:] not in str(said.value)
    assert KEY not in repr(said.value)


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"retry-after": "7"}, 7.0), ({"retry-after-ms": "250"}, 0.25)]
)
async def test_a_rate_limit_says_how_long_to_wait(headers: dict[str, str], seconds: float) -> None:
    body = openai_error("rate_limit_exceeded")

    with pytest.raises(RateLimited) as said:
        await submit(provider(lambda r: httpx2.Response(429, json=body, headers=headers)))

    assert said.value.retry_after == seconds


async def test_a_connection_reset_after_the_request_is_not_sent_again() -> None:
    with FakeVendor(lambda seen: Answer(then="reset")) as vendor, pytest.raises(OutcomeUnknown):
        await submit(provider(baseUrl=vendor.url))

    assert vendor.asked == ["POST /images/generations"]


async def test_an_answer_that_comes_too_late_leaves_the_outcome_unknown() -> None:
    with FakeVendor(lambda seen: Answer(then="hang")) as vendor, pytest.raises(OutcomeUnknown):
        await submit(provider(baseUrl=vendor.url, timeout=0.1))

    assert vendor.asked == ["POST /images/generations"]


async def test_where_nothing_listens_nothing_was_charged() -> None:
    with FakeVendor(lambda seen: Answer()) as vendor:
        url = vendor.url

    with pytest.raises(ProviderUnavailable, match="nothing answers"):
        await submit(provider(baseUrl=url))


async def test_nothing_can_be_looked_up_or_collected_later() -> None:
    made = provider()

    async def ignore(fraction: float, message: str) -> None: ...

    with pytest.raises(OutcomeUnknown):
        await made.find("our-key")
    with pytest.raises(OutcomeUnknown):
        await made.collect("", JOB, await model(made), ignore)


async def test_the_key_is_in_no_repr_of_provider_or_settings() -> None:
    made = provider(lambda r: httpx2.Response(200, json=openai_answer()))
    await submit(made)

    assert KEY not in repr(made) + repr(vars(made)) + repr(Row())


async def test_closing_twice_is_allowed() -> None:
    made = provider(lambda r: httpx2.Response(200, json=openai_answer()))
    await submit(made)

    await made.aclose()
