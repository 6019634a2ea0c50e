from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.support.fake_vendors import (
    PNG,
    openai_answer,
    openai_error,
    openai_pictures,
    problems,
)
from ziggie_image_mcp.provider import (
    UNKNOWN_COST,
    AuthenticationFailed,
    ContentRefused,
    Cost,
    FreeSize,
    Generation,
    InvalidOutput,
    Model,
    ModelMissing,
    OutcomeUnknown,
    PaymentRequired,
    PriceBook,
    PromptLimit,
    Provider,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    Run,
    Task,
)
from ziggie_image_mcp.provider.testing import (
    FakeVendor,
    ProviderConformance,
    Reply,
    Seen,
    fields_of,
    picture,
)
from ziggie_image_providers.openai import OpenAI
from ziggie_image_providers.openai.settings import Quality, Row, Settings

KEY = "sk-proj-0123456789abcdef"
JOB = ProviderRequest(prompt="a red bicycle", width=1024, height=1024, seed=7, quality="medium")
ROWS: Mapping[str, Any] = OpenAI.table

Handler = Callable[[httpx2.Request], httpx2.Response]


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)


def context(key: str | None = KEY, handler: Handler | None = None) -> ProviderContext:
    async def secret(asked: str) -> str | None:
        return key if asked == "OPENAI_API_KEY" else None

    transport = None if handler is None else httpx2.MockTransport(handler)
    return ProviderContext(data_dir=Path("unused"), secret=secret, transport=transport)


def provider(handler: Handler | None = None, key: str | None = KEY, **settings: Any) -> OpenAI:
    return OpenAI("openai", Settings.model_validate(settings), context(key, handler))


def at(url: str, **settings: Any) -> OpenAI:
    """OpenAI itself, at the address of a fake."""
    return provider(baseUrl=url, flavour="openai", local=False, **settings)


def nobody(request: httpx2.Request) -> httpx2.Response:
    raise AssertionError(request.url)


async def model(tested: OpenAI, id: str = "gpt-image-2") -> Model:
    return next(m for m in await tested.list_models() if m.id == id)


async def submit(
    tested: OpenAI, request: ProviderRequest = JOB, id: str = "gpt-image-2"
) -> Generation:
    try:
        generation = await tested.submit(request, await model(tested, id), RUN)
    finally:
        await tested.aclose()
    assert isinstance(generation, Generation)
    return generation


def request(**changes: Any) -> ProviderRequest:
    return replace(JOB, **changes)


def price(tested: OpenAI, listed: Model, **changes: Any) -> tuple[int, int] | None:
    """Expected and at most, micro-USD."""
    estimate = tested.estimate(request(**changes), listed)
    return None if estimate is None else (estimate.expected, estimate.upper)


def edit(task: Task = "image_to_image", side: int = 1024, **changes: Any) -> ProviderRequest:
    image = {"image_id": "i", "image": picture(side, side, "red")}
    if task == "inpaint":
        image |= {"mask_id": "m", "mask": left_half(side)}
    return request(**{"task": task, "width": side, "height": side, **image, **changes})


