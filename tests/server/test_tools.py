"""The tools through the in-memory client, in both protocol eras."""

from __future__ import annotations

import base64
import io
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult, ImageContent, ResourceLink, TextContent
from PIL import Image

from tests.support.factory import opener, service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import ConfigError, EngineCrashed, ProviderUnavailable
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.server.content import META
from ziggie_image_mcp.server.tools import INSTRUCTIONS, make_server

SNAPS = Path(__file__).parent / "toolsnaps"

Mode = Literal["auto", "legacy"]
BOTH_ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


def client(made: Service, mode: Mode) -> Client:
    return Client(make_server(opener(made)), mode=mode, raise_exceptions=mode == "auto")


def said(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


@BOTH_ERAS
async def test_a_picture_comes_as_text_preview_and_link_and_nothing_else(
    mode: Mode, tmp_path: Path
) -> None:
    async with client(service(tmp_path, FakeProvider()), mode) as session:
        result = await session.call_tool("generate_image", {"prompt": "a cat", "seed": 3})

    text, image, link = result.content
    assert isinstance(text, TextContent)
    assert isinstance(image, ImageContent)
    assert isinstance(link, ResourceLink)
    assert result.structured_content is None
    data = json.loads(text.text)
    assert next(iter(data)) == "images"
    assert Path(data["images"][0]["path"]).is_file()
    assert data["images"][0]["seed"] == 3
    assert data["provider"] == "fake"
    assert data["why"]
    assert result.meta is not None
    assert result.meta[META] == data
    shown = Image.open(io.BytesIO(base64.b64decode(image.data)))
    assert max(shown.size) == 768
    assert link.uri == f"image://{data['images'][0]['id']}"
    assert link.annotations is not None
    assert link.annotations.audience == ["user"]
    assert "base64" not in text.text


@BOTH_ERAS
async def test_many_pictures_share_the_limit(mode: Mode, tmp_path: Path) -> None:
    async with client(service(tmp_path, FakeProvider()), mode) as session:
        result = await session.call_tool("generate_image", {"prompt": "a cat", "num_images": 5})

    images = [c for c in result.content if isinstance(c, ImageContent)]
    assert len(images) == 5
    assert sum(len(i.data) for i in images) <= 700_000
    assert len([c for c in result.content if isinstance(c, ResourceLink)]) == 5


@BOTH_ERAS
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"prompt": "x", "widht": 3}, ["[INVALID_ARGUMENT]", "'widht'", "'width'"]),
        ({}, ["[INVALID_ARGUMENT]", "'prompt'"]),
        ({"prompt": ""}, ["[INVALID_REQUEST]", "prompt"]),
        ({"prompt": "x", "width": 0, "height": 64}, ["width=0", "16"]),
        ({"prompt": "x", "width": 20_000, "height": 64}, ["width=20000", "16384"]),
        ({"prompt": "x", "width": 64}, ["[INVALID_REQUEST]", "height"]),
        ({"prompt": "x", "width": 4096, "height": 4096}, ["[NO_ROUTE]", "SIZE_UNSUPPORTED"]),
        ({"prompt": "x", "model": "modle"}, ["[NO_ROUTE]", "Nearest: model"]),
        ({"prompt": "x", "provider": "cloud"}, ["[NO_ROUTE]", "MODE_EXCLUDED"]),
    ],
)
async def test_bad_arguments_are_answered_with_the_field_and_the_fix(
    arguments: dict[str, Any], parts: list[str], mode: Mode, tmp_path: Path
) -> None:
    fake = FakeProvider()
    async with client(service(tmp_path, fake), mode) as session:
        result = await session.call_tool("generate_image", arguments)
        after = await session.call_tool("generate_image", {"prompt": "still there"})

    assert result.is_error
    for part in parts:
        assert part in said(result)
    assert "pydantic" not in said(result)
    assert len(fake.seen) == 1
    assert not after.is_error


@BOTH_ERAS
async def test_a_dead_engine_is_an_error_with_a_code(mode: Mode, tmp_path: Path) -> None:
    down = FakeProvider("comfyui", down=ProviderUnavailable("comfyui", "start ComfyUI first"))
    async with client(service(tmp_path, down), mode) as session:
        result = await session.call_tool("generate_image", {"prompt": "x"})

    assert result.is_error
    assert "PROVIDER_UNAVAILABLE" in said(result)
    assert "start ComfyUI first" in said(result)
    assert not (tmp_path / "pictures").exists() or not list((tmp_path / "pictures").iterdir())


