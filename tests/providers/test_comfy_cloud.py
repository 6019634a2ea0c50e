from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from tests.support.fake_comfy_cloud import (
    JOB_ID,
    JOBS,
    MODELS,
    PNG,
    FakeComfyCloud,
    is_cancel,
    is_poll,
    is_submit,
    job,
    output,
    refusal,
)
from tests.support.fake_vendors import problems
from ziggie_image_mcp.provider import (
    NO_COST,
    UNKNOWN_COST,
    AuthenticationFailed,
    CancelOutcome,
    Cost,
    EngineCrashed,
    Generation,
    InvalidOutput,
    Lora,
    Model,
    ModelMissing,
    ModelUnusable,
    OutcomeUnknown,
    OutOfMemory,
    PaymentRequired,
    PriceBook,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RemoteJob,
    RequestRejected,
    Run,
)
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture
from ziggie_image_mcp.provider.testing.rig import left_half
from ziggie_image_providers.comfyui import groups
from ziggie_image_providers.comfyui.cloud import MAX_IMAGES, ComfyCloud, PriceUnknown
from ziggie_image_providers.comfyui.cloud_graph import join
from ziggie_image_providers.comfyui.cloud_settings import Settings

KEY = "comfyui-0123456789abcdef0123456789abcdef"
SDXL = "sd_xl_base_1.0.safetensors"
FLUX = "flux1-schnell.safetensors"
UPSCALER = "4x-UltraSharp.pth"
REQUEST = ProviderRequest(prompt="a red bicycle", width=1024, height=1024, seed=7, steps=4)
SECONDS_COST = Cost(micro_usd=4200, basis="computed")
Script = Callable[[Seen], Reply]


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)


class Hasty(ComfyCloud):
    """Does not pause."""

    fetch_pauses = (0.0, 0.0)
    first_pause = 0.01
    longest_pause = 0.02
    stop_seconds = 0.5


def provider(url: str = "http://127.0.0.1:9", key: str | None = KEY, **section: Any) -> ComfyCloud:
    async def secret(asked: str) -> str | None:
        return key if asked == "COMFY_API_KEY" else None

    section = {"baseUrl": url, "local": False, "priceUsd": 0.05, **section}
    settings = Settings.model_validate({k: v for k, v in section.items() if v is not None})
    return Hasty("comfy_cloud", settings, ProviderContext(data_dir=Path("unused"), secret=secret))


async def model(tested: ComfyCloud, id: str = SDXL) -> Model:
    return next(m for m in await tested.list_models() if m.id == id)


async def make(
    script: Script, request: ProviderRequest = REQUEST, id: str = SDXL, **section: Any
) -> tuple[Generation, list[Seen]]:
    with FakeVendor(script) as vendor:
        tested = provider(vendor.url, **section)
        try:
            listed = await model(tested, id)
            sent = await tested.submit(request, listed, RUN)
            assert isinstance(sent, RemoteJob)
            return await tested.collect(sent.id, request, listed, RUN), vendor.seen
        finally:
            await tested.aclose()


async def failure(script: Script, **section: Any) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        await make(script, **section)
    return error.value


def instead(applies: Callable[[Seen], bool], reply: Reply) -> Script:
    cloud = FakeComfyCloud()
    return lambda seen: reply if applies(seen) else cloud(seen)


def graph(seen: list[Seen]) -> dict[str, dict[str, Any]]:
    [sent] = [s for s in seen if is_submit(s)]
    nodes: dict[str, dict[str, Any]] = sent.body["workflow"]
    return nodes


