"""The gallery over HTTP: who may ask what, and how its answers are bound."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.server.test_callers import TOKENS
from tests.support.factory import opener, service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.jobs.owners import OWNER
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.gallery.application import Gallery
from ziggie_image_mcp.server.gallery.origins import POLICY
from ziggie_image_mcp.server.gallery.sessions import (
    CODE_SECONDS,
    COOKIE,
    SESSION_SECONDS,
    Sessions,
)
from ziggie_image_mcp.server.transport import http_app, http_server
from ziggie_image_mcp.server.web_app import Place

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
JOB = "/gallery/jobs/job-x/cancel"
ID = "20261130-0123456789abcdef"


@asynccontextmanager
async def page(
    made: Service, tokens: Mapping[str, str] | None = None, place: Place | None = None
) -> AsyncGenerator[httpx2.AsyncClient]:
    gallery = Gallery(opener(made), Sessions(tokens or {}))
    app = http_app(http_server(opener(made), tokens or {}), place, gallery=gallery)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8766") as http:
        yield http


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name]}"}


async def made_by(made: Service, name: str, prompt: str, **fields: Any) -> tuple[str, str]:
    """The ids of a job of this caller and of its picture."""
    begun = await made.start([ImageRequest(prompt=prompt, **fields)], caller=name)
    view = await made.job(begun.id, 60)
    assert view.outcome is not None
    return begun.id, view.outcome.results[0].images[0].id


async def test_every_answer_is_bound_to_the_strict_policy(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    _, picture = await made_by(made, "", "x")
    places = (
        "/",
        "/gallery/static/gallery.js",
        "/gallery/static/nothing.js",
        "/gallery/pictures",
        f"/gallery/pictures/{picture}",
        f"/gallery/pictures/{picture}/thumbnail",
        f"/gallery/pictures/{picture}/file",
        f"/gallery/pictures/{ID}",
        "/gallery/jobs",
        "/gallery/money",
        "/gallery/money?days=0",
        "/gallery",
        "/gallery/nothing",
        f"/gallery/pictures/{picture}/again",
    )
    async with page(made) as http:
        answers = {place: await http.get(place) for place in places}

    for place, answer in answers.items():
        assert answer.headers["content-security-policy"] == POLICY, place
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
    statuses = [answer.status_code for answer in answers.values()]
    assert statuses == [200, 200, 404, *[200] * 4, 404, 200, 200, 400, 404, 404, 405]
    html = answers["/"].text
    assert "<style" not in html
    assert "style=" not in html
    assert "onclick" not in html
    assert "//" not in html.replace("<!doctype", "")


@pytest.mark.parametrize(
    ("headers", "read", "changed"),
    [
        ({}, 200, 403),
        (OWN_PAGE, 200, 404),
        ({"Sec-Fetch-Site": "none"}, 200, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403, 403),
        ({"Origin": "http://localhost:8766"}, 200, 404),
        ({"Origin": "http://localhost:3000"}, 403, 403),
        ({"Origin": "http://evil.example"}, 403, 403),
        (OWN_PAGE | {"Origin": "http://127.0.0.1:8766"}, 403, 403),
    ],
)
async def test_a_foreign_page_reads_and_changes_nothing(
    headers: dict[str, str], read: int, changed: int, tmp_path: Path
) -> None:
    place = Place(allowed_origins=["http://localhost:3000"])
    async with page(service(tmp_path, FakeProvider()), place=place) as http:
        front = await http.get("/", headers={"Sec-Fetch-Site": "cross-site"})
        seen = await http.get("/gallery/pictures", headers=headers)
        stopped = await http.post(JOB, headers=headers)
        again = await http.post(f"/gallery/pictures/{ID}/again", json={}, headers=headers)

    assert front.status_code == 200
    assert (seen.status_code, stopped.status_code, again.status_code) == (read, changed, changed)


async def test_callers_see_their_own_pictures_jobs_and_wallets(tmp_path: Path) -> None:
    made = service(tmp_path, FakePaidProvider())
    job, hers = await made_by(made, "alice", "her fox", allow_paid=True)
    await made_by(made, OWNER, "his fox", allow_paid=True)
    ways = [
        ("GET", f"/gallery/pictures/{hers}"),
        ("GET", f"/gallery/pictures/{hers}/thumbnail"),
        ("GET", f"/gallery/pictures/{hers}/file"),
        ("POST", f"/gallery/pictures/{hers}/again"),
        ("POST", f"/gallery/jobs/{job}/cancel"),
    ]
    seen: dict[str, dict[str, Any]] = {}
    async with page(made, TOKENS) as http:
        for name in TOKENS:
            get = {
                part: (await http.get(f"/gallery/{part}", headers=bearer(name))).json()
                for part in ("pictures", "jobs", "money", "machine")
            }
            seen[name] = get
        refused = [
            (await http.request(*way, json={}, headers=bearer(name))).status_code
            for way in ways
            for name in ("bob", "owner")
        ]
        detail = await http.get(f"/gallery/pictures/{hers}", headers=bearer("alice"))
        strangers = [(await http.get(f"/gallery/{part}")).status_code for part in ("jobs", "money")]

    def prompts(name: str) -> list[list[str]]:
        lists = seen[name]["pictures"]["pictures"], seen[name]["jobs"]["ended"]
        return [[row["prompt"] for row in rows] for rows in lists]

    assert prompts("alice") == [["her fox"], ["her fox"]]
    assert prompts("owner") == [["his fox"], ["his fox"]]
    assert prompts("bob") == [[], []]
    spent = {name: data["money"]["total_usd"] for name, data in seen.items()}
    assert spent == {"owner": 0.08, "alice": 0.04, "bob": 0.0}
    assert [bool(data["money"]["caps"]) for data in seen.values()] == [True, False, False]
    assert refused == [404] * 10
    assert strangers == [401, 401]
    assert detail.status_code == 200
    assert str(tmp_path) not in detail.text + str(seen["alice"])


async def test_a_session_is_sealed_ends_and_dies_with_its_token(tmp_path: Path) -> None:
    now = 1_000_000.0
    sessions = Sessions(TOKENS, lambda: now)
    cookie = sessions.cookie("alice")
    code = sessions.new_code()
    name, expiry, seal = cookie.split(".")

    assert sessions.name_of_cookie(cookie) == "alice"
    assert sessions.name_of_cookie(f"{b'bob'.hex()}.{expiry}.{seal}") is None
    assert sessions.name_of_cookie(f"{name}.{int(expiry) + 1}.{seal}") is None
    assert Sessions(TOKENS | {"alice": "new"}, lambda: now).name_of_cookie(cookie) is None
    for strange in ("", "x", "\x00", "zz.1.2", f"ff.{expiry}.{seal}"):
        assert sessions.name_of_cookie(strange) is None
    assert (sessions.name_of_code(code), sessions.name_of_code(code)) == ("owner", None)
    late = sessions.new_code()
    now += max(SESSION_SECONDS, CODE_SECONDS)
    assert sessions.name_of_cookie(cookie) is None
    assert sessions.name_of_code(late) is None


async def test_the_cookie_is_kept_from_scripts_and_other_sites(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    async with page(made, TOKENS) as http:
        wrong = await http.post("/gallery/session", json={"token": "x"}, headers=OWN_PAGE)
        right = await http.post("/gallery/session", json={"token": TOKENS["bob"]}, headers=OWN_PAGE)
        seen = await http.get("/gallery/pictures")
        left = await http.post("/gallery/sign-out", headers=OWN_PAGE)
        gone = await http.get("/gallery/pictures")

    assert (wrong.status_code, right.status_code) == (401, 200)
    kept = right.headers["set-cookie"].lower()
    assert kept.startswith(COOKIE)
    assert "httponly" in kept
    assert "samesite=strict" in kept
    assert TOKENS["bob"] not in kept
    assert (seen.status_code, left.status_code, gone.status_code) == (200, 200, 401)


@pytest.mark.parametrize(
    "path",
    [
        "page=0",
        "page=x",
        "page=1000000",
        "first=yesterday",
        "last=9999-12-31",
        f"query={'x' * 201}",
    ],
)
async def test_a_wrong_question_names_its_field(path: str, tmp_path: Path) -> None:
    async with page(service(tmp_path, FakeProvider())) as http:
        answer = await http.get(f"/gallery/pictures?{path}")

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "INVALID_REQUEST"
    assert path.partition("=")[0] in error["message"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "application/json"),
        (b"{", "application/json"),
        (b"{}", "text/plain"),
        (b"[" * 10_000, "application/json"),
        (b" " * 20_000, "application/json"),
        (b'{"seed": "7"}', "application/json"),
        (b'{"agreed_micro_usd": true}', "application/json"),
    ],
)
async def test_a_wrong_body_is_refused(body: bytes, kind: str, tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    _, picture = await made_by(made, "", "x")
    async with page(made) as http:
        headers = OWN_PAGE | {"Content-Type": kind}
        answer = await http.post(
            f"/gallery/pictures/{picture}/again", content=body, headers=headers
        )

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "INVALID_REQUEST"


async def test_what_the_settings_pay_unasked_is_asked_about_in_the_page(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid, allowPaidFallback="withinBudget", budget={"perDay": 5})
    _, picture = await made_by(made, "", "gold")
    async with page(made) as http:

        async def again(**body: Any) -> dict[str, Any]:
            place = f"/gallery/pictures/{picture}/again"
            answer = await http.post(place, json=body, headers=OWN_PAGE)
            assert answer.status_code == 200, answer.text
            data: dict[str, Any] = answer.json()
            return data

        asked = await again()
        too_little = await again(seed=asked["seed"], agreed_micro_usd=asked["micro_usd"] - 1)
        before = len(paid.charged)
        begun = await again(seed=asked["seed"], agreed_micro_usd=asked["micro_usd"])
        await made.job(begun["job"]["id"], 60)

    assert asked["question"].startswith("Spend up to $0.04 by paid/model?")
    assert "question" in too_little
    assert (before, len(paid.charged)) == (1, 2)


async def test_the_same_click_twice_is_one_job(tmp_path: Path) -> None:
    fake = FakeProvider()
    made = service(tmp_path, fake)
    _, picture = await made_by(made, "", "x")
    wish = {"seed": 7, "request_id": "click-1"}
    async with page(made) as http:
        place = f"/gallery/pictures/{picture}/again"
        jobs = [
            (await http.post(place, json=wish, headers=OWN_PAGE)).json()["job"]["id"]
            for _ in range(2)
        ]
        await made.job(jobs[0], 60)

    assert jobs[0] == jobs[1]
    assert len(fake.seen) == 2


async def test_pages_are_bounded_and_a_broken_picture_stays_in_its_place(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider())
    _, first = await made_by(made, "", "x")
    file = Path(made.artifacts.find(first))
    for n in range(130):
        copy = f"20261130-{n:016x}"
        target = tmp_path / "pictures" / "2026-11-30" / f"x-{copy}"
        target.parent.mkdir(exist_ok=True)
        target.with_suffix(".png").write_bytes(b"broken" if n == 129 else file.read_bytes())
        target.with_suffix(".json").write_text("{}", encoding="utf-8")
    async with page(made) as http:
        pages = [(await http.get(f"/gallery/pictures?page={n}")).json() for n in (1, 2, 3, 4)]
        broken = await http.get(f"/gallery/pictures/20261130-{129:016x}/thumbnail")
        whole = await http.get(f"/gallery/pictures/20261130-{128:016x}/thumbnail")

    assert [len(one["pictures"]) for one in pages] == [60, 60, 11, 0]
    assert pages[0]["total"] == 131
    assert len({row["id"] for one in pages for row in one["pictures"]}) == 131
    assert (broken.status_code, whole.status_code) == (409, 200)
    assert whole.headers["content-type"] == "image/webp"


async def test_the_page_stands_beside_any_path_of_mcp(tmp_path: Path) -> None:
    place = Place(path="/images/mcp")
    async with page(service(tmp_path, FakeProvider()), place=place) as http:
        statuses = [
            (await http.get(path)).status_code
            for path in ("/", "/healthz", "/gallery/jobs", "/gallery", "/elsewhere")
        ]

    assert statuses == [200, 200, 200, 404, 404]
