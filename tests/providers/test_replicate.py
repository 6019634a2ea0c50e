from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import anyio
import httpx2
import pytest
from pydantic import ValidationError

from tests.support.fake_vendors import PNG, has_specs, prediction, problems
from ziggie_image_mcp.provider import (
    NO_COST,
    UNKNOWN_COST,
    AuthenticationFailed,
    Buckets,
    CancelOutcome,
    ContentRefused,
    Cost,
    DependencyMissing,
    EngineCrashed,
    FreeSize,
    Generation,
    InvalidOutput,
    Model,
    ModelMissing,
    OutcomeUnknown,
    OutOfMemory,
    PaymentRequired,
    PriceBook,
    Provider,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RemoteJob,
    RequestRejected,
    Run,
    options_of,
)
from ziggie_image_mcp.provider.testing import (
    FakeVendor,
    ProviderConformance,
    Reply,
    Seen,
    picture,
)
from ziggie_image_providers.replicate import Replicate
from ziggie_image_providers.replicate.settings import Settings

TOKEN = "r8_0123456789abcdefghij"
ID = "gm3qorzdhgbfurvjtvhg6dckhu"
SCHNELL = "black-forest-labs/flux-schnell"
ORDER = f"POST /v1/models/{SCHNELL}/predictions"
LOOK = f"GET /v1/predictions/{ID}"
CANCEL = f"POST /v1/predictions/{ID}/cancel"
VERSION = "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"
JOB = ProviderRequest(
    prompt="a red bicycle", width=1024, height=1024, bucket="1:1", seed=7, steps=4
)
ROWS: Mapping[str, Any] = Replicate.table


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)


async def public(host: str) -> Sequence[str]:
    return ["93.184.216.34"]


def context(
    token: str | None = TOKEN,
    handler: Callable[[httpx2.Request], httpx2.Response] | None = None,
    hosts: Callable[[str], Any] = public,
) -> ProviderContext:
    async def secret(asked: str) -> str | None:
        return token if asked == "REPLICATE_API_TOKEN" else None

    return ProviderContext(
        data_dir=Path("unused"),
        secret=secret,
        transport=None if handler is None else httpx2.MockTransport(handler),
        resolver=hosts,
    )


def provider(
    url: str = "https://api.replicate.com",
    *,
    token: str | None = TOKEN,
    handler: Callable[[httpx2.Request], httpx2.Response] | None = None,
    hosts: Callable[[str], Any] = public,
    **settings: Any,
) -> Replicate:
    """One that does not wait long between its questions."""
    section = {"baseUrl": url, "local": False if "127.0.0.1" in url else None, **settings}
    tested = Replicate(
        "replicate", Settings.model_validate(section), context(token, handler, hosts)
    )
    tested.first_pause = tested.longest_pause = 0.01
    return tested


async def model(tested: Replicate, id: str = SCHNELL) -> Model:
    return next(m for m in await tested.list_models() if m.id == id)


async def submit(tested: Replicate, request: ProviderRequest = JOB, id: str = SCHNELL) -> str:
    try:
        submission = await tested.submit(request, await model(tested, id), RUN)
    finally:
        await tested.aclose()
    assert isinstance(submission, RemoteJob)
    return submission.id


async def collect(
    tested: Replicate, request: ProviderRequest = JOB, id: str = SCHNELL
) -> Generation:
    try:
        return await tested.collect(ID, request, await model(tested, id), RUN)
    finally:
        await tested.aclose()


async def cancel(tested: Replicate, id: str = ID) -> CancelOutcome:
    try:
        return await tested.cancel(id)
    finally:
        await tested.aclose()


def in_turn(*replies: Reply, cancelled: Reply | None = None) -> Callable[[Seen], Reply]:
    """Answers to the questions after a prediction, the last one for ever; pictures elsewhere."""
    left = list(replies)

    def script(seen: Seen) -> Reply:
        if seen.path.endswith("/cancel"):
            return cancelled or state("canceled")
        if seen.path.endswith(".png"):
            return Reply(body=PNG)
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply.body, bytes):
            return reply
        text = json.dumps(reply.body).replace("{origin}", seen.origin)
        return replace(reply, body=json.loads(text))

    return script


