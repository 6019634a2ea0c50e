"""HTTP around MCP: pages of browsers, health, the path, and what leaves no session behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.e2e.test_http import ACCEPT, HELLO
from tests.server.test_callers import TOKENS
from tests.support.factory import opener, service
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.server.transport import http_app, http_server
from ziggie_image_mcp.server.web_app import Place

INSPECTOR = "https://inspector.example:6274"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version,mcp-method",
}
NETWORK = {"Access-Control-Request-Private-Network": "true"}
"""Sent by Chrome, where a page of the internet calls a server of one's own network."""
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


def browser(folder: Path, place: Place | None = None, tokens: bool = False) -> TestClient:
    server = http_server(opener(service(folder)), TOKENS if tokens else {})
    return TestClient(http_app(server, place), base_url="http://localhost")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (INSPECTOR, 200),
        ("https://INSPECTOR.example:6274", 200),
        ("http://localhost:3000", 200),
        ("https://pictures.lan", 200),
        ("https://inspector.example", 403),
        ("http://inspector.example:6274", 403),
        ("https://inspector.example:62740", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
def test_allowed_pages_may_call_and_no_others(origin: str, status: int, tmp_path: Path) -> None:
    place = Place(allowed_hosts=["pictures.lan"], allowed_origins=[INSPECTOR])
    page = {"Origin": origin}
    secret = {"Authorization": f"Bearer {TOKENS['alice']}"}
    with browser(tmp_path, place, tokens=True) as http:
        before = http.options("/mcp", headers=page | PREFLIGHT | NETWORK)
        answer = http.post("/mcp", json=HELLO, headers=ACCEPT | page | secret)
        stranger = http.post("/mcp", json=HELLO, headers=ACCEPT | page)

    assert (before.status_code, answer.status_code) == (status, status)
    if status != 200:
        assert "access-control-allow-origin" not in before.headers
        return
    assert stranger.status_code == 401
    for one in (before, answer, stranger):
        assert one.headers["access-control-allow-origin"] == origin
    exposed = answer.headers["access-control-expose-headers"]
    assert {"Mcp-Session-Id", "Mcp-Protocol-Version", "WWW-Authenticate"} <= {*exposed.split(", ")}


@pytest.mark.parametrize(
    "origin", ["inspector.example", "https://a.example/", "ftp://a.example", "*", ""]
)
def test_an_allowed_origin_is_an_origin(origin: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--allowed-origin .* is no origin"):
        browser(tmp_path, Place(allowed_origins=[origin]))


def test_health_is_told_to_everybody_and_nothing_else(tmp_path: Path) -> None:
    with browser(tmp_path, tokens=True) as http:
        answer = http.get("/healthz", headers={"Host": "10.0.0.7:8765"})
        posted = http.post("/healthz")

    assert answer.status_code == 200
    assert answer.json().keys() == {"status", "version"}
    assert posted.status_code == 405


@pytest.mark.parametrize("path", ["/mcp", "/images/mcp"])
def test_the_path_is_served_with_and_without_a_slash(path: str, tmp_path: Path) -> None:
    with browser(tmp_path, Place(path=path)) as http:
        answers = [
            http.post(place, json=HELLO, headers=ACCEPT, follow_redirects=False).status_code
            for place in (path, f"{path}/", "/elsewhere")
        ]

    assert answers == [200, 200, 404]


@pytest.mark.parametrize(
    "path",
    ["mcp", "/", "", "/a b", "/a?b", "/a/../b", "/healthz", "//a", "/gallery", "/gallery/mcp"],
)
def test_a_path_is_one_that_can_be_served(path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--path"):
        browser(tmp_path, Place(path=path))


async def _bad(http: httpx2.AsyncClient) -> dict[str, httpx2.Response]:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    return {
        "json": await http.post("/mcp", content=b"{", headers=ACCEPT | JSON),
        "no utf-8": await http.post("/mcp", content=b"\xff", headers=ACCEPT | JSON),
        "brackets": await http.post("/mcp", content=b"[" * 100_000, headers=ACCEPT | JSON),
        "digits": await http.post("/mcp", content=b"9" * 5_000, headers=ACCEPT | JSON),
        "deep": await http.post("/mcp", json=deep, headers=ACCEPT),
        "empty": await http.post("/mcp", content=b"", headers=ACCEPT | JSON),
        "type": await http.post("/mcp", content=b"{}", headers=ACCEPT | {"Content-Type": "a/b"}),
        "accept": await http.post("/mcp", json=HELLO, headers={"Accept": "text/html"}),
        "batch": await http.post("/mcp", json=[HELLO, LIST], headers=ACCEPT),
        "no session": await http.post("/mcp", json=LIST, headers=ACCEPT),
        "bad hello": await http.post("/mcp", json=HELLO | {"params": 1}, headers=ACCEPT),
        "stream": await http.get("/mcp", headers=ACCEPT),
        "strange": await http.post("/mcp", json=LIST, headers=ACCEPT | {"Mcp-Session-Id": "x"}),
        "resumed": await http.get("/mcp", headers=ACCEPT | {"Last-Event-ID": "7"}),
        "resumed strange": await http.get(
            "/mcp", headers=ACCEPT | {"Last-Event-ID": "7", "Mcp-Session-Id": "x"}
        ),
        "delete": await http.delete("/mcp", headers=ACCEPT | {"Mcp-Session-Id": "x"}),
        "put": await http.put("/mcp", json=LIST, headers=ACCEPT),
    }


JSON = {"Content-Type": "application/json"}


async def test_a_bad_request_is_a_clean_refusal_and_leaves_no_session(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = make_server(opener(service(tmp_path)))
    app = http_app(server)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        server.session_manager.run(),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        answers = await _bad(http)
        left = len(server.session_manager._server_instances)  # pyright: ignore[reportPrivateUsage]
        good = await http.post("/mcp", json=HELLO, headers=ACCEPT)
        session = ACCEPT | {"Mcp-Session-Id": good.headers["mcp-session-id"]}
        resumed = await http.get("/mcp", headers=session | {"Last-Event-ID": "7"})

    assert {n: a.status_code for n, a in answers.items() if not 400 <= a.status_code < 500} == {}
    assert all(answer.text for answer in answers.values())
    assert left == 0
    assert (good.status_code, resumed.status_code) == (200, 400)
    assert "without Last-Event-ID" in resumed.text
    assert "Traceback" not in capfd.readouterr().err
