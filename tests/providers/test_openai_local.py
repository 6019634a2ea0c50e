from __future__ import annotations

import base64
import io
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from tests.support.factory import service
from tests.support.fake_vendors import unknown_fields
from tests.support.local_image_servers import (
    IDS,
    LISTINGS,
    listing,
    local_server,
    png,
    reply_of,
    sglang,
    vllm,
    vllm_error,
)
from tests.support.vendors import RUN
from ziggie_image_mcp.provider import (
    FREE,
    EngineCrashed,
    FreeSize,
    Generation,
    InvalidOutput,
    Model,
    ModelMissing,
    NotReady,
    Option,
    OutOfMemory,
    PriceBook,
    Provider,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SameAsInput,
    Task,
)
from ziggie_image_mcp.provider.testing import FakeVendor, ProviderConformance, Reply, Seen, picture
from ziggie_image_mcp.provider.testing.rig import left_half
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_providers.openai import OpenAI
from ziggie_image_providers.openai.flavours import flavours
from ziggie_image_providers.openai.settings import Settings

RED = picture(512, 512, "red")


def provider(url: str, **settings: Any) -> OpenAI:
    section = {"baseUrl": f"{url}/v1", "keyName": None, **settings}
    return OpenAI("mine", Settings.model_validate(section), ProviderContext(data_dir=Path("none")))


@asynccontextmanager
async def local(url: str, **settings: Any) -> AsyncGenerator[OpenAI]:
    tested = provider(url, **settings)
    try:
        yield tested
    finally:
        await tested.aclose()


async def model(tested: OpenAI, id: str) -> Model:
    return next(m for m in await tested.list_models() if m.id == id)


async def submit(tested: OpenAI, request: ProviderRequest, id: str) -> Generation:
    generation = await tested.submit(request, await model(tested, id), RUN)
    assert isinstance(generation, Generation)
    return generation


def request(task: Task = "text_to_image", **changes: Any) -> ProviderRequest:
    values: dict[str, Any] = {
        "task": task,
        "prompt": "a red bicycle",
        "negative_prompt": "blurry",
        "width": 512,
        "height": 512,
        "seed": 7,
        "steps": 8,
        "guidance_scale": 2.5,
    }
    if task != "text_to_image":
        values |= {"image_id": "i", "image": RED}
    if task == "inpaint":
        values |= {"mask_id": "m", "mask": left_half(512, 512)}
    return ProviderRequest(**(values | changes))


async def exchange(
    name: str, job: ProviderRequest, *, at: int = 0, answer: Reply | None = None, **row: Any
) -> tuple[Seen, Generation]:
    """What a server of this flavour was sent, and what came of it."""
    id = IDS[name][at]
    with local_server(name, answer) as server:
        async with local(server.url, models={id: {"priceUsd": 0, **row}}) as tested:
            generation = await submit(tested, job, id)
    posts = [seen for seen in server.seen if seen.method == "POST"]
    assert len(posts) == 1
    return posts[0], generation


async def tasks_of(lists: Mapping[str, Any], name: str = "compatible") -> dict[str, list[Task]]:
    """What the models can do that a server lists."""
    with local_server(name, lists=lists) as server:
        async with local(server.url) as tested:
            return {m.id: list(m.tasks) for m in await tested.list_models()}


async def refusal(lists: Mapping[str, Any], name: str = "compatible") -> str:
    """Why a server that lists this makes no pictures, as its listing and its probe say alike."""
    with local_server(name, lists=lists) as server:
        async with local(server.url) as tested:
            with pytest.raises(NotReady) as error:
                await tested.list_models()
            probe = await tested.probe()
    assert (probe.state, probe.message) == ("wrong_service", str(error.value))
    assert not [seen for seen in server.seen if seen.method == "POST"]
    return str(error.value)


# Which it is


