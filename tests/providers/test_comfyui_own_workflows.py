"""The user's own workflows as models: what they take, what they need, what is refused."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image, PngImagePlugin

from tests.support.comfyui_answers import Answers, generate, listed, provider, silence
from tests.support.fake_comfyui import NODES
from ziggie_image_mcp.provider import (
    Bucket,
    Buckets,
    FreeSize,
    Model,
    ModelUnusable,
    OutcomeUnknown,
    PriceBook,
    ProviderContext,
    ProviderRequest,
    Run,
)
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.groups import prompt_id
from ziggie_image_providers.comfyui.settings import Settings
from ziggie_image_providers.comfyui.watch import Pace

GRAPH: dict[str, Any] = {
    "4": {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "v1-5-pruned.safetensors"},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "old words", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad", "clip": ["4", 1]}},
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 640, "height": 384, "batch_size": 4},
    },
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["4", 0],
            "seed": 1,
            "steps": 12,
            "cfg": 5.5,
            "sampler_name": "euler",
            "scheduler": "normal",
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
            "denoise": 1.0,
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "mine"}},
}
FILES = {"CheckpointLoaderSimple": ["v1-5-pruned.safetensors"]}


def nodes(**more: Any) -> dict[str, Any]:
    """What the server tells, with its files in the lists."""
    table = copy.deepcopy(NODES)
    for name, files in FILES.items():
        table[name]["input"]["required"]["ckpt_name"] = [files]
    return table | more


def with_picture(**inputs: Any) -> dict[str, Any]:
    """The same from a picture."""
    graph = copy.deepcopy(GRAPH)
    graph["10"] = {"class_type": "LoadImage", "inputs": {"image": "mine.png"} | inputs}
    graph["11"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}}
    graph["3"]["inputs"] |= {"latent_image": ["11", 0], "denoise": 0.6}
    del graph["5"]
    return graph


def saved(folder: Path, graph: dict[str, Any], name: str = "mine.json") -> str:
    path = folder / name
    if name.endswith(".png"):
        info = PngImagePlugin.PngInfo()
        info.add_text("prompt", json.dumps(graph))
        Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    else:
        path.write_text(json.dumps(graph), encoding="utf-8")
    return str(path)


async def made(
    answers: Answers, workflow: Any, key: str | None = None, **changes: Any
) -> tuple[Any, Model]:
    """One picture by the workflow, which is called `mine`."""

    async def secret(name: str) -> str | None:
        return key if name == "COMFY_API_KEY" else None

    section = Settings.model_validate(
        {"baseUrl": "http://127.0.0.1:1", "workflows": {"mine": workflow}}
    )
    context = ProviderContext(
        data_dir=Path("unused"), transport=httpx2.MockTransport(answers), secret=secret
    )
    comfy = ComfyUI("comfyui", section, context, Pace(first=0, longest=0, patience=0))
    model = next(m for m in await comfy.list_models() if m.id == "mine")
    values: dict[str, Any] = {"prompt": "a fox", "width": 512, "height": 512, "seed": 7}
    request = ProviderRequest(**(values | changes))
    return await generate(comfy, request, model, Run(key="a-run", progress=silence)), model


@pytest.mark.parametrize("name", ["mine.json", "mine.png"])
async def test_a_workflow_is_a_model_with_what_it_takes(tmp_path: Path, name: str) -> None:
    answers = Answers({"object_info": nodes()})

    models = await listed(answers, workflows={"mine": saved(tmp_path, GRAPH, name)})

    model = models["mine"]
    able = model.tasks["text_to_image"]
    assert next(iter(models)) == "mine"
    assert model.state == "ready"
    assert able.options == {
        *("negative_prompt", "seed", "steps", "guidance_scale", "sampler", "scheduler")
    }
    assert isinstance(able.sizes, FreeSize)
    assert (able.sizes.native_width, able.sizes.native_height) == (640, 384)
    assert (model.defaults.steps, model.defaults.guidance_scale) == (12, 5.5)


async def test_a_request_is_written_into_it_and_all_else_stays(tmp_path: Path) -> None:
    answers = Answers({"object_info": nodes()})

    result, _ = await made(
        answers, saved(tmp_path, GRAPH), steps=9, sampler="DPM++ 2M Karras", negative_prompt="no"
    )

    [body] = answers.posted
    sent = body["prompt"]
    expected = copy.deepcopy(GRAPH)
    expected["6"]["inputs"]["text"], expected["7"]["inputs"]["text"] = "a fox", "no"
    expected["5"]["inputs"] = {"width": 512, "height": 512, "batch_size": 1}
    expected["3"]["inputs"] |= {"seed": 7, "steps": 9}
    expected["3"]["inputs"] |= {"sampler_name": "dpmpp_2m", "scheduler": "karras"}
    expected["9"]["inputs"]["filename_prefix"] = f"ziggie/{body['prompt_id']}"
    assert sent == expected
    assert [image.seed for image in result.images] == [7]


async def test_a_workflow_with_a_picture_edits_and_gets_it(tmp_path: Path) -> None:
    answers = Answers({"object_info": nodes()})

    _, model = await made(
        answers,
        saved(tmp_path, with_picture()),
        task="image_to_image",
        image=picture(512, 512),
        strength=0.3,
    )

    sent = answers.posted[0]["prompt"]
    assert list(model.tasks) == ["image_to_image"]
    assert sent["10"]["inputs"]["image"] == "ziggie/picture.png [temp]"
    assert sent["3"]["inputs"]["denoise"] == 0.3


async def test_the_users_word_on_inputs_wins_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    answers = Answers({"object_info": nodes()})
    file = saved(tmp_path, GRAPH)

    await made(answers, {"file": file, "inputs": {"prompt": "7.text"}})
    models = await listed(
        answers, workflows={"mine": {"file": file, "inputs": {"prompt": "7.txt"}}}
    )

    assert answers.posted[0]["prompt"]["7"]["inputs"]["text"] == "a fox"
    assert models["mine"].state == "unusable"
    assert "node 7 (CLIPTextEncode) has no input 'txt'; it has text" in models["mine"].fix


PARTNER = {"FluxProUltra": {"input": {"required": {"prompt": ["STRING"]}}, "api_node": True}}


def paid() -> dict[str, Any]:
    return {
        "1": {
            "class_type": "FluxProUltra",
            "inputs": {"prompt": "old"},
            "_meta": {"title": "prompt"},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


async def test_nodes_of_paid_partners_are_refused_until_a_price_is_set(tmp_path: Path) -> None:
    answers = Answers({"object_info": nodes(**PARTNER)})
    file = saved(tmp_path, paid())

    free = (await listed(answers, workflows={"mine": file}))["mine"]
    priced = (await listed(answers, workflows={"mine": {"file": file, "priceUsd": 0.06}}))["mine"]

    assert free.state == "unusable"
    assert "nodes of paid partners (FluxProUltra); set its `priceUsd`" in free.fix
    assert priced.state == "ready"
    assert priced.where == "vendor"
    assert isinstance(priced.prices, PriceBook)
    assert [rate.micro_usd for rate in priced.prices.rates] == [60_000]


async def test_a_paid_run_sends_the_partners_key_and_its_cost_is_not_known(tmp_path: Path) -> None:
    answers = Answers({"object_info": nodes(**PARTNER)})
    workflow = {"file": saved(tmp_path, paid()), "priceUsd": 0.06}

    result, _ = await made(answers, workflow, key="comfyui-secret")

    assert answers.posted[0]["extra_data"] == {"api_key_comfy_org": "comfyui-secret"}
    assert result.cost.micro_usd is None


async def test_a_paid_run_that_fails_counts_as_paid_and_is_never_posted_again(
    tmp_path: Path,
) -> None:
    answers = Answers({"object_info": nodes(**PARTNER)}, status="failed", outputs={})
    workflow = {"file": saved(tmp_path, paid()), "priceUsd": 0.06}

    with pytest.raises(OutcomeUnknown, match="its paid nodes may have run"):
        await made(answers, workflow)

    assert len(answers.posted) == 1


async def test_a_paid_prompt_whose_answer_is_lost_counts_as_paid(tmp_path: Path) -> None:
    job = f"jobs/{prompt_id('a-run', 0)}"
    lost = {"prompt": httpx2.ReadTimeout("lost"), job: httpx2.Response(404, json={})}
    answers = Answers({"object_info": nodes(**PARTNER)} | lost)
    workflow = {"file": saved(tmp_path, paid()), "priceUsd": 0.06}

    with pytest.raises(OutcomeUnknown, match="its paid nodes may have run"):
        await made(answers, workflow)

    assert len(answers.posted) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"3": {"class_type": "MysteryNode", "inputs": {}}}, "no node MysteryNode"),
        (
            {"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "gone.ckpt"}}},
            "ComfyUI does not have 'gone.ckpt', which node 4 names",
        ),
    ],
)
async def test_what_a_workflow_lacks_is_named(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    answers = Answers({"object_info": nodes()})
    file = saved(tmp_path, copy.deepcopy(GRAPH) | change)

    models = await listed(answers, workflows={"mine": file})

    assert models["mine"].state == "unusable"
    assert words in models["mine"].fix
    with pytest.raises(ModelUnusable, match="cannot be used"):
        await made(answers, file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("{", "Export (API)"),
        ('{"1": {"inputs": {}}}', "class_type"),
        ("[]", "Export (API)"),
    ],
)
async def test_a_file_that_is_no_workflow_is_told_and_stops_nothing_else(
    tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")

    models = await listed(Answers(), workflows={"mine": str(path)})

    assert models["mine"].state == "unusable"
    assert words in models["mine"].fix
    assert models["v1-5-pruned.safetensors"].state == "ready"


async def test_a_workflow_without_a_size_of_its_own_promises_only_what_stands_in_it(
    tmp_path: Path,
) -> None:
    graph = copy.deepcopy(GRAPH)
    graph["5"]["class_type"] = "SomeLatent"
    graph["5"]["inputs"] = {"resolution": "1024x1024"}
    answers = Answers({"object_info": nodes(SomeLatent={"input": {}})})

    models = await listed(answers, workflows={"mine": saved(tmp_path, graph)})

    sizes = models["mine"].tasks["text_to_image"].sizes
    assert sizes == Buckets(sizes=(Bucket(width=1024, height=1024),), exact=False)


async def test_more_pictures_than_asked_are_said_and_the_first_is_kept(tmp_path: Path) -> None:
    image = {"filename": "a.png", "subfolder": "ziggie", "type": "output"}
    answers = Answers({"object_info": nodes()}, outputs={"9": {"images": [image, image]}})

    result, _ = await made(answers, saved(tmp_path, GRAPH))

    assert len(result.images) == 1
    assert "the workflow saved 2 pictures; the first one is kept" in result.notes


def test_a_workflows_file_is_a_whole_path() -> None:
    with pytest.raises(ValueError, match="mine"):
        Settings.model_validate({"workflows": {"mine": "mine.json"}})


async def test_a_picture_of_comfyuis_own_is_read_once_it_is_no_picture_any_more(
    tmp_path: Path,
) -> None:
    plain = io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "PNG")
    path = tmp_path / "mine.png"
    path.write_bytes(plain.getvalue())
    comfy = provider(Answers(), workflows={"mine": str(path)})

    models = {m.id: m for m in await comfy.list_models()}
    await comfy.aclose()

    assert models["mine"].state == "unusable"
