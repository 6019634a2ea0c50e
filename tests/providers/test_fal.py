from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from tests.support.specs import problems
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ContentRefused,
    Control,
    Cost,
    EngineCrashed,
    Generation,
    Lora,
    Model,
    ModelMissing,
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
    Task,
    options_of,
)
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.testing import FakeVendor, ProviderConformance, Reply, Seen, picture
from ziggie_image_mcp.provider.testing.rig import left_half
from ziggie_image_providers.fal import Fal
from ziggie_image_providers.fal.settings import PRICES, Settings

KEY = "fal-id-0123456789:fedcba9876543210fedcba9876543210"
ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
DEV = "fal-ai/flux/dev"
LORA = "fal-ai/flux-lora"
FILL = "fal-ai/flux-lora/inpainting"
DEPTH = "fal-ai/flux-control-lora-depth"
PRO = "fal-ai/flux-2-pro"
NANO = "fal-ai/nano-banana-2"
BRIA = "fal-ai/bria/background/remove"
ESRGAN = "fal-ai/esrgan"
JOB = ProviderRequest(
    prompt="a red bicycle", width=1024, height=1024, seed=7, steps=28, guidance_scale=3.5
)
ROWS: Mapping[str, Any] = Fal.table

Script = Callable[[Seen], Reply]


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)


# fal, by its documentation: the paths of a job drop what stands behind the name of the model


def job(seen: Seen) -> str:
    owner, name, *_ = seen.path.lstrip("/").split("/")
    return f"{seen.origin}/{owner}/{name}/requests/{ID}"


def is_submit(seen: Seen) -> bool:
    return seen.method == "POST"


def is_status(seen: Seen) -> bool:
    return seen.path.endswith("/status")


def is_result(seen: Seen) -> bool:
    return seen.method == "GET" and seen.path.endswith(f"/requests/{ID}")


def drawn(seen: Seen, pictures: int = 1, units: str = "") -> Reply:
    """Each step of a job that goes well."""
    if seen.path == "/made.png":
        return Reply(body=picture())
    if is_submit(seen):
        urls = {f"{what}_url": f"{job(seen)}/{what}" for what in ("status", "cancel")}
        return Reply(
            body={"request_id": ID, "response_url": job(seen), "queue_position": 0, **urls}
        )
    if seen.method == "PUT":
        return Reply(status=202, body={"status": "CANCELLATION_REQUESTED"})
    if is_status(seen):
        return Reply(body={"status": "COMPLETED", "request_id": ID, "response_url": job(seen)})
    headers = {"x-fal-billable-units": units} if units else {}
    image = {"url": f"{seen.origin}/made.png", "width": 64, "height": 64}
    if "/bria/" in seen.path or "/esrgan/" in seen.path:
        return Reply(body={"image": image}, headers=headers)
    body = {"images": [image] * pictures, "seed": 7, "has_nsfw_concepts": [False] * pictures}
    return Reply(body=body, headers=headers)


def instead(applies: Callable[[Seen], bool], reply: Reply) -> Script:
    return lambda seen: reply if applies(seen) else drawn(seen)


def model_error(kind: str, words: str = "No.", **headers: str) -> Reply:
    detail = [{"loc": ["body", "prompt"], "msg": words, "type": kind, "url": "https://docs.fal.ai"}]
    return Reply(status=422, body={"detail": detail}, headers=headers)


def request_error(status: int, kind: str) -> Reply:
    body = {"detail": "The runner said so.", "error_type": kind}
    return Reply(status=status, body=body, headers={"X-Fal-Error-Type": kind})


def ended(reply: Reply) -> Script:
    """A job that failed, as its status and its result tell."""

    def script(seen: Seen) -> Reply:
        if is_status(seen):
            error = {"error": "it failed", "error_type": "x"}
            return Reply(body={"status": "COMPLETED", "request_id": ID, **error})
        return reply if is_result(seen) else drawn(seen)

    return script


# A provider, and what it is asked


def provider(url: str = "http://127.0.0.1:9", folder: Path = Path("unused"), **section: Any) -> Fal:
    async def secret(asked: str) -> str | None:
        return KEY if asked == "FAL_KEY" else None

    settings = Settings.model_validate({"baseUrl": url, "local": False, **section})
    tested = Fal("fal", settings, ProviderContext(data_dir=folder, secret=secret))
    tested.first_pause = tested.longest_pause = 0.001
    tested.result_pauses = (0.0, 0.0, 0.0)  # type: ignore[misc]
    return tested