@pytest.mark.parametrize("name", LISTINGS)
async def test_a_server_is_known_by_what_it_lists_and_asked_once(name: str) -> None:
    with local_server(name) as server:
        async with local(server.url) as tested:
            probe = await tested.probe()
            first = len(server.seen)
            listed = await tested.list_models()

    path = flavours()[name].listing
    assert (probe.state, probe.flavour) == ("ready", name)
    assert server.asked[first:] == [f"GET {path}" if path[0] == "/" else f"GET /v1/{path}"]
    assert [m.id for m in listed] == IDS[name]


async def test_a_flavour_that_the_user_names_is_not_asked_for() -> None:
    rows = {"m": {"priceUsd": 0}}
    with local_server("compatible") as server:
        tested = provider(server.url, flavour="azure", models=rows)
        await submit(tested, request(), "m")
        await tested.aclose()

    assert [path for path in server.asked if path.startswith("GET")] == []


async def test_a_request_of_another_process_finds_the_flavour_before_it_is_sent() -> None:
    with local_server("sglang") as server:
        async with local(server.url, models={"m": {"priceUsd": 0}}) as tested:
            listed = await model(tested, "m")
        async with local(server.url, models={"m": {"priceUsd": 0}}) as another:
            await another.submit(request(), listed, RUN)

    assert server.seen[-1].body["num_inference_steps"] == 8


async def test_what_is_no_list_of_models_is_something_else() -> None:
    page = Reply(body=b"<html>", headers={"content-type": "text/html"})
    with FakeVendor(lambda seen: page) as server:
        async with local(server.url) as tested:
            with pytest.raises(ProviderUnavailable, match="something else answers"):
                await tested.list_models()
            assert (await tested.probe()).state == "unreachable"


async def test_plain_vllm_has_no_picture_routes_and_is_told_so() -> None:
    def script(seen: Seen) -> Reply:
        known = seen.path == "/v1/models"
        return Reply(body=listing(vllm("meta/llama"))) if known else Reply(status=404, body={})

    with FakeVendor(script) as server:
        async with local(server.url) as tested:
            with pytest.raises(NotReady, match=r"vLLM without picture routes.*--omni"):
                await tested.list_models()


async def test_sglang_with_a_language_model_is_told_to_start_with_another() -> None:
    lists = {"/v1/models": listing(sglang("meta/llama"))}

    with pytest.raises(NotReady, match=r"SGLang .* has no model that makes pictures; start it"):
        await tasks_of(lists, "sglang")


async def test_lm_studio_is_known_and_said_to_make_no_pictures() -> None:
    item = {"id": "qwen", "object": "model", "compatibility_type": "gguf", "state": "loaded"}
    lists = {"/v1/models": listing({"id": "qwen"}), "/api/v0/models": listing(item)}

    assert "LM Studio makes no pictures" in await refusal(lists)


@pytest.mark.parametrize("version", ["0.13.9", "0.32.6", "0.33.0-rc2", "1.0"])
async def test_an_ollama_without_pictures_is_said_to_be_one(version: str) -> None:
    message = await refusal({**LISTINGS["ollama"], "/api/version": {"version": version}}, "ollama")

    assert "Ollama has no image generation, which was in 0.14.0 to 0.32.5 only" in message


@pytest.mark.parametrize("version", ["0.14.0", "0.14.3", "0.32.5"])
async def test_an_ollama_that_makes_pictures_lists_its_models(version: str) -> None:
    lists = {**LISTINGS["ollama"], "/api/version": {"version": version}}

    assert list(await tasks_of(lists, "ollama")) == IDS["ollama"]


@pytest.mark.parametrize("name", ["sglang", "vllm-omni", "lemonade", "sd-server"])
async def test_behind_a_proxy_that_shows_its_api_alone_a_server_is_known_by_its_models(
    name: str,
) -> None:
    lists = {"/v1/models": LISTINGS[name]["/v1/models"]}
    with local_server(name, lists=lists) as server:
        async with local(server.url) as tested:
            assert await tested.detect() == name


