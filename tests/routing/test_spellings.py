"""Arguments as models and people write them: what each spelling means, or why it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.support.calls import said
from tests.support.factory import opener, service
from ziggie_image_mcp.provider.testing import FakeProvider
from ziggie_image_mcp.routing.request import declared_arguments
from ziggie_image_mcp.routing.spellings import (
    InvalidArguments,
    names_in,
    one_name,
    provider_named,
    read_arguments,
)
from ziggie_image_mcp.server.tools import make_server

TYPES = {a.name: a.type for a in declared_arguments("generate")} | {
    "references": str,
    "dry_run": bool,
    "wait_seconds": float | None,
    "request_id": str,
}
EDIT = {"image": str, "mask": str, "expand": str, "strength": float | None}

UNSET: list[tuple[str, Any]] = [
    *[(name, value) for name in TYPES if name != "prompt" for value in (None, "", "null", "none")],
    ("seed", "None"),
    ("seed", "undefined"),
    ("seed", " "),
    ("seed", -1),
    ("seed", "-1"),
    ("seed", -1.0),
    ("seed", "random"),
    ("width", "auto"),
    ("height", "AUTO"),
    ("steps", "default"),
    ("guidance_scale", "auto"),
    ("aspect_ratio", "auto"),
    ("model", "auto"),
    ("model", "Default"),
    ("model", "automatic"),
    ("provider", "default"),
    ("provider", "automatic"),
    ("quality", "Auto"),
    ("preference", "auto"),
    ("sampler", "default"),
    ("output_format", "auto"),
    ("max_cost_usd", "none"),
    ("references", []),
    ("references", {}),
]

MEANT: list[tuple[str, Any, dict[str, Any]]] = [
    ("prompt", "null", {"prompt": "null"}),
    ("prompt", "none", {"prompt": "none"}),
    ("prompt", " a cat ", {"prompt": " a cat "}),
    ("prompt", "`code`", {"prompt": "`code`"}),
    ("prompt", 1984, {"prompt": "1984"}),
    ("width", "512", {"width": 512}),
    ("width", " 512 ", {"width": 512}),
    ("width", 512.0, {"width": 512}),
    ("width", "512.0", {"width": 512}),
    ("width", "512px", {"width": 512}),
    ("width", "512 pixels", {"width": 512}),
    ("width", "1e3", {"width": 1000}),
    ("width", '"512"', {"width": 512}),
    ("width", "\uff15\uff11\uff12", {"width": 512}),
    ("Width", 512, {"width": 512}),
    ("num_images", "3", {"num_images": 3}),
    ("numImages", 3, {"num_images": 3}),
    ("n", 3, {"num_images": 3}),
    ("count", "3", {"num_images": 3}),
    ("num_outputs", 3, {"num_images": 3}),
    ("seed", "42", {"seed": 42}),
    ("seed", 42.0, {"seed": 42}),
    ("seed", 0, {"seed": 0}),
    ("seed", "0", {"seed": 0}),
    ("seed", 4294967295, {"seed": 4294967295}),
    ("steps", "20", {"steps": 20}),
    ("num_inference_steps", 20, {"steps": 20}),
    ("guidance_scale", "7.5", {"guidance_scale": 7.5}),
    ("guidance_scale", 7, {"guidance_scale": 7.0}),
    ("guidance_scale", ".5", {"guidance_scale": 0.5}),
    ("cfg", 7, {"guidance_scale": 7.0}),
    ("cfg_scale", "7", {"guidance_scale": 7.0}),
    ("guidanceScale", 3.5, {"guidance_scale": 3.5}),
    ("aspect_ratio", "16:9", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "16x9", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "16X9", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "16/9", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "16 : 9", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "16 to 9", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "16\uff1a9", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "16\u00d79", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "16\u22369", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "'16:9'", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "1.91:1", {"aspect_ratio": "1.91:1"}),
    ("aspect_ratio", "1.78", {"aspect_ratio": "1.78:1"}),
    ("aspect_ratio", 1.78, {"aspect_ratio": "1.78:1"}),
    ("aspect_ratio", 0.5625, {"aspect_ratio": "0.5625:1"}),
    ("aspect_ratio", 16 / 9, {"aspect_ratio": "1.7777777777777777:1"}),
    ("aspect_ratio", "4to3", {"aspect_ratio": "4:3"}),
    ("aspect_ratio", "landscape_16_9", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", "16\u22159", {"aspect_ratio": "16:9"}),
    ("aspect_ratio", 1, {"aspect_ratio": "1:1"}),
    ("aspect_ratio", "square", {"aspect_ratio": "1:1"}),
    ("aspect_ratio", "Portrait", {"aspect_ratio": "2:3"}),
    ("aspect_ratio", "LANDSCAPE", {"aspect_ratio": "3:2"}),
    ("aspect_ratio", "widescreen", {"aspect_ratio": "16:9"}),
    ("aspectRatio", "1:1", {"aspect_ratio": "1:1"}),
    ("ratio", "4:3", {"aspect_ratio": "4:3"}),
    ("size", "1024x768", {"width": 1024, "height": 768}),
    ("size", "1024 X 768", {"width": 1024, "height": 768}),
    ("size", "1024\u00d7768", {"width": 1024, "height": 768}),
    ("size", "auto", {}),
    ("output_format", "PNG", {"output_format": "png"}),
    ("output_format", "jpg", {"output_format": "jpeg"}),
    ("output_format", ".jpg", {"output_format": "jpeg"}),
    ("output_format", "JPEG", {"output_format": "jpeg"}),
    ("output_format", ".webp", {"output_format": "webp"}),
    ("output_format", "image/jpeg", {"output_format": "jpeg"}),
    ("output_format", "image/png", {"output_format": "png"}),
    ("output_format", "image/jpg", {"output_format": "jpeg"}),
    ("format", "webp", {"output_format": "webp"}),
    ("outputFormat", "WebP", {"output_format": "webp"}),
    ("quality", "High", {"quality": "high"}),
    ("quality", "HD", {"quality": "high"}),
    ("quality", "low", {"quality": "draft"}),
    ("quality", "medium", {"quality": "standard"}),
    ("quality", "STANDARD", {"quality": "standard"}),
    ("preference", "Speed", {"preference": "speed"}),
    ("preference", "fast", {"preference": "speed"}),
    ("preference", "cheapest", {"preference": "cost"}),
    ("preference", "best", {"preference": "quality"}),
    ("provider", "Diffusers", {"provider": "Diffusers"}),
    ("provider", "AUTO", {"provider": "auto"}),
    ("provider", " comfyui ", {"provider": "comfyui"}),
    ("provider", "Local", {"provider": "local"}),
    ("model", " sdxl ", {"model": "sdxl"}),
    ("model", '"sdxl"', {"model": "sdxl"}),
    ("model", "`sdxl`", {"model": "sdxl"}),
    ("model_name", "sdxl", {"model": "sdxl"}),
    ("transparent", "true", {"transparent": True}),
    ("transparent", "True", {"transparent": True}),
    ("transparent", 1, {"transparent": True}),
    ("transparent", "yes", {"transparent": True}),
    ("transparent", "off", {"transparent": False}),
    ("transparent", 0, {"transparent": False}),
    ("seamless", "FALSE", {"seamless": False}),
    ("allow_paid", "no", {"allow_paid": False}),
    ("max_cost_usd", "0.05", {"max_cost_usd": 0.05}),
    ("max_cost_usd", "$0.05", {"max_cost_usd": 0.05}),
    ("max_cost_usd", "0.05 USD", {"max_cost_usd": 0.05}),
    ("max_cost_usd", "0.05$", {"max_cost_usd": 0.05}),
    ("max_cost_usd", 0, {"max_cost_usd": 0.0}),
    ("wait_seconds", "30", {"wait_seconds": 30.0}),
    ("wait_seconds", "30s", {"wait_seconds": 30.0}),
    ("wait_seconds", "30 seconds", {"wait_seconds": 30.0}),
    ("waitSeconds", 5, {"wait_seconds": 5.0}),
    ("request_id", 12345, {"request_id": "12345"}),
    ("request_id", "a b", {"request_id": "a b"}),
    ("file_name", 7, {"file_name": "7"}),
    ("filename", "cat", {"file_name": "cat"}),
    ("negative_prompt", "auto", {"negative_prompt": "auto"}),
    ("negativePrompt", "rain", {"negative_prompt": "rain"}),
    ("sampler", "euler", {"sampler": "euler"}),
    ("references", ["a.png"], {"references": '["a.png"]'}),
    ("references", ["a.png", "b,c.png"], {"references": '["a.png", "b,c.png"]'}),
    ("dry_run", "true", {"dry_run": True}),
    ("loras", None, {}),
    ("anything", "", {}),
    ("other", "null", {}),
    ("other", [], {}),
    ("image_path", "a.png", {"image": "a.png"}),
    ("input_image", "a.png", {"image": "a.png"}),
    ("image", ["a.png"], {"image": '["a.png"]'}),
    ("expand", "0,0,64,0", {"expand": [0, 0, 64, 0]}),
    ("expand", "0 0 64 0", {"expand": [0, 0, 64, 0]}),
    ("expand", "[0, 0, 64, 0]", {"expand": [0, 0, 64, 0]}),
    ("expand", [0, 0, "64", 0.0], {"expand": [0, 0, 64, 0]}),
    ("expand", {"right": 64}, {"expand": [0, 0, 64, 0]}),
    ("strength", "0.5", {"strength": 0.5}),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("width", "wide", 'width="wide" cannot be used: a whole number: 16 to 16384 pixels, or leave'),
    ("width", 512.5, "width=512.5 cannot be used: a whole number"),
    ("width", True, "width=true cannot be used: a whole number"),
    ("width", [512], "width=[512] cannot be used"),
    ("width", {"px": 1}, 'width={"px": 1} cannot be used'),
    ("width", "1,024", "a whole number: 16 to 16384 pixels, or leave it out for the model's own"),
    ("width", "9" * 50, "a whole number"),
    ("width", 10**400, "a whole number"),
    ("seed", 10**400, "a whole number"),
    ("height", "half", "leave it out for the model's own size"),
    ("num_images", "many", "a whole number: 1 to 16, or leave it out for 1"),
    ("seed", "lucky", "a whole number: 0 to 4294967295, or leave it out for a random one"),
    ("steps", "few", "a whole number: 1 to 500, or leave it out for the model's own number"),
    ("guidance_scale", "strong", "a number: 0 to 50, or leave it out for the model's own"),
    ("guidance_scale", "7,5", "a number"),
    ("guidance_scale", False, "a number"),
    ("quality", "best", "draft, standard or high, or leave it out for any"),
    ("quality", 8, "draft, standard or high"),
    (
        "preference",
        "nice",
        "cost, balanced, speed or quality, or leave it out for what the",
    ),
    ("output_format", "gif", "png, webp or jpeg, or leave it out for what the settings say"),
    ("output_format", "image/", "png, webp or jpeg"),
    ("transparent", "maybe", "true or false"),
    ("allow_paid", "ask", "true or false, or leave it out until the user agreed to pay"),
    ("allow_paid", 2, "true or false"),
    (
        "max_cost_usd",
        "cheap",
        "a number: US dollars, 0 or more, or leave it out for what the budget",
    ),
    ("wait_seconds", "2 min", "a number: 0 to 3600 seconds, or leave it out for what the client"),
    ("prompt", ["a", "b"], "a text: say what the picture shows"),
    ("prompt", {"text": "a"}, "a text: say what the picture shows"),
    ("prompt", None, "prompt=null cannot be used: a text: say what the picture shows"),
    ("model", ["sdxl"], "a text: an id or name from list_models, or leave it out for the best one"),
    ("provider", True, "a text: auto, local, cloud or a name from list_models"),
    ("references", [1], "a text"),
    ("size", "big", "give width and height, in pixels"),
    ("widht", 512, "There is no argument 'widht'. Did you mean 'width'? Arguments: prompt"),
    ("colour", "red", "There is no argument 'colour'."),
    ("expand", "64", "four numbers of pixels: left, top, right, bottom"),
    ("expand", "a,b,c,d", "four numbers of pixels"),
    ("expand", {"up": 1}, "four numbers of pixels"),
]


def read(name: str, value: Any) -> dict[str, Any]:
    types = EDIT if name in EDIT or name in ("image_path", "input_image") else TYPES
    return read_arguments({name: value}, types, required={name} & {"prompt"})


def test_the_table_is_long() -> None:
    assert len(UNSET) + len(MEANT) + len(REFUSED) >= 150


@pytest.mark.parametrize(("name", "value"), UNSET)
def test_an_argument_that_says_nothing_is_as_one_that_was_left_out(name: str, value: Any) -> None:
    assert read(name, value) in ({}, {name: None})


@pytest.mark.parametrize(("name", "value", "meant"), MEANT)
def test_what_means_one_thing_is_taken(name: str, value: Any, meant: dict[str, Any]) -> None:
    values = read(name, value)

    assert values == meant
    assert [type(v) for v in values.values()] == [type(v) for v in meant.values()]


@pytest.mark.parametrize(("name", "value", "said"), REFUSED)
def test_what_cannot_be_meant_is_refused_with_the_way_out(name: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        read(name, value)

    assert said in str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidArguments) as caught:
        read_arguments({"width": "x", "steps": "y"}, TYPES, required=["prompt"])

    assert [p.split("=")[0] for p in caught.value.problems[:2]] == ["width", "steps"]
    assert caught.value.problems[2].startswith("The argument 'prompt' is missing")


def test_an_argument_of_another_spelling_is_not_missing() -> None:
    with pytest.raises(InvalidArguments) as caught:
        read_arguments({"Prompt": None}, TYPES, required=["prompt"])

    assert len(caught.value.problems) == 1


def test_an_argument_that_is_said_twice_is_refused() -> None:
    with pytest.raises(InvalidArguments, match="both say num_images"):
        read_arguments({"num_images": 2, "n": 3}, TYPES)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("a", ["a"]),
        (" a , b,", ["a", "b"]),
        ('["a,b", " c "]', ["a,b", "c"]),
        ("[a, b", ["[a", "b"]),
        ("data:image/png;base64,AAAA", ["data:image/png;base64,AAAA"]),
        ("a, data:image/png;base64,AAAA ,b", ["a", "data:image/png;base64,AAAA", "b"]),
    ],
)
def test_pictures_are_named_by_commas_or_as_a_list(text: str, names: list[str]) -> None:
    assert names_in(text) == names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("comfyui", "comfyui"),
        ("ComfyUI", "comfyui"),
        ("Workstation", "Workstation"),
        ("workstation", "Workstation"),
        ("other", "other"),
        ("Mine", "Mine"),
        ("mine", "mine"),
    ],
)
def test_a_provider_is_named_in_any_case(text: str, name: str) -> None:
    assert provider_named(text, ["comfyui", "Workstation", "mine", "Mine"]) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [("a.png", "a.png"), ('["a.png"]', "a.png"), ('["b,c.png"]', "b,c.png"), ("[a", "[a")],
)
def test_a_list_of_one_picture_is_that_picture(text: str, name: str) -> None:
    assert one_name(text) == name


FILLERS: list[dict[str, Any]] = [
    {"random_string": "x"},
    {"dummy": "x"},
    {"_": "x"},
    {"args": {"x": 1}},
    {"kwargs": "{}"},
    {"input": "check"},
    {"": "x"},
    {"anything": None},
]


async def test_through_the_protocol_the_table_reads_the_same(tmp_path: Path) -> None:
    """In one session, as a model meets it; what is refused there has cost and made nothing."""
    fake = FakeProvider()
    async with Client(make_server(opener(service(tmp_path, fake)))) as session:
        for name, value, words in REFUSED:
            if name in TYPES or name in ("size", "widht", "colour"):
                call = {"prompt": "x"} | {name: value}
                answer = await session.call_tool("generate_image", call)
                assert answer.is_error, (name, value)
                assert said(answer).startswith("[INVALID_ARGUMENT] "), (name, value)
                assert words in said(answer), (name, value)
        assert fake.seen == []
        for filler in FILLERS:
            answer = await session.call_tool("check_hardware", filler)
            assert not answer.is_error, filler
        for named in ("Fake", "FAKE", "Local"):
            answer = await session.call_tool("generate_image", {"prompt": "x", "provider": named})
            assert not answer.is_error, said(answer)
        refused = await session.call_tool("check_hardware", {"gpu": 1})
        meant = {"prompt": "x", "seed": "7", "size": "256x128", "numImages": "2", "steps": "null"}
        made = await session.call_tool("generate_image", meant | {"output_format": "image/JPG"})

    assert "check_hardware takes none" in said(refused)
    assert "Arguments: ." not in said(refused)
    data = json.loads(said(made))
    assert [(i["size"], i["seed"]) for i in data["images"]] == [("256x128", 7), ("256x128", 8)]
    assert all(i["path"].endswith(".jpg") for i in data["images"])
