from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from pydantic import ValidationError

from tests.support.fake_vendors import (
    NO_SPECS,
    PNG,
    Answer,
    FakeVendor,
    Seen,
    has_specs,
    prediction,
    problems,
)
from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ContentRefused,
    DependencyMissing,
    EngineCrashed,
    InvalidOutput,
    ModelMissing,
    OutcomeUnknown,
    OutOfMemory,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.contract import PaidProvider, ProviderContext
from ziggie_image_mcp.provider.types import Generation, Model, ProviderRequest
from ziggie_image_providers.replicate import Replicate, payload
from ziggie_image_providers.replicate.settings import Row, Settings, table

TOKEN = "r8_0123456789abcdefghij"
ID = "gm3qorzdhgbfurvjtvhg6dckhu"
SCHNELL = "black-forest-labs/flux-schnell"
ORDER = f"POST /v1/models/{SCHNELL}/predictions"
LOOK = f"GET /v1/predictions/{ID}"
CANCEL = f"POST /v1/predictions/{ID}/cancel"
VERSION = "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"
JOB = ProviderRequest(
    prompt="a red bicycle",
    negative_prompt="",
    width=1024,
    height=1024,
    num_images=1,
    seed=7,
    steps=4,
    guidance_scale=None,
)
SPEC = pytest.mark.skipif(not has_specs(), reason=NO_SPECS)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds


async def ignore(fraction: float, message: str) -> None:
    """Progress that nobody reads."""


def context(token: str | None = TOKEN) -> ProviderContext:
    async def secret(asked: str) -> str | None:
        return token if asked == "REPLICATE_API_TOKEN" else None

    return ProviderContext(data_dir=Path("unused"), secret=secret)


async def public(host: str) -> Sequence[str]:
    return ["93.184.216.34"]


def provider(
    url: str = "https://api.replicate.com",
    *,
    token: str | None = TOKEN,
    handler: Callable[[httpx2.Request], httpx2.Response] | None = None,
    clock: Clock | None = None,
    hosts: Callable[[str], Any] = public,
    **settings: Any,
) -> Replicate:
    clock = clock or Clock()
    return Replicate(
        "replicate",
        Settings.model_validate({"baseUrl": url, **settings}),
        context(token),
        None if handler is None else httpx2.MockTransport(handler),
        sleep=clock.sleep,
        clock=clock,
        resolve=hosts,
    )


async def model(made: Replicate, id: str = SCHNELL) -> Model:
    return next(m for m in await made.models() if m.id == id)


async def submit(made: Replicate, job: ProviderRequest = JOB, id: str = SCHNELL) -> str:
    try:
        submission = await made.submit(job, await model(made, id), "our-key")
    finally:
        await made.aclose()
    assert submission.generation is None
    return submission.remote_id


async def collect(made: Replicate, job: ProviderRequest = JOB, id: str = SCHNELL) -> Generation:
    try:
        return await made.collect(ID, job, await model(made, id), ignore)
    finally:
        await made.aclose()


def in_turn(*answers: Answer, cancelled: Answer | None = None) -> Callable[[Seen], Answer]:
    """Answers to the questions after a prediction, the last one for ever."""
    left = list(answers)

    def script(seen: Seen) -> Answer:
        if seen.path.endswith("/cancel"):
            return cancelled or Answer(body=prediction("canceled"))
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def state(status: str, **more: Any) -> Answer:
    return Answer(body=prediction(status, **more))


# What it offers


async def test_it_is_a_paid_provider_that_lists_its_table_without_asking_anybody() -> None:
    def nobody(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(request.url)

    made: PaidProvider = provider(handler=nobody)

    listed = {m.id: m for m in await made.models()}
    assert list(listed) == list(table())
    assert listed[SCHNELL].features == {"text_to_image", "seed", "steps"}
    assert listed[SCHNELL].price_micro_usd == 3_000
    assert listed[SCHNELL].max_images == 4
    assert listed["black-forest-labs/flux-1.1-pro"].features == {"text_to_image", "seed"}
    assert listed["black-forest-labs/flux-1.1-pro"].max_images == 1
    assert not any(m.local for m in listed.values())


def test_every_price_says_where_and_when_it_was_read() -> None:
    for row in table().values():
        assert row.source
        assert row.as_of


def test_every_shape_can_be_asked_for_by_the_sides_that_the_model_declares() -> None:
    for row in table().values():
        for width, height in row.shapes.values():
            assert row.min_side <= min(width, height)
            assert max(width, height) <= row.max_side
            assert width % row.multiple_of == height % row.multiple_of == 0


async def test_without_a_token_it_says_how_to_set_one() -> None:
    with pytest.raises(AuthenticationFailed) as error:
        await provider(token=None).models()

    assert "ziggie-image-mcp keys set REPLICATE_API_TOKEN" in str(error.value)
    assert "shell's environment" in str(error.value)


async def test_without_the_sdk_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "replicate", None)

    with pytest.raises(DependencyMissing, match=r"ziggie-image-mcp\[replicate\]"):
        await provider().models()