async def test_an_ollama_that_refuses_pictures_all_the_same_says_so_too() -> None:
    said = {"error": "image generation models are not currently supported"}
    with pytest.raises(NotReady, match=r"this Ollama makes no pictures"):
        await exchange("ollama", request(), answer=Reply(status=400, body=said))


# Where it is, and what it costs


@pytest.mark.parametrize("name", LISTINGS)
async def test_a_listed_model_is_local_and_has_no_price_until_the_user_says_that_it_is_free(
    name: str,
) -> None:
    id = IDS[name][0]
    with local_server(name) as server:
        async with local(server.url) as tested:
            unknown = await model(tested, id)
            assert tested.estimate(request(), unknown) is None
        async with local(server.url, models={id: {"priceUsd": 0}}) as tested:
            free = await model(tested, id)

    assert unknown.prices == PriceBook(rates=())
    assert free.prices is FREE
    assert (free.where, free.device) == ("this_machine", f"{server.url}/v1")
    assert free.defaults.quality == ""
    assert not set(OpenAI.table).intersection(m.id for m in (unknown, free))


async def test_a_tunnel_to_somebody_else_is_not_local_and_its_price_of_0_is_a_price() -> None:
    id = IDS["compatible"][0]
    with local_server("compatible") as server:
        rows = {id: {"priceUsd": 0}}
        async with local(server.url, local=False, flavour="compatible", models=rows) as tested:
            listed = await model(tested, id)

    assert (listed.where, listed.device) == ("vendor", "")
    assert isinstance(listed.prices, PriceBook)


async def test_a_free_model_is_free_and_a_lost_answer_of_it_is_no_lost_money() -> None:
    _, generation = await exchange("compatible", request())
    with pytest.raises(EngineCrashed):
        await exchange("compatible", request(), answer=Reply(then="reset"))

    assert generation.cost.micro_usd == 0


@pytest.mark.parametrize(("name", "id"), [("lemonade", "cloud-image"), ("ollama", "x/far:cloud")])
async def test_what_a_server_passes_on_to_a_cloud_is_neither_local_nor_free(
    name: str, id: str
) -> None:
    with local_server(name) as server:
        async with local(server.url, models={id: {"priceUsd": 0}}) as tested:
            cloud = await model(tested, id)
        async with local(server.url) as tested:
            unknown = await model(tested, id)

    assert (cloud.where, cloud.device) == ("vendor", "")
    assert cloud.prices is not FREE
    assert unknown.prices == PriceBook(rates=())


async def test_a_model_that_the_server_does_not_list_is_offered_where_the_user_names_it() -> None:
    with local_server("vllm-omni") as server:
        async with local(server.url, models={"mine": {"priceUsd": 0}}) as tested:
            listed = {m.id: m for m in await tested.list_models()}

    assert set(listed) == {"mine", *IDS["vllm-omni"]}
    assert isinstance(sizes := listed["mine"].tasks["text_to_image"].sizes, FreeSize)
    assert (sizes.min_side, sizes.min_pixels, sizes.max_ratio) == (64, 0, None)


# What its models can do


async def test_what_lemonade_tells_of_a_model_is_taken() -> None:
    with local_server("lemonade") as server:
        async with local(server.url) as tested:
            turbo, klein, upscaler = (await tested.list_models())[:3]

    assert isinstance(sizes := turbo.tasks["text_to_image"].sizes, FreeSize)
    assert (sizes.native_width, sizes.native_height, sizes.multiple_of) == (512, 512, 64)
    assert (turbo.defaults.steps, turbo.defaults.guidance_scale) == (4, 1.0)
    assert turbo.tasks["text_to_image"].max_images == 1
    assert set(turbo.tasks) == {"text_to_image"}
    assert set(klein.tasks) == {"text_to_image", "image_to_image", "inpaint"}
    assert set(upscaler.tasks) == {"upscale"}
    assert upscaler.tasks["upscale"].factors == (4,)
    assert upscaler.defaults.steps is None


