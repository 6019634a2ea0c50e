from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from tests.support.fake_vendors import SPECS, problems
from ziggie_image_mcp.provider import (
    NO_COST,
    UNKNOWN_COST,
    AuthenticationFailed,
    ContentRefused,
    Cost,
    EngineCrashed,
    Generation,
    InvalidOutput,
    Model,
    ModelMissing,
    ModelUnusable,
    OutcomeUnknown,
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
    SameAsInput,
    Task,
    options_of,
)
from ziggie_image_mcp.provider.json_paths import put, values
from ziggie_image_mcp.provider.testing import FakeVendor, ProviderConformance, Reply, Seen, picture
from ziggie_image_mcp.provider.testing.rig import left_half
from ziggie_image_providers.comfy_router import ComfyRouter
from ziggie_image_providers.comfy_router.settings import Settings

KEY = "comfyui-0123456789abcdef0123456789abcdef"
ID = "6f1a1a6e-6a53-4a5f-9d3a-2b3b0a1f9c21"
FLUX = "bfl/flux-2-pro"
GPT = "openai/gpt-image-2.5-flare"
BRIA = "bria/image-edit-remove-background"
QUERY = "?fallback_provider=false&reject_unknown_fields=true"
JOB = ProviderRequest(prompt="a red bicycle", width=1024, height=1024, seed=7)
ROWS: Mapping[str, Any] = ComfyRouter.table

Script = Callable[[Seen], Reply]


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)


# Comfy Router, by its published specification and the partners' published answers


def handle(seen: Seen, status: str = "IN_QUEUE", **more: Any) -> dict[str, Any]:
    """How the queue speaks of a job."""
    job = seen.path.partition("?")[0].partition("/requests")[0]
    url = f"{seen.origin}{job}/requests/{ID}"
    urls = {"status_url": f"{url}/status", "response_url": url, "cancel_url": f"{url}/cancel"}
    return {"request_id": ID, "status": status, **urls, **more}


def result(seen: Seen, pictures: int = 1) -> dict[str, Any]:
    """What the model's partner answers."""
    url = f"{seen.origin}/made.png"
    inline = {"b64_json": base64.b64encode(picture()).decode()}
    contents = [{"message": {"content": [{"image": url}], "role": "assistant"}}]
    if "/openai/" in seen.path:
        return {"created": 1, "data": [inline] * pictures, "usage": {"output_tokens": 439}}
    if "/byteplus/" in seen.path:
        return {"data": [{"url": url, "size": "1024x1024"}] * pictures}
    if "/qwen/" in seen.path:
        return {"output": {"choices": contents * pictures}}
    if "/bria/" in seen.path:
        return {"request_id": ID, "status": "COMPLETED", "result": {"image_url": url, "seed": 42}}
    return {"id": "b2e0", "status": "Ready", "result": {"sample": url, "seed": 7, "cost": 3}}


def is_submit(seen: Seen) -> bool:
    return seen.method == "POST"


def is_status(seen: Seen) -> bool:
    return seen.method == "GET" and seen.path.endswith("/status")


def is_result(seen: Seen) -> bool:
    return seen.method == "GET" and seen.path.endswith(f"/requests/{ID}")


def drawn(seen: Seen, pictures: int = 1) -> Reply:
    """Each step of a job that goes well."""
    if seen.path == "/made.png":
        return Reply(body=picture())
    if is_submit(seen):
        return Reply(status=201, body=handle(seen, queue_position=0))
    if seen.method == "PUT":
        return Reply(status=202, body={"request_id": ID, "status": "CANCELLATION_REQUESTED"})
    if is_status(seen):
        return Reply(body=handle(seen, "COMPLETED"))
    if is_result(seen):
        return Reply(body=result(seen, pictures))
    entry: dict[str, Any] = {"id": FLUX, "provider": "bfl", "model": "flux-2-pro"}
    entry["billing"] = {"charges_on_policy_rejection": "unknown"}
    if seen.path.startswith("/v2/models?"):
        return Reply(body={"data": [entry], "has_more": False, "limit": 1})
    return Reply(body=entry)