async def model(tested: Provider, id: str = DEV) -> Model:
    return next(m for m in await tested.list_models() if m.id == id)


def edit(task: Task = "image_to_image", side: int = 1024, **changes: Any) -> ProviderRequest:
    image: dict[str, Any] = {"image_id": "i", "image": picture(side, side)}
    if task == "inpaint":
        image |= {"mask_id": "m", "mask": left_half(side, side)}
    return replace(JOB, **{"task": task, "width": side, "height": side, **image, **changes})


async def make(
    vendor: FakeVendor, request: ProviderRequest = JOB, id: str = DEV, **section: Any
) -> Generation:
    tested = provider(vendor.url, **section)
    try:
        listed = await model(tested, id)
        submission = await tested.submit(request, listed, RUN)
        assert isinstance(submission, RemoteJob)
        return await tested.collect(submission.id, request, listed, RUN)
    finally:
        await tested.aclose()


async def failure(script: Script, **section: Any) -> ProviderError:
    with FakeVendor(script) as vendor, pytest.raises(ProviderError) as error:
        await make(vendor, **section)
    return error.value


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


# What it offers


async def test_it_lists_its_table_without_asking_anybody() -> None:
    listed = await provider().list_models()

    assert [m.id for m in listed] == list(ROWS)
    assert {m.where for m in listed} == {"vendor"}
    assert options_of(listed[1], "text_to_image") == {"seed", "steps", "guidance_scale"}


@pytest.mark.parametrize(
    ("id", "changes", "usd"),
    [
        ("fal-ai/flux/schnell", {}, 0.003),
        (DEV, {}, 0.025),
        (DEV, {"width": 2048, "height": 1024}, 0.05),
        (DEV, {"num_images": 4}, 0.1),
        (PRO, {}, 0.03),
        (PRO, {"width": 2048, "height": 2048}, 0.075),
        (PRO, {"task": "image_to_image", "image_id": "i"}, 0.045),
        (PRO, {"reference_ids": ("r",)}, 0.03 + 4 * 0.015),
        (NANO, {}, 0.08),
        (NANO, {"width": 2048, "height": 2048}, 0.12),
        (NANO, {"width": 5504, "height": 3072}, 0.16),
        ("fal-ai/flux-pro/kontext/max", {"task": "image_to_image", "image_id": "i"}, 0.08),
        (BRIA, {"task": "remove_background", "image_id": "i"}, 0.018),
    ],
)
async def test_prices_are_those_of_the_table(id: str, changes: dict[str, Any], usd: float) -> None:
    tested = provider()

    estimate = tested.estimate(replace(JOB, **changes), await model(tested, id))

    assert estimate is not None
    assert estimate.upper == pytest.approx(usd * 1e6, abs=1)


async def test_a_model_without_a_known_price_is_not_used() -> None:
    tested = provider()

    assert tested.estimate(JOB, await model(tested, LORA)) is None


@pytest.mark.parametrize("id", ["flux", "fal-ai/flux?x=1", "../v1/x", "fal-ai//dev"])
def test_what_is_no_id_is_refused_in_the_config(id: str) -> None:
    with pytest.raises(ValidationError, match="no id as fal-ai/flux/dev"):
        Settings.model_validate({"models": {id: {}}})


def test_the_price_list_is_fals_own_where_the_queue_is() -> None:
    assert Settings().prices_at() == PRICES
    assert Settings(base_url="http://127.0.0.1:9").prices_at() == ""


# Live prices


def priced(*entries: tuple[str, float, str]) -> Script:
    prices = [
        {"endpoint_id": id, "unit_price": price, "unit": unit, "currency": "USD"}
        for id, price, unit in entries
    ]
    body = {"prices": prices, "next_cursor": None, "has_more": False}
    return lambda seen: Reply(body=body) if "/pricing" in seen.path else drawn(seen)


