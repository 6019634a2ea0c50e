"""Pictures as resources: listed in pages, changes told, whole ones downloaded."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.session import MessageHandlerFnT
from mcp.shared.subscriptions import ResourcesListChanged
from mcp.types import INVALID_PARAMS, BlobResourceContents, ResourceTemplateReference
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Route

from tests.server.test_callers import client, image_id, serving, text
from tests.support.factory import opener, service
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.server import pictures
from ziggie_image_mcp.server.downloads import LINK_SECONDS, Downloads
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.storage import artifact_store
from ziggie_image_mcp.storage.types import Recipe

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


def here(folder: Path, mode: str, handler: MessageHandlerFnT | None = None) -> Client:
    fake = FakeProvider(models=[model(id="stars"), model(id="moons")])
    made = make_server(opener(service(folder, fake)))
    return Client(made, mode=mode, message_handler=handler, cache=None)


@ERAS
async def test_the_newest_pictures_are_listed(mode: str, tmp_path: Path) -> None:
    async with here(tmp_path, mode) as session:
        none = await session.list_resources()
        prompts = ["a red  star", "x" * 300]
        ids = [
            image_id(await session.call_tool("generate_image", {"prompt": prompt}))
            for prompt in prompts
        ]
        listed = (await session.list_resources()).resources
        read = await session.read_resource(str(listed[0].uri))

    assert none.resources == []
    assert [str(one.uri) for one in listed] == [f"image://{one}" for one in reversed(ids)]
    assert listed[1].description == "a red star"
    assert listed[0].description == "x" * 119 + "\N{HORIZONTAL ELLIPSIS}"
    assert listed[1].name.endswith(f"{ids[0]}.png")
    (content,) = read.contents
    assert isinstance(content, BlobResourceContents)
    assert content.mime_type == listed[0].mime_type == "image/png"
    assert listed[0].size == len(base64.b64decode(content.blob))


async def test_a_damaged_file_keeps_no_other_from_being_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "PAGE", 2)
    async with here(tmp_path, "auto") as session:
        made = image_id(await session.call_tool("generate_image", {"prompt": "a star"}))
        (day,) = (tmp_path / "pictures").iterdir()
        stem = f"{day.name.replace('-', '')}-00000000000000a"
        for n, sidecar in enumerate((b'{"prompt": "\\ud800 cat"}', b"[" * 200_000, b"\xff"), 1):
            (day / f"x-{stem}{n}.json").write_bytes(sidecar)
            (day / f"x-{stem}{n}.png").write_bytes(b"no picture")
        odd = os.fsdecode(b"caf\xe9-") + f"{stem}4"
        (day / f"{odd}.json").write_bytes(b"{}")
        (day / f"{odd}.png").write_bytes(b"no picture")
        (day / f"x-{stem}5.json").write_bytes(b"{}")
        (day / f"x-{stem}5.png").symlink_to(day / "nothing")
        pages = [await session.list_resources()]
        while pages[-1].next_cursor:
            pages.append(await session.list_resources(cursor=pages[-1].next_cursor))

    found = {str(one.uri): one for page in pages for one in page.resources}
    assert set(found) == {f"image://{one}" for one in (made, *(f"{stem}{n}" for n in range(1, 5)))}
    assert sum(len(page.resources) for page in pages) == 5
    assert found[f"image://{stem}1"].description == "\\ud800 cat"
    assert found[f"image://{stem}4"].name == f"caf\\udce9-{stem}4.png"
    for page in pages:
        page.model_dump_json()  # as it is sent


@ERAS
async def test_no_more_is_announced_than_there_is(mode: str, tmp_path: Path) -> None:
    async with here(tmp_path, mode) as session:
        able = session.server_capabilities
        prompts = (await session.list_prompts()).prompts

    assert able.resources is not None
    assert (able.resources.list_changed, able.resources.subscribe) == (True, False)
    assert able.tools is not None
    assert not able.tools.list_changed
    assert able.prompts is not None
    assert not able.prompts.list_changed
    assert able.completions is not None
    assert able.logging is None
    names = [prompt.name for prompt in prompts]
    assert names == ["make_picture", "make_assets", "make_in_style"]


async def test_a_new_picture_is_told_in_the_handshake_era(tmp_path: Path) -> None:
    told = anyio.Event()

    async def hear(message: Any) -> None:
        if getattr(message, "method", "") == "notifications/resources/list_changed":
            told.set()

    async with here(tmp_path, "legacy", hear) as session:
        await session.list_resources()
        assert not told.is_set()
        image_id(await session.call_tool("generate_image", {"prompt": "x"}))
        with anyio.fail_after(10):
            await told.wait()


async def test_of_what_a_worker_made_they_are_told_when_the_job_has_ended(tmp_path: Path) -> None:
    told = anyio.Event()

    async def hear(message: Any) -> None:
        if getattr(message, "method", "") == "notifications/resources/list_changed":
            told.set()

    made = service(tmp_path, FakeProvider(), role=Role.CLIENT)
    async with Client(make_server(opener(made)), mode="legacy", message_handler=hear) as session:
        await session.list_resources()
        later = {"prompt": "x", "wait_seconds": 0}
        answer = await session.call_tool("generate_image", later)
        job_id = json.loads(text(answer))["job_id"]
        assert not told.is_set()
        await session.call_tool("cancel_job", {"job_id": job_id})
        await session.call_tool("get_job", {"job_id": job_id})
        with anyio.fail_after(10):
            await told.wait()


async def test_a_new_picture_is_told_to_those_who_listen(tmp_path: Path) -> None:
    async with (
        here(tmp_path, "auto") as session,
        session.listen(resources_list_changed=True) as events,
    ):
        image_id(await session.call_tool("generate_image", {"prompt": "x"}))
        with anyio.fail_after(10):
            event = await anext(aiter(events))

    assert isinstance(event, ResourcesListChanged)


async def test_over_http_each_caller_lists_and_completes_its_own(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    async with (
        serving(made) as url,
        client(url, "alice") as alice,
        client(url, "bob") as bob,
    ):
        hers = image_id(await alice.call_tool("generate_image", {"prompt": "hers"}))
        his = image_id(await bob.call_tool("generate_image", {"prompt": "his"}))
        lists = [
            [str(one.uri) for one in (await session.list_resources()).resources]
            for session in (alice, bob)
        ]
        ref = ResourceTemplateReference(type="ref/resource", uri="image://{image_id}{?max}")
        known = await bob.complete(ref, {"name": "image_id", "value": "20"})

    assert lists == [[f"image://{hers}"], [f"image://{his}"]]
    assert known.completion.values == [his]


@ERAS
async def test_older_pictures_come_page_by_page_while_new_ones_are_made(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "PAGE", 2)
    made = service(tmp_path, FakeProvider())
    old = [made.artifacts.save(noise(32), recipe()).id for _ in range(5)]
    paths = {picture_id: Path(made.artifacts.find(picture_id)) for picture_id in old}
    for moment, picture_id in enumerate(old):
        os.utime(paths[picture_id], (1_000 + moment, 1_000 + moment))
    pages: list[list[str]] = []
    cursor = None
    async with Client(make_server(opener(made)), mode=mode, cache=None) as session:
        while cursor is not None or not pages:
            page = await session.list_resources(cursor=cursor)
            pages.append([str(one.uri).removeprefix("image://") for one in page.resources])
            cursor = page.next_cursor
            made.artifacts.save(noise(32), recipe())
            if len(pages) == 1:
                paths[pages[0][-1]].unlink()  # the place of the cursor stays

    assert pages == [[old[4], old[3]], [old[2], old[1]], [old[0]]]


@ERAS
@pytest.mark.parametrize(
    "cursor", ["", "x", "WzEsMl0=", "\u00e9", "WyIyMDI2IiwgbnVsbCwgIngiXQ==", "A" * 9_000]
)
async def test_a_cursor_of_somebody_else_is_refused(cursor: str, mode: str, tmp_path: Path) -> None:
    async with here(tmp_path, mode) as session:
        with pytest.raises(MCPError, match="is none of this server: give nextCursor") as refused:
            await session.list_resources(cursor=cursor)

    assert refused.value.error.code == INVALID_PARAMS


def noise(side: int) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 200).convert("RGB").save(out, "PNG", compress_level=0)
    return out.getvalue()


def recipe() -> Recipe:
    return Recipe(
        prompt="noise",
        negative_prompt="",
        provider="fake",
        model="m",
        steps=1,
        guidance_scale=1.0,
        seed=1,
        width=64,
        height=64,
    )


@ERAS
async def test_a_resource_is_what_was_announced_or_its_place(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_store, "RESOURCE_BYTES", 10_000)
    made = service(tmp_path, FakeProvider())
    saved = made.artifacts.save(noise(256), recipe())
    async with Client(make_server(opener(made)), mode=mode) as session:
        with pytest.raises(MCPError) as refused:
            await session.read_resource(f"image://{saved.id}")
        small = await session.read_resource(f"image://{saved.id}?max=64")
        with pytest.raises(MCPError, match="max='9': 32 to 1568"):
            await session.read_resource(f"image://{saved.id}?max=9")

    assert "IMAGE_TOO_LARGE" in str(refused.value)
    assert saved.path in str(refused.value)
    (content,) = small.contents
    assert isinstance(content, BlobResourceContents)
    assert content.mime_type == "image/jpeg"


async def test_over_http_the_owner_downloads_the_whole_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_store, "RESOURCE_BYTES", 50)
    made = service(tmp_path, FakeProvider())
    async with serving(made) as url, client(url, "alice") as alice, httpx2.AsyncClient() as http:
        result = await alice.call_tool("generate_image", {"prompt": "hers"})
        hers = image_id(result)
        link = json.loads(text(result))["images"][0]["download"]
        whole = await http.get(link)
        with pytest.raises(MCPError) as refused:
            await alice.read_resource(f"image://{hers}")
        again = await http.get(str(refused.value).rpartition(" ")[2])
        seen = json.loads(text(await alice.call_tool("view_image", {"image_id": hers})))
        async with client(url, "bob") as bob:
            with pytest.raises(MCPError, match="No picture has the id"):
                await bob.read_resource(f"image://{hers}")
        his = made.artifacts.save(noise(64), recipe())
        forged = [
            link[:-1] + ("0" if link[-1] != "0" else "1"),
            link.replace(hers, his.id),
            link.replace(hers, "../x"),
            f"{url}/download/x",
            f"{url}/download/{hers}.9999999999.\u00e9",
        ]
        wrong = [(await http.get(place)).status_code for place in forged]

    assert str(tmp_path) not in str(refused.value)
    assert whole.content == again.content == made.artifacts.original(hers)
    assert whole.headers["content-type"] == "image/png"
    assert f"{hers}.png" in whole.headers["content-disposition"]
    assert seen["download"].startswith(f"{url}/download/{hers}.")
    assert wrong == [404] * len(forged)


async def test_over_http_what_belongs_to_a_picture_is_its_owners_too(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    async with serving(made) as url, client(url, "alice") as alice, httpx2.AsyncClient() as http:
        hers = image_id(await alice.call_tool("generate_image", {"prompt": "hers"}))
        asked = {"image": hers, "icons": "ico"}
        answer = json.loads(text(await alice.call_tool("process_image", asked)))["images"][0]
        (link,) = answer["file_downloads"]
        icon = await http.get(link)
        forged = [link.replace(".ico", ".icns"), link.removesuffix(".ico"), f"{link}/../x"]
        wrong = [(await http.get(place)).status_code for place in forged]
        async with client(url, "bob") as bob:
            refused = await bob.call_tool("process_image", {"image": answer["id"], "icons": "ico"})

    assert icon.content == made.artifacts.side_file(answer["id"], ".ico")
    assert icon.headers["content-disposition"].startswith("attachment")
    assert icon.headers["content-disposition"].endswith(f"{answer['id']}.ico")
    assert "files" not in answer
    assert str(tmp_path) not in json.dumps(answer)
    assert wrong == [404] * len(forged)
    assert refused.is_error


async def test_a_link_expires(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    saved = made.artifacts.save(noise(64), recipe())
    now = [1_000.0]
    downloads = Downloads(opener(made), b"key", lambda: now[0])
    app = Starlette(routes=[Route("/mcp/download/{token}", downloads.answer)])
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        link = downloads.url("http://localhost/mcp", saved.id)
        statuses: list[int] = []
        for moment in (0, LINK_SECONDS, LINK_SECONDS + 1):
            now[0] = 1_000.0 + moment
            statuses.append((await http.get(link)).status_code)
        now[0] = 1_000.0
        Path(saved.path).unlink()
        gone = await http.get(link)

    assert statuses == [200, 200, 410]
    assert gone.status_code == 404