@pytest.mark.parametrize(
    ("told", "tasks"),
    [
        (("T2I",), ["text_to_image"]),
        (("I2I",), ["image_to_image"]),
        (("T2I", "TI2I"), ["text_to_image", "image_to_image"]),
    ],
)
async def test_sglang_tells_what_its_model_can_do_and_never_reads_a_mask(
    told: tuple[str, ...], tasks: list[Task]
) -> None:
    lists = {"/v1/models": listing(sglang("m", *told))}

    assert await tasks_of(lists, "sglang") == {"m": tasks}


@pytest.mark.parametrize(
    ("id", "row", "masks"),
    [
        ("black-forest-labs/FLUX.2-klein-4B", {}, True),
        ("Qwen/Qwen-Image-Edit", {}, False),
        ("Qwen/Qwen-Image-Edit", {"masks": True}, True),
        ("black-forest-labs/FLUX.2-klein-4B", {"masks": False}, False),
    ],
)
async def test_of_vllm_omnis_models_only_those_that_read_a_mask_are_given_one(
    id: str, row: dict[str, Any], masks: bool
) -> None:
    with local_server("vllm-omni", lists={"/v1/models": listing(vllm(id))}) as server:
        async with local(server.url, models={id: row}) as tested:
            tasks = (await model(tested, id)).tasks

    assert ("inpaint" in tasks) == masks
    assert tasks["text_to_image"].bounds == {"steps": (1, 200), "guidance_scale": (0, 20)}


async def test_localai_and_ollama_are_given_no_masks_and_ollama_no_chat_models() -> None:
    both: list[Task] = ["text_to_image", "image_to_image"]

    assert await tasks_of(LISTINGS["localai"], "localai") == {
        "dreamshaper": both,
        "stable-diffusion-x4-upscaler": ["upscale"],
    }
    assert await tasks_of(LISTINGS["ollama"], "ollama") == dict.fromkeys(IDS["ollama"], both)


# What it is sent


FIELDS = {
    "seed": 7,
    "negative_prompt": "blurry",
    "num_inference_steps": 8,
    "guidance_scale": 2.5,
    "response_format": "b64_json",
    "output_format": "png",
}
PLAIN: Mapping[str, Any] = {"prompt": "a red bicycle", "n": 1, "size": "512x512"}
BODIES: Mapping[str, dict[str, Any]] = {
    "vllm-omni": FIELDS,
    "sglang": FIELDS,
    "lemonade": {"seed": 7, "steps": 8, "cfg_scale": 2.5, "response_format": "b64_json"},
    "sd-server": {
        "prompt": 'a red bicycle <sd_cpp_extra_args>{"negative_prompt": "blurry", "seed": 7,'
        ' "sample_params": {"sample_steps": 8, "guidance": {"txt_cfg": 2.5}}}</sd_cpp_extra_args>',
        "output_format": "png",
    },
    "localai": {
        "prompt": "a red bicycle|blurry",
        "step": 8,
        "seed": 7,
        "response_format": "b64_json",
    },
    "koboldcpp": {},
    "ollama": {"seed": 7, "response_format": "b64_json"},
    "compatible": {},
}


@pytest.mark.parametrize("name", LISTINGS)
async def test_the_payload_is_in_the_words_of_each_server(name: str) -> None:
    seen, generation = await exchange(name, request())

    assert seen.path == "/v1/images/generations"
    assert seen.body == {"model": IDS[name][0], **PLAIN, **BODIES[name]}
    with Image.open(io.BytesIO(generation.images[0].data)) as image:
        assert image.size == (512, 512)


@pytest.mark.spec
@pytest.mark.parametrize(
    ("server", "task"),
    [
        ("vllm_omni", "text_to_image"),
        ("vllm_omni", "image_to_image"),
        ("vllm_omni", "inpaint"),
        ("sglang", "text_to_image"),
        ("sglang", "image_to_image"),
    ],
)
async def test_a_local_server_reads_every_field(server: str, task: Task) -> None:
    job = request(task, strength=None if task == "text_to_image" else 0.5)

    seen, _ = await exchange(server.replace("_", "-"), job)

    name = "edits multipart form"
    if task == "text_to_image":
        omni = server == "vllm_omni"
        name = "ImageGenerationRequest" if omni else "ImageGenerationsRequest"
    fields = seen.form if seen.is_form else seen.body
    assert unknown_fields(server, name, fields) == []