def of_class(nodes: dict[str, dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [n["inputs"] for n in nodes.values() if n["class_type"] == name]


# What it has


async def test_it_lists_the_files_of_the_cloud_as_a_vendors_models_with_the_users_price() -> None:
    cloud = FakeComfyCloud(models={**MODELS, "loras": ["pixel_sdxl.safetensors"]})
    with FakeVendor(cloud) as vendor:
        tested = provider(vendor.url)

        listed = {m.id: m for m in await tested.list_models()}
        await tested.aclose()

    book = listed[SDXL].prices
    assert isinstance(book, PriceBook)
    assert [(r.unit, r.micro_usd) for r in book.rates] == [("image", 50_000)]
    assert {m.where for m in listed.values()} == {"vendor"}
    assert {m.device for m in listed.values()} == {""}
    assert listed["pixel_sdxl.safetensors"].role == "lora"
    assert set(listed[SDXL].tasks) == {"text_to_image", "image_to_image", "inpaint"}
    assert listed[SDXL].tasks["text_to_image"].max_images == MAX_IMAGES
    assert listed[FLUX].state == "ready"
    assert listed[UPSCALER].tasks["upscale"].factors


async def test_its_front_doors_memory_makes_no_model_too_large() -> None:
    with FakeVendor(FakeComfyCloud()) as vendor:
        tested = provider(vendor.url)

        states = {m.state for m in await tested.list_models()}
        await tested.aclose()

    assert states == {"ready"}


async def test_a_model_that_lacks_files_says_how_to_get_it_going_in_the_cloud() -> None:
    with FakeVendor(FakeComfyCloud(models={"diffusion_models": [FLUX]})) as vendor:
        tested = provider(vendor.url)

        flux = await model(tested, FLUX)
        await tested.aclose()

    assert flux.state == "missing"
    assert flux.fix.startswith("Comfy Cloud lacks what it needs: ")
    assert "providers.comfy_cloud.companions" in flux.fix


async def test_both_headers_carry_the_key_and_no_address_does() -> None:
    _, seen = await make(FakeComfyCloud())

    asked = [s for s in seen if s.path.startswith("/api/")]
    assert {(s.headers["x-api-key"], s.headers["authorization"]) for s in asked} == {
        (KEY, f"Bearer {KEY}")
    }
    assert not [s for s in seen if KEY in s.path]


async def test_without_a_key_nobody_is_asked() -> None:
    with FakeVendor(FakeComfyCloud()) as vendor:
        tested = provider(vendor.url, key=None)

        with pytest.raises(AuthenticationFailed, match="keys set COMFY_API_KEY"):
            await tested.list_models()

    assert vendor.seen == []


async def test_probe_tells_the_jobs_that_wait() -> None:
    with FakeVendor(FakeComfyCloud()) as vendor:
        tested = provider(vendor.url)

        probe = await tested.probe()
        await tested.aclose()

    assert (probe.state, probe.queue_length) == ("ready", 3)


async def test_an_account_on_the_waiting_list_is_not_ready() -> None:
    waits = Reply(body={"status": "waitlisted"})
    with FakeVendor(instead(lambda s: s.path == "/api/user", waits)) as vendor:
        tested = provider(vendor.url)

        probe = await tested.probe()
        await tested.aclose()

    assert probe.state == "unauthorised"


# Money


async def test_without_any_price_no_model_is_offered_and_the_fix_is_told() -> None:
    with FakeVendor(FakeComfyCloud()) as vendor:
        tested = provider(vendor.url, priceUsd=None)

        with pytest.raises(PriceUnknown) as error:
            await tested.list_models()

    assert "providers.comfy_cloud.priceUsd" in str(error.value)
    assert "providers.comfy_cloud.pricePerSecondUsd" in str(error.value)
    assert vendor.seen == []


async def test_a_price_of_one_model_leaves_the_others_without() -> None:
    section: dict[str, Any] = {"priceUsd": None, "models": {SDXL: {"priceUsd": 0.2}}}
    with FakeVendor(FakeComfyCloud()) as vendor:
        tested = provider(vendor.url, **section)

        listed = {m.id: tested.estimate(REQUEST, m) for m in await tested.list_models()}
        await tested.aclose()

    bound = listed[SDXL]
    assert bound is not None
    assert bound.upper == 200_000
    assert listed[FLUX] is None


@pytest.mark.parametrize(
    ("section", "pictures", "upper"),
    [
        ({"priceUsd": 0.05}, 3, 150_000),
        ({"priceUsd": None, "pricePerSecondUsd": 0.001, "timeout": 90}, 3, 90_000),
        ({"priceUsd": None, "pricePerSecondUsd": 0.001}, 1, 600_000),
        ({"priceUsd": 0.05, "pricePerSecondUsd": 0.001}, 1, 50_000),
        ({"priceUsd": 0}, 2, 0),
    ],
)
async def test_the_bound_is_the_users_price_or_the_longest_run(
    section: dict[str, Any], pictures: int, upper: int
) -> None:
    with FakeVendor(FakeComfyCloud()) as vendor:
        tested = provider(vendor.url, **section)

        bound = tested.estimate(replace(REQUEST, num_images=pictures), await model(tested))
        await tested.aclose()

    assert bound is not None
    assert bound.upper == upper


@pytest.mark.parametrize(
    ("section", "metrics", "cost"),
    [
        ({}, {"execution_ms": 4200}, UNKNOWN_COST),
        (
            {"pricePerSecondUsd": 0.001},
            {"execution_ms": 4200},
            Cost(micro_usd=4200, basis="computed"),
        ),
        ({"pricePerSecondUsd": 0.001}, {"execution_ms": None}, UNKNOWN_COST),
        ({"pricePerSecondUsd": 0.001}, {}, UNKNOWN_COST),
        ({"pricePerSecondUsd": 0.001}, {"execution_ms": 0}, UNKNOWN_COST),
    ],
)
async def test_a_run_cost_its_seconds_where_they_are_told_and_else_what_was_reserved(
    section: dict[str, Any], metrics: dict[str, int | None], cost: Cost
) -> None:
    generation, _ = await make(FakeComfyCloud(metrics=metrics), **section)

    assert generation.cost == cost


async def test_its_balance_is_not_told() -> None:
    assert await provider().balance() is None


# What is ordered


async def test_all_pictures_are_one_job_that_loads_the_model_once() -> None:
    request = replace(REQUEST, num_images=3)

    generation, seen = await make(FakeComfyCloud(), request)

    nodes = graph(seen)
    assert len(of_class(nodes, "CheckpointLoaderSimple")) == 1
    assert len(of_class(nodes, "CLIPTextEncode")) == 2
    assert [s["seed"] for s in of_class(nodes, "KSampler")] == [7, 8, 9]
    saves = [s["filename_prefix"] for s in of_class(nodes, "SaveImage")]
    prompt = groups.prompt_id(RUN.key, 0)
    assert saves == [f"ziggie/{prompt}_{i}" for i in range(3)]
    assert [image.seed for image in generation.images] == [7, 8, 9]


async def test_a_picture_of_several_is_the_one_that_it_is_alone() -> None:
    _, alone = await make(FakeComfyCloud(), replace(REQUEST, seed=8))
    _, together = await make(FakeComfyCloud(), replace(REQUEST, num_images=2))

    nodes = graph(together)
    single = graph(alone)
    assert {
        name: {**node["inputs"], "filename_prefix": ""}
        for name, node in _reached(nodes, "save_p2").items()
    } == {
        name: {**node["inputs"], "filename_prefix": ""}
        for name, node in _reached(single, "save").items()
    }


def _reached(nodes: dict[str, dict[str, Any]], id: str) -> dict[str, dict[str, Any]]:
    """The nodes that one stands on, by names without the picture's number."""
    found: dict[str, dict[str, Any]] = {}
    inputs = dict(nodes[id]["inputs"])
    for name, value in inputs.items():
        if isinstance(value, list):
            link, slot = cast("tuple[str, int]", value)
            found |= _reached(nodes, link)
            inputs[name] = [link.removesuffix("_p2"), slot]
    return found | {id.removesuffix("_p2"): {**nodes[id], "inputs": inputs}}


def test_what_stands_on_another_nodes_change_is_its_own_too() -> None:
    def alike(seed: int) -> dict[str, dict[str, Any]]:
        return {
            "model": {"class_type": "L", "inputs": {"file": "a"}},
            "late": {"class_type": "D", "inputs": {"samples": ["sampler", 0]}},
            "sampler": {"class_type": "S", "inputs": {"seed": seed, "model": ["model", 0]}},
        }

    joined = join([alike(1), alike(2)])

    assert list(joined) == ["model", "late", "sampler", "late_p2", "sampler_p2"]
    assert joined["late_p2"]["inputs"] == {"samples": ["sampler_p2", 0]}
    assert joined["sampler_p2"]["inputs"] == {"seed": 2, "model": ["model", 0]}


async def test_pictures_to_work_from_are_uploaded_once_and_named_by_their_ids() -> None:
    image, mask = picture(1024, 1024), left_half(1024, 1024)
    given: dict[str, Any] = {"image_id": "i", "image": image, "mask_id": "m", "mask": mask}
    cloud = FakeComfyCloud()

    _, seen = await make(cloud, replace(REQUEST, task="inpaint", num_images=2, **given))

    nodes = graph(seen)
    [load], [load_mask] = of_class(nodes, "LoadImage"), of_class(nodes, "LoadImageMask")
    names = [item["image"]["info"]["id"] for item in (load, load_mask)]
    assert {item["image"]["__type"] for item in (load, load_mask)} == {"core/ASSET"}
    assert [cloud.uploads[name] for name in names] == [image, mask]
    forms = [s.form for s in seen if s.path == "/api/v2/assets"]
    assert len(forms) == 2
    assert {(f["tags"], f["expires_in"], f["content_type"]) for f in forms} == {
        ("input", "86400", "image/png")
    }
    assert forms[0]["file_path"] == f"{hashlib.sha256(image).hexdigest()[:32]}.png"


async def test_an_upscaler_makes_the_size_that_was_asked() -> None:
    given: dict[str, Any] = {"image_id": "i", "image": picture(64, 64), "factor": 3}
    request = ProviderRequest(task="upscale", prompt="", width=64, height=64, **given)

    generation, seen = await make(FakeComfyCloud(), request, UPSCALER)

    nodes = graph(seen)
    assert "192" in str(nodes)
    assert of_class(nodes, "UpscaleModelLoader") == [{"model_name": UPSCALER}]
    assert len(generation.images) == 1


async def test_the_job_has_the_runs_idempotency_key_and_nothing_of_the_account() -> None:
    _, seen = await make(FakeComfyCloud())

    [sent] = [s for s in seen if is_submit(s)]
    assert sent.headers["idempotency-key"] == groups.prompt_id(RUN.key, 0)
    assert list(sent.body) == ["workflow"]
    assert not [s for s in seen if "free" in s.path or "ws" in s.path]


@pytest.mark.spec
async def test_the_recorded_answers_are_those_of_the_specification() -> None:
    cloud = FakeComfyCloud(saves=["save"])
    seen = Seen(method="GET", path="/", headers={"host": "x.test"}, content=b"")

    whole: dict[str, Any] = {"progress": {"value": 1, "nodes_done": 3, "nodes_total": 3}}
    whole["error"] = {"code": "node_execution_error", "message": "."}
    for answer in (cloud.done(seen.origin), job(), job("failed"), job("canceled")):
        assert problems("comfy-v2", "Job", answer | whole) == []
    assert problems("comfy-v2", "ErrorEnvelope", refusal(402, "insufficient_credits").body) == []


async def test_a_lora_that_is_not_there_is_said_before_anything_is_ordered() -> None:
    with FakeVendor(FakeComfyCloud()) as vendor:
        tested = provider(vendor.url)
        listed = await model(tested)

        with pytest.raises(ModelMissing):
            await tested.submit(replace(REQUEST, loras=(Lora(id="absent"),)), listed, RUN)
        await tested.aclose()

    assert not [s for s in vendor.seen if s.method == "POST"]


async def test_an_upload_that_fails_orders_nothing_and_costs_nothing() -> None:
    script = instead(lambda s: s.path == "/api/v2/assets", Reply(status=500))
    given: dict[str, Any] = {"image_id": "i", "image": picture(1024, 1024)}

    with FakeVendor(script) as vendor:
        tested = provider(vendor.url)
        listed = await model(tested)
        with pytest.raises(ProviderUnavailable, match="nothing was ordered") as error:
            await tested.submit(replace(REQUEST, task="image_to_image", **given), listed, RUN)
        await tested.aclose()

    assert error.value.charged == 0
    assert not [s for s in vendor.seen if is_submit(s)]


# Refusals


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (refusal(402, "insufficient_credits"), PaymentRequired, "no Comfy credits left"),
        (refusal(429, "", "Subscription inactive"), PaymentRequired, "needs an active plan"),
        (Reply(status=429, body={"error": {"type": "PAYMENT_REQUIRED"}}), PaymentRequired, "paid"),
        (refusal(403, "PAYMENT_REQUIRED"), PaymentRequired, "paid first"),
        (Reply(status=429, body={"error": {"type": "QUEUE_LIMIT"}}), RateLimited, "wait"),
        (refusal(429, "queue_full"), RateLimited, "try again in 30 s"),
        (refusal(429, "rate_limited"), RateLimited, "too often"),
        (refusal(401, "unauthorized", f"bad key {KEY}"), AuthenticationFailed, "was refused"),
        (refusal(403, "forbidden"), AuthenticationFailed, "refused"),
        (refusal(422, "invalid_workflow", "not connected"), RequestRejected, "the graph"),
        (refusal(422, "invalid_workflow", "unknown node class X"), ModelUnusable, "a node"),
        (refusal(422, "missing_asset"), RequestRejected, "gone again"),
    ],
)
async def test_what_is_refused_before_there_is_a_job_costs_nothing(
    reply: Reply, kind: type[ProviderError], words: str
) -> None:
    error = await failure(instead(is_submit, reply))

    assert type(error) is kind
    assert words in str(error)
    assert KEY not in str(error)
    assert error.charged == 0