def instead(applies: Callable[[Seen], bool], reply: Reply, other: Script = drawn) -> Script:
    return lambda seen: reply if applies(seen) else other(seen)


def refusal(status: int, kind: str, detail: Any = "No.", **headers: str) -> Reply:
    body: dict[str, Any] = {"detail": detail}
    body |= {} if status == 422 else {"error_type": kind}
    return Reply(status=status, body=body, headers={"X-Comfy-Error-Type": kind, **headers})


def ended(kind: str) -> Script:
    """A job that ended without success; its result tells the same."""

    def script(seen: Seen) -> Reply:
        if is_status(seen):
            return Reply(body=handle(seen, "COMPLETED", error_type=kind))
        return refusal(502, kind, "the partner said so") if is_result(seen) else drawn(seen)

    return script


# A provider, and what it is asked


def context(key: str | None = KEY) -> ProviderContext:
    async def secret(asked: str) -> str | None:
        return key if asked == "COMFY_API_KEY" else None

    return ProviderContext(data_dir=Path("unused"), secret=secret)


class Hasty(ComfyRouter):
    """Does not pause."""

    result_pauses = (0.0, 0.0)


def provider(url: str = "http://127.0.0.1:9", key: str | None = KEY, **section: Any) -> ComfyRouter:
    settings = Settings.model_validate({"baseUrl": url, "local": False, **section})
    return Hasty("comfy_router", settings, context(key))


async def model(tested: Provider, id: str = FLUX) -> Model:
    return next(m for m in await tested.list_models() if m.id == id)


def edit(task: Task = "image_to_image", side: int = 1024, **changes: Any) -> ProviderRequest:
    image: dict[str, Any] = {"image_id": "i", "image": picture(side, side)}
    if task == "inpaint":
        image |= {"mask_id": "m", "mask": left_half(side, side)}
    return replace(JOB, **{"task": task, "width": side, "height": side, **image, **changes})


async def make(
    vendor: FakeVendor, request: ProviderRequest = JOB, id: str = FLUX, **section: Any
) -> Generation:
    tested = provider(vendor.url, **section)
    try:
        listed = await model(tested, id)
        job = await tested.submit(request, listed, RUN)
        assert isinstance(job, RemoteJob)
        return await tested.collect(job.id, request, listed, RUN)
    finally:
        await tested.aclose()


async def failure(script: Script, **section: Any) -> ProviderError:
    with FakeVendor(script) as vendor, pytest.raises(ProviderError) as error:
        await make(vendor, **section)
    return error.value


def price(tested: ComfyRouter, listed: Model, **changes: Any) -> tuple[int, int] | None:
    """Expected and at most, micro-USD."""
    estimate = tested.estimate(replace(JOB, **changes), listed)
    return None if estimate is None else (estimate.expected, estimate.upper)


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


# What it offers


async def test_it_lists_its_table_without_asking_anybody() -> None:
    listed = await provider().list_models()

    assert [m.id for m in listed] == list(ROWS)
    assert {m.where for m in listed} == {"vendor"}


async def test_without_a_key_it_says_how_to_set_one() -> None:
    with pytest.raises(AuthenticationFailed, match="keys set COMFY_API_KEY"):
        await provider(key=None).list_models()


def test_every_price_says_where_and_when_it_was_read() -> None:
    for row in ROWS.values():
        assert "211 credits" in row.source
        assert row.as_of == date(2026, 11, 28)
        assert row.rates


async def test_what_a_model_does_stands_in_its_row() -> None:
    listed = {m.id: m for m in await provider().list_models()}

    assert set(listed[FLUX].tasks) == {"text_to_image", "image_to_image"}
    assert options_of(listed[FLUX], "text_to_image") == {"seed"}
    assert listed[FLUX].tasks["text_to_image"].max_references == 8
    assert listed[FLUX].tasks["image_to_image"].max_references == 0
    inpaint = listed[GPT].tasks["inpaint"]
    assert inpaint.mask == "alpha"
    assert inpaint.options == {"quality", "transparent"}
    assert inpaint.max_references == 15
    assert listed[GPT].defaults.quality == "medium"
    assert set(listed[BRIA].tasks) == {"remove_background"}
    assert isinstance(listed[BRIA].tasks["remove_background"].sizes, SameAsInput)


