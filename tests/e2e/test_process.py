"""process_image and `process`: cut out and enlarge, by the built-in engine for real."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult
from PIL import Image, ImageDraw

from tests.cli.test_main import run
from tests.e2e.test_edit import data, in_memory, said
from tests.support.factory import opener, service
from ziggie_image_mcp.cli.numbering import Numbering
from ziggie_image_mcp.provider import Model, PriceBook, Rate, SameAsInput, TaskCapability
from ziggie_image_mcp.provider.pictures import to_png
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.storage.input_images import ANY_FILE


def sprite(folder: Path, name: str = "sprite.png", ground: str = "white") -> Path:
    """A red disk with a black rim on a flat ground, 64 pixels, smooth edges."""
    large = Image.new("RGB", (256, 256), ground)
    ImageDraw.Draw(large).ellipse((40, 40, 216, 216), fill=(220, 35, 35), outline="black", width=20)
    folder.mkdir(parents=True, exist_ok=True)
    large.resize((64, 64), Image.Resampling.BOX).save(folder / name)
    return folder / name


def landscape(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    ImageDraw.Draw(image).rectangle((0, 40, 64, 64), fill=(70, 165, 60))
    image.save(folder / "landscape.png")
    return folder / "landscape.png"


def opened(answer: dict[str, Any]) -> Image.Image:
    with Image.open(answer["images"][0]["path"]) as image:
        image.load()
        return image


async def process(session: Client, image: Path | str, **arguments: Any) -> CallToolResult:
    return await session.call_tool("process_image", {"image": str(image), **arguments})


async def test_a_picture_is_enlarged_on_the_best_route(tmp_path: Path) -> None:
    file = sprite(tmp_path / "in")
    async with in_memory(tmp_path) as session:
        answer = await process(session, file, upscale=4, file_name="Big")
        again = data(await process(session, data(answer)["images"][0]["id"], upscale="2"))

    large = data(answer)
    assert [block.type for block in answer.content] == ["text", "image", "resource_link"]
    assert (large["provider"], large["model"]) == ("builtin", "realesrgan-x4")
    assert opened(large).size == (256, 256)
    assert "big" in Path(large["images"][0]["path"]).name.lower()
    assert large["cost_usd"] == 0
    assert (again["model"], opened(again).size) == ("realesrgan-x2", (512, 512))
    assert again["edited"] == large["images"][0]["id"]


async def test_a_flat_ground_is_keyed_here_without_any_provider(tmp_path: Path) -> None:
    off = {"builtin": {"enabled": False}, "diffusers": {"enabled": False}}
    file = sprite(tmp_path / "in", ground="lime")
    async with in_memory(tmp_path, providers={"comfyui": {"enabled": False}, **off}) as session:
        answer = await process(session, file, remove_background=True)
        shown = await session.call_tool("view_image", {"image_id": data(answer)["images"][0]["id"]})

    cut = data(answer)
    image = opened(cut)
    assert [block.type for block in answer.content] == ["text", "image", "resource_link"]
    assert image.mode == "RGBA"
    assert image.getpixel((1, 1))[3] == 0  # type: ignore[index]
    assert image.getpixel((32, 32)) == (220, 35, 35, 255)
    assert "keyed" in cut["why"]
    assert cut["cost_usd"] == 0
    assert not shown.is_error


async def test_the_subject_is_cut_out_before_it_is_enlarged(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        answer = data(
            await process(session, sprite(tmp_path / "in"), remove_background=True, upscale=2)
        )

    image = opened(answer)
    assert (image.mode, image.size) == ("RGBA", (128, 128))
    assert image.getpixel((2, 2))[3] == 0  # type: ignore[index]
    assert image.getpixel((64, 64))[3] == 255  # type: ignore[index]


@pytest.mark.parametrize("kind", ["jpeg", "webp", "png"])
async def test_the_alpha_is_kept_whatever_the_usual_format_is(tmp_path: Path, kind: str) -> None:
    output = {"directory": str(tmp_path / "pictures"), "format": kind}
    async with in_memory(tmp_path, output=output) as session:
        cut = data(await process(session, sprite(tmp_path / "in"), remove_background=True))
        large = data(await process(session, cut["images"][0]["id"], upscale=2))
        flat = data(await process(session, sprite(tmp_path / "in"), upscale=2))
        asked = data(
            await process(session, cut["images"][0]["id"], upscale=2, output_format="jpeg")
        )

    assert opened(cut).mode == opened(large).mode == "RGBA"
    assert Path(flat["images"][0]["path"]).suffix[1:4] == kind[:3].replace("jpe", "jpg")
    assert any("jpeg has no transparency" in note for note in asked["notes"])


async def test_several_pictures_are_one_job_and_each_is_told(tmp_path: Path) -> None:
    one, other = sprite(tmp_path / "in"), sprite(tmp_path / "in", "other.png", "blue")
    async with in_memory(tmp_path) as session:
        cut = data(await process(session, f"{one}, {other}", remove_background=True))
        large = data(await process(session, f"{one}, {other}", upscale=2))

    assert len(cut["results"]) == len(large["results"]) == 2
    assert {opened(result).mode for result in cut["results"]} == {"RGBA"}
    assert {opened(result).size for result in large["results"]} == {(128, 128)}


async def test_what_cannot_be_keyed_and_has_no_route_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    file = landscape(tmp_path / "in")
    async with in_memory(tmp_path) as session:
        alone = await process(session, file, remove_background=True)
        both = await process(session, file, remove_background=True, upscale=2)

    assert alone.is_error
    assert said(alone).startswith("[NO_ROUTE]")
    assert "The ground of landscape.png cannot be keyed: only" in said(alone)
    assert both.is_error
    assert said(both).startswith("[INVALID_REQUEST]")
    assert "remove_background alone" in said(both)
    assert not (tmp_path / "pictures").exists() or not list(
        (tmp_path / "pictures").rglob("*cut-out*")
    )


def cutter(name: str = "fake", **changes: Any) -> Model:
    """A model that removes grounds."""
    able = TaskCapability(sizes=SameAsInput())
    return replace(model(name, "cutter"), tasks={"remove_background": able}, **changes)


async def test_what_cannot_be_keyed_goes_to_a_provider_that_cuts_out(tmp_path: Path) -> None:
    answer = Image.new("RGBA", (64, 64), (200, 30, 30, 255))
    answer.paste((0, 0, 0, 0), (0, 0, 64, 20))
    provider = FakeProvider(models=[cutter()], answers=[to_png(answer)])
    file, flat = landscape(tmp_path / "in"), sprite(tmp_path / "in")
    made = service(tmp_path, provider, inputDirectories=[str(tmp_path / "in")])
    async with Client(make_server(opener(made)), raise_exceptions=True) as session:
        cut = data(await process(session, f"{flat},{file}", remove_background=True))

    keyed, routed = cut["results"]
    assert (keyed["model"], routed["model"]) == ("processing", "cutter")
    assert [r.task for r in provider.seen] == ["remove_background"]
    assert opened(routed).mode == "RGBA"


async def test_a_cut_out_without_alpha_is_no_cut_out(tmp_path: Path) -> None:
    provider = FakeProvider(models=[cutter()])
    file = landscape(tmp_path / "in")
    made = service(tmp_path, provider, inputDirectories=[str(tmp_path / "in")])
    async with Client(make_server(opener(made)), raise_exceptions=True) as session:
        failed = await process(session, file, remove_background=True)

    assert failed.is_error
    assert "nothing is transparent" in said(failed)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "say what to do"),
        ({"upscale": 1}, "2 to 8"),
        ({"upscale": 3}, "upscale 3"),
        ({"remove_background": True, "output_format": "jpeg"}, "JPEG has no transparency"),
        ({"image": "", "upscale": 2}, "image="),
        ({"image": "20260101-0123456789abcdef", "upscale": 2}, "no picture has this id"),
        ({"image": ",".join(["a"] * 17), "upscale": 2}, "at most 16"),
        ({"upscale": 2, "wait_seconds": -1}, "wait_seconds="),
    ],
)
async def test_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    arguments = {"image": str(sprite(tmp_path / "in"))} | arguments
    async with in_memory(tmp_path) as session:
        failed = await session.call_tool("process_image", arguments)

    assert failed.is_error
    assert words in said(failed)
    assert not list((tmp_path / "pictures").rglob("*cut-out*"))


async def test_a_paid_upscaler_is_asked_about_and_a_keyed_picture_never_is(tmp_path: Path) -> None:
    asked: list[str] = []

    async def no(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="decline")

    prices = PriceBook(
        rates=(Rate(unit="image", micro_usd=40_000),), as_of=date(2026, 11, 1), source="t"
    )
    able = TaskCapability(sizes=SameAsInput(), factors=(2,))
    paid = replace(cutter(prices=prices, where="vendor"), tasks={"upscale": able})
    made = service(tmp_path, FakeProvider(models=[paid]), inputDirectories=[str(tmp_path / "in")])
    file = sprite(tmp_path / "in")
    server = make_server(opener(made))
    async with Client(server, raise_exceptions=True, elicitation_callback=no) as session:
        keyed = await process(session, file, remove_background=True)
        before = list(asked)
        refused = await process(session, file, upscale=2)

    assert not keyed.is_error
    assert before == [], said(refused)
    assert len(asked) == 1, said(refused)
    assert "$0.04" in asked[0]
    assert "The picture leaves this machine." in asked[0]
    assert said(refused).startswith("[PAID_DECLINED]")


@pytest.mark.usefixtures("warm")
def test_the_command_line_processes_files_wherever_they_are(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    settings = {
        "output": {"directory": str(tmp_path / "pictures")},
        "providers": {"comfyui": {"enabled": False}},
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    one, other = sprite(tmp_path / "a"), sprite(tmp_path / "b", "other.png", "blue")

    made = run(
        "process", str(one), str(other), "--remove-background", "--upscale", "2", config=config
    )
    nothing = run("process", str(one), config=config)

    assert made.returncode == 0, made.stderr
    paths = [Path(line) for line in made.stdout.splitlines() if line.endswith(".png")]
    assert [path.name.partition("-2")[0] for path in paths] == ["sprite", "other"]
    for path in paths:
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((128, 128), "RGBA")
    assert nothing.returncode == 1
    assert "say what to do" in nothing.stderr


async def test_models_are_judged_at_what_they_are_for(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        listed = (await session.call_tool("list_models", {})).structured_content
        machine = (await session.call_tool("check_hardware", {})).structured_content

    assert listed is not None
    assert machine is not None
    rows = {row["id"]: row for row in listed["models"] if row["provider"] == "builtin"}
    assert {id: row["usable"] for id, row in rows.items()} == dict.fromkeys(
        ("tiny", "realesrgan-x4", "realesrgan-x2"), True
    )
    assert "upscale" in rows["realesrgan-x4"]["features"]
    (engine,) = [e for e in machine["engines"] if e["provider"] == "builtin"]
    assert engine["detail"].startswith("3 usable of 3 models")


async def test_the_reason_against_keying_is_the_true_one(tmp_path: Path) -> None:
    file = tmp_path / "in" / "empty.png"
    file.parent.mkdir()
    Image.new("RGB", (64, 64), "white").save(file)
    async with in_memory(tmp_path) as session:
        empty = await process(session, file, remove_background=True)

    assert said(empty).startswith("[NO_ROUTE]")
    assert "nothing but the ground is in the picture" in said(empty)


async def test_what_was_done_before_the_enlarging_is_said(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        answer = data(
            await process(session, sprite(tmp_path / "in"), remove_background=True, upscale=2)
        )
        large = tmp_path / "in" / "large.png"
        Image.new("RGB", (2500, 2100), "white").save(large)
        refused = await process(session, large, upscale=4)

    assert any("keyed before it was enlarged" in note for note in answer["notes"])
    assert not any("tiles" in note for note in answer["notes"]), "a flat ground is no tile"
    assert "a smaller picture, or a smaller factor" in said(refused)


async def test_a_provider_that_is_named_gets_the_cut_out_also_of_a_flat_ground(
    tmp_path: Path,
) -> None:
    answer = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    answer.paste((200, 30, 30, 255), (10, 10, 40, 40))
    provider = FakeProvider(models=[cutter()], answers=[to_png(answer)])
    made = service(tmp_path, provider, inputDirectories=[str(tmp_path / "in")])
    file = sprite(tmp_path / "in")
    async with Client(make_server(opener(made)), raise_exceptions=True) as session:
        named = data(await process(session, file, remove_background=True, provider="fake"))
        cloud = await process(session, file, remove_background=True, provider="cloud")
        both = await process(session, file, remove_background=True, upscale=2, provider="fake")

    assert named["model"] == "cutter"
    assert said(cloud).startswith("[NO_ROUTE]")
    assert "one thing at a time where a provider is named" in said(both)


async def test_nothing_is_keyed_where_all_is_switched_off(tmp_path: Path) -> None:
    file = sprite(tmp_path / "in")
    async with in_memory(tmp_path, enabled=False) as session:
        off = await process(session, file, remove_background=True)

    assert said(off).startswith("[NO_ROUTE]")
    assert "enabled: false" in said(off)


async def test_more_pixels_than_are_keyed_in_time_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / "in" / f"large-{number}.png" for number in range(3)]
    files[0].parent.mkdir()
    for file in files:
        Image.new("L", (4000, 4000), 255).save(file)
    async with in_memory(tmp_path) as session:
        many = await process(session, ",".join(map(str, files)), remove_background=True)

    assert "at most 40 million pixels at once" in said(many)


async def test_an_upscaler_that_knows_no_alpha_keeps_that_of_the_picture(tmp_path: Path) -> None:
    able = TaskCapability(sizes=SameAsInput(), factors=(2,))
    flat = Image.new("RGB", (128, 128), (220, 35, 35))
    flat.paste((0, 0, 0), (0, 0, 128, 40))
    provider = FakeProvider(
        models=[replace(cutter(), tasks={"upscale": able})], answers=[to_png(flat)]
    )
    made = service(tmp_path, provider, inputDirectories=[str(tmp_path / "in")])
    file = sprite(tmp_path / "in")
    async with Client(make_server(opener(made)), raise_exceptions=True) as session:
        cut = data(await process(session, file, remove_background=True))
        large = data(await process(session, cut["images"][0]["id"], upscale=2))

    image = opened(large)
    assert image.getpixel((2, 2))[3] == 0  # type: ignore[index]
    assert image.getpixel((64, 64)) == (220, 35, 35, 255)
    assert any("own was enlarged" in note for note in large["notes"])


async def test_an_upscaler_is_no_way_to_make_a_picture(tmp_path: Path) -> None:
    able = TaskCapability(sizes=SameAsInput(), factors=(2,))
    upscaler = FakeProvider(models=[replace(cutter(), tasks={"upscale": able})])
    async with Client(make_server(opener(service(tmp_path, upscaler)))) as session:
        machine = (await session.call_tool("check_hardware", {})).structured_content

    assert machine is not None
    assert not machine["automatic"]["possible"]


async def test_results_are_numbered_as_their_pictures_were_named(tmp_path: Path) -> None:
    names = [str(landscape(tmp_path / "in")), str(sprite(tmp_path / "in"))]
    cut = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    cut.paste((255, 0, 0, 255), (8, 8, 56, 56))
    provider = FakeProvider("fake", models=[cutter()], answers=[to_png(cut)])
    wanted = ImageRequest(prompt="", remove_background=True)
    made = service(tmp_path, provider)

    work = await made.prepare(wanted, names, reach=ANY_FILE)
    view = await made.generate_all(work.requests, processing=work)

    assert view.outcome is not None
    numbered = [(n, r.model.id) for n, r in Numbering(work).results(view.outcome)]
    assert numbered == [(0, "cutter"), (1, "processing")]