def state(status: str, **more: Any) -> Reply:
    return Reply(body=prediction(status, **more))


def done(*paths: str, **more: Any) -> Reply:
    return state("succeeded", output=[f"{{origin}}{path}" for path in paths or ("/x.png",)], **more)


# What it offers


async def test_it_lists_its_table_without_asking_anybody() -> None:
    def nobody(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(request.url)

    tested: Provider = provider(handler=nobody)

    listed = {m.id: m for m in await tested.list_models()}
    assert list(listed) == list(ROWS)
    assert set(listed[SCHNELL].tasks) == {"text_to_image"}
    assert options_of(listed[SCHNELL], "text_to_image") == {"seed", "steps"}
    assert listed[SCHNELL].tasks["text_to_image"].max_images == 4
    pro = listed["black-forest-labs/flux-1.1-pro"]
    assert options_of(pro, "text_to_image") == {"seed"}
    assert pro.tasks["text_to_image"].max_images == 1
    assert pro.tasks["text_to_image"].sizes == FreeSize(min_side=256, max_side=1440, multiple_of=32)
    assert all(m.where == "vendor" for m in listed.values())


async def test_a_picture_costs_its_list_price() -> None:
    tested = provider()

    estimate = tested.estimate(replace(JOB, num_images=3), await model(tested))

    assert estimate is not None
    assert (estimate.expected, estimate.upper) == (9_000, 9_000)
    assert estimate.basis == "list price of 2026-10-07"


def test_every_price_says_where_and_when_it_was_read() -> None:
    for row in ROWS.values():
        assert row.source
        assert row.as_of


async def test_a_ratio_promises_no_pixels_and_a_resolution_does() -> None:
    sizes = {m.id: m.tasks["text_to_image"].sizes for m in await provider().list_models()}

    assert isinstance(ratios := sizes[SCHNELL], Buckets)
    assert isinstance(pixels := sizes["ideogram-ai/ideogram-v3-quality"], Buckets)
    assert (ratios.exact, pixels.exact) == (False, True)
    assert (ratios.sizes[0].name, ratios.sizes[0].width) == ("1:1", 1024)


async def test_without_a_token_it_says_how_to_set_one() -> None:
    with pytest.raises(AuthenticationFailed) as error:
        await provider(token=None).list_models()

    assert "ziggie-image-mcp keys set REPLICATE_API_TOKEN" in str(error.value)
    assert "shell's environment" in str(error.value)


async def test_without_the_sdk_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "replicate", None)

    with pytest.raises(DependencyMissing, match=r"ziggie-image-mcp\[replicate\]"):
        await provider().list_models()


async def test_the_user_can_add_models_and_prices() -> None:
    tested = provider(
        models={
            SCHNELL: {"priceUsd": 0.002},
            "me/mine": {"inputs": {"seed": "random_seed", "negative_prompt": "not_this"}},
        }
    )

    own, mine = await model(tested), await model(tested, "me/mine")
    assert (estimate := tested.estimate(JOB, own))
    assert (estimate.upper, estimate.basis) == (2_000, "price in your config")
    assert own.tasks["text_to_image"].max_images == 4
    assert mine.prices == PriceBook(rates=())
    assert tested.estimate(JOB, mine) is None
    assert options_of(mine, "text_to_image") == {"seed", "negative_prompt"}