async def test_the_user_can_add_models_and_prices() -> None:
    made = provider(
        models={
            SCHNELL: {"priceUsd": 0.002},
            "me/mine": {"inputs": {"seed": "random_seed", "negative_prompt": "not_this"}},
        }
    )

    assert (await model(made)).price_micro_usd == 2_000
    assert (await model(made)).max_images == 4
    mine = await model(made, "me/mine")
    assert mine.price_micro_usd is None
    assert mine.features == {"text_to_image", "seed", "negative_prompt"}


@pytest.mark.parametrize(
    "settings",
    [
        {"baseUrl": "https://me:secret@host"},
        {"baseUrl": "https://api.replicate.com/v1"},
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


# What it sends


@pytest.mark.parametrize(
    ("id", "job", "said"),
    [
        (
            SCHNELL,
            replace(JOB, width=1344, height=768, num_images=2),
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
            replace(JOB, width=1440, height=256, steps=None),
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
            replace(JOB, width=1312, height=736, steps=None, seed=2**31 + 5),
            {
                "prompt": "a red bicycle",
                "resolution": "1312x736",
                "magic_prompt_option": "Off",
                "seed": 5,
            },
        ),
    ],
)
def test_the_payload_is_in_the_words_of_each_model(
    id: str, job: ProviderRequest, said: dict[str, Any]
) -> None:
    assert payload(job, table()[id]) == said


def test_a_negative_prompt_goes_to_the_input_that_takes_it() -> None:
    row = Row(inputs={"negative_prompt": "not_this"})

    assert payload(replace(JOB, negative_prompt="blur"), row)["not_this"] == "blur"
    assert "not_this" not in payload(JOB, row)


@pytest.mark.parametrize(
    ("size", "ratio"),
    [((1280, 832), "3:2"), ((1152, 896), "4:3"), ((640, 1536), "9:21"), ((1088, 896), "5:4")],
)
def test_a_size_near_a_shape_becomes_that_shape(size: tuple[int, int], ratio: str) -> None:
    job = replace(JOB, width=size[0], height=size[1])

    assert payload(job, table()[SCHNELL])["aspect_ratio"] == ratio


@pytest.mark.parametrize("size", [(1472, 704), (640, 640), (1536, 1536)])
async def test_a_size_far_from_every_shape_is_not_sent(size: tuple[int, int]) -> None:
    with (
        FakeVendor(lambda seen: state("starting")) as vendor,
        pytest.raises(RequestRejected, match="1024x1024"),
    ):
        await submit(provider(vendor.url), replace(JOB, width=size[0], height=size[1]))

    assert vendor.asked == []


async def test_a_prediction_is_one_request_and_gives_the_vendors_id() -> None:
    with FakeVendor(lambda seen: Answer(status=201, body=prediction())) as vendor:
        id = await submit(provider(f"{vendor.url}/gateway/"))

    assert id == ID
    assert vendor.asked == [f"POST /gateway/v1/models/{SCHNELL}/predictions"]
    assert vendor.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert vendor.seen[0].body == {"input": payload(JOB, table()[SCHNELL])}
    assert "prefer" not in vendor.seen[0].headers


async def test_a_model_with_a_version_is_ordered_by_it() -> None:
    id = f"stability-ai/sdxl:{VERSION}"
    with FakeVendor(lambda seen: Answer(status=201, body=prediction())) as vendor:
        await submit(provider(vendor.url, models={id: {}}), id=id)

    assert vendor.asked == ["POST /v1/predictions"]
    assert vendor.seen[0].body["version"] == VERSION
    if has_specs():
        wrong = problems("replicate", "schemas_version_prediction_request", vendor.seen[0].body)
        assert wrong == []


@SPEC
async def test_request_and_fake_answers_keep_to_the_published_spec() -> None:
    with FakeVendor(lambda seen: Answer(status=201, body=prediction())) as vendor:
        await submit(provider(vendor.url))

    assert problems("replicate", "schemas_prediction_request", vendor.seen[0].body) == []
    for status in ("starting", "processing", "succeeded", "failed", "canceled", "aborted"):
        body = prediction(status, output=["https://replicate.delivery/x.png"], error="E005")
        assert problems("replicate", "schemas_prediction_response", body) == []


@SPEC
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
    with FakeVendor(lambda seen: Answer(status=201, body=body)) as vendor:
        assert await submit(provider(vendor.url)) == ID

    assert vendor.asked == [ORDER]


@pytest.mark.parametrize("body", [b"<html>", [], {"status": "starting"}, None])
async def test_a_success_without_an_id_leaves_the_outcome_unknown(body: Any) -> None:
    with (
        FakeVendor(lambda seen: Answer(status=201, body=body)) as vendor,
        pytest.raises(OutcomeUnknown),
    ):
        await submit(provider(vendor.url))

    assert vendor.asked == [ORDER]


def problem(status: int, **more: Any) -> dict[str, Any]:
    return {"title": "No", "detail": f"Because {TOKEN}.", "status": status, **more}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, problem(400), RequestRejected),
        (401, {"title": "Unauthenticated", "detail": f"token {TOKEN}"}, AuthenticationFailed),
        (402, problem(402), PaymentRequired),
        (403, problem(403), AuthenticationFailed),
        (404, problem(404), ModelMissing),
        (422, problem(422, invalid_fields=[{"field": "input.steps"}]), RequestRejected),
        (429, problem(429), RateLimited),
        (307, {}, ProviderUnavailable),
        (408, {}, OutcomeUnknown),
        (500, b"oops", OutcomeUnknown),
        (503, problem(503), OutcomeUnknown),
        (504, problem(504), OutcomeUnknown),
    ],
)
async def test_a_refused_prediction_becomes_the_error_that_says_who_must_act_and_is_sent_once(
    status: int, body: Any, error: type[ProviderError]
) -> None:
    headers = {"location": "/elsewhere"} if status == 307 else {}
    with (
        FakeVendor(lambda seen: Answer(status=status, body=body, headers=headers)) as vendor,
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
        FakeVendor(lambda seen: Answer(status=429, body=body, headers=headers)) as vendor,
        pytest.raises(RateLimited) as said,
    ):
        await submit(provider(vendor.url))

    assert said.value.retry_after == seconds