async def test_a_crash_of_the_engine_keeps_its_words(tmp_path: Path) -> None:
    fake = FakeProvider(answers=[EngineCrashed("fake", "the worker died")])
    async with client(service(tmp_path, fake), "auto") as session:
        result = await session.call_tool("generate_image", {"prompt": "x"})

    assert said(result) == "[ENGINE_CRASHED] the worker died"


async def test_a_bug_tells_the_model_nothing(tmp_path: Path) -> None:
    class Broken(FakeProvider):
        async def submit(self, request: Any, model: Any, run: Any) -> Any:
            raise ValueError("secret token in here")

    async with client(service(tmp_path, Broken()), "legacy") as session:
        result = await session.call_tool("generate_image", {"prompt": "x"})

    assert result.is_error
    assert "secret" not in said(result)


async def test_a_wrong_config_is_told_by_every_tool_until_it_is_right(tmp_path: Path) -> None:
    wrong = [ConfigError("config.json: unknown key `prefernce`. Did you mean `preference`?")]
    made = service(tmp_path, FakeProvider())

    async def give() -> Service:
        if wrong:
            raise wrong.pop()
        return made

    async with Client(make_server(give), raise_exceptions=True) as session:
        first = await session.call_tool("check_hardware", {})
        second = await session.call_tool("check_hardware", {})

    assert first.is_error
    assert "[CONFIG_INVALID]" in said(first)
    assert not second.is_error


@BOTH_ERAS
async def test_progress_rises_with_every_word(mode: Mode, tmp_path: Path) -> None:
    values: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        values.append(progress)

    async with client(service(tmp_path, FakeProvider()), mode) as session:
        await session.call_tool("generate_image", {"prompt": "x"}, progress_callback=hear)

    assert len(values) >= 2
    assert all(a < b for a, b in pairwise(values))


async def test_a_silent_engine_still_gives_a_sign_of_life_every_five_seconds(
    tmp_path: Path,
) -> None:
    heard: list[float] = []
    enough = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        if message == "halfway":
            heard.append(anyio.current_time())
        if len(heard) == 3:
            enough.set()

    fake = FakeProvider(answers=[None])
    async with client(service(tmp_path, fake), "auto") as session:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                await session.call_tool("generate_image", {"prompt": "x"}, progress_callback=hear)

            group.start_soon(call)
            await enough.wait()
            group.cancel_scope.cancel()

    assert all(b - a < 5 for a, b in pairwise(heard))


@BOTH_ERAS
async def test_cancelling_the_call_cancels_the_engine(mode: Mode, tmp_path: Path) -> None:
    fake = FakeProvider(answers=[None])
    started = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        if message == "halfway":
            started.set()

    async with client(service(tmp_path, fake), mode) as session:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                await session.call_tool("generate_image", {"prompt": "x"}, progress_callback=hear)

            group.start_soon(call)
            await started.wait()
            group.cancel_scope.cancel()
        after = await session.call_tool("generate_image", {"prompt": "still there"})

    assert fake.cancelled == 1
    assert not after.is_error


async def test_a_plan_among_many_models_stays_short(tmp_path: Path) -> None:
    many = [model("fake", f"m{i}") for i in range(300)]
    async with client(service(tmp_path, FakeProvider(models=many)), "auto") as session:
        open_ = await session.call_tool("generate_image", {"prompt": "x", "dry_run": True})
        wish = {"prompt": "x", "dry_run": True, "provider": "cloud"}
        closed = await session.call_tool("generate_image", wish)
        listed = await session.call_tool("list_models", {})
        some = await session.call_tool("list_models", {"query": "m29"})

    assert listed.structured_content is not None
    assert some.structured_content is not None
    assert len(listed.structured_content["models"]) == 60
    assert listed.structured_content["left_out"] == 240
    assert len(some.structured_content["models"]) == 11
    found, none = json.loads(said(open_)), json.loads(said(closed))
    assert (len(found["candidates"]), found["more_candidates"]) == (20, 280)
    assert (len(none["rejected"]), none["more_rejected"]) == (20, 280)


