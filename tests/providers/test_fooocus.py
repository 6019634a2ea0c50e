"""What is asked of Fooocus-API, task by task, and what becomes of its jobs and answers."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import TextContent
from PIL import Image

from tests.support.factory import opener, service
from tests.support.fake_fooocus import (
    ANIME,
    FLUX,
    JUGGERNAUT,
    NOT_FOUND,
    OFFSET,
    FakeFooocus,
    plain_fooocus,
)
from ziggie_image_mcp.provider import (
    CancelOutcome,
    Control,
    EngineGone,
    Generation,
    InvalidOutput,
    Lora,
    Model,
    ModelMissing,
    ModelUnusable,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderTimeout,
    RateLimited,
    RemoteJob,
    RequestRejected,
    Run,
)
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture
from ziggie_image_mcp.provider.testing.rig import left_half
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_providers.fooocus import Fooocus, Pace
from ziggie_image_providers.fooocus.listing import UPSCALER
from ziggie_image_providers.fooocus.settings import Settings

Changes = Mapping[str, Any]
Script = Callable[[Seen], Reply]
QUICK = Pace(first=0.01, factor=1.0, late=0.01, patience=0.2)
NOBODY = "http://127.0.0.1:9"


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)
PNG = picture(1024, 1024)
BASE64 = base64.b64encode(PNG).decode()


async def secret(name: str) -> str | None:
    return "fooocus-key-0123" if name == "FOOOCUS_KEY" else None


def provider(url: str | None, *places: str, **settings: Any) -> Fooocus:
    where = {} if url is None else {"baseUrl": url}
    given = Settings.model_validate({**where, **settings})
    context = ProviderContext(data_dir=Path("unused"), secret=secret)
    return Fooocus("fooocus", given, context, QUICK, places)


def job(**changes: Any) -> ProviderRequest:
    values: dict[str, Any] = {"prompt": "a red bicycle", "width": 1024, "height": 1024, "seed": 7}
    values |= {"steps": 30, "guidance_scale": 4.0}
    return ProviderRequest(**{**values, **changes})


async def listed(script: Script, **settings: Any) -> dict[str, Model]:
    with FakeVendor(script) as vendor:
        tested = provider(vendor.url, **settings)
        models = await tested.list_models()
        await tested.aclose()
    return {model.id: model for model in models}


async def made(
    fake: FakeFooocus, model: str, request: ProviderRequest, **settings: Any
) -> Generation:
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url, **settings)
        try:
            found = next(m for m in await tested.list_models() if m.id == model)
            submission = await tested.submit(request, found, RUN)
            assert isinstance(submission, RemoteJob)
            return await tested.collect(submission.id, request, found, RUN)
        finally:
            await tested.aclose()


async def error_of(
    fake: FakeFooocus, model: str, request: ProviderRequest, **settings: Any
) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        await made(fake, model, request, **settings)
    return error.value


async def probe(script: Script, path: str = "", **settings: Any) -> Probe:
    with FakeVendor(script) as vendor:
        tested = provider(vendor.url + path, **settings)
        told = await tested.probe()
        await tested.aclose()
    return told


COMMON: Changes = {
    "prompt": "a red bicycle",
    "negative_prompt": "",
    "style_selections": [],
    "performance_selection": "Speed",
    "aspect_ratios_selection": "1024*1024",
    "image_number": 1,
    "image_seed": 7,
    "base_model_name": JUGGERNAUT,
    "refiner_model_name": "None",
    "loras": [],
    "guidance_scale": 4.0,
    "save_meta": True,
    "meta_scheme": "fooocus",
    "save_extension": "png",
    "async_process": True,
}
ADVANCED: Changes = {"overwrite_step": 30, "disable_preview": True}


# What goes out


async def test_a_picture_from_a_prompt_leaves_nothing_to_fooocuss_defaults() -> None:
    fake = FakeFooocus()
    request = job(
        width=896,
        height=1152,
        negative_prompt="blurry",
        num_images=2,
        steps=12,
        sampler="DPM++ 2M Karras",
        loras=(Lora(id="sd_xl_offset_example-lora_1.0", weight=0.5),),
    )
    generation = await made(fake, JUGGERNAUT, request)

    [(path, body)] = fake.posted
    assert path == "v1/generation/text-to-image"
    assert body == {
        **COMMON,
        "negative_prompt": "blurry",
        "aspect_ratios_selection": "896*1152",
        "image_number": 2,
        "loras": [{"enabled": True, "model_name": OFFSET, "weight": 0.5}],
        "advanced_params": {
            "overwrite_step": 12,
            "sampler_name": "dpmpp_2m",
            "scheduler_name": "karras",
            "disable_preview": True,
        },
    }
    assert [image.seed for image in generation.images] == [7, 8]
    assert generation.notes == ()


async def test_references_and_control_pictures_go_out_as_image_prompts() -> None:
    fake = FakeFooocus()
    lines = Control(kind="canny", image_id="c", weight=0.7, image=PNG)
    request = job(reference_ids=("r",), references=(PNG,), control=(lines,))
    await made(fake, JUGGERNAUT, request)

    [(path, body)] = fake.posted
    assert path == "v2/generation/text-to-image-with-ip"
    assert body == {
        **COMMON,
        "advanced_params": {**ADVANCED, "skipping_cn_preprocessor": True},
        "image_prompts": [
            {"cn_img": BASE64, "cn_type": "ImagePrompt", "cn_stop": 0, "cn_weight": 0},
            {"cn_img": BASE64, "cn_type": "PyraCanny", "cn_stop": 0, "cn_weight": 0.7},
        ],
    }


async def test_a_change_of_a_picture_is_a_variation_of_the_strength() -> None:
    fake = FakeFooocus()
    request = job(task="image_to_image", image_id="i", image=PNG, strength=0.4)
    await made(fake, JUGGERNAUT, request)

    [(path, body)] = fake.posted
    assert path == "v2/generation/image-upscale-vary"
    assert body == {
        **COMMON,
        "advanced_params": {**ADVANCED, "overwrite_vary_strength": 0.4},
        "input_image": BASE64,
        "uov_method": "Vary (Strong)",
    }


async def test_a_mask_is_white_and_hard_where_it_is_painted_anew() -> None:
    fake = FakeFooocus()
    soft = io.BytesIO()
    Image.new("L", (1024, 1024), 40).save(soft, "PNG")  # Fooocus reads greys below 128 as none
    for mask in (left_half(1024, 1024), soft.getvalue()):
        request = job(task="inpaint", image_id="i", image=PNG, mask_id="m", mask=mask)
        await made(fake, JUGGERNAUT, request)

    masks = [base64.b64decode(body.pop("input_mask")) for _, body in fake.posted]
    corners: list[Any] = []
    for mask in masks:
        with Image.open(io.BytesIO(mask)) as image:
            corners.append([image.getpixel(at) for at in ((0, 0), (1023, 0))])
    assert corners == [[255, 0], [255, 255]]
    path, body = fake.posted[0]
    assert path == "v2/generation/image-inpaint-outpaint"
    advanced = {**ADVANCED, "inpaint_strength": 1.0, "inpaint_respective_field": 1.0}
    assert body == {**COMMON, "advanced_params": advanced, "input_image": BASE64}


async def test_its_upscaler_doubles_the_sides() -> None:
    fake = FakeFooocus()
    request = job(task="upscale", image_id="i", image=PNG, factor=2)
    generation = await made(fake, UPSCALER, request)

    [(path, body)] = fake.posted
    assert path == "v2/generation/image-upscale-vary"
    assert body == {
        "input_image": BASE64,
        "uov_method": "Upscale (Fast 2x)",
        "prompt": "",
        "style_selections": [],
        "loras": [],
        "image_number": 1,
        "save_extension": "png",
        "async_process": True,
        "advanced_params": {"disable_preview": True},
    }
    with Image.open(io.BytesIO(generation.images[0].data)) as image:
        assert image.size == (2048, 2048)


async def test_styles_of_the_users_are_laid_over_every_prompt_and_are_checked() -> None:
    fake = FakeFooocus()
    await made(fake, JUGGERNAUT, job(), styles=["fooocus sharp", "SAI Line Art"])
    error = await error_of(fake, JUGGERNAUT, job(), styles=["Fooocus Shrap"])

    assert fake.posted[0][1]["style_selections"] == ["Fooocus Sharp", "SAI Line Art"]
    assert isinstance(error, RequestRejected)
    assert "no style 'Fooocus Shrap'; nearest: Fooocus Sharp" in str(error)
    assert "providers.fooocus.styles" in str(error)
    assert len(fake.posted) == 1


async def test_a_fast_performance_decides_guidance_and_sampler_and_takes_none() -> None:
    fake = FakeFooocus()
    models = await listed(fake, performance="Lightning")
    request = job(steps=4, guidance_scale=None, negative_prompt="blurry", sampler="euler")
    await made(fake, JUGGERNAUT, request, performance="Lightning")

    able = models[JUGGERNAUT].tasks["text_to_image"]
    assert able.options == {"seed", "steps"}
    assert models[JUGGERNAUT].defaults.steps == 4
    assert fake.posted[0][1] == {
        **{k: v for k, v in COMMON.items() if k != "guidance_scale"},
        "performance_selection": "Lightning",
        "advanced_params": {**ADVANCED, "overwrite_step": 4},
    }


# What is refused before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": "eulr"}, "no sampler 'eulr'; nearest: euler"),
        ({"scheduler": "karas"}, "no scheduler 'karas'; nearest: karras"),
        ({"loras": (Lora(id=OFFSET, weight=3),)}, "the weight 3 of"),
        ({"references": (PNG,) * 5}, "4 references and control pictures together"),
    ],
)
async def test_what_fooocus_would_exchange_in_silence_is_refused(
    changes: Changes, words: str
) -> None:
    fake = FakeFooocus()
    error = await error_of(fake, JUGGERNAUT, job(**changes))

    assert isinstance(error, RequestRejected)
    assert words in str(error)
    assert fake.posted == []


async def test_a_lora_that_is_not_there_is_refused_with_the_nearest() -> None:
    error = await error_of(FakeFooocus(), JUGGERNAUT, job(loras=(Lora(id="pixl"),)))

    assert isinstance(error, ModelMissing)
    assert "pixel.safetensors" in str(error)


async def test_a_model_that_is_none_of_sdxl_is_listed_with_the_reason() -> None:
    models = await listed(FakeFooocus())
    error = await error_of(FakeFooocus(), FLUX, job())

    assert (models[FLUX].state, models[JUGGERNAUT].family) == ("unusable", "sdxl")
    assert models[ANIME].aliases == ("animaPencilXL_v500",)
    assert models[OFFSET].role == "lora"
    assert isinstance(error, ModelUnusable)


# What comes back


async def test_its_default_model_taken_for_another_is_a_failure() -> None:
    fake = FakeFooocus(facts={"base_model": "juggernautXL_v8Rundiffusion"})
    error = await error_of(fake, ANIME, job())

    assert isinstance(error, InvalidOutput)
    assert "juggernautXL_v8Rundiffusion, and not with" in str(error)


async def test_other_values_than_asked_are_said() -> None:
    fake = FakeFooocus(facts={"sampler": "euler", "steps": 8, "guidance_scale": 1.0})
    generation = await made(fake, JUGGERNAUT, job(sampler="euler_ancestral"))

    assert generation.notes == (
        "Fooocus used the sampler euler instead of euler_ancestral",
        "Fooocus used steps 8 instead of 30",
        "Fooocus used guidance_scale 1 instead of 4",
    )


async def test_a_lora_that_fooocus_left_out_is_said() -> None:
    fake = FakeFooocus(facts={"loras": []})
    generation = await made(fake, JUGGERNAUT, job(loras=(Lora(id="pixel"),)))

    assert generation.notes == ("Fooocus did not lay the LoRA pixel over the model",)


async def test_pictures_are_fetched_where_it_is_reached_and_not_where_it_says() -> None:
    fake = FakeFooocus()  # says 192.168.1.99, which is not asked
    await made(fake, JUGGERNAUT, job())

    assert "GET files/2026-11-29/job-1-0.png" in fake.asked


async def test_a_job_that_was_stopped_half_way_keeps_what_it_made_and_says_so() -> None:
    generation = await made(FakeFooocus(makes=1), JUGGERNAUT, job(num_images=3))
    error = await error_of(FakeFooocus(makes=0), JUGGERNAUT, job())

    assert len(generation.images) == 1
    assert "Fooocus made 1 pictures of 3; it may have been stopped there" in generation.notes
    assert "somebody stopped it there" in str(error)


async def test_a_job_that_failed_says_where_and_that_its_console_knows_why() -> None:
    error = await error_of(FakeFooocus(fails=True), JUGGERNAUT, job())

    assert "gave the job up at: Loading models ...; its console says why" in str(error)


async def test_a_full_queue_is_told_in_a_success_and_is_waited_for() -> None:
    error = await error_of(FakeFooocus(full=True), JUGGERNAUT, job())

    assert isinstance(error, RateLimited)
    assert error.retry_after == 30
    assert "--queue-size" in str(error)


# Which it is


async def test_a_probe_tells_how_many_jobs_it_has() -> None:
    told = await probe(FakeFooocus(before=3))

    assert (told.state, told.flavour, told.queue_length) == ("ready", "Fooocus-API", 3)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"<html>Jupyter</html>", headers={"content-type": "text/html"}),
        NOT_FOUND,
        Reply(body={"ping": "pong"}),
        Reply(body=[]),
    ],
)
async def test_what_is_no_fooocus_is_another_service(reply: Reply) -> None:
    told = await probe(lambda seen: reply)

    assert told.state == "wrong_service"
    assert "providers.fooocus.baseUrl" in told.message


async def test_fooocus_itself_is_known_and_said_to_have_no_api() -> None:
    told = await probe(plain_fooocus)
    with FakeVendor(plain_fooocus) as vendor:
        tested = provider(None, NOBODY, vendor.url)
        tested_elsewhere = await tested.probe()
        await tested.aclose()

    for one in (told, tested_elsewhere):
        assert one.state == "wrong_service"
        assert "has a page and no API that programs can use; run Fooocus-API" in one.message


async def test_its_key_goes_as_x_api_key_and_is_asked_for_where_it_is_missing() -> None:
    fake = FakeFooocus(key="fooocus-key-0123")
    without, login = await probe(fake), await probe(fake, keyName="FOOOCUS_KEY")

    assert (without.state, login.state) == ("unauthorised", "ready")
    assert "--apikey" in without.message


async def test_a_base_url_may_carry_a_prefix_and_that_of_its_routes() -> None:
    fake = FakeFooocus()

    def below(seen: Seen) -> Reply:
        assert seen.path.startswith("/fooocus/")
        return fake(replace(seen, path=seen.path.removeprefix("/fooocus")))

    assert (await probe(below, "/fooocus/v1")).state == "ready"


# Waiting and stopping


@dataclass
class Running:
    """A job that Fooocus works at."""

    tested: Fooocus
    remote_id: str
    job: asyncio.Task[Any]
    messages: list[str] = field(default_factory=list[str])
    previews: list[bytes] = field(default_factory=list[bytes])

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():
                await anyio.sleep(0.005)


@asynccontextmanager
async def running(
    fake: FakeFooocus, script: Script | None = None, **settings: Any
) -> AsyncGenerator[Running]:
    fake.gate = threading.Event()
    with FakeVendor(script or fake) as vendor:
        tested = provider(vendor.url, **settings)
        model = next(m for m in await tested.list_models() if m.id == JUGGERNAUT)
        at_work = Running(tested, "", asyncio.ensure_future(anyio.sleep(0)))

        async def progress(share: float, message: str) -> None:
            at_work.messages.append(message)

        run = Run(key="our-key", progress=progress, preview=at_work.previews.append)
        submission = await tested.submit(job(), model, run)
        assert isinstance(submission, RemoteJob)
        at_work.remote_id = submission.id
        at_work.job = asyncio.ensure_future(tested.collect(submission.id, job(), model, run))
        try:
            yield at_work
        finally:
            fake.gate.set()
            at_work.job.cancel()
            await asyncio.wait({at_work.job})
            await tested.aclose()


@pytest.mark.parametrize("marks_the_start", [True, False])
async def test_progress_comes_with_its_words_and_unfinished_pictures(
    marks_the_start: bool,
) -> None:
    fake = FakeFooocus(marks_the_start=marks_the_start)
    async with running(fake) as at_work:
        await at_work.until(lambda: "Step 12/30 in the 1-th Sampling" in at_work.messages)
        assert fake.gate
        fake.gate.set()
        generation = await at_work.job

    assert isinstance(generation, Generation)
    assert at_work.previews[0] == b"hello"
    assert "disable_preview" not in fake.posted[0][1]["advanced_params"]


async def test_a_job_that_waits_says_so_and_its_time_is_not_counted() -> None:
    async with running(FakeFooocus(before=1), timeout=0.3) as at_work:
        words = "waiting behind other jobs of Fooocus"
        later = time.monotonic() + 0.6
        await at_work.until(lambda: time.monotonic() > later and words in at_work.messages)
        assert not at_work.job.done()


async def test_work_beyond_the_timeout_is_stopped_and_says_which_setting() -> None:
    fake = FakeFooocus()
    async with running(fake, timeout=0.3) as at_work:
        with pytest.raises(ProviderTimeout, match=r"providers\.fooocus\.timeout"):
            await at_work.job

    assert fake.stops == 1


async def test_a_cancelled_job_that_is_made_is_stopped() -> None:
    fake = FakeFooocus()
    async with running(fake) as at_work:
        outcome = await at_work.tested.cancel(at_work.remote_id)

    assert outcome.state == "stopped"
    assert fake.stops == 1


async def test_a_cancelled_job_that_waits_is_stopped_when_it_begins_and_not_before() -> None:
    fake = FakeFooocus(before=1)
    async with running(fake) as at_work:
        outcome = await at_work.tested.cancel(at_work.remote_id)
        asked = fake.asked.count("GET v1/generation/job-history")
        await at_work.until(lambda: fake.asked.count("GET v1/generation/job-history") > asked + 1)
        assert (outcome.state, fake.stops) == ("unsupported", 0)
        fake.before = 0
        await at_work.until(lambda: fake.stops == 1)


async def test_cancelling_what_has_ended_stops_nobody_elses_job() -> None:
    fake = FakeFooocus()
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url)
        model = next(m for m in await tested.list_models() if m.id == JUGGERNAUT)
        submission = await tested.submit(job(), model, RUN)
        assert isinstance(submission, RemoteJob)
        await tested.collect(submission.id, job(), model, RUN)
        outcome = await tested.cancel(submission.id)
        await tested.aclose()

    assert outcome == CancelOutcome(state="too_late", cost=outcome.cost)
    assert fake.stops == 0


async def test_cancelling_ends_within_two_seconds_though_fooocus_stalls() -> None:
    fake, stalls = FakeFooocus(), threading.Event()

    def script(seen: Seen) -> Reply:
        return Reply(then="hang") if stalls.is_set() else fake(seen)  # for a minute

    async with running(fake, script) as at_work:
        stalls.set()
        started = time.monotonic()
        outcome = await at_work.tested.cancel(at_work.remote_id)
        spent = time.monotonic() - started

    assert outcome.state == "unsupported"
    assert spent < 2, f"{spent:.1f} s"


async def test_a_job_that_is_cancelled_while_it_is_posted_is_stopped_all_the_same() -> None:
    fake, arrived = FakeFooocus(), threading.Event()
    fake.gate = threading.Event()

    def script(seen: Seen) -> Reply:
        reply = fake(seen)
        if seen.path.endswith("text-to-image"):
            arrived.set()
            time.sleep(0.1)
        return reply

    with FakeVendor(script) as vendor:
        tested = provider(vendor.url)
        model = next(m for m in await tested.list_models() if m.id == JUGGERNAUT)
        posting = asyncio.ensure_future(tested.submit(job(), model, RUN))
        with anyio.fail_after(10):
            while not arrived.is_set():
                await anyio.sleep(0.005)
        posting.cancel()
        await asyncio.wait({posting})
        await tested.aclose()

    assert posting.cancelled()
    assert fake.stops == 1


async def test_a_restart_of_fooocus_during_a_job_is_an_engine_that_went_away() -> None:
    fake = FakeFooocus()
    async with running(fake) as at_work:
        await at_work.until(lambda: bool(at_work.messages))
        fake.restart()
        with pytest.raises(EngineGone, match="was restarted"):
            await at_work.job


async def test_a_fooocus_that_goes_silent_during_a_job_went_away() -> None:
    fake, stalls = FakeFooocus(), threading.Event()

    def script(seen: Seen) -> Reply:
        return Reply(then="reset") if stalls.is_set() else fake(seen)

    async with running(fake, script) as at_work:
        stalls.set()
        with pytest.raises(EngineGone, match="went away during the job"):
            await at_work.job


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "finished"),
        ({"before": 1}, "running"),
        ({"fails": True}, "failed"),
    ],
)
async def test_another_process_is_told_what_became_of_a_job(changes: Changes, state: str) -> None:
    fake = FakeFooocus(**changes)
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url)
        model = next(m for m in await tested.list_models() if m.id == JUGGERNAUT)
        submission = await tested.submit(job(), model, RUN)
        assert isinstance(submission, RemoteJob)
        known = await tested.resolve("our-key", submission.id)
        unknown = await tested.resolve("our-key", "")
        fake.restart()
        forgotten = await tested.resolve("our-key", submission.id)
        await tested.aclose()

    told = [one.state for one in (known, unknown, forgotten)]
    assert told == [state, "unknowable", "not_sent"]


# Through the tools


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    told: dict[str, Any] = json.loads(result.content[0].text)
    return told


def size_of(told: dict[str, Any]) -> tuple[int, int]:
    with Image.open(told["images"][0]["path"]) as image:
        return image.size


async def test_pictures_edits_and_enlargements_come_through_the_tools(tmp_path: Path) -> None:
    fake = FakeFooocus()
    with FakeVendor(fake) as vendor:
        made_of = service(tmp_path, provider(vendor.url))
        async with Client(make_server(opener(made_of))) as client:
            words = {"prompt": "a fox", "seed": 3, "width": 896, "height": 640}
            first = await call(client, "generate_image", model=JUGGERNAUT, **words)
            path = first["images"][0]["path"]
            varied = await call(client, "edit_image", image=path, prompt="a cat", strength=0.5)
            wider = await call(client, "edit_image", image=path, expand="64,0,0,0", prompt="more")
            large = await call(client, "process_image", image=path, upscale=2, provider="fooocus")

    sizes = [size_of(told) for told in (first, varied, wider, large)]
    assert sizes == [(896, 640), (896, 640), (960, 640), (1792, 1280)]
    assert first["images"][0]["seed"] == 3
    assert [path.rpartition("/")[2] for path, _ in fake.posted] == [
        "text-to-image",
        "image-upscale-vary",
        "image-inpaint-outpaint",
        "image-upscale-vary",
    ]


async def test_a_job_outlives_a_restart_of_fooocus(tmp_path: Path) -> None:
    fake = FakeFooocus()
    fake.gate = threading.Event()

    def script(seen: Seen) -> Reply:
        asked = "query-job" in seen.path and len(fake.posted) == 1
        if asked and fake.gate is not None:
            fake.restart()
            fake.gate.set()
        return fake(seen)

    with FakeVendor(script) as vendor:
        made_of = service(tmp_path, provider(vendor.url))
        async with Client(make_server(opener(made_of))) as client:
            told = await call(client, "generate_image", prompt="a fox", model=JUGGERNAUT)

    assert len(told["images"]) == 1
    assert len(fake.posted) == 2


async def test_cancel_job_stops_fooocus(tmp_path: Path) -> None:
    fake = FakeFooocus(gate=threading.Event())
    with FakeVendor(fake) as vendor:
        made_of = service(tmp_path, provider(vendor.url))
        async with Client(make_server(opener(made_of))) as client:
            words = {"prompt": "a fox", "model": JUGGERNAUT, "wait_seconds": 0}
            started = await call(client, "generate_image", **words)
            with anyio.fail_after(20):
                while not fake.posted:
                    await anyio.sleep(0.01)
            await call(client, "cancel_job", job_id=started["job_id"])
            with anyio.fail_after(20):
                while not fake.stops:
                    await anyio.sleep(0.01)

    assert fake.stops == 1
