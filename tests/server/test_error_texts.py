"""A model that reads nothing but the error makes the call that works; programs read `_meta`."""

# ruff: noqa: E501 - a row of the table is a line

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mcp.types import CallToolResult
from PIL import Image
from pydantic import ValidationError

from tests.support.calls import client, said
from tests.support.factory import service
from ziggie_image_mcp.errors import (
    ContentRefused,
    EngineCrashed,
    OutOfMemory,
    ProviderUnavailable,
    RateLimited,
)
from ziggie_image_mcp.provider import Model
from ziggie_image_mcp.provider.capabilities import FreeSize
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.server.content import ERROR_META, ErrorData, error_data

SIZES = FreeSize(native_width=512, native_height=512, min_side=64, max_side=1024, multiple_of=8)


class Row(NamedTuple):
    """A call that cannot be meant, what the answer says, and the call that a reader makes of it."""

    call: dict[str, Any]
    words: Sequence[str]
    corrected: dict[str, Any]
    tool: str = "generate_image"


ROWS = [
    Row({"width": "wide", "height": 512}, ["a whole number", "16 to 16384"], {"width": 512, "height": 512}),
    Row({"width": 512}, ["give height too, or neither"], {"width": 512, "height": 512}),
    Row({"height": 512}, ["give width too, or neither"], {}),
    Row({"width": 8, "height": 8}, ["16 to 16384 pixels", "leave it out"], {}),
    Row({"width": 99999, "height": 64}, ["16 to 16384 pixels"], {"width": 1024, "height": 64}),
    Row({"width": 2048, "height": 2048}, ["SIZE_UNSUPPORTED", "ask for 1024x1024", "enlarge it 2 times"], {"width": 1024, "height": 1024}),
    Row({"width": 2048, "height": 1024}, ["ask for 1024x512"], {"width": 1024, "height": 512}),
    Row({"width": 500, "height": 500}, ["steps of 8", "ask for 496x496"], {"width": 496, "height": 496}),
    Row({"aspect_ratio": "huge"}, ['as "16:9"', "between 1:4 and 4:1"], {"aspect_ratio": "16:9"}),
    Row({"aspect_ratio": "9:1"}, ["between 1:4 and 4:1"], {"aspect_ratio": "4:1"}),
    Row({"aspect_ratio": "1:1", "width": 64, "height": 64}, ["or width and height, not both"], {"aspect_ratio": "1:1"}),
    Row({"num_images": 0}, ["1 to 16"], {"num_images": 1}),
    Row({"num_images": 40}, ["1 to 16", "batch"], {"num_images": 16}),
    Row({"num_images": "several"}, ["a whole number: 1 to 16"], {"num_images": 2}),
    Row({"seed": 2**63}, ["0 to 4294967295", "0 is its last 32 bits"], {"seed": 0}),
    Row({"seed": -5}, ["leave it out for a random one"], {}),
    Row({"seed": "lucky"}, ["a whole number"], {"seed": 7}),
    Row({"steps": 0}, ["1 to 500", "leave it out for the model's own"], {}),
    Row({"steps": 501}, ["1 to 500"], {"steps": 50}),
    Row({"guidance_scale": 99}, ["0 to 50"], {"guidance_scale": 50}),
    Row({"guidance_scale": "strong"}, ["a number: 0 to 50"], {"guidance_scale": 7}),
    Row({"quality": "best"}, ["draft, standard or high"], {"quality": "draft"}),
    Row({"quality": "high"}, ["QUALITY_BELOW_TIER", "high (8.5 of 10)"], {"quality": "standard"}),
    Row({"preference": "nice"}, ["cost, balanced, speed or quality"], {"preference": "speed"}),
    Row({"output_format": "gif"}, ["png, webp or jpeg"], {"output_format": "webp"}),
    Row({"transparent": "perhaps"}, ["true or false"], {"transparent": "false"}),
    Row({"transparent": True}, ["nothing but the ground is in the picture", "leave out transparent"], {}),
    Row({"sampler": "euler"}, ["leave out sampler"], {}),
    Row({"max_cost_usd": -1}, ["US dollars, 0 or more"], {"max_cost_usd": 0}),
    Row({"wait_seconds": 9999}, ["0 to 3600 seconds"], {"wait_seconds": 3600}),
    Row({"widht": 512}, ["'widht'", "'width'"], {"width": 512, "height": 512}),
    Row({"model": "modle"}, ["is called 'modle'", "Nearest: model"], {"model": "model"}),
    Row({"model": "broken"}, ["NOT_INSTALLED", "download its second half", "Would work here: fake/model"], {"model": "fake/model"}),
    Row({"model": "midjourney"}, ["no public API", "Would work here: fake/model"], {"model": "model"}),
    Row({"model": "nano banana"}, ["Google's Gemini", "Would work here"], {}),
    Row({"model": "dall-e 3"}, ["taken away by OpenAI", "Would work here"], {}),
    Row({"model": "SD 3.5 Large"}, ["is known (Stable Diffusion 3.5 Large)"], {}),
    Row({"model": "stable diffusion"}, ["is known (Stable Diffusion 1.5)", "ziggie-image-mcp models pull sd15"], {}),
    Row({"model": "openai/gpt-image-1"}, ["taken away by OpenAI"], {}),
    Row({"provider": "midjourney"}, ["no public API", "Would work here without provider"], {}),
    Row({"provider": "cloud", "model": "fake/model"}, ["MODE_EXCLUDED", "Would work here without provider 'cloud'"], {"model": "fake/model"}),
    Row({"prompt": "{red|blue} car", "num_images": 16}, ["at most 8 of each"], {"prompt": "{red|blue} car", "num_images": 8}),
    Row({"provider": "nope"}, ["local, cloud or one of down, fake, paid"], {"provider": "local"}, "list_models"),
    Row({"provider": "fak"}, ["There is no provider 'fak'", "Did you mean 'fake'?"], {"provider": "fake"}),
    Row({"provider": "down"}, ["start it first", "Would work here without provider 'down': fake/model"], {"provider": "fake"}),
    Row({"provider": "cloud", "max_cost_usd": 0.01}, ["OVER_MAX_COST", "0.04"], {"provider": "cloud", "max_cost_usd": 0.04, "allow_paid": True}),
    Row({"provider": "cloud"}, ["allow_paid=true", "max_cost_usd=0.04"], {"provider": "cloud", "allow_paid": True, "max_cost_usd": 0.04}),
    Row({"references": "nothing.png"}, ["give an id, or a file's whole path"], {"references": "{FILE}"}),
    Row({"image": "{FILE}", "strength": 2}, ["above 0 and up to 1"], {"image": "{FILE}", "strength": 1}, "edit_image"),
    Row({"image": ""}, ["give an id, or a file's whole path"], {"image": "{FILE}"}, "edit_image"),
    Row({"image": "{FILE}", "expand": "64"}, ["left, top, right, bottom"], {"image": "{FILE}", "expand": "0,0,64,0"}, "edit_image"),
    Row({"image": "{FILE}", "prompt": None}, ["say what the picture shows"], {"image": "{FILE}"}, "edit_image"),
    Row({"image": "{FILE}"}, ["say what to do"], {"image": "{FILE}", "remove_background": True}, "process_image"),
    Row({"max_side": 4000}, ["32 to 1568 pixels"], {"max_side": 512}, "view_image"),
]  # fmt: skip