async def test_the_live_price_of_a_unit_moves_the_rates_of_the_table(tmp_path: Path) -> None:
    live = priced((NANO, 0.10, "images"), (DEV, 0.02, "megapixels"), (LORA, 0.035, "megapixels"))
    with FakeVendor(live) as vendor:
        tested = provider(vendor.url, tmp_path, pricesUrl=f"{vendor.url}/v1/models/pricing")
        listed = {m.id: m for m in await tested.list_models()}
        await tested.aclose()

    def upper(id: str, side: int = 1024) -> int:
        estimate = tested.estimate(replace(JOB, width=side, height=side), listed[id])
        return 0 if estimate is None else estimate.upper

    assert (upper(NANO), upper(NANO, 2048)) == (100_000, 150_000)
    assert (upper(DEV), upper(DEV, 2048)) == (20_000, 80_000)
    assert (upper(LORA), upper(LORA, 2048)) == (35_000, 140_000)
    assert upper(PRO) == 30_000
    prices = listed[NANO].prices
    assert isinstance(prices, PriceBook)
    assert prices.live
    asked = vendor.seen[0]
    assert asked.path.startswith("/v1/models/pricing?endpoint_id=fal-ai%2Fflux%2Fschnell%2Cfal-ai")
    assert asked.headers["authorization"] == f"Key {KEY}"


async def test_a_price_by_the_second_is_no_price_of_a_picture(tmp_path: Path) -> None:
    with FakeVendor(priced((ESRGAN, 0.0005, "compute seconds"))) as vendor:
        tested = provider(vendor.url, tmp_path, pricesUrl=f"{vendor.url}/v1/models/pricing")
        listed = await model(tested, ESRGAN)
        await tested.aclose()

    assert tested.estimate(edit("upscale", factor=2), listed) is None


@pytest.mark.parametrize(
    ("id", "request_", "units", "cost"),
    [
        (DEV, JOB, "1", Cost(micro_usd=25_000, basis="computed")),
        (DEV, JOB, "1.0486", Cost(micro_usd=26_215, basis="computed")),
        (NANO, JOB, "1.5", Cost(micro_usd=120_000, basis="computed")),
        (DEV, JOB, "", Cost(micro_usd=25_000, basis="list")),
        (DEV, JOB, "0", Cost(micro_usd=25_000, basis="list")),
        (DEV, JOB, "nan", Cost(micro_usd=25_000, basis="list")),
        (PRO, JOB, "3", Cost(micro_usd=30_000, basis="list")),
    ],
)
async def test_what_the_header_counts_is_charged_at_the_price_of_a_unit(
    id: str, request_: ProviderRequest, units: str, cost: Cost
) -> None:
    with FakeVendor(lambda seen: drawn(seen, units=units)) as vendor:
        generation = await make(vendor, replace(request_, bucket="1:1 1K"), id)

    assert generation.cost == cost


async def test_the_users_own_price_is_no_price_of_a_unit() -> None:
    with FakeVendor(lambda seen: drawn(seen, units="9")) as vendor:
        generation = await make(vendor, models={DEV: {"priceUsd": 0.5}})

    assert generation.cost == Cost(micro_usd=500_000, basis="list")


# What it sends


async def test_a_job_is_asked_after_where_the_answer_says() -> None:
    with FakeVendor(drawn) as vendor:
        generation = await make(vendor)

    assert vendor.asked == [
        "POST /fal-ai/flux/dev",
        f"GET /fal-ai/flux/requests/{ID}/status",
        f"GET /fal-ai/flux/requests/{ID}",
        "GET /made.png",
    ]
    post, *_, download = vendor.seen
    assert post.headers["authorization"] == f"Key {KEY}"
    assert post.headers["x-fal-no-retry"] == "1"
    lifetime = json.loads(post.headers["x-fal-object-lifecycle-preference"])
    assert lifetime == {"expiration_duration_seconds": 86_400}
    assert "authorization" not in download.headers
    assert generation.images[0].seed == 7


@pytest.mark.parametrize(
    "response_url",
    [
        f"https://evil.test/fal-ai/flux/requests/{ID}",
        f"https://queue.fal.run/fal-ai/flux/requests/{ID}/response",
    ],
)
async def test_whatever_host_the_answer_names_only_the_queues_own_is_asked(
    response_url: str,
) -> None:
    submitted = Reply(body={"request_id": ID, "response_url": response_url})

    with FakeVendor(instead(is_submit, submitted)) as vendor:
        await make(vendor)

    path = response_url.partition("://")[2].partition("/")[2]
    assert vendor.asked[1:3] == [f"GET /fal-ai/flux/requests/{ID}/status", f"GET /{path}"]


@pytest.mark.parametrize("url", ["", "https://queue.fal.run/../v1/keys", "x/requests/"])
async def test_an_answer_without_the_id_of_a_job_is_an_unknown_outcome(url: str) -> None:
    reply = Reply(body={"request_id": ID, "response_url": url})

    error = await failure(instead(is_submit, reply))

    assert isinstance(error, OutcomeUnknown)