def left_half(side: int) -> bytes:
    """A mask that paints the left half anew."""
    mask = Image.new("L", (side, side))
    mask.paste(255, (0, 0, side // 2, side))
    out = io.BytesIO()
    mask.save(out, "PNG")
    return out.getvalue()


def corners_of(mask: object, band: str) -> list[object]:
    """The left and the right pixel of a band."""
    assert isinstance(mask, bytes)
    with Image.open(io.BytesIO(mask)) as image:
        layer = image.getchannel(band) if band in image.getbands() else image.convert(band)
        return [layer.getpixel((x, 0)) for x in (0, image.width - 1)]


# What it offers


async def test_it_lists_its_table_without_asking_anybody() -> None:
    tested: Provider = provider(nobody)

    listed = {m.id: m for m in await tested.list_models()}

    assert list(listed) == list(ROWS)
    assert set(listed["gpt-image-2"].tasks) == {"text_to_image", "image_to_image", "inpaint"}
    assert all(m.where == "vendor" and m.device == "" for m in listed.values())
    able = listed["gpt-image-2"].tasks["inpaint"]
    assert able.mask == "alpha"
    assert able.max_images == 10
    assert able.max_prompt == PromptLimit(count=32_000, unit="characters", beyond="refused")
    assert able.sizes == FreeSize(
        min_side=480,
        max_side=3840,
        multiple_of=16,
        min_pixels=655_360,
        max_pixels=3840 * 2160,
        max_ratio=3.0,
    )


@pytest.mark.parametrize(
    ("quality", "tokens"), [("low", 250), ("medium", 1_884), ("high", 7_417), ("max", None)]
)
async def test_the_quality_setting_decides_the_price(quality: str, tokens: int | None) -> None:
    tested = provider(quality=quality)
    listed = await model(tested)

    bounds = price(tested, listed, width=2560, height=1440, quality=listed.defaults.quality)

    assert (bounds and bounds[1]) == (tokens and tokens * 30 + (13 + 64) * 5)


async def test_a_prompt_and_a_picture_to_work_from_are_paid_by_token() -> None:
    tested = provider()
    listed = await model(tested, "gpt-image-2.5-flare")

    plain = price(tested, listed)
    longer = price(tested, listed, prompt="x" * 32_000)
    with_image = price(tested, listed, task="image_to_image", image_id="i")

    assert plain is not None
    assert plain == (439 * 30 + 17, 439 * 30 + (13 + 64) * 5)
    assert longer == (439 * 30 + 8_000 * 5, 439 * 30 + 32_064 * 5)
    assert with_image == (plain[0] + 56_000, plain[1] + 56_000)


OLD_PRICES = {
    "low": (0.00402, 0.00588, 0.00474, 0.00441, 0.00615, 0.01113),
    "medium": (0.00903, 0.01317, 0.01029, 0.01029, 0.01434, 0.02595),
    "high": (0.03612, 0.05268, 0.04116, 0.0396, 0.05529, 0.10008),
}
OLD_SIZES = ((1024, 768), (1024, 1024), (1024, 1536), (1920, 1080), (2560, 1440), (3840, 2160))


@pytest.mark.parametrize("quality", OLD_PRICES)
@pytest.mark.parametrize("id", ["gpt-image-2.5-flare", "gpt-image-2.5-sunburst"])
def test_the_tokens_of_2_5_come_to_the_prices_of_its_pictures(id: str, quality: Quality) -> None:
    rates = [r for r in ROWS[id].rates if r.quality == quality]

    assert [r.max_pixels for r in rates] == [w * h for w, h in OLD_SIZES]
    dollars = [(r.most or 0) * r.micro_usd / 1e6 for r in rates]
    assert dollars == pytest.approx(OLD_PRICES[quality])


@pytest.mark.parametrize(
    ("quality", "tokens"),
    [("low", 784), ("medium", 1756), ("high", 1756), ("xhigh", 3122), ("max", 7024)],
)
async def test_2_6_takes_up_to_four_times_the_tokens_but_no_more_than_a_high_one(
    quality: str, tokens: int
) -> None:
    tested = provider()
    listed = await model(tested, "gpt-image-2.6-flare")

    bounds = price(tested, listed, quality=quality)

    assert bounds is not None
    assert bounds[1] == tokens * 30 + (13 + 64) * 5
    assert isinstance(listed.prices, PriceBook)
    assert "third party" in listed.prices.source


@pytest.mark.parametrize(
    ("size", "tokens"),
    [((1024, 768), 301), ((1024, 1024), 439), ((1536, 864), 439), ((2560, 1440), 478)],
)
async def test_a_size_that_is_not_listed_costs_at_most_what_the_next_listed_ones_do(
    size: tuple[int, int], tokens: int
) -> None:
    tested = provider()
    listed = await model(tested, "gpt-image-2.5-flare")

    bounds = price(tested, listed, width=size[0], height=size[1])

    assert bounds is not None
    assert bounds[1] == tokens * 30 + (13 + 64) * 5


async def test_a_size_beyond_the_table_has_no_price() -> None:
    tested = provider()

    assert price(tested, await model(tested), width=3840, height=2176) is None


async def test_without_a_key_it_says_how_to_set_one() -> None:
    with pytest.raises(AuthenticationFailed) as error:
        await provider(key=None).list_models()

    assert "ziggie-image-mcp keys set OPENAI_API_KEY" in str(error.value)
    assert "shell's environment" in str(error.value)


@pytest.mark.parametrize("key", ["sk-1\nX-Evil: 1", "sk-ключ", "two words"])
async def test_a_key_that_is_none_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(AuthenticationFailed) as error:
        await provider(nobody, key=key).list_models()

    assert key not in str(error.value)


async def test_the_user_can_add_models_and_prices() -> None:
    tested = provider(
        models={"gpt-image-2.6-flare": {"priceUsd": 0.06}, "new": {"maxSide": 512, "title": "New"}}
    )

    own = await model(tested, "gpt-image-2.6-flare")
    new = await model(tested, "new")
    assert price(tested, own) == (60_000, 60_000)
    assert isinstance(own.prices, PriceBook)
    assert own.prices.as_of is None
    assert own.title == "GPT Image 2.6 flare"
    assert price(tested, new) is None
    assert isinstance(sizes := new.tasks["text_to_image"].sizes, FreeSize)
    assert sizes.max_side == 512


async def test_prices_and_tokens_as_config_json_could_say_them_first_still_count() -> None:
    row = {
        "prices": {"medium": {"1024x1024": 0.02, "1024x1536": 0.03}},
        "tokens": {"textIn": 5, "imageIn": 8, "imageOut": 40},
        "imageTokens": 500,
    }
    tested = provider(models={"mine": row})

    mine = await model(tested, "mine")
    assert price(tested, mine, prompt="") == (20_000, 20_000 + 64 * 5)
    with_image = price(tested, mine, prompt="", task="image_to_image", image_id="i")
    assert with_image == (24_000, 24_000 + 64 * 5)
    assert price(tested, mine, prompt="", width=1536) == (30_000, 30_000 + 64 * 5)
    assert price(tested, mine, quality="high") is None


async def test_prices_without_tokens_are_prices_of_pictures() -> None:
    tested = provider(models={"mine": {"prices": {"medium": {"1024x1024": 0.02}}}})

    assert price(tested, await model(tested, "mine"), num_images=2) == (40_000, 40_000)


async def test_own_tokens_change_a_model_of_the_table() -> None:
    tokens = {"textIn": 0, "imageIn": 0, "imageOut": 10}
    tested = provider(models={"gpt-image-2.5-flare": {"tokens": tokens}})

    listed = await model(tested, "gpt-image-2.5-flare")

    assert price(tested, listed, task="image_to_image", image_id="i") == (4_390, 4_390)


async def test_a_model_without_edits_only_makes_pictures_from_text() -> None:
    tested = provider(models={"mine": {"priceUsd": 0.1, "edits": False}})

    able = (await model(tested, "mine")).tasks

    assert set(able) == {"text_to_image"}
    assert able["text_to_image"].max_references == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"baseUrl": "https://host/v1?key=secret"},
        {"baseUrl": "ftp://host"},
        {"keyName": "sk-secret"},
        {"quality": "best"},
        {"apiKey": "secret"},
        {"flavour": "secret"},
    ],
)
def test_settings_that_make_no_sense_are_refused_without_showing_them(
    settings: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate(settings)

    assert "secret" not in str(error.value)


def test_every_config_of_version_1_still_counts() -> None:
    text = (Path(__file__).parents[1] / "data/version_1/config.json").read_text(encoding="utf-8")
    sections = json.loads(text)["imageGeneration"]["providers"]
    ours = ("type", "enabled", "privacy", "budget")

    for name in ("openai", "compatible"):
        section = {key: value for key, value in sections[name].items() if key not in ours}
        assert Settings.model_validate(section).models


def test_every_price_says_where_and_when_it_was_read() -> None:
    for row in ROWS.values():
        assert row.source
        assert row.as_of is not None
        assert row.as_of >= date(2026, 11, 23)


# What it sends


async def test_one_request_carries_key_organization_and_project() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=openai_answer())

    await submit(
        provider(answer, organization="org-1", project="proj-1"),
        request(num_images=2, width=1536, quality="high"),
    )

    assert [str(r.url) for r in seen] == ["https://api.openai.com/v1/images/generations"]
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert seen[0].headers["openai-organization"] == "org-1"
    assert seen[0].headers["openai-project"] == "proj-1"
    assert json.loads(seen[0].content) == {
        "model": "gpt-image-2",
        "prompt": "a red bicycle",
        "n": 2,
        "size": "1536x1024",
        "quality": "high",
        "output_format": "png",
    }