@pytest.mark.parametrize(
    ("name", "at", "field", "painted_anew"),
    [
        ("vllm-omni", 0, "mask_image", "white"),
        ("lemonade", 1, "mask", "white"),
        ("sd-server", 0, "mask", "white"),
        ("compatible", 0, "mask", "alpha"),
    ],
)
async def test_each_server_gets_the_mask_that_it_reads(
    name: str, at: int, field: str, painted_anew: str
) -> None:
    seen, _ = await exchange(name, request("inpaint"), at=at, edits=True)

    assert seen.path == "/v1/images/edits"
    assert seen.form["image"] == RED
    sent = seen.form[field]
    assert isinstance(sent, bytes)
    with Image.open(io.BytesIO(sent)) as mask:
        layer = mask.getchannel("A") if painted_anew == "alpha" else mask.convert("L")
        corners = [layer.getpixel((x, 0)) for x in (0, 511)]
    assert corners == ([0, 255] if painted_anew == "alpha" else [255, 0])


async def test_vllm_omni_reads_a_strength_where_there_is_a_picture() -> None:
    seen, _ = await exchange("vllm-omni", request("image_to_image", strength=0.5))

    assert seen.form["strength"] == "0.5"


async def test_vllm_omni_refuses_another_model_than_it_has() -> None:
    with local_server("vllm-omni") as server:
        async with local(server.url, models={"mine": {"priceUsd": 0}}) as tested:
            with pytest.raises(ModelMissing, match=r"the server has another model.*klein"):
                await submit(tested, request(), "mine")


async def test_localai_gets_a_picture_as_bare_base64_which_it_drops_otherwise() -> None:
    seen, _ = await exchange("localai", request("image_to_image"))

    assert seen.path == "/v1/images/generations"
    assert seen.body["file"] == base64.b64encode(RED).decode()


async def test_ollama_gets_a_picture_as_a_data_url_in_a_json_body() -> None:
    seen, generation = await exchange("ollama", request("image_to_image"))

    assert (seen.path, seen.is_form) == ("/v1/images/edits", False)
    assert seen.body["image"] == "data:image/png;base64," + base64.b64encode(RED).decode()
    assert len(generation.images) == 1


async def test_a_bar_is_no_border_of_a_negative_prompt_of_the_users_and_is_said() -> None:
    job = request(prompt="a cat | a dog", negative_prompt="blur|dark")

    seen, generation = await exchange("localai", job)

    assert seen.body["prompt"] == "a cat / a dog|blur/dark"
    assert [n for n in generation.notes if n.startswith("| was sent as /")]


@pytest.mark.parametrize("tag", ["sd_cpp_extra_args", "sd_cpp_<sd_cpp_extra_args>extra_args"])
async def test_what_a_user_writes_between_the_tags_of_sd_server_is_no_option(tag: str) -> None:
    prompt = f'a cat <{tag}>{{"steps": 150}}</sd_cpp_extra_args>'
    job = ProviderRequest(prompt=prompt, width=512, height=512, seed=7)

    seen, _ = await exchange("sd-server", job)

    sent = seen.body["prompt"]
    assert sent == 'a cat {"steps": 150} <sd_cpp_extra_args>{"seed": 7}</sd_cpp_extra_args>'


@pytest.mark.parametrize(
    ("name", "at", "task", "sent"),
    [
        ("lemonade", 1, "image_to_image", "2147483646"),
        ("localai", 0, "text_to_image", 2147483646),
        ("ollama", 0, "text_to_image", 4294967294),
    ],
)
async def test_a_seed_goes_out_in_the_bits_that_the_server_takes_and_is_told_so(
    name: str, at: int, task: Task, sent: object
) -> None:
    seen, generation = await exchange(name, request(task, seed=2**32 - 2), at=at)

    fields = seen.form if seen.is_form else seen.body
    assert fields["seed"] == sent
    assert generation.images[0].seed == int(str(sent))