SIZE = {"image_size": {"width": 1024, "height": 1024}}
FLUX = {
    "prompt": "a red bicycle",
    "seed": 7,
    "num_images": 1,
    "num_inference_steps": 28,
    "guidance_scale": 3.5,
    "output_format": "png",
}
SQUARE = picture(1024, 1024)
RED = picture(64, 64, "red")


@pytest.mark.parametrize(
    ("id", "request_", "path", "body"),
    [
        (DEV, replace(JOB, num_images=2), DEV, FLUX | SIZE | {"num_images": 2}),
        (
            "fal-ai/flux/dev/image-to-image",
            edit(strength=0.6),
            "fal-ai/flux/dev/image-to-image",
            FLUX | {"image_url": data_url(SQUARE), "strength": 0.6},
        ),
        (
            LORA,
            replace(JOB, loras=(Lora(id="owner/style", weight=0.8),)),
            LORA,
            FLUX | SIZE | {"loras": [{"path": "owner/style", "scale": 0.8}]},
        ),
        (
            FILL,
            edit("inpaint", strength=0.9),
            FILL,
            FLUX
            | SIZE
            | {
                "image_url": data_url(SQUARE),
                "mask_url": data_url(convert_mask(left_half(1024, 1024), "white")),
                "strength": 0.9,
            },
        ),
        (
            DEPTH,
            replace(JOB, control=(Control(kind="depth", image_id="c", compute=True, image=RED),)),
            DEPTH,
            FLUX
            | SIZE
            | {
                "control_lora_image_url": data_url(RED),
                "control_lora_strength": 1.0,
                "preprocess_depth": True,
            },
        ),
        (PRO, JOB, PRO, {"prompt": "a red bicycle", "seed": 7, "output_format": "png"} | SIZE),
        (
            PRO,
            replace(JOB, reference_ids=("a", "b"), references=(SQUARE, RED)),
            f"{PRO}/edit",
            {"prompt": "a red bicycle", "seed": 7, "output_format": "png"}
            | SIZE
            | {"image_urls": [data_url(SQUARE), data_url(RED)]},
        ),
        (
            NANO,
            edit(bucket="1:1 2K", reference_ids=("r",), references=(RED,)),
            f"{NANO}/edit",
            {
                "prompt": "a red bicycle",
                "aspect_ratio": "1:1",
                "resolution": "2K",
                "seed": 7,
                "num_images": 1,
                "output_format": "png",
                "limit_generations": True,
                "image_urls": [data_url(SQUARE), data_url(RED)],
            },
        ),
        (
            ESRGAN,
            edit("upscale", 64, factor=4),
            ESRGAN,
            {"image_url": data_url(picture(64, 64)), "scale": 4, "output_format": "png"},
        ),
        (BRIA, edit("remove_background", 64), BRIA, {"image_url": data_url(picture(64, 64))}),
    ],
)
async def test_the_body_is_the_models_own(
    id: str, request_: ProviderRequest, path: str, body: dict[str, Any]
) -> None:
    with FakeVendor(drawn) as vendor:
        tested = provider(vendor.url)
        await tested.submit(request_, await model(tested, id), RUN)
        await tested.aclose()

    assert vendor.asked == [f"POST /{path}"]
    assert vendor.seen[0].body == body


async def test_any_other_model_is_a_row_of_the_users() -> None:
    row = {
        "priceUsd": 0.03,
        "inputs": {"prompt": "prompt", "bucket": "aspect_ratio"},
        "always": {"output_format": "png"},
        "shapes": {"1:1": [1024, 1024]},
    }

    with FakeVendor(drawn) as vendor:
        await make(
            vendor,
            replace(JOB, bucket="1:1"),
            "fal-ai/luma-photon",
            models={"fal-ai/luma-photon": row},
        )

    assert vendor.asked[0] == "POST /fal-ai/luma-photon"
    assert vendor.seen[0].body == {
        "prompt": "a red bicycle",
        "aspect_ratio": "1:1",
        "output_format": "png",
    }


# What is answered


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (
            Reply(status=403, body={"detail": "User is locked. Reason: Exhausted balance."}),
            PaymentRequired,
            "top it up",
        ),
        (Reply(status=401, body={"detail": "Cannot access"}), AuthenticationFailed, "the key"),
        (Reply(status=403, body={"detail": "Forbidden"}), AuthenticationFailed, "the key"),
        (
            Reply(status=404, body={"detail": 'Application "flux" not found'}),
            ModelMissing,
            "no such model",
        ),
        (Reply(status=429, body={"detail": "Too many"}), RateLimited, "try again in 15 s"),
        (Reply(status=400, body={"detail": "Bad"}), RequestRejected, "refused the request"),
    ],
)
async def test_what_is_refused_before_there_is_a_job_costs_nothing(
    reply: Reply, kind: type[ProviderError], words: str
) -> None:
    error = await failure(instead(is_submit, reply))

    assert isinstance(error, kind)
    assert words in str(error)
    assert error.charged == 0