@pytest.mark.spec
@pytest.mark.parametrize(
    ("spec", "name"),
    [("openai", "CreateImageRequest"), ("openai-sdk-3.57", "ImageGenerateParams")],
)
async def test_request_and_fake_answer_keep_to_the_published_spec(spec: str, name: str) -> None:
    with FakeVendor(lambda seen: Reply(body=openai_answer(2))) as vendor:
        await submit(at(f"{vendor.url}/v1"), request(num_images=2))

    assert vendor.asked == ["POST /v1/images/generations"]
    assert problems(spec, name, vendor.seen[0].body) == []
    assert problems(spec, "ImagesResponse", openai_answer(2)) == []


@pytest.mark.spec
def test_the_spec_would_catch_a_wrong_request() -> None:
    wrong = {"n": 11, "negative_prompt": "x"}

    assert problems("openai", "CreateImageRequest", wrong) != []
    assert problems("openai-sdk-3.57", "ImageGenerateParams", wrong) != []


@pytest.mark.spec
async def test_an_edit_sends_picture_and_mask_as_the_published_spec_wants() -> None:
    job = edit("inpaint")

    with FakeVendor(lambda seen: Reply(body=openai_answer())) as vendor:
        await submit(at(f"{vendor.url}/v1"), job)

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
    body = words | {"n": 1, "image": "binary", "mask": "binary"}
    assert problems("openai", "CreateImageEditRequest", body) == []
    assert sent["image"] == job.image
    assert corners_of(sent["mask"], "A") == [0, 255], "painted anew where it is transparent"