@pytest.mark.parametrize(
    "settings",
    [
        {"baseUrl": "https://host?token=secret"},
        {"models": {"no-owner": {}}},
        {"models": {"owner/../account": {}}},
        {"models": {"a/b?x=1": {}}},
        {"apiToken": "secret"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate(settings)

    assert "secret" not in str(error.value)


def test_every_config_of_version_1_still_counts() -> None:
    text = (Path(__file__).parents[1] / "data/version_1/config.json").read_text(encoding="utf-8")
    section = json.loads(text)["imageGeneration"]["providers"]["replicate"]

    settings = Settings.model_validate({k: v for k, v in section.items() if k != "privacy"})

    own = list(settings.models.values())[1]
    assert own.shapes == {"1:1": (1024, 1024), "16:9": (1344, 768)}
    assert own.inputs["num_images"] == "num_outputs"
    assert own.always["quality"] == 90


# What it sends


PAYLOADS = [
    (
        SCHNELL,
        replace(JOB, width=1344, height=768, bucket="16:9", num_images=2),
        {
            "prompt": "a red bicycle",
            "aspect_ratio": "16:9",
            "megapixels": "1",
            "go_fast": False,
            "output_format": "png",
            "seed": 7,
            "num_inference_steps": 4,
            "num_outputs": 2,
        },
    ),
    (
        "black-forest-labs/flux-dev",
        replace(JOB, steps=28, guidance_scale=3.5),
        {
            "prompt": "a red bicycle",
            "aspect_ratio": "1:1",
            "megapixels": "1",
            "go_fast": False,
            "output_format": "png",
            "seed": 7,
            "num_inference_steps": 28,
            "guidance": 3.5,
            "num_outputs": 1,
        },
    ),
    (
        "black-forest-labs/flux-1.1-pro",
        replace(JOB, width=1440, height=256, bucket="", steps=None),
        {
            "prompt": "a red bicycle",
            "aspect_ratio": "custom",
            "width": 1440,
            "height": 256,
            "output_format": "png",
            "prompt_upsampling": False,
            "seed": 7,
        },
    ),
    (
        "ideogram-ai/ideogram-v3-quality",
        replace(JOB, width=1312, height=736, bucket="1312x736", steps=None, seed=2**31 + 5),
        {
            "prompt": "a red bicycle",
            "resolution": "1312x736",
            "magic_prompt_option": "Off",
            "seed": 5,
        },
    ),
]


@pytest.mark.parametrize(("id", "request_", "inputs"), PAYLOADS)
async def test_the_payload_is_in_the_words_of_each_model(
    id: str, request_: ProviderRequest, inputs: dict[str, Any]
) -> None:
    tested = provider()

    assert tested.payload(request_, await model(tested, id)) == inputs


async def test_a_negative_prompt_goes_to_the_input_that_takes_it() -> None:
    tested = provider(models={"me/mine": {"inputs": {"negative_prompt": "not_this"}}})
    mine = await model(tested, "me/mine")

    assert tested.payload(replace(JOB, negative_prompt="blur"), mine)["not_this"] == "blur"
    assert "not_this" not in tested.payload(JOB, mine)


async def test_a_prediction_is_one_request_and_gives_the_vendors_id() -> None:
    with FakeVendor(lambda seen: Reply(status=201, body=prediction())) as vendor:
        tested = provider(f"{vendor.url}/gateway/")
        id = await submit(tested)

    assert id == ID
    assert vendor.asked == [f"POST /gateway/v1/models/{SCHNELL}/predictions"]
    assert vendor.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert vendor.seen[0].body == {
        "input": {
            "prompt": "a red bicycle",
            "aspect_ratio": "1:1",
            "megapixels": "1",
            "go_fast": False,
            "output_format": "png",
            "seed": 7,
            "num_inference_steps": 4,
            "num_outputs": 1,
        }
    }
    assert "prefer" not in vendor.seen[0].headers


async def test_a_model_with_a_version_is_ordered_by_it() -> None:
    id = f"stability-ai/sdxl:{VERSION}"
    with FakeVendor(lambda seen: Reply(status=201, body=prediction())) as vendor:
        await submit(provider(vendor.url, models={id: {}}), id=id)

    assert vendor.asked == ["POST /v1/predictions"]
    assert vendor.seen[0].body["version"] == VERSION
    if has_specs():
        wrong = problems("replicate", "schemas_version_prediction_request", vendor.seen[0].body)
        assert wrong == []


@pytest.mark.spec
async def test_request_and_fake_answers_keep_to_the_published_spec() -> None:
    with FakeVendor(lambda seen: Reply(status=201, body=prediction())) as vendor:
        await submit(provider(vendor.url))

    assert problems("replicate", "schemas_prediction_request", vendor.seen[0].body) == []
    for status in ("starting", "processing", "succeeded", "failed", "canceled", "aborted"):
        body = prediction(status, output=["https://replicate.delivery/x.png"], error="E005")
        assert problems("replicate", "schemas_prediction_response", body) == []


@pytest.mark.spec
def test_the_spec_would_catch_a_wrong_request() -> None:
    assert problems("replicate", "schemas_prediction_request", {"input": {}, "key": "x"}) != []


# What an order may lead to


@pytest.mark.parametrize(
    "body",
    [
        prediction("aborted"),
        prediction("succeeded", output=["https://replicate.delivery/x.png"]),
        {"id": ID, "status": "starting"},
        prediction("starting", error={"code": 1}),
    ],
)
async def test_a_prediction_counts_as_sent_though_the_sdk_cannot_read_the_answer(
    body: dict[str, Any],
) -> None:
    with FakeVendor(lambda seen: Reply(status=201, body=body)) as vendor:
        assert await submit(provider(vendor.url)) == ID

    assert vendor.asked == [ORDER]


@pytest.mark.parametrize("body", [b"<html>", [], {"status": "starting"}, None, "text"])
async def test_a_success_without_an_id_leaves_the_outcome_unknown(body: Any) -> None:
    with (
        FakeVendor(lambda seen: Reply(status=201, body=body)) as vendor,
        pytest.raises(OutcomeUnknown),
    ):
        await submit(provider(vendor.url))

    assert vendor.asked == [ORDER]


def problem(status: int, **more: Any) -> dict[str, Any]:
    return {"title": "No", "detail": f"Because {TOKEN}.", "status": status, **more}


REFUSALS: list[tuple[int, Any, type[ProviderError]]] = [
    (400, problem(400), RequestRejected),
    (401, {"title": "Unauthenticated", "detail": f"token {TOKEN}"}, AuthenticationFailed),
    (402, problem(402, title="Insufficient credit"), PaymentRequired),
    (403, problem(403), AuthenticationFailed),
    (404, problem(404), ModelMissing),
    (422, problem(422, invalid_fields=[{"field": "input.steps"}]), RequestRejected),
    (429, problem(429, retry_after=5), RateLimited),
    (307, {}, ProviderUnavailable),
    (408, {}, OutcomeUnknown),
    (500, b"oops", OutcomeUnknown),
    (503, problem(503), OutcomeUnknown),
    (504, problem(504), OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "body", "error"), REFUSALS)
async def test_a_refused_prediction_becomes_the_error_that_says_who_must_act_and_is_sent_once(
    status: int, body: Any, error: type[ProviderError]
) -> None:
    headers = {"location": "/elsewhere"} if status == 307 else {}
    with (
        FakeVendor(lambda seen: Reply(status=status, body=body, headers=headers)) as vendor,
        pytest.raises(ProviderError) as said,
    ):
        await submit(provider(vendor.url))

    assert type(said.value) is error
    assert vendor.asked == [ORDER]
    assert TOKEN not in str(said.value) + repr(said.value)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, {}, 7.0),
        ({}, {"detail": "Request was throttled.", "status": 429, "retry_after": 5}, 5.0),
        ({}, b"slow down", None),
    ],
)
async def test_a_rate_limit_says_how_long_to_wait(
    headers: dict[str, str], body: Any, seconds: float | None
) -> None:
    with (
        FakeVendor(lambda seen: Reply(status=429, body=body, headers=headers)) as vendor,
        pytest.raises(RateLimited) as said,
    ):
        await submit(provider(vendor.url))

    assert said.value.retry_after == seconds


