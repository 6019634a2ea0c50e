"""edit_image through the MCP client: the tiny model for real, OpenAI on loopback, and bad input."""

from __future__ import annotations

import io
import json
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
from ziggie_image_mcp.provider.testing import ALL_FEATURES, FakeProvider, model
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
        Client(make_server(application.service), elicitation_callback=ask) as client,
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
    pytest.importorskip("torch")
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
    pytest.importorskip("torch")
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
            "openai": {"baseUrl": f"{vendor.url}/v1"},
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
        features=ALL_FEATURES | {"image_to_image", "inpaint", "strength"},
        native_width=512,
        native_height=512,
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
    assert grown.height > grown.width


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
        ({"image": "{in}/words.png"}, "no PNG, JPEG or WebP picture"),
        ({"image": "{in}/small.png"}, "sides of 16 pixels"),
        ({"mask": "{in}/other.png"}, "make it 64x64"),
        ({"mask": "{in}/black.png"}, "black everywhere"),
        ({"expand": [-1, 0, 0, 0]}, "none below 0"),
        ({"expand": [1, 2]}, "four numbers: left, top, right, bottom"),
        ({"expand": [50000, 50000, 0, 0]}, "million pixels"),
        ({"strength": 0}, "above 0 and up to 1"),
        ({"width": 64}, "no argument 'width'"),
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
    fake = FakeProvider(models=[model(features=ALL_FEATURES | {"image_to_image", "inpaint"})])
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