async def test_a_full_queue_asks_to_wait_as_long_as_it_says() -> None:
    error = await failure(instead(is_submit, refusal(429, "queue_full", **{"retry-after": "9"})))

    assert error.retry_after == 9
    assert error.scope == "account"


@pytest.mark.parametrize(
    "reply",
    [
        refusal(500, "upstream_error"),
        refusal(422, "idempotency_key_reuse"),
        Reply(then="reset"),
        Reply(status=201, body={"id": "../../etc", "status": "queued"}),
    ],
)
async def test_a_job_that_may_have_been_made_is_not_ordered_again(reply: Reply) -> None:
    with FakeVendor(instead(is_submit, reply)) as vendor:
        tested = provider(vendor.url)
        listed = await model(tested)
        with pytest.raises(OutcomeUnknown):
            await tested.submit(REQUEST, listed, RUN)
        await tested.aclose()

    assert len([s for s in vendor.seen if is_submit(s)]) == 1


# How a job ends


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "OOMError", "message": "no room", "class_type": "KSampler"}, OutOfMemory),
        ({"code": "node_execution_error", "message": "CUDA out of memory"}, OutOfMemory),
        ({"code": "InsufficientFundsError", "message": "top up"}, PaymentRequired),
        ({"code": "InactiveSubscriptionError", "message": "."}, PaymentRequired),
        ({"code": "ModelDownloadError", "message": "gone"}, ModelMissing),
        ({"code": "node_execution_error", "message": f"echo {KEY}"}, ProviderError),
        (None, ProviderError),
    ],
)
async def test_a_job_that_failed_says_why_and_counts_as_charged(
    error: dict[str, str] | None, kind: type[ProviderError]
) -> None:
    raised = await failure(instead(is_poll, Reply(body=job("failed", error=error))))

    assert type(raised) is kind
    assert raised.charged is None
    assert KEY not in str(raised)