@pytest.mark.parametrize("reply", [Reply(then="reset"), Reply(body=prediction(), then="cut")])
async def test_a_connection_that_breaks_after_the_post_is_not_posted_again(reply: Reply) -> None:
    with FakeVendor(lambda seen: reply) as vendor, pytest.raises(OutcomeUnknown):
        await submit(provider(vendor.url))

    assert vendor.asked == [ORDER]


async def test_a_prediction_that_is_not_answered_in_time_is_not_posted_again() -> None:
    with FakeVendor(lambda seen: Reply(then="hang")) as vendor, pytest.raises(OutcomeUnknown):
        await submit(provider(vendor.url, timeout=0.1))

    assert vendor.asked == [ORDER]


async def test_where_nothing_listens_nothing_was_charged() -> None:
    with FakeVendor(lambda seen: Reply()) as vendor:
        url = vendor.url

    with pytest.raises(ProviderUnavailable, match="nothing answers") as error:
        await submit(provider(url))

    assert error.value.charged == 0


# What becomes of a prediction


async def test_the_pictures_are_fetched_without_the_token() -> None:
    replies = (state("starting"), state("processing"), done("/out-0.png", "/out-1.png"))
    with FakeVendor(in_turn(*replies)) as vendor:
        generation = await collect(provider(vendor.url), replace(JOB, num_images=2))

    assert [image.data for image in generation.images] == [PNG, PNG]
    assert [image.seed for image in generation.images] == [7, None], "one seed made them all"
    assert generation.cost == Cost(micro_usd=6_000, basis="list")
    assert vendor.asked == [LOOK] * 3 + ["GET /out-0.png", "GET /out-1.png"]
    for seen in vendor.seen[3:]:
        assert "authorization" not in seen.headers
        assert TOKEN not in str(seen)