@pytest.mark.parametrize(
    ("id", "changes", "credits"),
    [
        (FLUX, {}, 6.33),
        (FLUX, {"width": 2048, "height": 1024}, 6.33 + 3.17),
        (FLUX, {"task": "image_to_image", "image_id": "i"}, 6.33 + 3.17),
        (FLUX, {"reference_ids": ("r",)}, 6.33 + 4 * 3.17),
        ("bfl/flux-2-max", {"width": 2048, "height": 2048}, 14.77 + 3 * 6.33),
        ("byteplus/seedream-4-5-251128", {"width": 2048, "height": 2048}, 8.44),
        ("byteplus/seedream-5-0-pro-260628", {}, 9.50),
        ("byteplus/seedream-5-0-pro-260628", {"width": 2048, "height": 2048}, 18.99),
        ("byteplus/seedream-5-0-flash-260915", {"reference_ids": ("r",)}, 5.43 + 0.63),
        ("qwen/qwen-image-3.0", {"num_images": 3, "reference_ids": ("r",)}, 3 * 9.05 + 0.91),
        ("qwen/qwen-image-3.0-pro", {"width": 2048, "height": 2048}, 22.63),
        (BRIA, {"task": "remove_background", "image_id": "i"}, 3.8),
    ],
)
async def test_prices_are_comfys_own_and_not_the_partners(
    id: str, changes: dict[str, Any], credits: float
) -> None:
    tested = provider()

    bounds = price(tested, await model(tested, id), **changes)

    assert bounds is not None
    assert bounds[1] >= credits / 211 * 1e6 - 1
    assert bounds[1] == pytest.approx(credits / 211 * 1e6, rel=0.001)


async def test_tokens_of_gpt_image_cost_more_here_than_at_openai() -> None:
    tested = provider()

    bounds = price(tested, await model(tested, GPT), quality="medium")

    assert bounds is not None
    assert bounds[1] == pytest.approx(439 * 9051.9 / 211 + (13 + 64) * 1508.65 / 211, rel=0.001)


async def test_a_model_without_a_price_is_not_used_until_the_user_gives_one() -> None:
    tested = provider(models={"krea/krea-2": {}, "krea/krea-2-large": {"priceUsd": 0.06}})

    assert price(tested, await model(tested, "krea/krea-2")) is None
    assert price(tested, await model(tested, "krea/krea-2-large")) == (60_000, 60_000)


async def test_the_user_can_describe_a_model_of_another_partner() -> None:
    row = {
        "priceUsd": 0.03,
        "inputs": {"prompt": "prompt", "bucket": "aspect_ratio"},
        "always": {"resolution": "1K"},
        "shapes": {"1:1": [1024, 1024]},
    }

    def script(seen: Seen) -> Reply:
        if is_result(seen):
            return Reply(
                body={"status": "completed", "result": {"urls": [f"{seen.origin}/made.png"]}}
            )
        return drawn(seen)

    with FakeVendor(script) as vendor:
        request = replace(JOB, bucket="1:1")
        generation = await make(vendor, request, "krea/krea-2", models={"krea/krea-2": row})

    assert vendor.seen[0].body == {
        "prompt": "a red bicycle",
        "aspect_ratio": "1:1",
        "resolution": "1K",
    }
    assert len(generation.images) == 1


@pytest.mark.parametrize("id", ["flux-2-pro", "BFL/flux", "bfl/flux?x=1", "a/b/c", "../v1/x"])
def test_what_is_no_id_is_refused_in_the_config(id: str) -> None:
    with pytest.raises(ValidationError, match="partner/model"):
        Settings.model_validate({"models": {id: {}}})


# What it sends