async def test_a_failed_job_cost_the_seconds_that_it_ran() -> None:
    reply = Reply(body=job("failed", error={"code": "OOMError", "message": "."}))

    raised = await failure(instead(is_poll, reply), pricePerSecondUsd=0.001)

    assert raised.charged == 4200


@pytest.mark.parametrize(
    ("answer", "charged"),
    [(job("canceled"), None), (job("canceled", started_at=None), 0), (job("expired"), None)],
)
async def test_a_job_that_was_ended_by_others_cost_nothing_only_where_no_gpu_saw_it(
    answer: dict[str, Any], charged: int | None
) -> None:
    raised = await failure(instead(is_poll, Reply(body=answer)))

    assert isinstance(raised, EngineCrashed)
    assert raised.charged == charged


async def test_progress_is_told_in_the_clouds_words() -> None:
    cloud, looks, told = FakeComfyCloud(), iter((job(), job("running"), None)), list[str]()
    told_by_node = {"value": 0.4, "nodes_done": 1, "nodes_total": 3, "message": "KSampler 2/4"}

    def script(seen: Seen) -> Reply:
        answer = next(looks, None) if is_poll(seen) else None
        if answer and answer["status"] == "running":
            answer["progress"] = told_by_node
        return Reply(body=answer) if answer else cloud(seen)

    async def tell(share: float, message: str) -> None:
        told.append(message)

    with FakeVendor(script) as vendor:
        tested = provider(vendor.url)
        listed = await model(tested)
        run = replace(RUN, progress=tell)
        sent = await tested.submit(REQUEST, listed, run)
        assert isinstance(sent, RemoteJob)
        await tested.collect(sent.id, REQUEST, listed, run)
        await tested.aclose()

    distinct = list(dict.fromkeys(told))
    assert distinct[1:3] == ["in Comfy Cloud's queue, place 2", "KSampler 2/4"]