async def test_a_single_address_is_one_picture_and_the_vendors_count_is_charged() -> None:
    reply = state("succeeded", output="{origin}/x.png", metrics={"image_count": 2})
    with FakeVendor(in_turn(reply)) as vendor:
        generation = await collect(provider(vendor.url))

    assert len(generation.images) == 1
    assert generation.cost.micro_usd == 6_000


async def test_the_seed_is_the_one_that_the_model_was_given() -> None:
    id = "ideogram-ai/ideogram-v3-quality"
    with FakeVendor(in_turn(done())) as vendor:
        generation = await collect(provider(vendor.url), replace(JOB, seed=2**31 + 5), id)

    assert generation.images[0].seed == 5


async def test_a_model_without_a_price_costs_nobody_knows_what() -> None:
    with FakeVendor(in_turn(done())) as vendor:
        generation = await collect(provider(vendor.url, models={"me/mine": {}}), id="me/mine")

    assert generation.cost == UNKNOWN_COST
    assert generation.images[0].seed is None


@pytest.mark.parametrize(
    "hiccup",
    [
        Reply(status=503, body={}),
        Reply(status=429, body={}),
        Reply(body=b"<html>"),
        Reply(body={"detail": "x"}),
    ],
)
async def test_a_question_that_fails_is_asked_again(hiccup: Reply) -> None:
    with (
        FakeVendor(in_turn(hiccup, hiccup, state("aborted"))) as vendor,
        pytest.raises(EngineCrashed),
    ):
        await collect(provider(vendor.url))

    assert vendor.asked == [LOOK] * 3


async def test_a_question_whose_connection_breaks_is_asked_again() -> None:
    replies = (Reply(then="reset"), Reply(then="reset"), done())
    with FakeVendor(in_turn(*replies)) as vendor:
        generation = await collect(provider(vendor.url))

    assert generation.images[0].data == PNG


ENDS: list[tuple[str, Any, type[ProviderError]]] = [
    ("aborted", None, EngineCrashed),
    ("canceled", None, EngineCrashed),
    ("failed", "NSFW content detected. Try a different prompt.", ContentRefused),
    ("failed", "The input or output was flagged as sensitive. (E005)", ContentRefused),
    ("failed", "CUDA out of memory. Tried to allocate", OutOfMemory),
    ("failed", "Invalid input: width must be a multiple of 8", RequestRejected),
    ("failed", "the argument is case-sensitive", EngineCrashed),
    ("failed", f"Prediction interrupted; {TOKEN}", EngineCrashed),
    ("failed", None, EngineCrashed),
    ("failed", {"code": 1}, EngineCrashed),
]


