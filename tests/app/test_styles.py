"""A style of the config is applied whole or refused, by every way in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp.types import CallToolResult
from PIL import Image

from tests.support.calls import client, data, said
from tests.support.factory import service
from ziggie_image_mcp.app.batch import completed
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.jobs import batch_file
from ziggie_image_mcp.jobs.batch_file import BatchInvalid
from ziggie_image_mcp.provider import LoraSupport
from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.provider.testing.fakes import OPTIONS
from ziggie_image_mcp.routing.request import ImageRequest

INKED: dict[str, Any] = {
    "prompt": "an ink drawing of {prompt}, on white",
    "negativePrompt": "photograph",
    "width": 128,
    "height": 192,
    "loras": {"ink": 0.8},
    "seed": 7,
    "steps": 12,
}
TASKS = ("text_to_image", "image_to_image")
LORAS = LoraSupport(max_count=4, listed=False)


def able(id: str = "able", **changes: Any) -> Any:
    """A model that honours all that INKED asks for."""
    capability = {"loras": LORAS, "max_references": 3} | changes.pop("capability", {})
    return model(id=id, tasks=TASKS, capability=capability, **changes)


def styled_service(folder: Path, fake: FakeProvider, **styles: Any) -> Service:
    every = {"inked": INKED} | styles
    return service(folder, fake, styles=every, inputDirectories=[str(folder)], cache=False)


async def call(
    made: Service, *calls: dict[str, Any], tool: str = "generate_image"
) -> list[CallToolResult]:
    async with client(made) as session:
        return [await session.call_tool(tool, arguments) for arguments in calls]


async def test_all_that_a_style_says_reaches_the_engine_and_is_told(tmp_path: Path) -> None:
    fake = FakeProvider(models=[able()])
    made = styled_service(tmp_path, fake)

    (answer,) = await call(made, {"prompt": "a {red|red} fox", "style": "INKED"})

    assert fake.seen[0].prompt == "an ink drawing of a red fox, on white"
    assert fake.seen[0].negative_prompt == "photograph"
    assert (fake.seen[0].width, fake.seen[0].height) == (128, 192)
    assert fake.seen[0].loras == (Lora(id="ink", weight=0.8),)
    assert (fake.seen[0].seed, fake.seen[0].steps, fake.seen[0].style) == (7, 12, "")
    note = "style inked: prompt, negative_prompt, loras, steps, seed, width, height"
    assert note in data(answer)["notes"]
    path = Path(data(answer)["images"][0]["path"])
    with Image.open(path) as image:
        assert ", Style: inked," in str(image.info["parameters"])


async def test_what_the_caller_says_wins_and_is_told(tmp_path: Path) -> None:
    fake = FakeProvider(models=[able()])
    made = styled_service(tmp_path, fake)

    wish = {"prompt": "a fox", "style": "inked", "seed": 8, "aspect_ratio": "1:1", "steps": 12}
    (answer,) = await call(made, wish | {"negative_prompt": "cars", "loras": "ink:0.5, other"})

    sent = fake.seen[0]
    assert (sent.seed, sent.steps) == (8, 12)
    assert sent.width == sent.height
    assert sent.negative_prompt == "cars, photograph"
    assert sent.loras == (Lora(id="ink", weight=0.5), Lora(id="other", weight=1.0))
    notes = data(answer)["notes"]
    assert "seed 8, not 7 as style inked has it" in notes
    assert "1:1, not 128x192 as style inked has it" in notes
    assert not any("steps" in note and "not" in note for note in notes)


@pytest.mark.parametrize("seed", ["random", None])
async def test_a_style_without_a_fixed_seed_takes_another_each_time(
    seed: str | None, tmp_path: Path
) -> None:
    fake = FakeProvider(models=[able()])
    made = styled_service(tmp_path, fake, loose={"prompt": "{prompt}!", "seed": seed})

    await call(made, *[{"prompt": "a fox", "style": "loose"}] * 2)

    first, second = (request.seed for request in fake.seen)
    assert first != second


async def test_a_route_that_cannot_honour_all_of_it_is_left_out_naming_the_style(
    tmp_path: Path,
) -> None:
    plain = model(id="plain", seconds=1.0)
    fake = FakeProvider(models=[plain, able(seconds=9.0)])
    made = styled_service(tmp_path, fake)

    (plan,) = await call(made, {"prompt": "a fox", "style": "inked", "dry_run": True})

    assert [c["model"] for c in data(plan)["candidates"]] == ["able"]
    (rejected,) = data(plan)["rejected"]
    assert rejected["reasons"][0]["fix"] == "leave out style inked, which asks for it"
    assert data(plan)["notes"][0].startswith("style inked: prompt")


async def test_where_no_route_can_it_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    fake = FakeProvider(models=[model(options=OPTIONS - {"negative_prompt"})])
    made = styled_service(tmp_path, fake)

    (answer,) = await call(made, {"prompt": "a fox", "style": "inked"})

    assert answer.is_error
    assert "Style inked asks for prompt, negative_prompt, loras" in said(answer)
    assert "leave out style inked, which asks for it" in said(answer)
    assert fake.seen == []


async def test_references_of_a_style_come_after_the_callers(tmp_path: Path) -> None:
    for name, colour in (("own", "red"), ("ours", "blue")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / f"{name}.png")
    hero = {"prompt": "{prompt}", "references": [str(tmp_path / "ours.png")]}
    fake = FakeProvider(models=[model(id="none"), able(seconds=9.0)])
    made = styled_service(tmp_path, fake, hero=hero)

    wish = {"prompt": "a fox", "style": "hero", "references": str(tmp_path / "own.png")}
    one, other = await call(made, wish, {"prompt": "a fox", "style": "hero"})

    assert data(one)["model"] == data(other)["model"] == "able"
    assert [len(request.references) for request in fake.seen] == [2, 1]
    own, ours = fake.seen[0].references
    assert fake.seen[1].references == (ours,)
    assert own != ours


async def test_a_reference_of_a_style_that_is_gone_is_said_with_the_style(tmp_path: Path) -> None:
    hero = {"prompt": "{prompt}", "references": [str(tmp_path / "gone.png")]}
    made = styled_service(tmp_path, FakeProvider(models=[able()]), hero=hero)

    (answer,) = await call(made, {"prompt": "a fox", "style": "hero"})

    assert answer.is_error
    assert "style='hero' cannot be used: its references" in said(answer)
    assert "gone.png" in said(answer)


async def test_an_unknown_name_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    fake = FakeProvider(models=[able()])
    made = styled_service(tmp_path, fake, sketch={"prompt": "{prompt}, sketched"})

    (answer,) = await call(made, {"prompt": "a fox", "style": "inkd"})

    assert answer.is_error
    assert "style='inkd' cannot be used: did you mean 'inked'? styles: inked, sketch" in said(
        answer
    )
    assert fake.seen == []


async def test_without_styles_the_error_says_where_they_are_written(tmp_path: Path) -> None:
    (answer,) = await call(service(tmp_path, FakeProvider()), {"prompt": "a fox", "style": "x"})

    assert answer.is_error
    assert "config.json has no styles" in said(answer)


async def test_a_word_that_a_vendor_takes_is_left_to_it_and_a_configured_name_wins(
    tmp_path: Path,
) -> None:
    vendor = able(id="vendor", options=OPTIONS | {"style"})
    fake = FakeProvider(models=[able(), vendor])
    made = styled_service(tmp_path, fake)

    await call(made, {"prompt": "a fox", "style": "vivid"}, {"prompt": "a fox", "style": "inked"})

    assert [request.style for request in fake.seen] == ["vivid", ""]
    assert fake.seen[1].prompt.startswith("an ink drawing")


async def test_an_edit_takes_a_style_and_keeps_the_pictures_size(tmp_path: Path) -> None:
    Image.new("RGB", (64, 96), "red").save(tmp_path / "photo.png")
    fake = FakeProvider(models=[able()])
    made = styled_service(tmp_path, fake)

    wish = {"prompt": "a fox", "style": "inked", "image": str(tmp_path / "photo.png")}
    (answer,) = await call(made, wish, tool="edit_image")

    assert data(answer)["images"][0]["size"] == "64x96"
    assert fake.seen[0].prompt == "an ink drawing of a fox, on white"
    note = "the picture keeps its size: style inked has 128x192"
    assert note in data(answer)["notes"]


async def test_list_models_tells_the_names(tmp_path: Path) -> None:
    made = styled_service(tmp_path, FakeProvider())

    (listed,) = await call(made, {}, tool="list_models")

    assert data(listed)["styles"] == ["inked"]


async def test_a_line_of_a_batch_takes_a_style_and_a_wrong_one_is_told_by_its_line(
    tmp_path: Path,
) -> None:
    made = styled_service(tmp_path, FakeProvider(models=[able()]))
    lines = ['{"prompt": "a fox", "style": "inked"}', '{"prompt": "an owl"}']

    items = await completed(made, batch_file.read("\n".join(lines)))

    assert [item.request.prompt for item in items] == [
        *("an ink drawing of a fox, on white", "an owl"),
    ]
    with pytest.raises(BatchInvalid, match="line 2: style='oily' cannot be used"):
        await completed(made, batch_file.read('"a fox"\n{"prompt": "x", "style": "oily"}'))


async def test_a_palette_of_a_style_stands_in_the_request_as_its_colours(tmp_path: Path) -> None:
    (tmp_path / "own.hex").write_text("ff0044\n193c3e\n", encoding="utf-8")
    styles = {"file": {"palette": str(tmp_path / "own.hex")}, "name": {"palette": "pico-8"}}
    made = styled_service(tmp_path, FakeProvider(), **styles)

    file = await made.with_style(ImageRequest(prompt="x", style="file"))
    name = await made.with_style(ImageRequest(prompt="x", style="name"))

    assert (file.palette, name.palette) == ("#ff0044 #193c3e", "pico-8")


async def test_a_picture_of_a_style_with_a_palette_has_no_other_colours(tmp_path: Path) -> None:
    made = styled_service(tmp_path, FakeProvider(), few={"palette": "#ff0044 #193c3e"})

    (answer,) = await call(made, {"prompt": "a fox", "style": "few", "size": "256x256"})

    picture = Image.open(data(answer)["images"][0]["path"]).convert("RGB")
    colours = {colour for _, colour in picture.getcolors() or ()}
    assert colours <= {(0xFF, 0, 0x44), (0x19, 0x3C, 0x3E)}
