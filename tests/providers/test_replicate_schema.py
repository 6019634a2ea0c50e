from __future__ import annotations

from typing import Any

import pytest

from tests.support import vendors
from tests.support.fake_vendors import prediction, problems
from ziggie_image_mcp.provider import Model, SameAsInput
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture
from ziggie_image_providers.replicate import Replicate

ID = "somebody/a-model"
VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
SPEC = pytest.mark.spec

PROMPT = {"type": "string"}
RATIOS = {"allOf": [{"$ref": "#/components/schemas/aspect_ratio"}], "default": "1:1"}
RATIO_WORDS = {"enum": ["16:9", "1:1", "custom"], "type": "string"}


def entry(
    properties: dict[str, Any], required: tuple[str, ...] = ("prompt",), **more: Any
) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    schemas = {"Input": schema, "aspect_ratio": RATIO_WORDS}
    version = {"id": VERSION, "openapi_schema": {"components": {"schemas": schemas}}}
    return {"owner": "somebody", "name": "a-model", "latest_version": version} | more


def replicate(listed: dict[str, Any]) -> vendors.Script:
    def script(seen: Seen) -> Reply:
        if seen.path == "/made.png":
            return Reply(body=picture(1024, 1024))
        if seen.path == "/v1/files":
            return Reply(status=201, body={"urls": {"get": f"{seen.origin}/v1/files/f1"}})
        if seen.path.startswith("/v1/models/") and seen.method == "GET":
            pinned = "/versions/" in seen.path
            return Reply(body=listed["latest_version"] if pinned else listed)
        output = [f"{seen.origin}/made.png"]
        status = 201 if seen.method == "POST" else 200
        return Reply(status=status, body=prediction("succeeded", seen.origin, output=output))

    return script


async def read(
    properties: dict[str, Any], required: tuple[str, ...] = ("prompt",), **row: Any
) -> Model:
    with FakeVendor(replicate(entry(properties, required))) as vendor:
        section: dict[str, Any] = {"models": {ID: {"priceUsd": 0.01, **row}}}
        async with vendors.provider(Replicate, vendor.url, **section) as tested:
            return await vendors.model(tested, ID)


async def ordered(
    listed: dict[str, Any], task: Any = "text_to_image", id: str = ID, **changes: Any
) -> tuple[FakeVendor, dict[str, Any]]:
    row = {"priceUsd": 0.01, **changes.pop("row", {})}
    with FakeVendor(replicate(listed)) as vendor:
        async with vendors.provider(Replicate, vendor.url, models={id: row}) as tested:
            model = await vendors.model(tested, id)
            await vendors.make(tested, vendors.request(model, task, **changes), model)
    return vendor, next(s.body for s in vendor.seen if s.method == "POST" and not s.is_form)


ALL: dict[str, Any] = {
    "prompt": PROMPT,
    "negative_prompt": {"type": "string"},
    "seed": {"type": "integer"},
    "num_inference_steps": {"type": "integer", "minimum": 1, "maximum": 50, "default": 28},
    "guidance": {"type": "number", "default": 3.5},
    "num_outputs": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
    "aspect_ratio": RATIOS,
    "output_format": {"enum": ["webp", "png"], "type": "string"},
    "image": {"type": "string", "format": "uri"},
    "prompt_strength": {"type": "number", "default": 0.8},
}


async def test_a_model_is_known_by_its_own_schema() -> None:
    model = await read(ALL)

    able = model.tasks["text_to_image"]
    assert set(model.tasks) == {"text_to_image", "image_to_image"}
    assert able.options == {"negative_prompt", "seed", "steps", "guidance_scale", "strength"}
    assert able.max_images == 4
    assert (model.defaults.steps, model.defaults.guidance_scale) == (28, 3.5)
    assert model.state == "ready"


@SPEC
async def test_a_job_is_in_the_models_own_words_and_by_the_version_that_was_read() -> None:
    vendor, body = await ordered(entry(ALL), num_images=2, steps=20)

    assert vendor.asked[:2] == [f"GET /v1/models/{ID}", "POST /v1/predictions"]
    assert body == {
        "version": VERSION,
        "input": {
            "prompt": "a red bicycle",
            "seed": 7,
            "num_inference_steps": 20,
            "guidance": 3.5,
            "num_outputs": 2,
            "aspect_ratio": "1:1",
            "output_format": "png",
        },
    }
    assert problems("replicate", "schemas_version_prediction_request", body) == []


async def test_an_official_model_is_ordered_by_its_name_and_a_pinned_one_by_its_version() -> None:
    official, _ = await ordered(entry(ALL, is_official=True))
    pinned, body = await ordered(entry(ALL), id=f"{ID}:{VERSION}")

    assert official.asked[1] == f"POST /v1/models/{ID}/predictions"
    assert pinned.asked[:2] == [
        f"GET /v1/models/{ID}/versions/{VERSION}",
        "POST /v1/predictions",
    ]
    assert body["version"] == VERSION