async def test_pictures_of_a_third_party_are_fetched_without_the_key() -> None:
    cloud, headers = FakeComfyCloud(), list[Any]()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if request.headers["host"] == "storage.test":
            headers.append(dict(request.headers))
            return httpx2.Response(200, content=PNG)
        heads = {"host": "cloud.comfy.org"}
        content = await request.aread()
        path = request.url.raw_path.decode()
        seen = Seen(method=request.method, path=path, headers=heads, content=content)
        if is_poll(seen):
            signed = "https://storage.test/bucket/a.png?X-Goog-Signature=0"
            return httpx2.Response(200, json=job("succeeded", outputs=[output(signed)]))
        reply = cloud(seen)
        return httpx2.Response(reply.status, json=reply.body)

    async def secret(name: str) -> str | None:
        return KEY

    async def resolver(host: str) -> list[str]:
        return ["93.184.216.34"]

    transport = httpx2.MockTransport(answer)
    context = ProviderContext(
        data_dir=Path("unused"), secret=secret, transport=transport, resolver=resolver
    )
    tested = Hasty("comfy_cloud", Settings(price_usd=0.05), context)
    listed = await model(tested)
    sent = await tested.submit(REQUEST, listed, RUN)
    assert isinstance(sent, RemoteJob)
    generation = await tested.collect(sent.id, REQUEST, listed, RUN)
    await tested.aclose()

    assert generation.images[0].data == PNG
    assert len(headers) == 1
    assert KEY not in str(headers)