async def test_a_connection_reset_after_the_post_is_not_posted_again() -> None:
    with FakeVendor(lambda seen: Answer(then="reset")) as vendor, pytest.raises(OutcomeUnknown):
        await submit(provider(vendor.url))

    assert vendor.asked == [ORDER]


async def test_a_prediction_that_is_not_answered_in_time_is_not_posted_again() -> None:
    asked: list[str] = []

    def slow(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.method)
        raise httpx2.ReadTimeout("slow", request=request)

    with pytest.raises(OutcomeUnknown):
        await submit(provider(handler=slow))

    assert asked == ["POST"]


async def test_where_nothing_listens_nothing_was_charged() -> None:
    with FakeVendor(lambda seen: Answer()) as vendor:
        url = vendor.url

    with pytest.raises(ProviderUnavailable, match="nothing answers"):
        await submit(provider(url))


async def test_a_prediction_cannot_be_looked_up_by_our_key() -> None:
    with pytest.raises(OutcomeUnknown):
        await provider().find("our-key")


# What becomes of a prediction


async def test_the_pictures_are_fetched_from_another_host_without_the_token() -> None:
    with FakeVendor(lambda seen: Answer(body=PNG)) as delivery:
        urls = [f"{delivery.url}/out-0.png", f"{delivery.url}/out-1.png"]
        script = in_turn(state("starting"), state("processing"), state("succeeded", output=urls))
        with FakeVendor(script) as vendor:
            clock = Clock()
            made = provider(vendor.url, clock=clock)

            generation = await collect(made, replace(JOB, num_images=2))

    assert [image.data for image in generation.images] == [PNG, PNG]
    assert generation.cost_micro_usd == 6_000
    assert any("list price of 2026-10-07" in note for note in generation.notes)
    assert any("one seed" in note for note in generation.notes)
    assert vendor.asked == [LOOK] * 3
    assert clock.slept == [0.5, 0.75]
    assert delivery.asked == ["GET /out-0.png", "GET /out-1.png"]
    for seen in delivery.seen:
        assert "authorization" not in seen.headers
        assert TOKEN not in str(seen)