@pytest.mark.parametrize("name", ["localai", "ollama", "lemonade", "koboldcpp"])
async def test_servers_that_give_one_picture_or_one_seed_are_asked_for_one(name: str) -> None:
    with local_server(name) as server:
        async with local(server.url) as tested:
            listed = await model(tested, IDS[name][0])

    assert listed.tasks["text_to_image"].max_images == 1


# Upscalers


async def test_localais_upscaler_gets_a_form_and_its_picture_is_fetched_at_the_server() -> None:
    seen, generation = await exchange("localai", request("upscale", factor=4), at=1)

    assert seen.path == "/v1/images/upscale"
    assert seen.form == {"model": "stable-diffusion-x4-upscaler", "scale": "4", "image": RED}
    assert generation.images[0].data == png(64, 64)
    assert generation.images[0].seed is None


async def test_lemonades_upscaler_gets_base64_and_nothing_else() -> None:
    seen, generation = await exchange("lemonade", request("upscale", factor=4), at=2)

    assert seen.path == "/v1/images/upscale"
    encoded = base64.b64encode(RED).decode()
    assert seen.body == {"model": "RealESRGAN-x4plus", "image": encoded}
    with Image.open(io.BytesIO(generation.images[0].data)) as image:
        assert image.size == (2048, 2048)


async def test_a_model_of_localai_is_an_upscaler_where_the_user_says_so() -> None:
    with local_server("localai") as server:
        async with local(server.url, models={"dreamshaper": {"upscales": 2}}) as tested:
            able = (await model(tested, "dreamshaper")).tasks

    assert set(able) == {"upscale"}
    assert able["upscale"].factors == (2,)
    assert isinstance(sizes := able["upscale"].sizes, SameAsInput)
    assert sizes.accepts.max_pixels == 2048 * 2048


# What comes back


@pytest.mark.parametrize("url", ["/generated-images/x.png", "{origin}/generated-images/x.png"])
async def test_a_picture_that_a_server_keeps_is_fetched_there(url: str) -> None:
    def script(seen: Seen) -> Reply:
        if seen.method == "GET":
            return reply_of("localai", seen)
        return Reply(body={"data": [{"url": url.format(origin=seen.origin)}]})

    with FakeVendor(script) as server:
        async with local(server.url, models={"dreamshaper": {"priceUsd": 0}}) as tested:
            generation = await submit(tested, request(), "dreamshaper")

    assert generation.images[0].data == png(64, 64)


async def test_a_picture_of_a_local_server_is_fetched_from_nobody_else() -> None:
    with FakeVendor(lambda seen: Reply(body=RED)) as elsewhere:
        answer = Reply(body={"data": [{"url": f"{elsewhere.url}/x.png"}]})
        with pytest.raises(InvalidOutput, match="at another host than the server's"):
            await exchange("localai", request(), answer=answer)

    assert elsewhere.seen == []


async def test_a_size_that_comes_back_different_is_said() -> None:
    body = {"data": [{"b64_json": base64.b64encode(RED).decode()}], "size": "1024x1024"}

    _, generation = await exchange("vllm-omni", request(), answer=Reply(body=body))

    assert "made in 1024x1024, and 512x512 was asked for" in generation.notes