@pytest.mark.parametrize(("status", "words", "error"), ENDS)
async def test_a_prediction_that_ended_badly_says_why(
    status: str, words: Any, error: type[ProviderError]
) -> None:
    with (
        FakeVendor(in_turn(state(status, error=words))) as vendor,
        pytest.raises(ProviderError) as raised,
    ):
        await collect(provider(vendor.url))

    assert type(raised.value) is error
    assert raised.value.charged == 0
    assert "HTTP" not in str(raised.value)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 418])
async def test_a_prediction_that_the_vendor_no_longer_tells_of_may_be_charged(status: int) -> None:
    with FakeVendor(in_turn(Reply(status=status, body={}))) as vendor:
        with pytest.raises(OutcomeUnknown):
            await collect(provider(vendor.url))
        tested = provider(vendor.url)
        resolution = await tested.resolve("our-key", ID)
        await tested.aclose()

    assert resolution.state == "unknowable"


async def test_a_token_that_is_gone_leaves_a_running_job_unknown() -> None:
    schnell = await model(provider())

    with pytest.raises(OutcomeUnknown):
        await provider(token=None).collect(ID, JOB, schnell, RUN)


@pytest.mark.parametrize("id", ["", "../account", "a/b", "x?y"])
async def test_an_id_that_is_none_is_not_asked_for(id: str) -> None:
    with FakeVendor(lambda seen: state("succeeded")) as vendor:
        tested = provider(vendor.url)
        with pytest.raises(OutcomeUnknown):
            await tested.collect(id, JOB, await model(tested), RUN)
        assert (await tested.resolve("our-key", id)).state == "unknowable"
        assert (await cancel(tested, id)).state == "unsupported"

    assert vendor.asked == []


@pytest.mark.parametrize(
    ("reply", "resolved"),
    [
        (state("starting"), "running"),
        (state("processing"), "running"),
        (done(), "finished"),
        (state("failed", error="x"), "failed"),
        (state("canceled"), "failed"),
        (Reply(status=404, body={}), "unknowable"),
        (Reply(status=500, body={}), "unknowable"),
    ],
)
async def test_another_process_finds_out_what_became_of_a_prediction(
    reply: Reply, resolved: str
) -> None:
    with FakeVendor(in_turn(reply)) as vendor:
        tested = provider(vendor.url)
        resolution = await tested.resolve("our-key", ID)
        by_key = await tested.resolve("our-key", "")
        await tested.aclose()

    assert (resolution.state, resolution.remote_id) == (resolved, ID)
    assert resolution.cost == (NO_COST if resolved == "failed" else UNKNOWN_COST)
    assert by_key.state == "unknowable"
    assert vendor.asked == [LOOK]


@pytest.mark.parametrize(
    ("then", "error", "charged"),
    [
        (state("canceled"), ProviderTimeout, None),
        (state("aborted"), ProviderTimeout, 0),
        (state("processing"), OutcomeUnknown, 0),
        (Reply(status=500, body={}), OutcomeUnknown, 0),
    ],
)
async def test_a_job_that_takes_too_long_is_stopped(
    then: Reply, error: type[ProviderError], charged: int | None
) -> None:
    with (
        FakeVendor(in_turn(state("processing"), cancelled=then)) as vendor,
        pytest.raises(error) as said,
    ):
        await collect(provider(vendor.url, timeout=0.1))

    assert said.value.charged == charged
    assert vendor.asked.count(CANCEL) == 1