async def test_references_go_along_as_further_pictures() -> None:
    red, blue = picture(64, 64, "red"), picture(64, 64, "blue")
    with FakeVendor(lambda seen: Reply(body=openai_answer())) as vendor:
        await submit(at(vendor.url), request(reference_ids=("r",), references=(red,)))
        await submit(at(vendor.url), edit(reference_ids=("r",), references=(blue,)))

    assert vendor.asked == ["POST /images/edits"] * 2
    assert vendor.seen[0].form["image"] == red
    assert vendor.seen[1].content.count(b'name="image[]"') == 2
    assert vendor.seen[1].content.index(blue) > vendor.seen[1].content.index(edit().image or b"")


# What it makes of the answer


async def test_the_pictures_come_with_the_cost_of_their_tokens() -> None:
    generation = await submit(
        provider(lambda r: httpx2.Response(200, json=openai_answer(2))), request(num_images=2)
    )

    assert [image.data for image in generation.images] == [PNG, PNG]
    assert [image.seed for image in generation.images] == [None, None]
    assert generation.cost == Cost(micro_usd=20 * 5 + 880 * 30, basis="computed")


async def test_pictures_that_are_given_have_their_own_price_in_the_cost() -> None:
    body = openai_answer()
    body["usage"] = {
        "input_tokens": 1_620,
        "output_tokens": 440,
        "total_tokens": 2_060,
        "input_tokens_details": {"text_tokens": 20, "image_tokens": 1_600},
    }

    generation = await submit(provider(lambda r: httpx2.Response(200, json=body)), edit())

    assert generation.cost.micro_usd == 20 * 5 + 1_600 * 8 + 440 * 30


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 9, "output_tokens": "x"}],
)
async def test_without_a_count_of_tokens_the_cost_is_the_list_price(usage: Any) -> None:
    body = openai_answer() | {"usage": usage}
    tested = provider(lambda r: httpx2.Response(200, json=body))
    bounds = price(tested, await model(tested))

    generation = await submit(tested)

    assert bounds is not None
    assert generation.cost == Cost(micro_usd=bounds[1], basis="list")


