"""What goes wrong with ComfyUI, and what we call it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.comfyui_answers import (
    Answer,
    Answers,
    generate,
    generated,
    listed,
    named,
    provider,
    silence,
)
from tests.support.fake_comfyui import OOM, PNG, STATS
from tests.support.fake_engines import FakeEngine
from ziggie_image_mcp.errors import WrongService
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    EngineCrashed,
    InvalidOutput,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    Run,
)
from ziggie_image_mcp.provider.testing import FakeVendor
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.settings import Settings


def refusal(kind: str, **extra: Any) -> httpx2.Response:
    """The answer of 0.33 to a graph with one wrong input."""
    body: dict[str, Any] = {
        "error": {
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": "",
            "extra_info": {},
        },
        "node_errors": {
            "model": {
                "errors": [{"type": kind, "message": ".", "details": "", "extra_info": extra}],
                "dependent_outputs": ["save"],
                "class_type": "CheckpointLoaderSimple",
            }
        },
    }
    return httpx2.Response(400, json=body)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (httpx2.ConnectError("secret"), ProviderUnavailable, "start ComfyUI, or set providers."),
        (httpx2.Response(200, html="<html>secret</html>"), WrongService, "something else"),
        (httpx2.Response(404, text="secret"), WrongService, "something else answers at"),
        ({"version": "secret"}, WrongService, "something else answers at"),
        (
            STATS | {"devices": [{"name": "koboldcpp", "type": "cpu"}]},
            WrongService,
            "KoboldCpp, which only imitates ComfyUI answers at",
        ),
        (httpx2.Response(401, text="secret"), AuthenticationFailed, "check the key or the headers"),
        (httpx2.Response(403, text="secret"), AuthenticationFailed, "check the key or the headers"),
        (httpx2.Response(429, headers={"retry-after": "9"}), RateLimited, "try again in 9 s"),
        (httpx2.Response(502, text="secret"), ProviderUnavailable, "look at the server's log"),
    ],
)
async def test_what_is_no_comfyui_is_told_apart(
    answer: Answer | Any, error: type[ProviderError], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        await listed(Answers({"system_stats": answer}), baseUrl="http://me:secret@127.0.0.1:1")

    assert type(caught.value) is error
    assert "http://127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        pytest.param(
            refusal(
                "value_not_in_list",
                input_name="ckpt_name",
                input_config=[["v1-5-pruned-emaonly.safetensors", "other.safetensors"], {}],
                received_value="v1-5-pruned.safetensors",
            ),
            ModelMissing,
            "ComfyUI does not have 'v1-5-pruned.safetensors'; put it into"
            " ComfyUI/models/checkpoints; nearest: v1-5-pruned-emaonly.safetensors",
            id="missing model",
        ),
        pytest.param(
            refusal("value_not_in_list", input_name="ckpt_name", input_config=None),
            ModelMissing,
            "it has far.safetensors",
            id="missing model, long list",
        ),
        pytest.param(
            refusal("value_not_in_list", input_name="type", received_value="flux"),
            ModelUnusable,
            "too old for flux models; update ComfyUI",
            id="old server",
        ),
        pytest.param(
            refusal(
                "value_bigger_than_max",
                input_name="steps",
                input_config=["INT", {"min": 1, "max": 10000}],
                received_value=20000,
            ),
            RequestRejected,
            "ComfyUI takes steps of at most 10000, not 20000",
            id="too big",
        ),
        pytest.param(
            refusal(
                "value_smaller_than_min",
                input_name="width",
                input_config=["INT", {"min": 16, "max": 16384}],
                received_value=1,
            ),
            RequestRejected,
            "ComfyUI takes width of at least 16, not 1",
            id="too small",
        ),
        pytest.param(
            refusal("invalid_input_type", input_name="seed", received_value="x"),
            RequestRejected,
            "invalid_input_type for seed of CheckpointLoaderSimple",
            id="wrong type",
        ),
        pytest.param(
            httpx2.Response(
                400,
                json={
                    "error": {
                        "type": "missing_node_type",
                        "message": "Node 'FluxGuidance' not found.",
                        "details": "Node ID '#guidance'",
                        "extra_info": {"node_id": "guidance", "class_type": "FluxGuidance"},
                    },
                    "node_errors": {},
                },
            ),
            ModelUnusable,
            "no node FluxGuidance",
            id="missing node",
        ),
        pytest.param(
            httpx2.Response(400, json={"error": {"type": "prompt_no_outputs"}, "node_errors": {}}),
            RequestRejected,
            "it says: prompt_no_outputs",
            id="another reason",
        ),
        pytest.param(httpx2.Response(400, text="x"), RequestRejected, "HTTP 400", id="no JSON"),
        pytest.param(httpx2.Response(401), AuthenticationFailed, "HTTP 401", id="no key"),
        pytest.param(httpx2.Response(429), RateLimited, "try again later", id="too many"),
        pytest.param(
            httpx2.Response(200, html="<html>"), WrongService, "something else", id="a page"
        ),
    ],
)
async def test_a_refused_graph_is(
    answer: httpx2.Response, error: type[ProviderError], words: str
) -> None:
    known = {"input": {"required": {"ckpt_name": [["far.safetensors"]]}}}
    info = {"CheckpointLoaderSimple": known}
    answers = Answers(
        {"prompt": answer, "object_info/CheckpointLoaderSimple": info},
        status="pending",
    )
    answers.answers["jobs"] = httpx2.Response(404)

    with pytest.raises(error, match=re.escape(words)) as caught:
        await generated(answers, "v1-5-pruned.safetensors")

    assert type(caught.value) is error
    assert len(answers.posted) == 1


def failure(kind: str, message: str, node: str = "KSampler") -> dict[str, Any]:
    return OOM | {"exception_type": kind, "exception_message": message, "node_type": node}


@pytest.mark.parametrize(
    ("facts", "error", "words"),
    [
        (OOM, OutOfMemory, "ran out of memory in KSampler"),
        (
            failure("torch.AcceleratorError", "... you ran out of memory on your GPU.\n\nTIPS: x"),
            OutOfMemory,
            "a smaller picture",
        ),
        (failure("RuntimeError", "CUDA error: out of memory"), OutOfMemory, "--novram"),
        (
            failure("RuntimeError", "DefaultCPUAllocator: can't allocate memory: you tried 9 B"),
            OutOfMemory,
            "ran out of memory",
        ),
        (
            failure(
                "RuntimeError",
                "ERROR: Could not detect model type of: /home/me/x.safetensors\n"
                "HINT: This seems to be a Lora file",
                "CheckpointLoaderSimple",
            ),
            ModelUnusable,
            "cannot tell what kind of model this file is, as it seems a LoRA",
        ),
        (
            failure(
                "safetensors._safetensors_rust.SafetensorError",
                "Error while deserializing header: header too small",
                "CheckpointLoaderSimple",
            ),
            ModelUnusable,
            "damaged or cut short",
        ),
        (
            failure("RuntimeError", "ERROR: clip input is invalid: None\n\n...", "CLIPTextEncode"),
            ModelUnusable,
            "holds no text encoder",
        ),
        (
            failure("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (154x4096 and 7x3)"),
            ModelUnusable,
            "does not fit the model",
        ),
        (
            failure("OSError", "cannot open /home/me/models/ae.safetensors", "VAELoader"),
            ModelUnusable,
            "could not load the model in VAELoader: OSError: cannot open ae.safetensors",
        ),
        (
            failure("ValueError", r"bad C:\Users\me\x and /home/me/y" + "\nmore secret"),
            ProviderError,
            "ComfyUI failed in KSampler: ValueError: bad x and y; look at its log",
        ),
    ],
)
async def test_a_job_that_fails_is(
    facts: dict[str, Any], error: type[ProviderError], words: str
) -> None:
    answers = Answers(status="failed", execution_error=facts)

    with pytest.raises(error, match=re.escape(words)) as caught:
        await generated(answers, "v1-5-pruned.safetensors")

    assert type(caught.value) is error
    assert not re.search(r"Traceback|File|/home|Users|seed|secret", str(caught.value))


@pytest.mark.parametrize(
    ("field", "value", "near"),
    [("sampler", "Eular Z", "euler"), ("scheduler", "karass", "karras")],
)
async def test_an_unknown_sampler_or_scheduler_is_refused_with_the_nearest(
    field: str, value: str, near: str
) -> None:
    answers = Answers()

    changes: dict[str, Any] = {field: value}
    with pytest.raises(RequestRejected, match=f"{value}'; nearest: .*{near}"):
        await generated(answers, "v1-5-pruned.safetensors", **changes)

    assert answers.posted == []


async def test_a_size_that_comfyui_would_cut_in_silence_is_refused() -> None:
    answers = Answers()

    with pytest.raises(RequestRejected, match="multiples of 16"):
        await generated(answers, "flux1-schnell.safetensors", width=520)

    assert answers.posted == []


async def test_a_model_that_is_not_listed_is_missing_with_the_nearest_names() -> None:
    with pytest.raises(ModelMissing, match=r"nearest: sd_xl_base_1\.0\.safetensors"):
        await generated(Answers(), "sd_xl_base_0.9.safetensors")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx2.Response(200, content=b"<html>"), "no PNG, JPEG or WebP"),
        (httpx2.Response(200, content=b""), "no PNG, JPEG or WebP"),
        (httpx2.Response(404), "its picture is gone"),
    ],
)
async def test_what_is_no_picture_is_refused(answer: httpx2.Response, words: str) -> None:
    with pytest.raises(InvalidOutput, match=words):
        await generated(Answers({"view": answer}), "v1-5-pruned.safetensors")


async def test_a_finished_job_without_a_picture_is_no_success() -> None:
    with pytest.raises(InvalidOutput, match="made no picture"):
        await generated(Answers(outputs={"4": {"text": ["hello"]}}), "v1-5-pruned.safetensors")


async def test_a_picture_that_lies_elsewhere_is_fetched_without_our_headers() -> None:
    far = httpx2.Response(200, content=PNG)
    moved = httpx2.Response(302, headers={"location": "https://bucket.test/api/far?sig=1"})
    answers = Answers({"view": moved, "far": far})
    comfy = provider(answers, headers={"X-Key": "abc", "Authorization": "Bearer x"})
    request = ProviderRequest(
        prompt="x", negative_prompt="y", width=64, height=64, guidance_scale=1.0
    )

    generation = await generate(
        comfy, request, named("v1-5-pruned.safetensors"), Run(key="k", progress=silence)
    )

    assert generation.images[0].data == PNG
    assert generation.notes == (
        "ComfyUI gave no websocket, so progress was not seen",
        "at guidance_scale 1 ComfyUI leaves the negative prompt out",
    )
    assert str(answers.requests[-1].url) == "https://bucket.test/api/far?sig=1"
    assert not {"x-key", "authorization"} & set(answers.requests[-1].headers)
    assert answers.requests[-2].headers["x-key"] == "abc"


async def test_a_picture_that_lies_elsewhere_without_tls_is_not_fetched() -> None:
    moved = httpx2.Response(302, headers={"location": "http://bucket.test/api/far?sig=1"})

    with pytest.raises(InvalidOutput, match="not https"):
        await generated(Answers({"view": moved}), "v1-5-pruned.safetensors")


async def test_a_job_whose_answer_was_lost_is_looked_for_and_not_posted_again() -> None:
    answers = Answers({"prompt": httpx2.ReadTimeout("lost")})

    result = await generated(answers, "v1-5-pruned.safetensors")

    assert [i.data for i in result.images] == [PNG]
    assert len(answers.posted) == 1


async def test_an_unreachable_server_is_not_posted_to_twice() -> None:
    answers = Answers({"prompt": httpx2.ConnectError("x"), "jobs": httpx2.ConnectError("x")})

    with pytest.raises(ProviderUnavailable, match="nothing answers at"):
        await generated(answers, "v1-5-pruned.safetensors")

    assert len(answers.posted) == 1


async def test_a_refusal_in_the_middle_of_the_job_stops_it() -> None:
    answers = Answers({"jobs": httpx2.Response(403)})

    with pytest.raises(AuthenticationFailed):
        await generated(answers, "v1-5-pruned.safetensors")

    assert answers.requests[-1].url.path.endswith("/queue")


async def test_a_server_that_fails_now_and_then_is_given_time() -> None:
    answers = Answers({"jobs": httpx2.Response(502)})

    with pytest.raises(EngineCrashed, match="stopped answering during the job"):
        await generated(answers, "v1-5-pruned.safetensors")


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (httpx2.Response(200, html="<html>"), "wrong_service", "not ComfyUI"),
        (httpx2.Response(401), "unauthorised", "check the key or the headers"),
        (httpx2.Response(502), "unreachable", "look at the server's log"),
        (httpx2.ConnectError("x"), "unreachable", "start ComfyUI"),
    ],
)
async def test_a_probe_tells(answer: Answer, state: str, words: str) -> None:
    comfy = provider(Answers({"system_stats": answer}))

    probe = await comfy.probe()

    await comfy.aclose()
    assert probe.state == state
    assert words in probe.message


async def test_another_engine_at_the_address_is_named_with_the_block_that_uses_it() -> None:
    with FakeVendor(FakeEngine("localai")) as vendor:
        settings = Settings.model_validate({"baseUrl": vendor.url})
        comfy = ComfyUI("comfyui", settings, ProviderContext(data_dir=Path("unused")))
        probe = await comfy.probe()
        await comfy.aclose()

    assert probe.state == "wrong_service"
    assert "is LocalAI v4.9.0, and not ComfyUI" in probe.message
    assert '"type": "openai"' in probe.message