async def test_a_job_that_ended_while_it_was_stopped_is_still_fetched() -> None:
    ended: list[bool] = []

    def script(seen: Seen) -> Reply:
        if seen.path.endswith("/cancel"):
            ended.append(True)
        return in_turn(done() if ended else state("processing"), cancelled=state("succeeded"))(seen)

    with FakeVendor(script) as vendor:
        generation = await collect(provider(vendor.url, timeout=0.1))

    assert generation.images[0].data == PNG
    assert vendor.asked.count(CANCEL) == 1


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (state("canceled"), CancelOutcome(state="stopped")),
        (state("aborted"), CancelOutcome(state="stopped", cost=NO_COST)),
        (state("succeeded"), CancelOutcome(state="too_late")),
        (state("failed"), CancelOutcome(state="too_late")),
        (state("processing"), CancelOutcome(state="unsupported")),
        (Reply(status=401, body={}), CancelOutcome(state="unsupported")),
        (Reply(status=500, body={}), CancelOutcome(state="unsupported")),
        (Reply(body=b"<html>"), CancelOutcome(state="unsupported")),
        (Reply(then="reset"), CancelOutcome(state="unsupported")),
    ],
)
async def test_cancel_asks_once_and_says_what_came_of_it(
    reply: Reply, outcome: CancelOutcome
) -> None:
    with FakeVendor(in_turn(state("processing"), cancelled=reply)) as vendor:
        assert await cancel(provider(vendor.url)) == outcome

    assert vendor.asked == [CANCEL]


async def test_cancel_does_not_wait_for_ever_and_raises_nothing_without_a_token() -> None:
    with FakeVendor(lambda seen: Reply(then="hang")) as vendor, anyio.fail_after(2.5):
        assert (await cancel(provider(vendor.url))).state == "unsupported"

    assert (await cancel(provider(token=None))).state == "unsupported"


@pytest.mark.parametrize("by", ["task", "scope"])
async def test_cancelling_lets_the_cancellation_through_and_leaves_the_stopping_to_cancel(
    by: str,
) -> None:
    waits = asyncio.Event()
    scope = anyio.CancelScope()

    async def progress(share: float, message: str) -> None:
        waits.set()

    async def work() -> None:
        with scope:
            await tested.collect(
                ID, JOB, await model(tested), Run(key="our-key", progress=progress)
            )

    with FakeVendor(in_turn(state("processing"))) as vendor:
        tested = provider(vendor.url)
        tested.first_pause = tested.longest_pause = 60
        task = asyncio.create_task(work())
        await waits.wait()
        if by == "task":
            task.cancel()
        else:
            scope.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await tested.aclose()

    assert task.cancelled() if by == "task" else scope.cancelled_caught
    assert vendor.asked == [LOOK]


# Pictures that cannot be had


@pytest.mark.parametrize("more", [{"output": None, "data_removed": True}, {"output": []}])
async def test_a_finished_job_without_pictures_is_charged(more: dict[str, Any]) -> None:
    with (
        FakeVendor(in_turn(state("succeeded", **more))) as vendor,
        pytest.raises(InvalidOutput, match=ID) as said,
    ):
        await collect(provider(vendor.url))

    assert said.value.charged == 3_000


async def test_a_picture_that_expired_is_not_asked_for_again() -> None:
    def script(seen: Seen) -> Reply:
        if seen.path == "/x":
            return Reply(status=404, body={})
        return state("succeeded", output=[f"{seen.origin}/x"])

    with (
        FakeVendor(script) as vendor,
        pytest.raises(InvalidOutput, match="kept for an hour") as said,
    ):
        await collect(provider(vendor.url))

    assert vendor.asked == [LOOK, "GET /x"]
    assert said.value.charged == 3_000


