"""`like` makes a file's picture again on what is here, and says all that differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp.types import CallToolResult
from PIL import Image

from tests.server.test_callers import client as caller
from tests.server.test_callers import editor, image_id, serving, text
from tests.storage.test_recipe_reading import A1111, HIRES, graph_file, node, png
from tests.support.calls import client, data, said
from tests.support.factory import service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.provider import LoraSupport
from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.provider.testing.fakes import OPTIONS

ALL = OPTIONS | {"sampler", "scheduler"}
LORAS = LoraSupport(max_count=4, listed=False)


def write(folder: Path, content: bytes, name: str = "old.png") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def made(folder: Path, fake: FakeProvider, **config: Any) -> Service:
    return service(folder, fake, inputDirectories=[str(folder)], cache=False, **config)


async def call(own: Service, *calls: dict[str, Any]) -> list[CallToolResult]:
    async with client(own) as session:
        return [await session.call_tool("generate_image", arguments) for arguments in calls]


def notes(answer: CallToolResult) -> str:
    return "\n".join(data(answer)["notes"])


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
async def test_our_own_picture_comes_out_the_same_to_the_last_byte(
    format: str, tmp_path: Path
) -> None:
    own = service(tmp_path, cache=False, inputDirectories=[str(tmp_path)])
    await own.registry.open()
    async with client(own) as session:
        wish = {"prompt": "a red star, on blue", "steps": 3, "width": 128, "height": 128}
        wish["output_format"] = format
        first = data(await session.call_tool("generate_image", wish))
        again = {"like": first["images"][0]["id"], "output_format": format}
        second = data(await session.call_tool("generate_image", again))

    paths = [Path(answer["images"][0]["path"]) for answer in (first, second)]
    assert paths[0] != paths[1]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    note = f"like {first['images'][0]['id']} (ziggie-image-mcp): prompt, model tiny, "
    assert note in "\n".join(second["notes"])
    assert "not as in" not in "\n".join(second["notes"])


async def test_the_contract_of_our_own_picture_is_kept_again(tmp_path: Path) -> None:
    own = service(tmp_path, cache=False, inputDirectories=[str(tmp_path)])
    await own.registry.open()
    async with client(own) as session:
        wish = {"prompt": "a red star", "asset": "sprite size=16 palette=pico-8 grid=1"}
        first = data(await session.call_tool("generate_image", wish))
        again = {"like": first["images"][0]["id"]}
        second = data(await session.call_tool("generate_image", again))

    images = [answer["images"][0] for answer in (first, second)]
    assert images[0]["id"] != images[1]["id"]
    assert images[1]["proof"] == images[0]["proof"]
    assert Path(images[0]["path"]).read_bytes() == Path(images[1]["path"]).read_bytes()


@pytest.mark.parametrize("asset", ["sprite size=16 palette={path}", "nonsense", "size=99999"])
async def test_a_contract_of_a_file_that_is_none_is_left_out_and_told(
    asset: str, tmp_path: Path
) -> None:
    (tmp_path / "own.hex").write_text("ff0044\n193c3e\n")
    asset = asset.format(path=tmp_path / "own.hex")
    facts = f"Steps: 4, Seed: 2, Size: 64x64, Asset: {asset}, Version: ziggie-image-mcp"
    file = write(tmp_path, png(parameters=f"a fox\n{facts}"))

    (answer,) = await call(made(tmp_path, FakeProvider()), {"like": file})

    assert f"asset {asset[:10]}" in notes(answer).partition("not as in")[2]


async def test_all_that_a1111_wrote_goes_to_an_engine_that_takes_it(tmp_path: Path) -> None:
    able = model(id="v1-5-pruned-emaonly", options=ALL, capability={"loras": LORAS})
    fake = FakeProvider(models=[model(id="other", options=ALL, seconds=0.1), able])

    (answer,) = await call(made(tmp_path, fake), {"like": write(tmp_path, png(parameters=A1111))})

    sent = fake.seen[0]
    assert data(answer)["model"] == "v1-5-pruned-emaonly"
    assert sent.prompt == "a fox in the snow, , (sharp:1.2)\nsecond line, with a comma"
    assert sent.negative_prompt == "blurry, low quality"
    assert (sent.seed, sent.steps, sent.guidance_scale) == (3141592653, 25, 6.5)
    assert (sent.sampler, sent.scheduler) == ("DPM++ 2M", "Karras")
    assert (sent.width, sent.height) == (512, 768)
    assert sent.loras == (Lora(id="add-detail", weight=0.6),)
    assert "in old.png and not used: VAE" in notes(answer)
    assert "Clip skip 2, Hires upscale 2" in notes(answer)
    assert "not as in old.png" not in notes(answer)


async def test_what_no_route_here_takes_is_left_out_and_told_and_no_more(tmp_path: Path) -> None:
    fake = FakeProvider(models=[model(id="own", options=OPTIONS - {"negative_prompt"})])

    (answer,) = await call(made(tmp_path, fake), {"like": write(tmp_path, png(parameters=A1111))})

    sent = fake.seen[0]
    assert (sent.seed, sent.steps, sent.guidance_scale) == (3141592653, 25, 6.5)
    assert (sent.width, sent.height, sent.negative_prompt, sent.loras) == (512, 768, "", ())
    told = next(note for note in data(answer)["notes"] if note.startswith("not as in old.png"))
    assert told == (
        "not as in old.png: model v1-5-pruned-emaonly (no route here takes it), "
        "negative_prompt (no route here takes it), LoRA add-detail:0.6 (no route here takes it), "
        "sampler DPM++ 2M (no route here takes it), scheduler Karras (no route here takes it)"
    )


async def test_another_model_of_the_same_family_stands_in_and_is_told(tmp_path: Path) -> None:
    kin = model(id="dreamy", family="sd1", options=ALL, capability={"loras": LORAS}, seconds=9)
    fake = FakeProvider(models=[model(id="fast", family="flux1", options=ALL, seconds=0.1), kin])

    (answer,) = await call(made(tmp_path, fake), {"like": write(tmp_path, png(parameters=A1111))})

    assert data(answer)["model"] == "dreamy"
    assert "model v1-5-pruned-emaonly (not here: another of family sd1)" in notes(answer)


async def test_what_the_caller_says_wins_and_is_told(tmp_path: Path) -> None:
    fake = FakeProvider(models=[model(options=ALL, capability={"loras": LORAS})])
    file = write(tmp_path, png(parameters=A1111))

    wish = {"like": file, "prompt": "an owl", "steps": 5, "seed": 3141592653, "aspect_ratio": "1:1"}
    (answer,) = await call(made(tmp_path, fake), wish)

    sent = fake.seen[0]
    assert (sent.prompt, sent.steps, sent.seed) == ("an owl", 5, 3141592653)
    assert sent.width == sent.height
    assert sent.loras == ()
    assert "steps 5, not as old.png has it (steps 25)" in notes(answer)
    assert "seed 3141592653, not" not in notes(answer)


async def test_a_graph_of_comfyui_goes_to_another_engine(tmp_path: Path) -> None:
    fake = FakeProvider(models=[model(id="base", options=ALL)])

    (answer,) = await call(made(tmp_path, fake), {"like": write(tmp_path, graph_file(HIRES))})

    sent = fake.seen[0]
    assert (sent.prompt, sent.negative_prompt, sent.seed) == ("a fox", "dogs", 5)
    assert (sent.width, sent.height, sent.sampler) == (832, 1216, "dpmpp_2m")
    assert data(answer)["model"] == "base"
    assert "in old.png and not used: 1 further sampling passes" in notes(answer)


async def test_a_seed_beyond_what_engines_take_is_told(tmp_path: Path) -> None:
    graph = json.loads(json.dumps(HIRES))
    graph["2"]["inputs"]["value"] = 2**63
    fake = FakeProvider(models=[model(id="base", options=ALL)])

    (answer,) = await call(made(tmp_path, fake), {"like": write(tmp_path, graph_file(graph))})

    assert fake.seen[0].steps == 24
    assert ", seed 9223372036854775808 (engines here take 0 to 4294967295)" in notes(answer)


async def test_a_size_that_nothing_here_makes_keeps_its_shape(tmp_path: Path) -> None:
    from ziggie_image_mcp.provider.capabilities import FreeSize

    small = model(options=ALL, sizes=FreeSize(native_width=256, native_height=256, max_side=512))
    fake = FakeProvider(models=[small])

    (answer,) = await call(made(tmp_path, fake), {"like": write(tmp_path, graph_file(HIRES))})

    assert fake.seen[0].height > fake.seen[0].width
    assert "size 832x1216 (no route here makes that size)" in notes(answer)
    assert "the shape of size 832x1216" in notes(answer)


async def test_a_style_lies_over_the_file_and_under_the_caller(tmp_path: Path) -> None:
    fake = FakeProvider(models=[model(options=ALL, capability={"loras": LORAS})])
    style = {"prompt": "{prompt}, in ink", "steps": 12, "seed": 1, "aspectRatio": "1:1"}
    own = made(tmp_path, fake, styles={"inked": style})

    wish = {"like": write(tmp_path, graph_file(HIRES)), "style": "inked", "seed": 8}
    await call(own, wish)

    sent = fake.seen[0]
    assert (sent.prompt, sent.steps, sent.seed) == ("a fox, in ink", 12, 8)
    assert sent.width == sent.height
    assert sent.guidance_scale == 6.5


async def test_a_paid_model_of_the_file_is_asked_for_and_never_taken_unasked(
    tmp_path: Path,
) -> None:
    dear = model(id="v1-5-pruned-emaonly", options=ALL, price=40_000)
    fake = FakeProvider(models=[model(id="free"), dear])

    (answer,) = await call(made(tmp_path, fake), {"like": write(tmp_path, png(parameters=A1111))})

    assert answer.is_error
    assert "CONSENT_REQUIRED" in said(answer)
    assert fake.seen == []


async def test_references_of_our_own_picture_are_followed_again(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), "red").save(tmp_path / "fox.png")
    fake = FakeProvider(models=[model(capability={"max_references": 2})])
    own = made(tmp_path, fake)

    (first,) = await call(own, {"prompt": "a fox", "references": str(tmp_path / "fox.png")})
    await call(own, {"like": data(first)["images"][0]["id"]})

    assert fake.seen[0].references == fake.seen[1].references
    assert len(fake.seen[1].references) == 1


async def test_a_dry_run_tells_what_differs_and_makes_nothing(tmp_path: Path) -> None:
    fake = FakeProvider()
    wish = {"like": write(tmp_path, png(parameters=A1111)), "dry_run": True}

    (plan,) = await call(made(tmp_path, fake), wish)

    assert "not as in old.png: model v1-5-pruned-emaonly" in notes(plan)
    assert fake.seen == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(), "it does not tell how it was made"),
        (b"a text", "that are no PNG, JPEG or WebP picture"),
        (png(prompt='{"1": {'), "the JSON in it is damaged"),
        (graph_file({str(i): node("KSampler") for i in range(10_000)}), "10000 nodes"),
        (
            png(parameters="\nSteps: 1, Seed: 2, Size: 64x64, Model: m"),
            "its file tells no prompt: give one beside it",
        ),
        (png(parameters="x" * 10_001 + "\nSteps: 1, Seed: 2, Size: 64x64"), "prompt="),
    ],
)
async def test_a_file_that_will_not_do_is_refused_by_name(
    content: bytes, message: str, tmp_path: Path
) -> None:
    fake = FakeProvider()

    (answer,) = await call(made(tmp_path, fake), {"like": write(tmp_path, content)})

    assert answer.is_error
    assert "[INVALID_REQUEST]" in said(answer)
    assert message in said(answer)
    assert fake.seen == []


async def test_a_file_outside_the_folders_is_not_read(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    file = write(tmp_path, png(parameters=A1111))
    own = service(tmp_path, FakeProvider(), inputDirectories=[str(inside)])

    (answer,) = await call(own, {"like": file})

    assert answer.is_error
    assert "only files below" in said(answer)


async def test_over_http_a_caller_makes_only_his_own_pictures_again(tmp_path: Path) -> None:
    file = write(tmp_path, png(parameters=A1111))
    async with serving(made(tmp_path, editor())) as url:
        async with caller(url, "alice") as alice, caller(url, "bob") as bob:
            hers = image_id(await alice.call_tool("generate_image", {"prompt": "hers"}))
            own = await alice.call_tool("generate_image", {"like": hers})
            refused = await bob.call_tool("generate_image", {"like": hers})
            path = await bob.call_tool("generate_image", {"like": file})

    assert not own.is_error
    assert refused.is_error
    assert "no picture has this id" in text(refused)
    assert path.is_error
    assert "Steps" not in text(path)


@pytest.mark.parametrize(
    "named", ["References: {path}", "Control: canny:{path}", "References: file://{path}"]
)
async def test_a_file_that_names_other_files_opens_none(named: str, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), "red").save(tmp_path / "private.png")
    fake = FakeProvider(models=[model(capability={"max_references": 2})])
    facts = named.format(path=tmp_path / "private.png")
    file = write(tmp_path, png(parameters=f"a fox\nSteps: 4, Seed: 2, Size: 64x64, {facts}"))

    (answer,) = await call(made(tmp_path, fake), {"like": file})

    assert not fake.seen[0].references
    assert not fake.seen[0].control
    assert "and not used: " in notes(answer)


async def test_a_thousand_loras_of_a_file_end_in_a_few_words(tmp_path: Path) -> None:
    loras = "".join(f"<lora:l{i}:1>" for i in range(1000))
    fact = f'Steps: 4, Seed: 2, Size: 64x64, Loras: "{loras}"'
    file = write(tmp_path, png(parameters=f"a fox\n{fact}"))

    (answer,) = await call(made(tmp_path, FakeProvider()), {"like": file})

    assert "968 further LoRAs" in notes(answer)
    assert len(notes(answer)) < 2000