async def test_a_single_address_is_one_picture_and_the_vendors_count_is_charged() -> None:
    with FakeVendor(lambda seen: Answer(body=PNG)) as delivery:
        done = state("succeeded", output=f"{delivery.url}/x.png", metrics={"image_count": 2})
        with FakeVendor(in_turn(done)) as vendor:
            generation = await collect(provider(vendor.url))

    assert len(generation.images) == 1
    assert generation.cost_micro_usd == 6_000


async def test_the_pauses_grow_and_retry_after_is_kept_in_pieces() -> None:
    clock, shares = Clock(), list[float]()
    busy = Answer(status=429, body={}, headers={"retry-after": "7"})
    moves = [state("starting")] * 5

    async def progress(fraction: float, message: str) -> None:
        shares.append(fraction)

    with FakeVendor(in_turn(*moves, busy, state("failed", error="x"))) as vendor:
        made = provider(vendor.url, clock=clock)
        with pytest.raises(EngineCrashed):
            await made.collect(ID, JOB, await model(made), progress)
        await made.aclose()

    assert clock.slept == [0.5, 0.75, 1.125, 1.688, 2.531, 3.0, 3.0, 1.0]
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    "hiccup", [Answer(status=503, body={}), Answer(then="reset"), Answer(body=b"<html>")]
)
async def test_a_question_that_fails_is_asked_again(hiccup: Answer) -> None:
    with (
        FakeVendor(in_turn(hiccup, hiccup, state("aborted"))) as vendor,
        pytest.raises(EngineCrashed),
    ):
        await collect(provider(vendor.url))

    assert vendor.asked == [LOOK] * 3


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
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
    ],
)
async def test_a_prediction_that_ended_badly_says_why(
    status: str, said: Any, error: type[ProviderError]
) -> None:
    with (
        FakeVendor(in_turn(state(status, error=said))) as vendor,
        pytest.raises(ProviderError) as raised,
    ):
        await collect(provider(vendor.url))

    assert type(raised.value) is error
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 418])
async def test_a_prediction_that_the_vendor_no_longer_tells_of_may_be_charged(status: int) -> None:
    with (
        FakeVendor(in_turn(Answer(status=status, body={}))) as vendor,
        pytest.raises(OutcomeUnknown, match=ID),
    ):
        await collect(provider(vendor.url))


async def test_a_token_that_is_gone_leaves_a_running_job_unknown() -> None:
    made = provider(token=None)

    with pytest.raises(OutcomeUnknown):
        await made.collect(ID, JOB, Model(id=SCHNELL, provider="r", local=False), ignore)


@pytest.mark.parametrize("id", ["", "../account", "a/b", "x?y"])
async def test_an_id_that_is_none_is_not_asked_for(id: str) -> None:
    with pytest.raises(OutcomeUnknown):
        await provider().collect(id, JOB, await model(provider()), ignore)


@pytest.mark.parametrize(
    ("then", "error"),
    [
        (state("canceled"), ProviderTimeout),
        (state("aborted"), ProviderTimeout),
        (state("processing"), OutcomeUnknown),
        (Answer(status=500, body={}), OutcomeUnknown),
    ],
)
async def test_a_job_that_takes_too_long_is_stopped(
    then: Answer, error: type[ProviderError]
) -> None:
    clock = Clock()
    with FakeVendor(in_turn(state("processing"), cancelled=then)) as vendor, pytest.raises(error):
        await collect(provider(vendor.url, clock=clock, timeout=20))

    assert sum(clock.slept) == pytest.approx(20)
    assert vendor.asked.count(CANCEL) == 1
    assert vendor.asked[-1] == CANCEL


async def test_a_job_that_ended_while_it_was_stopped_is_still_fetched() -> None:
    with FakeVendor(lambda seen: Answer(body=PNG)) as delivery:
        done = state("succeeded", output=[f"{delivery.url}/x.png"])
        with FakeVendor(in_turn(state("processing"), cancelled=done)) as vendor:
            generation = await collect(provider(vendor.url, timeout=5))

    assert generation.images[0].data == PNG