@pytest.mark.parametrize(
    ("row", "cost"),
    [({"priceUsd": 0.05}, Cost(micro_usd=50_000, basis="list")), ({}, UNKNOWN_COST)],
)
async def test_without_rates_for_tokens_the_cost_is_the_users_price_or_unknown(
    row: dict[str, Any], cost: Cost
) -> None:
    tested = provider(
        lambda r: httpx2.Response(200, json=openai_answer()), models={"mine": {**row}}
    )

    assert (await submit(tested, id="mine")).cost == cost


@pytest.mark.parametrize("body", [b"<html>Welcome to our proxy</html>", b"{}", b'{"data": null}'])
async def test_a_success_in_other_words_may_have_been_charged(body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        await submit(provider(lambda r: httpx2.Response(200, content=body)))


@pytest.mark.parametrize(
    "body", [b'{"created": 1, "data": []}', b'{"created": 1, "data": [{"b64_json": "***"}]}']
)
async def test_a_success_without_pictures_may_have_been_charged(body: bytes) -> None:
    tested = provider(lambda r: httpx2.Response(200, content=body))
    bounds = price(tested, await model(tested))

    with pytest.raises(InvalidOutput) as error:
        await submit(tested)

    assert bounds is not None
    assert error.value.charged == bounds[1]


async def test_a_success_without_pictures_whose_tokens_were_counted_is_charged() -> None:
    usage = {"input_tokens": 100, "output_tokens": 1000, "total_tokens": 1100}
    body: dict[str, object] = {"created": 1, "data": [], "usage": usage}

    with pytest.raises(InvalidOutput) as error:
        await submit(provider(lambda r: httpx2.Response(200, json=body)))

    assert error.value.charged == 100 * 5 + 1000 * 30


ERRORS: list[tuple[int, Any, type[ProviderError]]] = [
    (400, openai_error("moderation_blocked", "image_generation_user_error"), ContentRefused),
    (400, openai_error("content_policy_violation"), ContentRefused),
    (400, openai_error("contentFilter"), ContentRefused),
    (400, openai_error("billing_hard_limit_reached"), PaymentRequired),
    (400, openai_error("billing_not_active"), PaymentRequired),
    (400, openai_error("invalid_value", said="Invalid size."), RequestRejected),
    (400, openai_error(None, said="Model mismatch: served m"), ModelMissing),
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
        FakeVendor(lambda seen: Reply(status=status, body=body)) as vendor,
        pytest.raises(ProviderError) as said,
    ):
        await submit(at(f"{vendor.url}/v1"))

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


@pytest.mark.parametrize("reply", [Reply(then="reset"), Reply(body=openai_answer(), then="cut")])
async def test_a_connection_that_breaks_after_the_request_is_not_asked_again(reply: Reply) -> None:
    with FakeVendor(lambda seen: reply) as vendor, pytest.raises(OutcomeUnknown):
        await submit(at(vendor.url))

    assert vendor.asked == ["POST /images/generations"]


async def test_an_answer_that_comes_too_late_leaves_the_outcome_unknown() -> None:
    with FakeVendor(lambda seen: Reply(then="hang")) as vendor, pytest.raises(OutcomeUnknown):
        await submit(at(vendor.url, timeout=0.1))

    assert vendor.asked == ["POST /images/generations"]


async def test_where_nothing_listens_nothing_was_charged() -> None:
    with FakeVendor(lambda seen: Reply()) as vendor:
        url = vendor.url

    with pytest.raises(ProviderUnavailable, match="nothing answers") as error:
        await submit(at(url))

    assert error.value.charged == 0


async def test_nothing_can_be_looked_up_or_collected_later() -> None:
    tested = provider()

    assert (await tested.resolve("our-key", "")).state == "unknowable"
    assert (await tested.cancel("x")).state == "unsupported"
    with pytest.raises(OutcomeUnknown):
        await tested.collect("", JOB, await model(tested), RUN)


async def test_the_key_is_in_no_repr_of_provider_or_settings() -> None:
    tested = provider(lambda r: httpx2.Response(200, json=openai_answer()))
    await submit(tested)

    assert KEY not in repr(tested) + repr(vars(tested)) + repr(Row())


async def test_closing_twice_is_allowed() -> None:
    tested = provider(lambda r: httpx2.Response(200, json=openai_answer()))
    await submit(tested)

    await tested.aclose()


# Azure, and servers that are not OpenAI


async def test_azure_is_known_by_its_host_and_gets_its_own_header() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=openai_answer())

    tested = provider(
        answer,
        baseUrl="https://mine.openai.azure.com/openai/v1",
        models={"my-deployment": {"priceUsd": 0.1}},
    )

    assert [m.id for m in await tested.list_models()] == ["my-deployment"]
    await submit(tested, id="my-deployment")
    assert [str(r.url) for r in seen] == [
        "https://mine.openai.azure.com/openai/v1/images/generations"
    ]
    assert seen[0].headers["api-key"] == KEY
    assert "authorization" not in seen[0].headers
    assert json.loads(seen[0].content)["model"] == "my-deployment"