async def test_a_job_is_one_post_to_the_models_queue_with_the_runs_key() -> None:
    with FakeVendor(drawn) as vendor:
        generation = await make(vendor)

    assert vendor.asked == [
        f"POST /v2/models/bfl/flux-2-pro/requests{QUERY}",
        f"GET /v2/models/bfl/flux-2-pro/requests/{ID}/status",
        f"GET /v2/models/bfl/flux-2-pro/requests/{ID}",
        "GET /made.png",
    ]
    post, *_, download = vendor.seen
    assert post.headers["x-api-key"] == KEY
    assert post.headers["idempotency-key"] == "our-key"
    assert "authorization" not in post.headers
    assert not {"x-api-key", "authorization"} & set(download.headers)
    assert generation.images[0].seed == 7


FLUX_BODY = {
    "prompt": "a red bicycle",
    "width": 1024,
    "height": 1024,
    "seed": 7,
    "output_format": "png",
    "prompt_upsampling": False,
}
GPT_BODY = {
    "prompt": "a red bicycle",
    "size": "1024x1024",
    "n": 1,
    "quality": "high",
    "output_format": "png",
}
RED = picture(64, 64, "red")


def qwen_body(*contents: dict[str, str], n: int = 1) -> dict[str, Any]:
    return {
        "input": {"messages": [{"role": "user", "content": [*contents]}]},
        "parameters": {
            "size": "1024*1024",
            "n": n,
            "negative_prompt": "blurry",
            "seed": 7,
            "prompt_extend": False,
            "watermark": False,
        },
    }


@pytest.mark.parametrize(
    ("id", "request_", "body"),
    [
        (FLUX, JOB, FLUX_BODY),
        (
            FLUX,
            replace(JOB, reference_ids=("a", "b"), references=(picture(), RED)),
            FLUX_BODY
            | {
                "input_image": base64.b64encode(picture()).decode(),
                "input_image_2": base64.b64encode(RED).decode(),
            },
        ),
        (
            FLUX,
            edit(),
            FLUX_BODY | {"input_image": base64.b64encode(picture(1024, 1024)).decode()},
        ),
        (
            "byteplus/seedream-4-5-251128",
            edit(side=2048, seed=2**31 + 5, reference_ids=("r",), references=(RED,)),
            {
                "prompt": "a red bicycle",
                "size": "2048x2048",
                "seed": 5,
                "image": [data_url(picture(2048, 2048)), data_url(RED)],
                "response_format": "url",
                "watermark": False,
            },
        ),
        (
            "qwen/qwen-image-3.0",
            replace(JOB, negative_prompt="blurry", num_images=2),
            qwen_body({"text": "a red bicycle"}, n=2),
        ),
        (
            "qwen/qwen-image-3.0",
            edit(negative_prompt="blurry"),
            qwen_body({"image": data_url(picture(1024, 1024))}, {"text": "a red bicycle"}),
        ),
        (
            GPT,
            replace(JOB, quality="high", transparent=True),
            GPT_BODY | {"background": "transparent"},
        ),
        (
            GPT,
            edit(quality="high"),
            GPT_BODY | {"image": [data_url(picture(1024, 1024))]},
        ),
        (
            BRIA,
            edit("remove_background", 320),
            {"image": base64.b64encode(picture(320, 320)).decode(), "preserve_alpha": True},
        ),
    ],
)
async def test_the_body_is_the_models_own(
    id: str, request_: ProviderRequest, body: dict[str, Any]
) -> None:
    with FakeVendor(lambda seen: drawn(seen, request_.num_images)) as vendor:
        await make(vendor, request_, id)

    assert vendor.seen[0].body == body


async def test_a_mask_goes_out_transparent_where_it_is_painted_anew() -> None:
    with FakeVendor(drawn) as vendor:
        await make(vendor, edit("inpaint", quality="high"), GPT)

    body = dict(vendor.seen[0].body)
    assert str(body.pop("mask")).startswith("data:image/png;base64,")
    assert body == GPT_BODY | {"image": [data_url(picture(1024, 1024))]}


