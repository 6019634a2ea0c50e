"""What the gallery answers about pictures that are damaged, many, linked or told of by others."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from tests.server.test_callers import TOKENS
from tests.server.test_gallery import OWN_PAGE, bearer, made_by, page
from tests.support.factory import opener, service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.jobs.owners import OWNER
from ziggie_image_mcp.provider.testing import FakeProvider, picture
from ziggie_image_mcp.server.gallery.application import Gallery
from ziggie_image_mcp.server.gallery.origins import POLICY
from ziggie_image_mcp.server.gallery.sessions import Sessions
from ziggie_image_mcp.server.transport import http_app, http_server
from ziggie_image_mcp.storage.picture_index import MOST_READ

DAY = "2026-11-29"
DEEP = "[" * 200_000
SIDECARS = (
    '{"prompt": "kept", "seed": NaN, "steps": Infinity}',
    '{"prompt": "kept", "negative_prompt": "\\ud800", "sampler": "\\udfff", "\\ud800": "\\udc00"}',
    '{"prompt": "kept", "made": "9999-12-31T23:59:59+00:00"}',
    '{"prompt": "kept", "made": "0001-01-01T00:00:00+00:00"}',
    '{"prompt": "kept", "x": ' + "[" * 400 + "]" * 400 + "}",
    '{"prompt": "kept", "x": ' + DEEP,
    DEEP,
    '{"prompt": "kept", "width": ["a"], "height": {"b": 1}, "model": {"a": 1}, "seed": 1e400}',
    "[1, 2]",
    "",
)


def put(folder: Path, number: int, sidecar: str, day: str = DAY) -> str:
    """A picture in the store of this folder, with this beside it; its id."""
    image_id = f"{day.replace('-', '')}-{number:016x}"
    target = folder / "pictures" / day / f"x-{image_id}"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_suffix(".png").write_bytes(picture(16, 16))
    target.with_suffix(".json").write_text(sidecar, encoding="utf-8")
    return image_id


async def test_a_damaged_sidecar_is_told_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    ids = [put(tmp_path, n, sidecar) for n, sidecar in enumerate(SIDECARS)]
    _, newest = await made_by(made, "", "new")
    async with page(made) as http:
        rows = (await http.get("/gallery/pictures")).json()["pictures"]
        answers = [await http.get(f"/gallery/pictures/{image_id}") for image_id in ids]
        again = [
            await http.post(f"/gallery/pictures/{image_id}/again", json={}, headers=OWN_PAGE)
            for image_id in ids
        ]

    assert rows[0]["id"] == newest
    assert {row["id"] for row in rows} == {newest, *ids}
    assert [answer.status_code for answer in answers] == [200] * len(ids)
    recipes = [answer.json()["recipe"] for answer in answers]
    assert recipes[0] == {"seed": "nan", "steps": "inf"}
    assert answers[1].json()["negative_prompt"] == "\\ud800"
    assert recipes[1] == {"sampler": "\\udfff", "\\ud800": "\\udc00"}
    assert "nested too deeply" in str(recipes[4])
    assert [answer.json()["prompt"] for answer in answers[:5]] == ["kept"] * 5
    today = datetime.now(UTC).date().isoformat()
    assert answers[2].json()["made"].startswith(today)  # when its file was written
    assert all(answer.status_code in (200, 400, 409) for answer in again)


async def test_own_words_are_told_as_they_were_written_and_other_paths_are_not(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, FakeProvider())
    words = "a sign that says /usr/share/doc/readme and 1/2/3"
    fields = {"negative_prompt": "not /etc/passwd"}
    _, image_id = await made_by(made, OWNER, words, **fields)
    headers = bearer("owner")
    async with page(made, TOKENS) as http:
        whole = (await http.get(f"/gallery/pictures/{image_id}", headers=headers)).json()
        rows = (await http.get("/gallery/pictures", headers=headers)).json()["pictures"]
        jobs = (await http.get("/gallery/jobs", headers=headers)).json()["ended"]

    assert whole["prompt"] == rows[0]["prompt"] == jobs[0]["prompt"] == words
    assert whole["negative_prompt"] == fields["negative_prompt"]
    assert "path" not in whole
    assert str(tmp_path) not in str((whole, rows, jobs))


async def test_a_link_out_of_the_store_is_not_served(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(8, 8))
    image_id = put(tmp_path, 1, "{}")
    file = tmp_path / "pictures" / DAY / f"x-{image_id}.png"
    async with page(made) as http:
        before = await http.get(f"/gallery/pictures/{image_id}/file")
        file.unlink()
        file.symlink_to(secret)
        after = [
            (await http.get(f"/gallery/pictures/{image_id}/{what}")).status_code
            for what in ("file", "thumbnail")
        ]

    assert before.status_code == 200
    assert after == [404, 404]


async def test_a_picture_is_shown_though_thousands_are_not_read_yet(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    first = put(tmp_path, 0, '{"prompt": "the first"}')
    original = tmp_path / "pictures" / DAY / f"x-{first}"
    for n in range(1, 2 * MOST_READ + 10):
        copy = original.with_name(f"x-{first[:9]}{n:016x}")
        for suffix in (".png", ".json"):
            os.link(original.with_suffix(suffix), copy.with_suffix(suffix))
    async with page(made) as http:
        looks: list[dict[str, Any]] = [(await http.get("/gallery/pictures")).json()]
        shown = await http.get(f"/gallery/pictures/{first}")
        for _ in range(2):
            looks.append((await http.get("/gallery/pictures")).json())

    assert shown.json()["prompt"] == "the first"
    assert [look["not_indexed_yet"] for look in looks] == [MOST_READ + 10, 9, 0]
    assert looks[-1]["total"] == 2 * MOST_READ + 10


async def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "pictures").write_bytes(b"")
    async with page(service(tmp_path, FakeProvider())) as http:
        answer = await http.get("/gallery/pictures")

    assert answer.status_code == 503
    assert "is a file" in answer.json()["error"]["message"]


async def test_a_failure_of_the_server_is_bound_and_tells_nothing_of_itself(
    tmp_path: Path,
) -> None:
    async def broken() -> Service:
        raise RuntimeError(f"a secret of {tmp_path}")

    gallery = Gallery(broken, Sessions({}))
    app = http_app(http_server(opener(service(tmp_path, FakeProvider())), {}), gallery=gallery)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8766") as http:
        answer = await http.get("/gallery/jobs")

    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.json()["error"]["code"] == "FAILED"
    assert "secret" not in answer.text