async def test_a_dry_run_explains_and_makes_nothing(tmp_path: Path) -> None:
    fake = FakeProvider(models=[model(), model(id="gone", state="missing", fix="get it")])
    async with client(service(tmp_path, fake), "auto") as session:
        result = await session.call_tool("generate_image", {"prompt": "x", "dry_run": True})

    data = json.loads(said(result))
    assert data["candidates"][0]["model"] == "model"
    assert data["rejected"][0]["reasons"] == [
        {"code": "NOT_INSTALLED", "have": "not installed", "need": "gone", "fix": "get it"}
    ]
    assert fake.seen == []


@BOTH_ERAS
async def test_check_hardware_shows_the_reports_three_choices(mode: Mode, tmp_path: Path) -> None:
    fake = FakeProvider(models=[model(id="sd_xl_base_1.0.safetensors", seconds=None)])
    async with client(service(tmp_path, fake, gpu=True), mode) as session:
        result = await session.call_tool("check_hardware", {})

    data = cast(dict[str, Any], result.structured_content)
    assert json.loads(said(result)) == data
    assert data["tier"] == "recommended"
    assert data["local"]["possible"] is True
    assert data["local"]["expected_seconds"] == pytest.approx(3.5, rel=0.5)
    assert data["local"]["usd_per_image"] == 0
    assert data["cloud"]["possible"] is False
    assert data["automatic"]["route"] == "fake/sd_xl_base_1.0.safetensors"


async def test_list_models_filters_and_tells_why_not(tmp_path: Path) -> None:
    fake = FakeProvider(
        models=[model(id="flux1-schnell.safetensors"), model(id="b", state="missing")]
    )
    down = FakeProvider("down", down=ProviderUnavailable("down", "not there"))
    async with client(service(tmp_path, fake, down), "auto") as session:
        everything = (await session.call_tool("list_models", {})).structured_content
        flux = (await session.call_tool("list_models", {"query": "flux"})).structured_content
        usable = (await session.call_tool("list_models", {"usable_only": True})).structured_content
        listed: dict[str, Any] = {}
        for word in ("local", "CLOUD", "auto", "Fake"):
            answer = await session.call_tool("list_models", {"provider": word})
            listed[word] = answer.structured_content

    assert everything is not None
    assert flux is not None
    assert usable is not None
    assert [m["id"] for m in everything["models"]] == ["flux1-schnell.safetensors", "b"]
    assert everything["models"][0]["license"] == "Apache-2.0"
    assert everything["models"][1]["why_not"][0].startswith("NOT_INSTALLED")
    assert "not there" in everything["unavailable"][0]["why_not"][0]
    assert [m["id"] for m in flux["models"]] == ["flux1-schnell.safetensors"]
    assert [m["id"] for m in usable["models"]] == ["flux1-schnell.safetensors"]
    for word, rows in (("local", 2), ("CLOUD", 0), ("auto", 2), ("Fake", 2)):
        assert len(listed[word]["models"]) == rows, word
    assert usable["left_out"] == 1


@BOTH_ERAS
async def test_a_stored_picture_can_be_seen_and_read_again(mode: Mode, tmp_path: Path) -> None:
    async with client(service(tmp_path, FakeProvider()), mode) as session:
        made = await session.call_tool(
            "generate_image", {"prompt": "x", "output_format": "webp", "width": 256, "height": 128}
        )
        image_id = json.loads(said(made))["images"][0]["id"]
        seen = await session.call_tool("view_image", {"image_id": image_id, "max_side": 64})
        read = await session.read_resource(f"image://{image_id}")
        lost = await session.call_tool("view_image", {"image_id": "20260101-" + "0" * 16})

    assert json.loads(said(seen))["shown"] == "64x32"
    assert isinstance(seen.content[1], ImageContent)
    assert read.contents[0].mime_type == "image/webp"
    assert lost.is_error
    assert "[IMAGE_NOT_FOUND]" in said(lost)