@pytest.mark.parametrize(
    ("changes", "section", "words"),
    [
        ({"image": b"\x89PNG" + b"0" * (26 * 2**20)}, {}, "25 MiB"),
        ({"image": b"\x89PNG" + b"0" * (16 * 2**20)}, {}, "15 MiB"),
        ({}, {"models": {GPT: {"maxMaskBytes": 10}}}, "the mask is larger"),
    ],
)
async def test_what_is_too_large_is_refused_before_anything_is_sent(
    changes: dict[str, Any], section: dict[str, Any], words: str
) -> None:
    with FakeVendor(drawn) as vendor, pytest.raises(RequestRejected, match=words) as error:
        await make(vendor, edit("inpaint", 1024, **changes), GPT, **section)

    assert error.value.charged == 0
    assert vendor.asked == []


async def test_a_reference_that_would_cost_more_than_the_estimate_is_refused() -> None:
    large = replace(JOB, reference_ids=("r",), references=(picture(2064, 2064),))

    with FakeVendor(drawn) as vendor, pytest.raises(RequestRejected, match="scale it down"):
        await make(vendor, large)

    assert vendor.asked == []


# How a job goes


async def test_it_waits_in_the_queue_and_tells_its_place() -> None:
    states = ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    words: list[str] = []

    async def note(share: float, message: str) -> None:
        words.append(message)

    def script(seen: Seen) -> Reply:
        if not is_status(seen):
            return drawn(seen)
        state = states.pop(0)
        place = {"queue_position": 3} if state == "IN_QUEUE" else {}
        return Reply(body=handle(seen, state, **place), headers={"Retry-After": "1"})

    with FakeVendor(script) as vendor:
        tested = provider(vendor.url)
        listed = await model(tested)
        generation = await tested.collect(
            f"{FLUX}/requests/{ID}", JOB, listed, Run(key="our-key", progress=note)
        )
        await tested.aclose()

    assert states == []
    assert "in Comfy's queue, 3 ahead" in words
    assert len(generation.images) == 1


async def test_what_it_cost_stands_in_the_header_in_credits() -> None:
    reply = Reply(body=None, headers={"X-Comfy-Credits-Used": "6.33"})

    with FakeVendor(lambda seen: _with_headers(drawn(seen), reply.headers)) as vendor:
        generation = await make(vendor)

    assert generation.cost == Cost(micro_usd=30_000, basis="exact")


@pytest.mark.parametrize("value", [None, "", "0", "-1", "nan", "inf", "much"])
async def test_a_cost_that_is_not_told_is_unknown_and_never_nothing(value: str | None) -> None:
    headers = {} if value is None else {"X-Comfy-Credits-Used": value}

    with FakeVendor(lambda seen: _with_headers(drawn(seen), headers)) as vendor:
        generation = await make(vendor)

    assert generation.cost == UNKNOWN_COST


async def test_fields_left_out_and_another_partner_are_told() -> None:
    headers = {
        "X-Comfy-Router-Dropped-Params": json.dumps(["moderation (fal has its own, always)"]),
        "X-Comfy-Router-Fallback-Provider": "fal",
    }

    with FakeVendor(lambda seen: _with_headers(drawn(seen), headers)) as vendor:
        generation = await make(vendor)

    assert generation.notes == (
        "Comfy Router left out moderation (fal has its own, always)",
        "drawn by fal, another partner than the model's own",
    )


def _with_headers(reply: Reply, headers: Mapping[str, str]) -> Reply:
    return replace(reply, headers={**reply.headers, **headers})


# How it fails