def engines() -> list[Any]:
    tasks = ("text_to_image", "image_to_image", "inpaint", "outpaint")
    able = {"max_references": 2, "mask": "white"}
    options = ("seed", "steps", "guidance_scale", "negative_prompt", "strength")
    good = model(tasks=tasks, sizes=SIZES, quality=7.0, options=options, capability=able)
    broken = model(id="broken", state="missing", fix="download its second half")
    down = FakeProvider("down", down=ProviderUnavailable("down", "it does not run; start it first"))
    return [FakeProvider(models=[good, broken]), down, FakePaidProvider()]


async def test_each_error_leads_to_a_call_that_works(tmp_path: Path) -> None:
    assert len(ROWS) >= 40
    file = tmp_path / "star.png"
    picture = Image.new("RGB", (128, 128), "white")
    picture.paste("red", (32, 32, 96, 96))
    picture.save(file)
    made = service(
        tmp_path,
        *engines(),
        inputDirectories=[str(tmp_path)],
        cache=False,
        budget={"perImage": 1, "perDay": 100, "perMonth": 100},
    )
    async with client(made) as session:
        first = json.loads(said(await session.call_tool("generate_image", {"prompt": "x"})))
        for row in ROWS:

            async def call(arguments: dict[str, Any], row: Row = row) -> CallToolResult:
                own: dict[str, Any] = {} if row.tool == "process_image" else {"prompt": "x"}
                if row.tool == "list_models":
                    own = {}
                if row.tool == "view_image":
                    own = {"image_id": first["images"][0]["id"]}
                own |= {
                    name: value.replace("{FILE}", str(file)) if isinstance(value, str) else value
                    for name, value in arguments.items()
                }
                return await session.call_tool(row.tool, own)

            wrong, right = await call(row.call), await call(row.corrected)
            assert wrong.is_error, row
            for words in row.words:
                assert words in said(wrong), (row, said(wrong))
            assert not right.is_error, (row, said(right))
            assert_meta(wrong)