@pytest.mark.parametrize(
    ("reply", "kind", "charged"),
    [
        (model_error("content_policy_violation"), ContentRefused, None),
        (model_error("image_too_small"), RequestRejected, None),
        (model_error("a new word"), RequestRejected, None),
        (model_error("a new word", **{"X-Fal-Retryable": "true"}), ProviderUnavailable, None),
        (model_error("a new word", **{"X-Fal-Needs-Retry": "true"}), ProviderUnavailable, None),
        (model_error("no_media_generated"), ProviderUnavailable, None),
        (request_error(504, "request_timeout"), ProviderTimeout, 0),
        (request_error(504, "startup_timeout"), ProviderTimeout, 0),
        (request_error(503, "runner_disconnected"), ProviderUnavailable, 0),
        (request_error(500, "runner_server_error"), ProviderUnavailable, 0),
        (request_error(499, "client_cancelled"), EngineCrashed, None),
    ],
)
@pytest.mark.parametrize("told_by_status", [False, True])
async def test_a_failed_job_says_why_and_what_it_cost(
    told_by_status: bool, reply: Reply, kind: type[ProviderError], charged: int | None
) -> None:
    error = await failure(ended(reply) if told_by_status else instead(is_result, reply))

    assert isinstance(error, kind)
    assert error.charged == charged


@pytest.mark.parametrize(("units", "charged"), [("1", 25_000), ("0", 0)])
async def test_a_refusal_that_tells_its_units_costs_these(units: str, charged: int) -> None:
    reply = model_error("content_policy_violation", **{"X-Fal-Billable-Units": units})

    error = await failure(instead(is_result, reply))

    assert isinstance(error, ContentRefused)
    assert error.charged == charged


async def test_a_failed_job_with_a_result_is_done() -> None:
    with FakeVendor(ended(Reply(body={"images": [{"url": data_url(picture())}]}))) as vendor:
        generation = await make(vendor)

    assert len(generation.images) == 1


async def test_a_blackened_picture_is_a_refusal() -> None:
    def script(seen: Seen) -> Reply:
        reply = drawn(seen)
        return Reply(body=reply.body | {"has_nsfw_concepts": [True]}) if is_result(seen) else reply

    error = await failure(script)

    assert isinstance(error, ContentRefused)
    assert error.charged is None


async def test_of_several_pictures_the_blackened_ones_are_left_out_and_charged() -> None:
    def script(seen: Seen) -> Reply:
        reply = drawn(seen, 3)
        flags = {"has_nsfw_concepts": [False, True, False]}
        return Reply(body=reply.body | flags) if is_result(seen) else reply

    with FakeVendor(script) as vendor:
        generation = await make(vendor, replace(JOB, num_images=3))

    assert len(generation.images) == 2
    assert generation.notes == ("fal's filter kept back 1 of the pictures",)
    assert generation.cost == Cost(micro_usd=75_000, basis="list")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=502, body=b"<html>Bad gateway</html>"),
        Reply(status=401, body={"detail": "Unauthorized"}),
        Reply(status=403, body={"detail": "User is locked: balance"}),
        Reply(status=404, body={"detail": "Path not found"}),
    ],
)
async def test_a_result_that_cannot_be_had_is_asked_for_again_and_never_ordered_again(
    reply: Reply,
) -> None:
    left = [1]

    def once(seen: Seen) -> Reply:
        if is_result(seen) and left[0]:
            left[0] -= 1
            return reply
        return drawn(seen)

    with FakeVendor(once) as vendor:
        generation = await make(vendor)
    with FakeVendor(instead(is_result, reply)) as never, pytest.raises(OutcomeUnknown):
        await make(never)

    assert len(generation.images) == 1
    assert sum(map(is_submit, [*vendor.seen, *never.seen])) == 2