SUBMITS: Sequence[tuple[Reply, type[ProviderError]]] = (
    (refusal(402, "insufficient_credits"), PaymentRequired),
    (refusal(401, "unauthorized"), AuthenticationFailed),
    (refusal(403, "forbidden"), AuthenticationFailed),
    (refusal(403, "not_enabled"), ModelUnusable),
    (refusal(404, "model_not_found"), ModelMissing),
    (refusal(400, "content_policy_violation"), ContentRefused),
    (refusal(400, "invalid_input"), RequestRejected),
    (refusal(413, "invalid_input"), RequestRejected),
    (refusal(409, "invalid_input"), OutcomeUnknown),
    (refusal(409, "concurrency_limit_exceeded", **{"Retry-After": "2"}), OutcomeUnknown),
    (refusal(429, "concurrency_limit_exceeded"), RateLimited),
    (refusal(429, "rate_limited", **{"Retry-After": "40"}), RateLimited),
    (refusal(429, "queue_backlog_full"), RateLimited),
    (refusal(503, "service_unavailable"), ProviderUnavailable),
    (refusal(504, "deadline_exceeded"), OutcomeUnknown),
    (refusal(504, "provider_timeout"), OutcomeUnknown),
    (refusal(502, "provider_error"), OutcomeUnknown),
    (refusal(500, "internal_error"), OutcomeUnknown),
    (refusal(500, "brand_new_word"), OutcomeUnknown),
    (refusal(418, "brand_new_word"), ProviderUnavailable),
    (Reply(status=401, body=b"<html>Sign in</html>"), AuthenticationFailed),
    (Reply(status=429, body=b"<html>Slow down</html>"), RateLimited),
    (Reply(status=502, body=b"<html>Bad gateway</html>"), OutcomeUnknown),
)


@pytest.mark.parametrize(("reply", "kind"), SUBMITS)
async def test_a_refused_request_is_the_error_of_its_word_before_its_status(
    reply: Reply, kind: type[ProviderError]
) -> None:
    error = await failure(instead(is_submit, reply))

    assert type(error) is kind


async def test_the_word_stands_in_the_body_too_where_a_proxy_ate_the_header() -> None:
    reply = replace(refusal(403, "insufficient_credits"), headers={})

    assert type(await failure(instead(is_submit, reply))) is PaymentRequired


async def test_every_field_that_was_refused_is_quoted() -> None:
    detail = [
        {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"},
        {"loc": ["body", "images", 0], "msg": "too small", "type": "image_too_small"},
    ]

    error = await failure(instead(is_submit, refusal(422, "invalid_input", detail)))

    assert "prompt: Field required; images.0: too small" in str(error)
    assert error.charged == 0


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (refusal(429, "rate_limited", **{"Retry-After": "40"}), 40),
        (refusal(429, "rate_limited"), 60),
        (refusal(429, "concurrency_limit_exceeded"), 15),
        (refusal(429, "queue_backlog_full"), 30),
    ],
)
async def test_who_asks_to_wait_is_waited_for(reply: Reply, wait: float) -> None:
    error = await failure(instead(is_submit, reply))

    assert error.retry_after == wait
    assert error.scope == "account"


@pytest.mark.parametrize(
    ("word", "kind", "charged"),
    [
        ("content_policy_violation", ContentRefused, None),
        ("invalid_input", RequestRejected, 0),
        ("provider_error", EngineCrashed, None),
        ("provider_timeout", ProviderTimeout, None),
        ("queue_timeout", ProviderUnavailable, 0),
        ("cancelled", EngineCrashed, None),
        ("insufficient_credits", PaymentRequired, 0),
        ("brand_new_word", ProviderUnavailable, None),
    ],
)
async def test_a_job_that_failed_says_why_and_what_it_may_cost(
    word: str, kind: type[ProviderError], charged: int | None
) -> None:
    error = await failure(ended(word))

    assert type(error) is kind
    assert error.charged == charged
    assert "the partner said so" in str(error)


@pytest.mark.parametrize(("fact", "charged"), [("no", 0), ("yes", None), ("unknown", None)])
async def test_whether_a_refusal_costs_stands_in_the_catalogue(
    fact: str, charged: int | None
) -> None:
    script = ended("content_policy_violation")

    def with_fact(seen: Seen) -> Reply:
        if seen.path == f"/v2/models/{FLUX}":
            return Reply(body={"billing": {"charges_on_policy_rejection": fact}})
        return script(seen)

    error = await failure(with_fact)

    assert type(error) is ContentRefused
    assert error.charged == charged


