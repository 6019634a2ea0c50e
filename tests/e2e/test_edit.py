"""edit_image through the MCP client: the tiny model for real, OpenAI on loopback, and bad input."""

from __future__ import annotations

import io
import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent
from PIL import Image, ImageDraw

from tests.providers.test_tiny_model import colour, mean
from tests.support.factory import opener, service
from tests.support.fake_vendors import FakeVendor, painted
from ziggie_image_mcp.app.application import Application
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.assets.region import Margins
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider import FreeSize
from ziggie_image_mcp.provider.testing import OPTIONS, FakeProvider, model
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.tools import make_server

LEFT, RIGHT = (0.0, 0.3, 0.4, 0.7), (0.6, 0.3, 1.0, 0.7)


def circle(folder: Path, side: int = 64) -> Path:
    image = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(image).ellipse((side // 5, side // 5, side * 4 // 5, side * 4 // 5), fill="red")
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / "circle.png")
    return folder / "circle.png"


def half_mask(folder: Path, side: int = 64) -> Path:
    mask = Image.new("L", (side, side))
    mask.paste(255, (0, 0, side, side // 2))
    mask.save(folder / "mask.png")
    return folder / "mask.png"


@asynccontextmanager
async def in_memory(folder: Path, ask: Any = None, **config: Any) -> AsyncGenerator[Client]:
    settings = {
        "output": {"directory": str(folder / "pictures")},
        "inputDirectories": [str(folder / "in")],
        "providers": {"comfyui": {"enabled": False}},
    }
    file = folder / "config.json"
    file.write_text(json.dumps(settings | config), encoding="utf-8")
    async with (
        Application(file) as application,
        Client(
            make_server(application.service), raise_exceptions=True, elicitation_callback=ask
        ) as client,
    ):
        yield client


def said(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def data(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, said(result)
    found: dict[str, Any] = json.loads(said(result))
    return found


def opened(found: dict[str, Any]) -> Image.Image:
    with Image.open(found["images"][0]["path"]) as image:
        return image.convert("RGB")


async def test_the_tiny_model_changes_a_picture_as_a_whole_under_a_mask_and_beyond_its_edges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    file = circle(tmp_path / "in")
    ask = {"image": str(file), "seed": 3}
    blue = {"prompt": "a blue circle on a white background"}
    black = {"prompt": "a red circle on a black background"}
    async with in_memory(tmp_path) as client:
        whole = data(await client.call_tool("edit_image", ask | blue))
        mask = {"mask": str(half_mask(tmp_path / "in"))}
        part = data(await client.call_tool("edit_image", ask | black | mask))
        wider = data(await client.call_tool("edit_image", ask | black | {"expand": [16, 0, 16, 0]}))
        again = await client.call_tool("edit_image", ask | blue | {"image": whole["edited"]})
        green = {"image": whole["images"][0]["id"], "prompt": "a green circle", "seed": 1}
        chained = data(await client.call_tool("edit_image", green))

    centre = (0.4, 0.4, 0.6, 0.6)
    assert colour(mean(opened(whole), centre)) == "blue"
    with Image.open(file) as original:
        assert (
            opened(part).crop((0, 33, 64, 64)).tobytes() == original.crop((0, 33, 64, 64)).tobytes()
        ), "what the mask keeps is the original's"
    assert colour(mean(opened(part), (0.0, 0.0, 0.1, 0.2))) == "black"
    assert any("96x64 is worked on at 64x64" in note for note in wider["notes"])
    assert data(again)["images"][0]["path"] == whole["images"][0]["path"], "kept: nothing is made"
    assert chained["edited"] == whole["images"][0]["id"]


async def test_the_answer_is_that_of_generate_image(tmp_path: Path) -> None:
    ask = {"image": str(circle(tmp_path / "in")), "prompt": "a red circle", "steps": 2}
    async with in_memory(tmp_path) as client:
        answer = await client.call_tool("edit_image", ask)
        plan = data(await client.call_tool("edit_image", ask | {"dry_run": True}))
        job = data(await client.call_tool("edit_image", ask | {"wait_seconds": 0}))
        waited = data(await client.call_tool("get_job", {"job_id": job["job_id"]}))

    assert [block.type for block in answer.content] == ["text", "image", "resource_link"]
    assert plan["candidates"][0]["model"] == "tiny"
    assert Path(waited["images"][0]["path"]).is_file()


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_without_a_local_editor_a_yes_lets_openai_edit(
    era: Literal["auto", "legacy"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-0123456789abcdef")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    asked: list[str] = []

    async def yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"agree": True})

    with FakeVendor(painted) as vendor:
        providers = {
            "comfyui": {"enabled": False},
            "diffusers": {"enabled": False},
            "openai": {"baseUrl": f"{vendor.url}/v1", "local": False, "flavour": "openai"},
        }
        ask = {
            "image": str(circle(tmp_path / "in", 1024)),
            "mask": str(half_mask(tmp_path / "in", 1024)),
            "prompt": "a red circle under a starry sky",
        }
        file = tmp_path / "config.json"
        settings: dict[str, Any] = {
            "output": {"directory": str(tmp_path / "pictures")},
            "inputDirectories": [str(tmp_path / "in")],
            "providers": providers,
        }
        file.write_text(json.dumps(settings), encoding="utf-8")
        async with (
            Application(file) as application,
            Client(make_server(application.service), mode=era, elicitation_callback=yes) as client,
        ):
            found = data(await client.call_tool("edit_image", ask))

    assert vendor.asked == ["POST /v1/images/edits"]
    assert len(asked) == 1
    assert "Prompt and picture leave this machine" in asked[0]
    assert found["provider"] == "openai"
    assert 0 < found["cost_usd"] < 0.2
    sent = vendor.seen[0].form["image"]
    assert isinstance(sent, bytes)
    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == (1024, 1024)


async def test_a_model_that_only_draws_from_text_is_left_out(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    async with Client(make_server(opener(made))) as client:
        first = data(await client.call_tool("generate_image", {"prompt": "a cat"}))
        ask = {"image": first["images"][0]["id"], "prompt": "a dog"}
        answer = await client.call_tool("edit_image", ask)
        bare = await client.call_tool("edit_image", ask | {"strength": 0.5})
    await made.aclose()

    assert "FEATURE_UNSUPPORTED: needs image_to_image" in said(answer)
    assert "strength" in said(bare)


async def test_the_provider_gets_the_pictures_at_the_jobs_size(tmp_path: Path) -> None:
    editor = model(
        tasks=("text_to_image", "image_to_image", "inpaint"),
        options=OPTIONS | {"strength"},
        sizes=FreeSize(native_width=512, native_height=512),
    )
    fake = FakeProvider(models=[editor])
    made = service(tmp_path, fake, inputDirectories=[str(tmp_path / "in")])
    ask = {"image": str(circle(tmp_path / "in", 1000)), "prompt": "x", "strength": 0.3}
    async with Client(make_server(opener(made))) as client:
        data(await client.call_tool("edit_image", ask))
        data(await client.call_tool("edit_image", ask | {"expand": [0, 500, 0, 0]}))
    await made.aclose()

    first, grown = fake.seen
    assert (first.width, first.height, first.strength, first.mask) == (512, 512, 0.3, None)
    for job in (first, grown):
        assert job.image is not None
        with Image.open(io.BytesIO(job.image)) as image:
            assert image.size == (job.width, job.height)
    assert grown.mask is not None
    with Image.open(io.BytesIO(grown.mask)) as mask:
        assert mask.mode == "L"
        top, bottom = (mask.getpixel((5, y)) for y in (5, grown.height - 5))
    assert (top, bottom) == (255, 0)
    assert (grown.width, grown.height) == (512, 512), "the part around what is painted anew"


def photo(folder: Path) -> Path:
    """1920x1080 pixels of noise: of a flat picture nobody could tell what was scaled."""
    folder.mkdir(parents=True, exist_ok=True)
    data = random.Random(0).randbytes(1920 * 1080 * 3)
    Image.frombytes("RGB", (1920, 1080), data).save(folder / "photo.png", compress_level=1)
    return folder / "photo.png"


@pytest.mark.parametrize("native", [512, 1024])
@pytest.mark.parametrize("box", [(800, 400, 1100, 700), (100, 50, 1800, 1000)])
async def test_an_edit_under_a_mask_keeps_the_size_and_every_other_pixel(
    native: int, box: tuple[int, int, int, int], tmp_path: Path
) -> None:
    editor = model(
        tasks=("text_to_image", "inpaint"),
        sizes=FreeSize(native_width=native, native_height=native, max_side=4096),
    )
    fake = FakeProvider(models=[editor])
    made = service(tmp_path, fake, inputDirectories=[str(tmp_path / "in")])
    file = photo(tmp_path / "in")
    mask = Image.new("L", (1920, 1080))
    mask.paste(255, box)
    mask.save(tmp_path / "in" / "mask.png")
    ask = {"image": str(file), "mask": str(tmp_path / "in" / "mask.png"), "prompt": "x"}
    async with Client(make_server(opener(made))) as client:
        plan = data(await client.call_tool("edit_image", ask | {"dry_run": True}))
        found = data(await client.call_tool("edit_image", ask))
    await made.aclose()

    result, original = opened(found), Image.open(file)
    sent = fake.seen[0]
    assert plan["candidates"][0]["notes"] == found["notes"]
    assert plan["candidates"][0]["size"] == found["images"][0]["size"] == "1920x1080"
    assert sent.width * sent.height <= native * native * 1.02
    assert result.size == (1920, 1080)
    kept = result.copy()
    kept.paste(original.crop(box), box)
    assert kept.tobytes() == original.tobytes(), "what the mask keeps"
    center = ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    assert result.getpixel(center) == (0, 128, 128), "teal, as the fake paints"


async def test_a_picture_that_is_changed_as_a_whole_keeps_its_size(tmp_path: Path) -> None:
    editor = model(tasks=("image_to_image",), options=("strength",))
    made = service(tmp_path, FakeProvider(models=[editor]), inputDirectories=[str(tmp_path / "in")])
    ask = {"image": str(photo(tmp_path / "in")), "prompt": "x"}
    async with Client(make_server(opener(made))) as client:
        found = data(await client.call_tool("edit_image", ask))
    await made.aclose()

    assert opened(found).size == (1920, 1080)
    assert found["notes"] == ["1920x1080 is worked on at 1368x768, and scaled back"]


def editing(folder: Path, **config: Any) -> tuple[Service, FakeProvider]:
    """A service with an editor that takes every size, and reads pictures from `folder`/in."""
    editor = model(
        tasks=("text_to_image", "image_to_image", "inpaint"),
        options=OPTIONS | {"strength"},
        sizes=FreeSize(native_width=512, native_height=512, max_side=4096),
    )
    fake = FakeProvider(models=[editor])
    return service(folder, fake, inputDirectories=[str(folder / "in")], **config), fake


@pytest.mark.parametrize("format", ["webp", "jpeg", "png"])
async def test_under_a_mask_webp_keeps_every_pixel_and_jpeg_says_that_it_does_not(
    format: Literal["webp", "jpeg", "png"], tmp_path: Path
) -> None:
    made, _ = editing(tmp_path)
    file = photo(tmp_path / "in")
    mask = Image.new("L", (1920, 1080))
    mask.paste(255, (800, 400, 1100, 700))
    mask.save(tmp_path / "in" / "mask.png")
    request = await made.with_input_images(
        ImageRequest(prompt="x", output_format=format), str(file), str(tmp_path / "in/mask.png")
    )
    result = await made.generate(request)
    await made.aclose()

    with Image.open(result.images[0].path) as kept, Image.open(file) as original:
        above = (0, 0, 1920, 400)
        same = kept.convert("RGB").crop(above).tobytes() == original.crop(above).tobytes()
    assert same == (format != "jpeg")
    assert any("jpeg is lossy" in note for note in result.notes) == (format == "jpeg")


@pytest.mark.parametrize("format", ["jpeg", "webp"])
async def test_a_jpeg_that_loses_its_transparency_says_so(
    format: Literal["jpeg", "webp"], tmp_path: Path
) -> None:
    made, fake = editing(tmp_path)
    image = Image.new("RGBA", (256, 256), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 100, 100))
    (tmp_path / "in").mkdir()
    image.save(tmp_path / "in" / "clear.png")
    request = await made.with_input_images(
        ImageRequest(prompt="x", output_format=format),
        str(tmp_path / "in" / "clear.png"),
        expand=Margins(left=64),
    )
    result = await made.generate(request)
    await made.aclose()

    assert any("jpeg has no transparency" in note for note in result.notes) == (format == "jpeg")
    sent = fake.seen[0].image
    assert sent is not None
    with Image.open(io.BytesIO(sent)) as part:
        assert part.mode == "RGBA"
    with Image.open(result.images[0].path) as kept:
        assert kept.size == (320, 256)
        if format == "webp":
            assert kept.crop((64, 0, 320, 256)).tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("size", "note"),
    [
        ((512, 512), "the image's shape is changed from 16:9 to 1:1"),
        ((1000, 655), "the image's shape is changed from 16:9 to 1.53:1"),
        ((640, 360), ""),
        ((641, 360), ""),
    ],
)
async def test_a_size_of_another_shape_is_honoured_and_said(
    size: tuple[int, int], note: str, tmp_path: Path
) -> None:
    made, _ = editing(tmp_path)
    request = await made.with_input_images(
        ImageRequest(prompt="x", width=size[0], height=size[1]), str(photo(tmp_path / "in"))
    )
    plan = await made.plan(request)
    result = await made.generate(request)
    await made.aclose()

    assert (result.images[0].width, result.images[0].height) == size
    for notes in (plan.candidates[0].notes, result.notes):
        shapes = [said for said in notes if "shape is changed" in said]
        assert len(shapes) == bool(note)
        assert note in "".join(shapes)


async def test_masks_are_read_from_files_as_people_make_them(tmp_path: Path) -> None:
    made, _ = editing(tmp_path)
    folder = tmp_path / "in"
    file = circle(folder)
    hole = Image.open(file).convert("RGBA")
    hole.paste((0, 0, 0, 0), (20, 20, 40, 40))
    hole.save(folder / "hole.png")
    red = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    red.paste((255, 0, 0, 255), (20, 20, 40, 40))
    red.save(folder / "red.png")
    deep = Image.new("I;16", (64, 64), 100)
    deep.paste(65535, (20, 20, 40, 40))
    deep.save(folder / "deep.png")
    red.paste((0, 0, 255, 255), (20, 20, 40, 30))
    red.save(folder / "two.png")
    found = [
        await made.with_input_images(ImageRequest(prompt="x"), str(file), str(folder / name))
        for name in ("hole.png", "red.png", "deep.png")
    ]
    with pytest.raises(InvalidRequest, match="make it opaque"):
        await made.with_input_images(ImageRequest(prompt="x"), str(file), str(folder / "two.png"))
    await made.aclose()

    for request in found:
        assert request.mask is not None
        assert request.mask.box == (20, 20, 40, 40)


async def test_pictures_to_follow_reach_the_provider_as_they_are(tmp_path: Path) -> None:
    able = model(capability={"max_references": 2})
    fake = FakeProvider(models=[able, model(id="blind")])
    made = service(tmp_path, fake, inputDirectories=[str(tmp_path / "in")])
    file = circle(tmp_path / "in", 100)
    async with Client(make_server(opener(made))) as client:
        first = data(await client.call_tool("generate_image", {"prompt": "a cat"}))
        names = f"{file}, {first['images'][0]['id']}"
        found = data(await client.call_tool("generate_image", {"prompt": "x", "references": names}))
        three = await client.call_tool(
            "generate_image", {"prompt": "x", "references": f"{names}, {file}"}
        )
        absent = await client.call_tool("generate_image", {"prompt": "x", "references": "nothing"})
    await made.aclose()

    assert found["model"] == "model"
    sizes = [Image.open(io.BytesIO(reference)).size for reference in fake.seen[-1].references]
    assert sizes == [(100, 100), (1024, 1024)]
    assert "needs 3 references, have at most 2 references" in said(three)
    assert "references='nothing' cannot be used" in said(absent)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"image": "20260101-0123456789abcdef"}, "no picture has this id"),
        ({"image": "relative.png"}, "a file's whole path"),
        ({"image": "/etc/hostname"}, "only files below"),
        ({"image": "{in}/../secret.png"}, "only files below"),
        ({"image": "{in}/link.png"}, "only files below"),
        ({"image": "{in}/absent.png"}, "cannot be read"),
        ({"image": "{in}"}, "cannot be read"),
        ({"image": "{in}/words.png"}, "no PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF picture"),
        ({"image": "{in}/small.png"}, "sides of 16 pixels"),
        ({"mask": "{in}/other.png"}, "make it 64x64"),
        ({"mask": "{in}/black.png"}, "black everywhere"),
        ({"expand": [-1, 0, 0, 0]}, "none below 0"),
        ({"expand": [1, 2]}, "four numbers of pixels: left, top, right, bottom"),
        ({"expand": [50000, 50000, 0, 0]}, "million pixels"),
        ({"strength": 0}, "above 0 and up to 1"),
        ({"width": 64}, "give height too, or neither"),
    ],
)
async def test_what_cannot_be_edited_is_named_before_anything_is_made(
    arguments: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    circle(folder)
    circle(tmp_path).rename(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "words.png").write_text("not a picture")
    Image.new("RGB", (8, 8)).save(folder / "small.png")
    Image.new("L", (32, 32), 255).save(folder / "other.png")
    Image.new("L", (64, 64)).save(folder / "black.png")
    fake = FakeProvider(models=[model(tasks=("text_to_image", "image_to_image", "inpaint"))])
    made = service(tmp_path, fake, inputDirectories=[str(folder)])
    ask: dict[str, Any] = {"image": "{in}/circle.png", "prompt": "x"} | arguments
    ask = {k: v.replace("{in}", str(folder)) if isinstance(v, str) else v for k, v in ask.items()}
    async with Client(make_server(opener(made))) as client:
        answer = await client.call_tool("edit_image", ask)
    await made.aclose()

    assert answer.is_error
    assert problem in said(answer)
    assert fake.seen == []


async def test_what_a_camera_wrote_into_a_file_is_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x010F] = "Secret Camera Works"
    Image.new("RGB", (40, 20), "red").save(folder / "photo.jpg", exif=exif)
    made = service(tmp_path, FakeProvider(), inputDirectories=[str(folder)])
    request = await made.with_input_images(ImageRequest(prompt="x"), str(folder / "photo.jpg"))
    assert request.image is not None
    kept = await anyio.to_thread.run_sync(made.artifacts.original, request.image.id)
    await made.aclose()

    assert (request.image.width, request.image.height) == (20, 40)
    assert b"Secret Camera Works" not in kept