async def test_another_process_can_go_on_with_a_job() -> None:
    remote = f"fal-ai/flux/requests/{ID}"
    with FakeVendor(drawn) as vendor:
        tested = provider(vendor.url)
        resolution = await tested.resolve("our-key", remote)
        generation = await tested.collect(remote, JOB, await model(tested), RUN)
        foreign = await tested.resolve("our-key", "https://evil.test/x")
        await tested.aclose()

    assert (resolution.state, foreign.state) == ("finished", "unknowable")
    assert len(generation.images) == 1


# Stopping


@pytest.mark.parametrize(
    ("put", "result", "state", "cost"),
    [
        (202, request_error(499, "client_cancelled"), "stopped", None),
        (202, Reply(body={"images": []}), "too_late", None),
        (400, Reply(body={"images": []}), "too_late", None),
        (404, Reply(body={"images": []}), "too_late", None),
    ],
)
async def test_a_job_is_stopped_by_a_put(
    put: int, result: Reply, state: str, cost: int | None
) -> None:
    other = ended(result)

    def script(seen: Seen) -> Reply:
        return Reply(status=put, body={"status": "X"}) if seen.method == "PUT" else other(seen)

    with FakeVendor(script) as vendor:
        tested = provider(vendor.url)
        outcome = await tested.cancel(f"fal-ai/flux/requests/{ID}")
        await tested.aclose()

    assert vendor.asked[0] == f"PUT /fal-ai/flux/requests/{ID}/cancel"
    assert (outcome.state, outcome.cost.micro_usd) == (state, cost)


# Probing


@pytest.mark.parametrize(
    ("status", "state"), [(200, "ready"), (401, "unauthorised"), (500, "unreachable")]
)
async def test_a_key_is_tried_by_the_price_of_one_model(status: int, state: str) -> None:
    with FakeVendor(lambda seen: Reply(status=status, body={"prices": []})) as vendor:
        tested = provider(vendor.url, pricesUrl=f"{vendor.url}/v1/models/pricing")
        probe = await tested.probe()
        await tested.aclose()

    assert probe.state == state
    assert set(vendor.asked) == {
        "GET /v1/models/pricing?endpoint_id=fal-ai%2Fflux%2Fschnell",
    }


# The published specification


@pytest.mark.spec
def test_the_fake_answers_as_the_published_specification_wants() -> None:
    def seen(method: str, path: str) -> Seen:
        return Seen(method=method, path=path, headers={"host": "x.test"}, content=b"")

    submitted = drawn(seen("POST", "/fal-ai/flux/dev")).body
    status = drawn(seen("GET", f"/fal-ai/flux/requests/{ID}/status")).body
    assert problems("fal-queue", "QueueSubmit", submitted) == []
    assert problems("fal-queue", "QueueStatus", status) == []
    assert problems("fal-queue", "ModelError", model_error("x").body) == []
    assert problems("fal-queue", "RequestError", request_error(500, "x").body) == []
    prices = priced((DEV, 0.025, "image"))(seen("GET", "/v1/models/pricing")).body
    pointer = "/paths/~1models~1pricing/get/responses/200/content/application~1json/schema"
    assert problems("fal", pointer, prices) == []


# What every provider does


class Hasty(Fal):
    """Asks again at once."""

    first_pause = longest_pause = 0.001


class TestConformance(ProviderConformance):
    provider_type = Hasty
    settings: ClassVar[Mapping[str, Any]] = {"models": {FILL: {"priceUsd": 0.035}}}
    secrets: ClassVar[Mapping[str, str]] = {"FAL_KEY": KEY}
    refusals = (
        (Reply(status=403, body={"detail": "User is locked: balance"}), PaymentRequired),
        (Reply(status=429, body={"detail": "Too many"}), RateLimited),
        (model_error("content_policy_violation", **{"X-At": "result"}), ContentRefused),
        (model_error("image_too_small", **{"X-At": "result"}), RequestRejected),
    )
    _count = 1

    def reply(self, seen: Seen) -> Reply:
        if is_submit(seen):
            self._count = seen.body.get("num_images", 1)
        return drawn(seen, self._count)

    def gets(self, seen: Seen, reply: Reply) -> bool:
        return is_result(seen) if "X-At" in reply.headers else is_submit(seen)

    def wire(self, seen: Seen) -> object:
        """Sizes stand in an object of their own."""
        return seen.path, seen.body

    async def models(self, provider: Provider) -> Sequence[Model]:
        """One with all options and a mask; of the others the bodies are compared."""
        return [await model(provider, FILL)]

    def mask_of(self, seen: Seen) -> bytes | None:
        url = seen.body.get("mask_url") if is_submit(seen) else None
        return base64.b64decode(url.partition(",")[2]) if url else None