@pytest.mark.parametrize("by", ["task", "scope"])
async def test_cancelling_asks_the_vendor_to_stop_and_lets_the_cancellation_through(
    by: str,
) -> None:
    looked = asyncio.Event()
    scope = anyio.CancelScope()

    async def wait_for_ever(seconds: float) -> None:
        looked.set()
        await asyncio.Event().wait()

    async def work() -> None:
        with scope:
            await made.collect(ID, JOB, await model(made), ignore)

    with FakeVendor(in_turn(state("processing"))) as vendor:
        made = Replicate("replicate", Settings(base_url=vendor.url), context(), sleep=wait_for_ever)
        task = asyncio.create_task(work())
        await looked.wait()
        if by == "task":
            task.cancel()
        else:
            scope.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await made.aclose()

    assert task.cancelled() if by == "task" else scope.cancelled_caught
    assert vendor.asked == [LOOK, CANCEL]


# Pictures that cannot be had


@pytest.mark.parametrize("more", [{"output": None, "data_removed": True}, {"output": []}])
async def test_a_finished_job_without_pictures_is_charged(more: dict[str, Any]) -> None:
    with (
        FakeVendor(in_turn(state("succeeded", **more))) as vendor,
        pytest.raises(InvalidOutput, match=ID) as said,
    ):
        await collect(provider(vendor.url))

    assert said.value.charged == 3_000 * JOB.num_images


async def test_a_picture_that_expired_is_not_asked_for_again() -> None:
    with (
        FakeVendor(lambda seen: Answer(status=404, body={})) as delivery,
        FakeVendor(in_turn(state("succeeded", output=[f"{delivery.url}/x"]))) as vendor,
        pytest.raises(InvalidOutput, match="kept for an hour") as said,
    ):
        await collect(provider(vendor.url))

    assert delivery.asked == ["GET /x"]
    assert said.value.charged == 3_000


async def test_a_delivery_that_fails_is_asked_again_and_then_given_up() -> None:
    clock = Clock()
    with (
        FakeVendor(lambda seen: Answer(status=503, body={})) as delivery,
        FakeVendor(in_turn(state("succeeded", output=[f"{delivery.url}/x"]))) as vendor,
        pytest.raises(InvalidOutput, match="503"),
    ):
        await collect(provider(vendor.url, clock=clock))

    assert delivery.asked == ["GET /x"] * 3
    assert clock.slept == [1.0, 2.0]


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
        "https://localhost/x.png",
        "https://[::1]/x.png",
        "https://[::ffff:10.0.0.1]/x.png",
        "https://10.0.0.1/x.png",
        "https://169.254.169.254/latest",
        "https://inside.example/x.png",
        "https://replicate.delivery.evil.example/moved",
        "https://replicate.delivery/moved",
        "not an address",
        "data:image/png;base64,AAAA",
    ],
)
async def test_an_address_that_a_picture_has_no_business_at_is_not_asked(url: str) -> None:
    seen: list[httpx2.Request] = []

    async def hosts(host: str) -> Sequence[str]:
        return ["192.168.1.5"] if host == "inside.example" else ["93.184.216.34"]

    with pytest.raises(InvalidOutput):
        await collect(provider(handler=delivered_from(url, seen), hosts=hosts))

    asked = {str(request.url) for request in seen}
    assert asked <= {f"https://api.replicate.com/v1/predictions/{ID}", url}
    assert url not in asked or url.endswith("/moved")


@pytest.mark.parametrize("host", ["replicate.delivery", "pbxt.replicate.delivery", "cdn.example"])
async def test_a_public_address_is_fetched_without_the_token(host: str) -> None:
    seen: list[httpx2.Request] = []
    handler = delivered_from(f"https://{host}/x.png", seen)

    generation = await collect(provider(handler=handler))

    assert generation.images[0].data == PNG
    assert seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in seen[1].headers


async def test_a_picture_without_end_is_not_kept() -> None:
    big = b"x" * (41 * 2**20)

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "api.replicate.com":
            output = ["https://replicate.delivery/x.png"]
            return httpx2.Response(200, json=prediction("succeeded", output=output))
        return httpx2.Response(200, content=big)

    with pytest.raises(InvalidOutput, match="larger than 40 MB"):
        await collect(provider(handler=answer))


async def test_the_token_is_in_no_repr_of_the_provider() -> None:
    with FakeVendor(lambda seen: Answer(status=201, body=prediction())) as vendor:
        made = provider(vendor.url)
        await submit(made)

    assert TOKEN not in repr(made) + repr(vars(made))