async def test_a_redirect_to_a_signed_address_is_followed_without_the_key() -> None:
    def script(seen: Seen) -> Reply:
        if is_poll(seen):
            own = f"{seen.origin}/api/files/a.png"
            return Reply(body=job("succeeded", outputs=[output(own)]))
        return FakeComfyCloud()(seen)

    generation, seen = await make(script)

    [asked] = [s for s in seen if s.path == "/api/v2/assets/9f8a1c0d-save/content"]
    [fetched] = [s for s in seen if s.path.startswith("/signed/")]
    assert generation.images[0].data == PNG
    assert KEY in str(asked.headers)
    assert KEY not in str(fetched.headers)


async def test_a_redirect_into_this_machine_is_not_followed() -> None:
    with FakeVendor(lambda seen: Reply(body=PNG)) as inside:

        def script(seen: Seen) -> Reply:
            if seen.path.endswith("/content"):
                return Reply(status=302, headers={"location": f"{inside.url}/x.png"})
            if is_poll(seen):
                return Reply(body=job("succeeded", outputs=[output(f"{seen.origin}/a.png")]))
            return FakeComfyCloud()(seen)

        error = await failure(script)

    assert isinstance(error, InvalidOutput)
    assert inside.connections == 0


async def test_a_picture_that_cannot_be_had_is_charged_and_not_ordered_elsewhere() -> None:
    error = await failure(
        instead(lambda s: s.path.startswith("/signed/"), Reply(status=404)),
        pricePerSecondUsd=0.001,
    )

    assert isinstance(error, InvalidOutput)
    assert (error.charged, error.fallback) == (4200, False)