async def test_sizes_are_bounds_or_lists_as_the_model_has_them() -> None:
    free = await read(
        {
            "prompt": PROMPT,
            "width": {"type": "integer", "minimum": 256, "maximum": 2048, "default": 768},
            "height": {"type": "integer", "minimum": 256, "maximum": 2048},
        }
    )
    _, listed = await ordered(
        entry({"prompt": PROMPT, "width": {"enum": [512, 1024]}, "height": {"enum": [512, 1024]}})
    )
    _, named = await ordered(
        entry({"prompt": PROMPT, "size": {"enum": ["1536x1024", "1024x1024"]}})
    )
    _, none = await ordered(entry({"prompt": PROMPT}))

    rule: Any = free.tasks["text_to_image"].sizes
    assert (rule.min_side, rule.max_side, rule.native_width) == (256, 2048, 768)
    assert listed["input"] == {"prompt": "a red bicycle", "width": 1024, "height": 1024}
    assert named["input"] == {"prompt": "a red bicycle", "size": "1024x1024"}
    assert none["input"] == {"prompt": "a red bicycle"}


async def test_pictures_go_inline_when_small_and_as_files_when_large() -> None:
    edit = entry({"prompt": PROMPT, "image_input": {"type": "array", "maxItems": 3}})
    noisy = picture(1024, 1024) + bytes(range(256)) * 1200
    small, inline = await ordered(edit, "image_to_image")
    large, linked = await ordered(edit, "image_to_image", image=noisy)

    assert inline["input"]["image_input"][0].startswith("data:image/png;base64,")
    assert not any(seen.path == "/v1/files" for seen in small.seen)
    assert linked["input"]["image_input"][0].endswith("/v1/files/f1")
    assert sum(seen.path == "/v1/files" for seen in large.seen) == 1


async def test_an_upscaler_is_known_by_its_factor() -> None:
    model = await read(
        {"image": {"type": "string"}, "scale": {"type": "number", "minimum": 1, "maximum": 10}},
        ("image",),
    )

    assert set(model.tasks) == {"upscale"}
    assert model.tasks["upscale"].factors == (2, 4)
    assert isinstance(model.tasks["upscale"].sizes, SameAsInput)


async def test_what_is_no_word_of_ours_is_not_sent_and_bounds_are_kept() -> None:
    steps = {"type": "integer", "minimum": 1, "maximum": 4, "default": 4}
    fields = {
        "prompt": PROMPT,
        "num_inference_steps": steps,
        "quality": {"type": "integer", "default": 80},
        "scheduler": {"enum": ["K_EULER"], "default": "K_EULER"},
        "aspect_ratio": {"enum": ["1:0", "16:9", "1:1"]},
    }
    model = await read(fields)
    _, body = await ordered(entry(fields))

    able = model.tasks["text_to_image"]
    assert able.options == {"steps"}
    assert able.bounds == {"steps": (1, 4)}
    assert body["input"] == {
        "prompt": "a red bicycle",
        "num_inference_steps": 4,
        "aspect_ratio": "1:1",
    }


async def test_a_mask_is_sent_where_the_user_says_how_it_is_read() -> None:
    fields = {"prompt": PROMPT, "image": {"type": "string"}, "mask": {"type": "string"}}

    plain = await read(fields)
    said = await read(fields, maskPolarity="white")

    assert "inpaint" not in plain.tasks
    assert said.tasks["inpaint"].mask == "white"


@pytest.mark.parametrize(
    ("properties", "required", "words"),
    [
        ({}, (), "inputs"),
        ({"prompt": PROMPT, "model_name": PROMPT}, ("prompt", "model_name"), "model_name"),
        ({"image": {"type": "string"}}, ("image",), "works"),
    ],
)
async def test_what_its_schema_does_not_say_is_asked_of_the_user(
    properties: dict[str, Any], required: tuple[str, ...], words: str
) -> None:
    model = await read(properties, required)

    assert model.state == "unusable"
    assert words in model.fix


async def test_what_the_user_says_wins() -> None:
    cut = await read({"image": {"type": "string"}}, ("image",), works=["remove_background"])
    named = await read(
        {"prompt": PROMPT, "model_name": PROMPT}, ("model_name",), always={"model_name": "x"}
    )

    assert set(cut.tasks) == {"remove_background"}
    assert cut.state == named.state == "ready"


async def test_without_a_price_there_is_no_route() -> None:
    with FakeVendor(replicate(entry(ALL))) as vendor:
        async with vendors.provider(Replicate, vendor.url, models={ID: {}}) as tested:
            model = await vendors.model(tested, ID)
            assert tested.estimate(vendors.request(model), model) is None


async def test_a_schema_that_cannot_be_had_is_said_and_asked_for_again() -> None:
    with FakeVendor(lambda seen: Reply(status=500)) as vendor:
        async with vendors.provider(Replicate, vendor.url, models={ID: {}}) as tested:
            before = await vendors.model(tested, ID)
            vendor.script = replicate(entry(ALL))
            after = await vendors.model(tested, ID)

    assert before.state == "unusable"
    assert after.state == "ready"