def delivered_from(url: str, seen: list[httpx2.Request]) -> Callable[[httpx2.Request], Any]:
    """The real API's address in a mock: the prediction is done, and its picture lies at `url`."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if request.url.host == "api.replicate.com":
            return httpx2.Response(200, json=prediction("succeeded", output=[url]))
        if request.url.path == "/moved":
            return httpx2.Response(302, headers={"location": "http://169.254.169.254/latest"})
        return httpx2.Response(200, content=PNG)

    return answer


@pytest.mark.parametrize(
    "url",
    [
        "http://replicate.delivery/x.png",
        "ftp://replicate.delivery/x.png",
        "https://user:pass@replicate.delivery/x.png",
        "https://127.0.0.1/x.png",
        "https://10.0.0.1/x.png",
        "https://replicate.delivery/moved",
        "not an address",
        "data:image/png;base64,AAAA",
    ],
)
async def test_an_address_that_a_picture_has_no_business_at_is_not_asked(url: str) -> None:
    seen: list[httpx2.Request] = []

    with pytest.raises(InvalidOutput) as error:
        await collect(provider(handler=delivered_from(url, seen)))

    assert error.value.charged == 3_000
    asked = {str(request.url) for request in seen}
    assert asked <= {f"https://api.replicate.com/v1/predictions/{ID}", url}
    assert url not in asked or url.endswith("/moved")


@pytest.mark.parametrize("host", ["replicate.delivery", "pbxt.replicate.delivery", "cdn.example"])
async def test_a_public_address_is_fetched_without_the_token(host: str) -> None:
    seen: list[httpx2.Request] = []
    handler = delivered_from(f"https://{host}/x.png", seen)

    async def hosts(asked: str) -> Sequence[str]:
        return ["10.0.0.1"] if asked.endswith("replicate.delivery") else ["93.184.216.34"]

    generation = await collect(provider(handler=handler, hosts=hosts))

    assert generation.images[0].data == PNG, "the vendor's own host may look private, as in a VPN"
    assert seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in seen[1].headers


async def test_a_host_that_only_looks_like_the_vendors_is_not_trusted() -> None:
    seen: list[httpx2.Request] = []
    handler = delivered_from("https://replicate.delivery.evil.example/x.png", seen)

    async def inside(host: str) -> Sequence[str]:
        return ["10.0.0.1"]

    with pytest.raises(InvalidOutput):
        await collect(provider(handler=handler, hosts=inside))

    assert len(seen) == 1


async def test_the_token_is_in_no_repr_of_the_provider() -> None:
    with FakeVendor(lambda seen: Reply(status=201, body=prediction())) as vendor:
        tested = provider(vendor.url)
        await submit(tested)

    assert TOKEN not in repr(tested) + repr(vars(tested))


# What every provider does


class TestReplicateConformance(ProviderConformance):
    """Order, look, fetch."""

    provider_type: ClassVar[Any] = Replicate
    secrets: ClassVar[Mapping[str, str]] = {"REPLICATE_API_TOKEN": TOKEN}
    refusals: ClassVar[Sequence[tuple[Reply, type[ProviderError]]]] = [
        *((Reply(status=status, body=body), error) for status, body, error in REFUSALS),
        *((state(status, error=words), error) for status, words, error in ENDS),
        (state("succeeded", output=[], metrics={"image_count": 1}), InvalidOutput),
    ]

    def build(
        self, url: str, data_dir: Path, *, timeout: float | None = None, **section: Any
    ) -> Provider:
        """One that does not wait long between its questions."""
        tested = super().build(url, data_dir, timeout=timeout, **section)
        assert isinstance(tested, Replicate)
        tested.first_pause = tested.longest_pause = 0.01
        return tested

    counts_pictures = False

    def reply(self, seen: Seen) -> Reply:
        """Ordered, done, and a picture."""
        if seen.path.endswith(".png"):
            return Reply(body=picture(64, 64))
        if seen.path.endswith("/cancel"):
            return state("canceled")
        if seen.method == "POST":
            return Reply(status=201, body=prediction())
        return state("succeeded", output=[f"{seen.origin}/x.png"], metrics={"image_count": 1})

    def is_submit(self, seen: Seen) -> bool:
        """A cancellation is a POST too."""
        return seen.method == "POST" and not seen.path.endswith("/cancel")

    def gets(self, seen: Seen, reply: Reply) -> bool:
        """What tells how a prediction ended is the answer to a question after it."""
        if reply.status == 200:
            return seen.method == "GET" and "/predictions/" in seen.path
        return self.is_submit(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        """Without the one that has 69 sizes, but with free sizes and with a list."""
        few = (SCHNELL, "black-forest-labs/flux-1.1-pro")
        return [m for m in await provider.list_models() if m.id in few]