@pytest.mark.parametrize("outputs", [[], [output("x", type="text")]])
async def test_a_job_without_a_picture_is_no_success(outputs: list[dict[str, Any]]) -> None:
    error = await failure(instead(is_poll, Reply(body=job("succeeded", outputs=outputs))))

    assert isinstance(error, InvalidOutput)
    assert error.charged is None


async def test_outputs_under_other_node_ids_are_taken_too() -> None:
    def script(seen: Seen) -> Reply:
        if is_poll(seen):
            return Reply(body=job("succeeded", outputs=[output(f"{seen.origin}/signed/b", "9")]))
        return FakeComfyCloud()(seen)

    generation, _ = await make(script)

    assert [image.seed for image in generation.images] == [7]


# Stopping and taking up again


async def cancel(script: Script, **section: Any) -> CancelOutcome:
    with FakeVendor(script) as vendor:
        tested = provider(vendor.url, **section)
        outcome = await tested.cancel(JOB_ID)
        await tested.aclose()
        return outcome


def ending(*looks: dict[str, Any]) -> Script:
    """A job that is asked to end, and what is told of it from then on."""
    left = [*looks]

    def script(seen: Seen) -> Reply:
        return Reply(body=left.pop(0) if len(left) > 1 else left[0])

    return script


async def test_a_job_that_waits_is_stopped_for_nothing() -> None:
    outcome = await cancel(ending(job("canceled", started_at=None)))

    assert outcome == CancelOutcome(state="stopped", cost=NO_COST)


async def test_a_job_that_runs_is_stopped_and_charged_for_its_seconds() -> None:
    outcome = await cancel(ending(job("canceling"), job("canceled")), pricePerSecondUsd=0.001)

    assert outcome.state == "stopped"
    assert outcome.cost == SECONDS_COST


async def test_a_stop_that_has_not_taken_effect_yet_may_cost_what_was_reserved() -> None:
    outcome = await cancel(ending(job("canceling")))

    assert outcome == CancelOutcome(state="stopped", cost=UNKNOWN_COST)


@pytest.mark.parametrize("reply", [Reply(body=job("succeeded")), refusal(404, "not_found")])
async def test_what_has_ended_cannot_be_stopped(reply: Reply) -> None:
    assert (await cancel(lambda seen: reply)).state == "too_late"


async def test_no_other_job_of_the_account_is_touched() -> None:
    with FakeVendor(ending(job("canceled"))) as vendor:
        tested = provider(vendor.url)
        await tested.cancel(JOB_ID)
        await tested.aclose()

    assert vendor.asked == [f"POST {JOBS}/{JOB_ID}/cancel"]