@BOTH_ERAS
@pytest.mark.parametrize("uri", ["image://nothing", "image://..%2F..%2Fetc%2Fpasswd"])
async def test_a_resource_that_is_not_there_is_a_protocol_error(
    uri: str, mode: Mode, tmp_path: Path
) -> None:
    async with client(service(tmp_path, FakeProvider()), mode) as session:
        with pytest.raises(MCPError):
            await session.read_resource(uri)


async def test_the_tools_look_as_recorded(tmp_path: Path) -> None:
    """Rewrite the records with UPDATE_SNAPS=1 after a wanted change."""
    async with client(service(tmp_path, FakeProvider()), "auto") as session:
        tools = (await session.list_tools()).tools

    for tool in tools:
        shape = tool.model_dump(by_alias=True, exclude_none=True, mode="json")
        snap = SNAPS / f"{tool.name}.json"
        if os.environ.get("UPDATE_SNAPS"):
            SNAPS.mkdir(exist_ok=True)
            snap.write_text(json.dumps(shape, indent=2) + "\n", encoding="utf-8")
        assert shape == json.loads(snap.read_text(encoding="utf-8"))
    assert {t.name for t in tools} == {s.stem for s in SNAPS.glob("*.json")}


@BOTH_ERAS
async def test_the_tools_cost_little_context(mode: Mode, tmp_path: Path) -> None:
    async with client(service(tmp_path, FakeProvider()), mode) as session:
        tools = await session.list_tools()

    listed = tools.model_dump(by_alias=True, exclude_none=True, mode="json")["tools"]
    assert len(json.dumps(listed, separators=(",", ":"))) <= 8_000
    assert len(INSTRUCTIONS) <= 600
    assert all(tool.output_schema is None for tool in tools.tools)


async def test_every_argument_of_every_tool_is_described_in_few_words(tmp_path: Path) -> None:
    async with client(service(tmp_path, FakeProvider()), "auto") as session:
        tools = (await session.list_tools()).tools

    described = {
        f"{tool.name}.{name}": value.get("description", "")
        for tool in tools
        for name, value in tool.input_schema.get("properties", {}).items()
    }
    assert [name for name, words in described.items() if not words] == []
    assert [name for name, words in described.items() if len(words) > 60] == []


@BOTH_ERAS
@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("generate_image", {"wait_seconds": -1}, "wait_seconds=-1.0 cannot be used: 0 to 3600"),
        ("generate_image", {"wait_seconds": 3601}, "0 to 3600 seconds, or leave it out"),
        ("generate_image", {"request_id": "x" * 201}, "at most 200 characters"),
        ("generate_image", {"num_images": 17}, "num_images=17 cannot be used: 1 to 16"),
        ("generate_image", {"seed": -2}, "seed=-2 cannot be used: 0 to 4294967295"),
        ("generate_image", {"steps": 501}, "steps=501 cannot be used: 1 to 500"),
        ("generate_image", {"guidance_scale": 51}, "guidance_scale=51.0 cannot be used: 0 to 50"),
        ("generate_image", {"max_cost_usd": -1}, "max_cost_usd=-1.0 cannot be used: US dollars"),
        ("generate_image", {"prompt": "x" * 10_001}, "at most 10000 characters"),
        ("get_job", {"job_id": "job-1", "wait_seconds": -1}, "0 to 3600 seconds"),
        ("view_image", {"image_id": "x", "max_side": 31}, "32 to 1568 pixels"),
        ("view_image", {"image_id": "x", "max_side": 1569}, "32 to 1568 pixels"),
    ],
)
async def test_a_value_out_of_its_range_is_answered_with_the_range(
    tool: str, arguments: dict[str, Any], message: str, mode: Mode, tmp_path: Path
) -> None:
    fake = FakeProvider()
    prompt = {"prompt": "x"} if tool == "generate_image" else {}
    async with client(service(tmp_path, fake), mode) as session:
        result = await session.call_tool(tool, prompt | arguments)

    assert result.is_error
    assert said(result).startswith("[INVALID_REQUEST] ")
    assert message in said(result)
    assert fake.seen == []


async def test_the_era_is_negotiated(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())

    async with client(made, "auto") as modern, client(made, "legacy") as legacy:
        assert (modern.protocol_version, legacy.protocol_version) == ("2026-07-28", "2025-11-25")