@pytest.mark.parametrize(
    ("name", "reply", "error"),
    [
        ("vllm-omni", Reply(status=400, body=vllm_error("bad size")), RequestRejected),
        ("sglang", Reply(status=400, body={"detail": "bad size"}), RequestRejected),
        (
            "lemonade",
            Reply(status=400, body={"error": {"message": "bad size", "type": "x"}}),
            RequestRejected,
        ),
        (
            "localai",
            Reply(status=500, body={"error": {"code": 500, "message": "bad size", "type": ""}}),
            EngineCrashed,
        ),
        ("sd-server", Reply(status=400, body={"error": "bad size"}), RequestRejected),
        (
            "sd-server",
            Reply(status=500, body={"error": "server_error", "message": "bad size"}),
            EngineCrashed,
        ),
        (
            "koboldcpp",
            Reply(status=400, body={"detail": {"msg": "bad size", "type": "bad_input"}}),
            RequestRejected,
        ),
        (
            "ollama",
            Reply(status=400, body={"error": {"message": "bad size", "type": "api_error"}}),
            RequestRejected,
        ),
        (
            "sglang",
            Reply(status=500, body={"detail": "CUDA out of memory: bad size"}),
            OutOfMemory,
        ),
    ],
)
async def test_what_a_server_refuses_is_quoted_in_its_own_words(
    name: str, reply: Reply, error: type[ProviderError]
) -> None:
    with pytest.raises(error, match="bad size"):
        await exchange(name, request(), answer=reply)


LOADING = {
    "error": {"message": "model m is loading (40%)", "code": "model_loading"},
    "loading": {"progress": 40},
}
COOLDOWN = 'model "m" load is in cooldown after a recent failure; retry after 7s'


@pytest.mark.parametrize(
    "body",
    [
        LOADING,
        {"error": {"message": COOLDOWN, "code": 503, "type": ""}},
        {"error": {"message": "backend inference capacity reached (max_concurrent=1)"}},
        {"error": {"type": "admission_rejected", "message": "model m is at capacity"}},
        b"",  # with LOCALAI_OPAQUE_ERRORS
    ],
)
async def test_localai_says_when_to_ask_again(body: Any) -> None:
    answer = Reply(status=503, headers={"retry-after": "7"}, body=body)

    with pytest.raises(RateLimited) as error:
        await exchange("localai", request(), answer=answer)

    assert error.value.retry_after == 7
    assert error.value.charged == 0


async def test_a_model_that_is_loading_is_waited_for(tmp_path: Path) -> None:
    posts: list[Seen] = []

    def script(seen: Seen) -> Reply:
        if seen.method == "POST":
            posts.append(seen)
            if len(posts) == 1:
                return Reply(status=503, headers={"retry-after": "0.01"}, body=LOADING)
        return reply_of("localai", seen)

    with FakeVendor(script) as server:
        rows = {"dreamshaper": {"priceUsd": 0}}
        made = service(tmp_path, provider(server.url, models=rows))
        result = await made.generate(ImageRequest(prompt="a cat", model="dreamshaper"))

    assert len(posts) == 2
    assert len(result.images) == 1


# What every provider does


class TestVllmOmniConformance(ProviderConformance):
    """A local server, which is found by its listing."""

    provider_type: ClassVar[Any] = OpenAI
    name: ClassVar[str] = "vllm-omni"
    base_path: ClassVar[str] = "/v1"
    option_values: ClassVar[Mapping[Option, tuple[Any, Any]]] = {}

    @property
    def settings(self) -> Mapping[str, Any]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
        """Free, and on this machine."""
        row = {"priceUsd": 0, "nativeWidth": 512, "nativeHeight": 512}
        return {"keyName": None, "local": True, "models": dict.fromkeys(IDS[self.name], row)}

    def reply(self, seen: Seen) -> Reply:
        """A picture, or what it lists."""
        return reply_of(self.name, seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        """What is here, and not at somebody else's."""
        return [m for m in await provider.list_models() if m.where == "this_machine"]


class TestSdServerConformance(TestVllmOmniConformance):
    """Options that stand in the prompt."""

    name: ClassVar[str] = "sd-server"


class TestLocalAIConformance(TestVllmOmniConformance):
    """A picture in a JSON body, and an upscaler whose picture is fetched."""

    name: ClassVar[str] = "localai"


class TestOllamaConformance(TestVllmOmniConformance):
    """Edits in JSON, with a data URL."""

    name: ClassVar[str] = "ollama"