async def test_a_job_that_was_ordered_as_its_caller_left_is_stopped() -> None:
    cloud, arrived, answer = FakeComfyCloud(), threading.Event(), threading.Event()

    def script(seen: Seen) -> Reply:
        if is_submit(seen):
            arrived.set()
            answer.wait(5)
        return Reply(body=job("canceled")) if is_cancel(seen) else cloud(seen)

    with FakeVendor(script) as vendor:
        tested = provider(vendor.url)
        listed = await model(tested)
        work = asyncio.create_task(tested.submit(REQUEST, listed, RUN))
        await asyncio.to_thread(arrived.wait, 5)
        work.cancel()
        asyncio.get_running_loop().call_later(0.05, answer.set)
        with pytest.raises(asyncio.CancelledError):
            await work
        await tested.aclose()

    assert vendor.asked[-1] == f"POST {JOBS}/{JOB_ID}/cancel"


async def test_a_job_that_takes_too_long_is_stopped() -> None:
    stopped = list[bool]()
    cloud = FakeComfyCloud()

    def script(seen: Seen) -> Reply:
        if is_cancel(seen):
            stopped.append(True)
        if is_poll(seen) or is_cancel(seen):
            return Reply(body=job("canceled" if stopped else "running"))
        return cloud(seen)

    error = await failure(script, timeout=0.3)

    assert isinstance(error, ProviderTimeout)
    assert (error.charged, stopped) == (None, [True])


async def test_a_job_of_an_earlier_process_is_stopped_by_the_time_that_it_ran() -> None:
    stopped = list[bool]()
    cloud = FakeComfyCloud()

    def script(seen: Seen) -> Reply:
        if is_cancel(seen):
            stopped.append(True)
        if is_poll(seen) or is_cancel(seen):
            metrics = {"execution_ms": 61_000}
            return Reply(body=job("canceled" if stopped else "running", metrics=metrics))
        return cloud(seen)

    error = await failure(script, timeout=60, pricePerSecondUsd=0.001)

    assert isinstance(error, ProviderTimeout)
    assert error.charged == 61_000


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Reply(body=job()), "running"),
        (Reply(body=job("canceling")), "running"),
        (Reply(body=job("a word of 2027")), "running"),
        (Reply(body=job("succeeded")), "finished"),
        (Reply(body=job("failed")), "failed"),
        (refusal(404, "not_found"), "unknowable"),
        (refusal(500, "upstream_error"), "unknowable"),
        (Reply(body=["no job"]), "unknowable"),
    ],
)
async def test_after_a_crash_a_job_is_looked_up_by_its_id(answer: Reply, state: str) -> None:
    with FakeVendor(lambda seen: answer) as vendor:
        tested = provider(vendor.url)
        resolution = await tested.resolve(RUN.key, JOB_ID)
        await tested.aclose()

    assert resolution.state == state
    assert not [s for s in vendor.seen if s.method == "POST"]


async def test_after_a_crash_without_an_id_nobody_can_tell() -> None:
    resolution = await provider().resolve(RUN.key, "")

    assert resolution.state == "unknowable"


async def test_another_process_fetches_the_pictures_in_their_order() -> None:
    request = replace(REQUEST, num_images=2)
    cloud = FakeComfyCloud(saves=["save", "save_p2"])
    with FakeVendor(cloud) as vendor:
        tested = provider(vendor.url)
        listed = await model(tested)
        generation = await tested.collect(JOB_ID, request, listed, RUN)
        await tested.aclose()

    assert [image.seed for image in generation.images] == [7, 8]
    fetched = [s.path for s in vendor.seen if s.path.endswith("/content")]
    assert fetched == [f"/api/v2/assets/9f8a1c0d-{id}/content" for id in ("save", "save_p2")]


async def test_it_asks_the_address_that_everybody_writes() -> None:
    assert Settings().base_url == "https://cloud.comfy.org"
    assert Settings(base_url="https://cloud.comfy.org/api/v2").base_url == Settings().base_url