@pytest.mark.parametrize(
    ("host", "listed"),
    [("gateway.example", 8), ("localhost:9", 0), ("192.168.1.7", 0), ("gpu-box", 0)],
)
async def test_elsewhere_it_is_openai_behind_a_gateway_and_at_home_a_server_of_ones_own(
    host: str, listed: int
) -> None:
    tested = provider(
        lambda r: httpx2.Response(404, json={}), baseUrl=f"https://{host}/v1", keyName=None
    )

    assert len(await tested.list_models()) == listed


# What every provider does


class TestOpenAIConformance(ProviderConformance):
    """OpenAI itself."""

    provider_type: ClassVar[Any] = OpenAI
    settings: ClassVar[Mapping[str, Any]] = {"flavour": "openai"}
    base_path: ClassVar[str] = "/v1"
    secrets: ClassVar[Mapping[str, str]] = {"OPENAI_API_KEY": KEY}
    refusals: ClassVar[Sequence[tuple[Reply, type[ProviderError]]]] = [
        (Reply(status=status, body=body), error) for status, body, error in ERRORS
    ]
    costs: ClassVar[Sequence[Reply]] = [
        Reply(body=openai_answer() | {"usage": None}),
        Reply(body=openai_answer() | {"usage": {"input_tokens": 0, "output_tokens": 0}}),
    ]

    def reply(self, seen: Seen) -> Reply:
        """A picture, cheap enough for the smallest of a low quality; or a list."""
        if seen.method == "GET":
            return Reply(
                body={"object": "list", "data": [{"id": "gpt-image-2", "object": "model"}]}
            )
        body = openai_pictures(picture(64, 64))
        body["data"] *= int(str(fields_of(seen).get("n", 1)))
        body["usage"]["output_tokens"] = 120
        return Reply(body=body)

    async def models(self, provider: Provider) -> Sequence[Model]:
        """One that does less and one that does more: each costs many requests with pictures."""
        few = ("gpt-image-2", "gpt-image-2.6-flare")
        return [m for m in await provider.list_models() if m.id in few]