def assert_meta(answer: CallToolResult) -> ErrorData:
    assert answer.meta is not None
    found = ErrorData.model_validate(answer.meta[ERROR_META], strict=True)
    assert said(answer).startswith(f"[{found.code}] ")
    return found


async def test_the_data_of_an_error_has_a_schema_that_programs_may_rely_on() -> None:
    properties = ErrorData.model_json_schema()["properties"]

    names = {"code", "reasons", "attempts", "charged", "retry_after", "job_id"}
    assert set(properties) == names
    with pytest.raises(ValidationError):
        ErrorData.model_validate(dict.fromkeys(names))


def test_when_to_ask_again_and_what_was_charged_stand_in_the_data() -> None:
    asked_to_wait = error_data(RateLimited("fake", "slow down", retry_after=7.5))
    nobody_knows = error_data(EngineCrashed("fake", "it died", charged=None))
    charged = error_data(ContentRefused("fake", "blocked", charged=20_000))

    assert (asked_to_wait.retry_after, asked_to_wait.charged) == (7.5, 0)
    assert (nobody_knows.charged, charged.charged) == (None, 0.02)


@pytest.mark.parametrize(
    "error", [ContentRefused("fake", "blocked"), EngineCrashed("fake", "it died")], ids=str
)
async def test_what_an_engine_failed_with_stands_in_the_data(error: Any, tmp_path: Path) -> None:
    fake = FakeProvider(answers=[error] * 9)
    async with client(service(tmp_path, fake)) as session:
        found = assert_meta(await session.call_tool("generate_image", {"prompt": "x"}))

    assert (found.code, found.retry_after, found.charged) == (error.code, None, 0)
    assert found.job_id.startswith("job-")


async def test_attempts_and_reasons_stand_in_the_data(tmp_path: Path) -> None:
    one = FakeProvider("one", answers=[OutOfMemory("one", "too large")])
    two = FakeProvider("two", answers=[EngineCrashed("two", "it died")])
    out = FakeProvider("out", models=[model("out", id="gone", state="missing", fix="get it")])
    async with client(service(tmp_path, one, two, out)) as session:
        found = assert_meta(await session.call_tool("generate_image", {"prompt": "x"}))
        none = assert_meta(
            await session.call_tool("generate_image", {"prompt": "x", "provider": "out"})
        )

    assert found.code == "GENERATION_FAILED"
    assert [(a.provider, a.code) for a in found.attempts] == [
        ("one", "OUT_OF_MEMORY"),
        ("two", "ENGINE_CRASHED"),
    ]
    assert (none.reasons[0].code, none.reasons[0].fix) == ("NOT_INSTALLED", "get it")
    assert none.reasons[0].model == "gone"


async def test_while_an_engine_is_away_nobody_claims_that_its_models_do_not_exist(
    tmp_path: Path,
) -> None:
    away = FakeProvider("comfyui", down=ProviderUnavailable("comfyui", "start it"))
    async with client(service(tmp_path, away, FakeProvider())) as session:
        answer = said(
            await session.call_tool("generate_image", {"prompt": "x", "model": "my-own-mix"})
        )

    assert "No model that can be seen now is called 'my-own-mix'" in answer
    assert "comfyui did not answer: what is there is not known" in answer


async def test_a_model_that_nobody_judged_is_said_to_stand_in_for_a_quality(tmp_path: Path) -> None:
    async with client(service(tmp_path, FakeProvider(models=[model(quality=None)]))) as session:
        answer = await session.call_tool("generate_image", {"prompt": "x", "quality": "standard"})

    assert "nobody has judged the quality of model" in said(answer)


async def test_list_models_shows_family_and_memory(tmp_path: Path) -> None:
    class Engine(FakeProvider):
        async def list_models(self) -> Sequence[Model]:
            return [model(id="sd_xl_base_1.0.safetensors")]

    async with client(service(tmp_path, Engine())) as session:
        answer = await session.call_tool("list_models", {})

    assert answer.structured_content is not None
    (row,) = answer.structured_content["models"]
    assert row["family"] == "sdxl"
    assert "memory_gb" in row
    assert json.loads(said(answer)) == answer.structured_content
    assert ": " not in said(answer).split('"models"')[0], "compact"


async def test_previews_can_be_switched_off(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider(), output={"previews": False})
    async with client(made) as session:
        answer = await session.call_tool("generate_image", {"prompt": "x"})
        image_id = json.loads(said(answer))["images"][0]["id"]
        viewed = await session.call_tool("view_image", {"image_id": f"image://{image_id}"})

    assert [block.type for block in answer.content] == ["text", "resource_link"]
    assert [block.type for block in viewed.content] == ["text"]
    assert json.loads(said(viewed))["id"] == image_id