async def test_a_failed_job_with_a_result_is_charged_and_so_delivered() -> None:
    def script(seen: Seen) -> Reply:
        if is_status(seen):
            return Reply(body=handle(seen, "COMPLETED", error_type="cancelled"))
        return drawn(seen)

    with FakeVendor(script) as vendor:
        generation = await make(vendor)

    assert len(generation.images) == 1


async def test_a_result_that_says_why_is_believed_over_the_status() -> None:
    error = await failure(instead(is_result, refusal(400, "invalid_input", "too wide")))

    assert type(error) is RequestRejected
    assert "too wide" in str(error)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=410, body={"detail": "expired"}),
        Reply(status=502, body=b"<html>Bad gateway</html>"),
        refusal(401, "unauthorized"),
        Reply(status=202, body={}),
    ],
)
async def test_a_result_that_cannot_be_had_is_never_said_to_be_free(reply: Reply) -> None:
    error = await failure(instead(is_result, reply))

    assert type(error) is OutcomeUnknown
    assert ID in str(error)


async def test_a_picture_that_the_filter_kept_back_is_a_refusal() -> None:
    body = {"data": [{"is_image_safe": False, "url": None}]}

    error = await failure(instead(is_result, Reply(body=body)))

    assert type(error) is ContentRefused
    assert error.charged is None


async def test_a_result_without_a_picture_may_be_charged() -> None:
    error = await failure(instead(is_result, Reply(body={"status": "Ready", "result": {}})))

    assert type(error) is InvalidOutput
    assert error.charged is None


# After a crash, and when it is cancelled


@pytest.mark.parametrize(
    ("script", "state"),
    [
        (drawn, "finished"),
        (ended("queue_timeout"), "failed"),
        (instead(is_status, refusal(404, "request_not_found")), "unknowable"),
    ],
)
async def test_another_process_finds_the_job_by_its_id(script: Script, state: str) -> None:
    with FakeVendor(script) as vendor:
        tested = provider(vendor.url)
        resolution = await tested.resolve("our-key", f"{FLUX}/requests/{ID}")
        await tested.aclose()

    assert resolution.state == state
    assert all(seen.method == "GET" for seen in vendor.seen)


async def test_without_an_id_nobody_knows() -> None:
    assert (await provider().resolve("our-key", "")).state == "unknowable"


async def test_a_cancelled_job_is_asked_to_stop_by_a_put_and_looked_at() -> None:
    with FakeVendor(ended("cancelled")) as vendor:
        tested = provider(vendor.url)
        outcome = await tested.cancel(f"{FLUX}/requests/{ID}")
        await tested.aclose()

    assert vendor.asked == [
        f"PUT /v2/models/bfl/flux-2-pro/requests/{ID}/cancel",
        f"GET /v2/models/bfl/flux-2-pro/requests/{ID}/status",
        f"GET /v2/models/bfl/flux-2-pro/requests/{ID}",
    ]
    assert outcome.state == "stopped"
    assert outcome.cost == UNKNOWN_COST


async def test_a_job_that_never_began_cost_nothing() -> None:
    with FakeVendor(ended("queue_timeout")) as vendor:
        tested = provider(vendor.url)
        outcome = await tested.cancel(f"{FLUX}/requests/{ID}")
        await tested.aclose()

    assert outcome.cost == NO_COST


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (Reply(status=409, body={"request_id": ID, "status": "ALREADY_COMPLETED"}), "too_late"),
        (Reply(status=503, body=b"<html>"), "too_late"),
    ],
)
async def test_what_cannot_be_stopped_is_not_said_to_be(reply: Reply, state: str) -> None:
    with FakeVendor(instead(lambda seen: seen.method == "PUT", reply)) as vendor:
        tested = provider(vendor.url)
        outcome = await tested.cancel(f"{FLUX}/requests/{ID}")
        await tested.aclose()

    assert outcome.state == state


@pytest.mark.parametrize("id", ["", "x", f"../../x/requests/{ID}", f"{FLUX}/requests/{ID}/../y"])
async def test_what_is_no_id_of_a_job_asks_nobody(id: str) -> None:
    with FakeVendor(drawn) as vendor:
        tested = provider(vendor.url)
        assert (await tested.cancel(id)).state == "unsupported"
        assert (await tested.resolve("our-key", id)).state == "unknowable"
        await tested.aclose()

    assert vendor.asked == []


# The published specification


@pytest.mark.spec
async def test_what_is_asked_stands_in_the_published_specification() -> None:
    paths = json.loads((SPECS / "comfy-router.json").read_text(encoding="utf-8"))["paths"]
    forms = {re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)): path for path in paths}

    with FakeVendor(drawn) as vendor:
        await make(vendor)
        tested = provider(vendor.url)
        await tested.probe()
        await tested.cancel(f"{FLUX}/requests/{ID}")
        await tested.aclose()

    for asked in vendor.asked:
        if asked == "GET /made.png":
            continue
        path, _, query = asked.partition("?")
        match = next(known for form, known in forms.items() if re.fullmatch(form, path))
        names = {field.partition("=")[0] for field in query.split("&") if field}
        known = {name.partition(" ")[0] for name in paths[match].get("query", ())}
        assert names - known <= {"fallback_provider"}  # stands at the route that waits only


@pytest.mark.spec
def test_the_fake_answers_as_the_published_specification_wants() -> None:
    def seen(method: str, path: str) -> Seen:
        return Seen(method=method, path=path, headers={"host": "x.test"}, content=b"")

    base = f"/v2/models/{FLUX}/requests"
    for name, asked in (
        ("RouterQueueSubmitResponse", seen("POST", base)),
        ("RouterQueueStatusResponse", seen("GET", f"{base}/{ID}/status")),
        ("RouterQueueCancelResponse", seen("PUT", f"{base}/{ID}/cancel")),
        ("RouterModelListResponse", seen("GET", "/v2/models?limit=1")),
    ):
        assert problems("comfy-router", name, drawn(asked).body) == []
    assert problems("comfy-router", "RouterErrorResponse", refusal(400, "x").body) == []


def test_a_path_reaches_into_lists() -> None:
    body: dict[str, Any] = {}

    put(body, "a[0].b[].c", 1)
    put(body, "a[0].b[].d", 2)
    put(body, "e[]", 3)

    assert body == {"a": [{"b": [{"c": 1}, {"d": 2}]}], "e": [3]}
    assert list(values(body, "a[].b[].c")) == [1]
    assert list(values({"a": "words"}, "a.b")) == []


# What every provider does


def ends_so(reply: Reply) -> Reply:
    """Marked as the answer to the question after the result."""
    return _with_headers(reply, {"X-At": "result"})


class TestConformance(ProviderConformance):
    provider_type = ComfyRouter
    secrets: ClassVar[Mapping[str, str]] = {"COMFY_API_KEY": KEY}
    refusals = (
        (refusal(402, "insufficient_credits"), PaymentRequired),
        (refusal(404, "model_not_found"), ModelMissing),
        (refusal(429, "queue_backlog_full"), RateLimited),
        (ends_so(refusal(400, "content_policy_violation")), ContentRefused),
        (ends_so(refusal(502, "provider_error")), EngineCrashed),
        (ends_so(refusal(504, "queue_timeout")), ProviderUnavailable),
    )
    _count = 1

    def reply(self, seen: Seen) -> Reply:
        if is_submit(seen):
            self._count = seen.body.get("n", 1)
        return drawn(seen, self._count)

    def gets(self, seen: Seen, reply: Reply) -> bool:
        return is_result(seen) if "X-At" in reply.headers else is_submit(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        """Three that differ in their tasks, options and answers; of all the bodies are compared."""
        return [m for m in await provider.list_models() if m.id in (FLUX, GPT, BRIA)]


async def test_the_price_of_a_row_is_a_price_book_with_its_source() -> None:
    listed = await model(provider())

    assert isinstance(listed.prices, PriceBook)
    assert "6.33 credits" in listed.prices.source
