from __future__ import annotations

import base64
import json
import logging
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    EngineCrashed,
    OutcomeUnknown,
    PaymentRequired,
    ProviderContext,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.addresses import is_loopback, public_url, where_is
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.http import BEARER, HttpClient, KeyHeader, closing
from ziggie_image_mcp.provider.settings import HttpSettings
from ziggie_image_mcp.provider.testing import FakeVendor, Reply
from ziggie_image_mcp.provider.transport_errors import transport_error, wait_asked

URL = "https://me:p4ssword@host.test:8443/base"
KEY = "acme-0123456789abcdef"

Handler = Callable[[httpx2.Request], httpx2.Response]


def client(
    handler: Handler | None = None,
    *,
    url: str = "https://host.test:8443/base",
    key: str | None = KEY,
    auth: tuple[KeyHeader, ...] = (BEARER,),
    rules: tuple[Rule, ...] = (),
    seconds: float = 5.0,
    max_bytes: int = 2**20,
    **settings: Any,
) -> HttpClient:
    async def secret(name: str) -> str | None:
        return key

    return HttpClient(
        "acme",
        HttpSettings(base_url=url, **settings),
        ProviderContext(
            data_dir=Path("unused"),
            secret=secret,
            transport=None if handler is None else httpx2.MockTransport(handler),
            max_answer_bytes=max_bytes,
        ),
        auth=auth,
        key_names=["ACME_KEY"] * len(auth),
        rules=rules,
        read_seconds=seconds,
    )


class Backend:
    """Answers in turn, the last one again and again, and keeps what it was asked."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


# What goes out


async def test_a_post_carries_the_key_the_headers_and_the_path_prefix() -> None:
    backend = Backend(httpx2.Response(200, json={"a": 1}))

    async with closing(client(backend, headers={"X-Proxy": SecretStr("t")})) as http:
        answer = await http.post_once("/v1/images", json={"prompt": "x"})

    (asked,) = backend.asked
    assert answer.json() == {"a": 1}
    assert str(asked.url) == "https://host.test:8443/base/v1/images"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["x-proxy"] == "t"
    assert json.loads(asked.content) == {"prompt": "x"}


async def test_files_go_as_a_form() -> None:
    backend = Backend(httpx2.Response(200, json={}))

    async with closing(client(backend)) as http:
        files = [
            ("image", ("a.png", b"PNG", "image/png")),
            ("image", ("b.png", b"PNG", "image/png")),
        ]
        await http.post_once("v1", form={"prompt": "x"}, files=files)

    (asked,) = backend.asked
    assert asked.headers["content-type"].startswith("multipart/form-data")
    assert asked.content.count(b'name="image"') == 2
    assert b'name="prompt"' in asked.content


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        (BEARER, ("authorization", f"Bearer {KEY}")),
        (KeyHeader("x-key", ""), ("x-key", KEY)),
        (KeyHeader(prefix="Key "), ("authorization", f"Key {KEY}")),
        (
            KeyHeader(basic=True),
            ("authorization", "Basic " + base64.b64encode(KEY.encode()).decode()),
        ),
    ],
)
async def test_a_key_travels_as_the_backend_wants_it(
    header: KeyHeader, sent: tuple[str, str]
) -> None:
    backend = Backend(httpx2.Response(200, json={}))

    async with closing(client(backend, auth=(header,))) as http:
        await http.get("models")

    assert backend.asked[0].headers[sent[0]] == sent[1]


async def test_a_login_in_the_address_goes_as_basic_authentication_and_stays_out_of_the_url() -> (
    None
):
    backend = Backend(httpx2.Response(200, json={}))

    async with closing(client(backend, url=URL, auth=())) as http:
        await http.get("models")

    (asked,) = backend.asked
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"me:p4ssword").decode()
    assert "p4ssword" not in str(asked.url)
    assert http.url == "https://host.test:8443/base"


@pytest.mark.parametrize("key", [None, "", "two words", "schlüssel", "tab\t"])
async def test_without_a_key_nothing_is_sent(key: str | None) -> None:
    backend = Backend(httpx2.Response(200))

    async with closing(client(backend, key=key)) as http:
        with pytest.raises(AuthenticationFailed, match="keys set ACME_KEY") as error:
            await http.post_once("v1")

    assert backend.asked == []
    assert not key or key not in str(error.value)


# Failures of the network


async def test_a_get_is_tried_once_more_where_a_connection_broke() -> None:
    backend = Backend(httpx2.ReadError("gone"), httpx2.Response(200, json=[1]))

    async with closing(client(backend)) as http:
        assert await http.get_json("models") == [1]

    assert len(backend.asked) == 2


async def test_a_get_that_breaks_twice_is_an_error() -> None:
    backend = Backend(httpx2.RemoteProtocolError("gone"))

    async with closing(client(backend)) as http:
        with pytest.raises(ProviderUnavailable, match="broke the connection"):
            await http.get("models")

    assert len(backend.asked) == 2


@pytest.mark.parametrize(
    "raised",
    [httpx2.ConnectError("x"), httpx2.ConnectTimeout("x"), httpx2.ProxyError("x")],
    ids=lambda e: type(e).__name__,
)
async def test_a_post_that_never_went_out_was_not_charged(raised: Exception) -> None:
    backend = Backend(raised)

    async with closing(client(backend)) as http:
        with pytest.raises(ProviderUnavailable) as error:
            await http.post_once("v1")

    assert error.value.charged == 0
    assert error.value.fallback
    assert len(backend.asked) == 1


@pytest.mark.parametrize(
    "raised",
    [
        httpx2.ReadError("x"),
        httpx2.WriteError("x"),
        httpx2.RemoteProtocolError("x"),
        httpx2.ReadTimeout("x"),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_a_post_that_went_out_and_got_no_answer_is_unknown_and_not_sent_again(
    raised: Exception,
) -> None:
    backend = Backend(raised)

    async with closing(client(backend)) as http:
        with pytest.raises(OutcomeUnknown):
            await http.post_once("v1")

    assert len(backend.asked) == 1


async def test_an_unanswered_post_that_cannot_have_cost_anything_may_be_made_elsewhere() -> None:
    async with closing(client(Backend(httpx2.ReadError("x")))) as http:
        with pytest.raises(EngineCrashed) as error:
            await http.post_once("v1", paid=False)

    assert error.value.fallback


async def test_silence_ends_at_the_timeout() -> None:
    with FakeVendor(lambda seen: Reply(then="hang")) as vendor:
        async with closing(client(url=vendor.url, seconds=0.5)) as http:
            with pytest.raises(OutcomeUnknown, match=r"did not answer within 0\.5 s"):
                await http.post_once("v1")
            with pytest.raises(ProviderTimeout, match="too late"):
                await http.get("models")

    assert vendor.asked == ["POST /v1", "GET /models"]


@pytest.mark.parametrize("sent", [b'{"a": "', b"\x89PNG"])
async def test_an_endless_answer_is_not_read_to_its_end(sent: bytes) -> None:
    with FakeVendor(lambda seen: Reply(body=sent, then="endless")) as vendor:
        async with closing(client(url=vendor.url)) as http:
            with pytest.raises(OutcomeUnknown, match="sent more than 1 MB"):
                await http.post_once("v1")
            with pytest.raises(ProviderUnavailable, match="sent more than 1 MB"):
                await http.get("models")


@pytest.mark.parametrize("status", [400, 402, 429])
async def test_an_endless_refusal_is_still_a_refusal(status: int) -> None:
    with FakeVendor(lambda seen: Reply(status=status, body=b"{", then="endless")) as vendor:
        async with closing(client(url=vendor.url)) as http:
            with pytest.raises(ProviderError) as error:
                await http.post_once("v1")

    assert not isinstance(error.value, OutcomeUnknown)
    assert error.value.charged == 0


async def test_json_that_is_nested_too_deep_is_no_json() -> None:
    with FakeVendor(lambda seen: Reply(body=b"[" * 500_000)) as vendor:
        async with closing(client(url=vendor.url)) as http:
            with pytest.raises(ProviderUnavailable, match="something else answers"):
                await http.get_json("models")


async def test_a_client_works_after_it_was_closed() -> None:
    with FakeVendor(lambda seen: Reply(body={})) as vendor:
        http = client(url=vendor.url)
        await http.aclose()
        await http.get("a")
        await http.aclose()
        await http.aclose()
        async with closing(http):
            await http.get("b")

    assert vendor.asked == ["GET /a", "GET /b"]


async def test_loopback_is_asked_without_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    with FakeVendor(lambda seen: Reply(body={})) as vendor:
        async with closing(client(url=vendor.url)) as http:
            answer = await http.get("models")

    assert answer.status == 200


@pytest.fixture
def named_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that no DNS knows lead to this machine, where the vendors of these tests listen."""
    lookup = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        known = (isinstance(host, str | bytes) and "engine" in str(host)) or "acme" in str(host)
        return lookup("127.0.0.1" if known else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.usefixtures("named_hosts")
@pytest.mark.parametrize(
    ("host", "local", "no_proxy", "by_proxy"),
    [
        ("engine.lan", None, "", False),
        ("engine", None, "", False),
        ("engine.example.org", True, "", False),
        ("0.0.0.0", None, "", False),
        ("localhost", False, "", False),
        ("acme.test", None, "", True),
        ("engine.lan", False, "", True),
        ("acme.test", None, "acme.test", False),
    ],
)
async def test_only_a_vendor_is_asked_through_the_proxy_of_the_environment(
    host: str, local: bool | None, no_proxy: str, by_proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        FakeVendor(lambda seen: Reply(body={})) as engine,
        FakeVendor(lambda seen: Reply(body={})) as proxy,
    ):
        for name in ("HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        monkeypatch.setenv("no_proxy", no_proxy)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        url = engine.url.replace("127.0.0.1", host)
        settings = HttpSettings(base_url=url, local=local)
        context = ProviderContext(data_dir=Path("unused"))
        async with closing(HttpClient("engine", settings, context)) as http:
            await http.get("models")

    assert bool(proxy.asked) is by_proxy
    assert bool(engine.asked) is not by_proxy


@pytest.mark.usefixtures("named_hosts")
async def test_a_proxy_that_cannot_be_used_stops_no_engine_of_the_own_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "socks9://127.0.0.1:9")
    with FakeVendor(lambda seen: Reply(body={})) as engine:
        async with closing(client(url=engine.url.replace("127.0.0.1", "engine.lan"))) as http:
            answer = await http.get("models")

    assert answer.ok


# Failing answers


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRejected),
        (401, AuthenticationFailed),
        (402, PaymentRequired),
        (404, ProviderUnavailable),
        (413, RequestRejected),
        (429, RateLimited),
        (307, ProviderUnavailable),
        (418, ProviderError),
        (500, OutcomeUnknown),
        (504, OutcomeUnknown),
        (408, OutcomeUnknown),
    ],
)
async def test_a_failing_answer_to_a_post_is_refused_or_unknown(
    status: int, error: type[ProviderError]
) -> None:
    backend = Backend(httpx2.Response(status, json={"error": {"message": f"no, {KEY}"}}))

    async with closing(client(backend)) as http:
        with pytest.raises(error) as raised:
            await http.post_once("v1")

    assert type(raised.value) is error
    assert "https://host.test:8443/base" in str(raised.value)
    assert KEY not in str(raised.value)
    assert len(backend.asked) == 1


@pytest.mark.parametrize(
    ("paid", "headers", "error"),
    [
        (False, {"retry-after": "7"}, RateLimited),
        (False, {}, EngineCrashed),
        (True, {"retry-after": "7"}, OutcomeUnknown),
    ],
)
async def test_a_503_that_says_when_to_come_back_is_a_wait_where_nothing_costs(
    paid: bool, headers: dict[str, str], error: type[ProviderError]
) -> None:
    backend = Backend(httpx2.Response(503, headers=headers))

    async with closing(client(backend)) as http:
        with pytest.raises(error) as raised:
            await http.post_once("v1", paid=paid)

    assert type(raised.value) is error
    assert raised.value.retry_after == (7 if error is RateLimited else None)
    assert len(backend.asked) == 1


async def test_a_backends_own_rule_says_what_a_500_means() -> None:
    rule = Rule(status=500, code="overloaded", error=ProviderUnavailable, message="is full")
    backend = Backend(httpx2.Response(500, json={"code": "overloaded"}))

    async with closing(client(backend, rules=(rule,))) as http:
        with pytest.raises(ProviderUnavailable, match="is full") as error:
            await http.post_once("v1")

    assert error.value.charged == 0


async def test_a_redirect_is_not_followed() -> None:
    backend = Backend(httpx2.Response(307, headers={"location": "https://evil.test/"}))

    async with closing(client(backend)) as http:
        with pytest.raises(ProviderUnavailable, match="leads elsewhere"):
            await http.get("models")

    assert len(backend.asked) == 1


async def test_a_failing_status_that_is_an_answer_is_given() -> None:
    backend = Backend(
        httpx2.Response(404, json={}), httpx2.Response(303, headers={"location": "x"})
    )

    async with closing(client(backend)) as http:
        missing = await http.get("jobs/1", accept=(404,))
        moved = await http.post_once("v1", accept=(303,))

    assert (missing.status, missing.ok) == (404, False)
    assert moved.location == "x"


async def test_something_else_at_the_address_is_said() -> None:
    async with closing(client(Backend(httpx2.Response(200, text="<html>")))) as http:
        with pytest.raises(ProviderUnavailable, match="something else answers"):
            await http.get_json("models")


@pytest.mark.parametrize("status", [400, 401, 403, 500])
async def test_no_secret_that_is_quoted_stands_in_an_error(status: int) -> None:
    secrets = ["p4ssword", base64.b64encode(b"me:p4ssword").decode(), KEY, "proxy-token"]
    body = {"error": {"message": f"what is {' or '.join(secrets)}?"}}
    backend = Backend(httpx2.Response(status, json=body))

    headers = {"X-Proxy": SecretStr("proxy-token")}
    auth = (KeyHeader("x-key", ""),)
    async with closing(client(backend, url=URL, auth=auth, headers=headers)) as http:
        with pytest.raises(ProviderError) as error:
            await http.post_once("v1")

    assert not [secret for secret in secrets if secret in str(error.value)]


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    with FakeVendor(lambda seen: Reply(body={})) as vendor:
        async with closing(client(url=vendor.url)) as http:
            await http.post_once("v1", json={})

    assert caplog.records
    assert KEY not in caplog.text


# Small things


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, None, 7.0),
        ({"retry-after": "0.5"}, None, 0.5),
        ({"retry-after": "-3"}, None, None),
        ({"retry-after": "soon"}, None, None),
        ({"retry-after": "inf"}, None, None),
        ({"retry-after": ""}, None, None),
        ({"retry-after-ms": "250", "retry-after": "7"}, None, 0.25),
        ({}, {"retry_after": 3}, 3.0),
        ({"retry-after": "2"}, {"retry_after": 3}, 2.0),
        ({}, {"retry_after": True}, None),
        ({}, [1], None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None, 0.0),
    ],
)
def test_the_wait_that_an_answer_asks_for_is_read_in_seconds(
    headers: dict[str, str], body: object, seconds: float | None
) -> None:
    assert wait_asked(headers, body) == seconds


def test_the_wait_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    wait = wait_asked({"retry-after": later})

    assert wait is not None
    assert 3500 < wait <= 3600


@pytest.mark.parametrize(
    ("raised", "error", "words"),
    [
        (httpx2.ConnectError("refused by secret"), ProviderUnavailable, "nothing answers at"),
        (httpx2.ConnectTimeout("secret"), ProviderUnavailable, "start it"),
        (httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), ProviderUnavailable, "TLS"),
        (httpx2.ReadTimeout("secret"), ProviderTimeout, "too late"),
        (TimeoutError(), ProviderTimeout, "too late"),
        (httpx2.ReadError("secret"), ProviderUnavailable, "broke the connection"),
        (httpx2.RemoteProtocolError("secret"), ProviderUnavailable, "broke the connection"),
        (httpx2.ProxyError("secret"), ProviderUnavailable, "proxy"),
        (httpx2.UnsupportedProtocol("secret"), ProviderUnavailable, "check the base URL"),
    ],
)
def test_no_answer_at_all_says_where_and_what_to_do(
    raised: httpx2.RequestError | TimeoutError, error: type[ProviderError], words: str
) -> None:
    said = transport_error("acme", raised, URL, "start it")

    assert type(said) is error
    assert words in str(said)
    assert "https://host.test:8443/base" in str(said)
    assert "secret" not in str(said)
    assert "p4ssword" not in str(said)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8188", True),
        ("http://127.8.8.8", True),
        ("http://localhost:1/comfy", True),
        ("http://box.localhost", True),
        ("http://[::1]:8188", True),
        ("http://[::]:8188", True),
        ("http://0.0.0.0:8188", True),
        ("http://[::ffff:127.0.0.1]:8188", True),
        ("http://[::ffff:0.0.0.0]:8188", True),
        ("http://LOCALHOST.:8188", True),
        ("http://[::ffff:192.168.0.7]:8188", False),
        ("http://[::2]:8188", False),
        ("http://192.168.0.7:8188", False),
        ("http://127.0.0.1.evil.test", False),
        ("https://comfy.test", False),
    ],
)
def test_loopback_is_told_by_the_name(url: str, here: bool) -> None:
    assert is_loopback(url) is here


@pytest.mark.parametrize(
    ("url", "local", "where"),
    [
        ("http://127.0.0.1:1", None, "this_machine"),
        ("http://127.0.0.1:1", True, "this_machine"),
        ("http://127.0.0.1:1", False, "vendor"),
        ("http://[::]:1", None, "this_machine"),
        ("http://0.0.0.0:1", None, "this_machine"),
        ("http://192.168.0.7", None, "own_network"),
        ("http://[::ffff:192.168.0.7]", None, "own_network"),
        ("http://[::ffff:8.8.8.8]", None, "vendor"),
        ("http://[fd00::7]", None, "own_network"),
        ("http://192.168.0.7", False, "vendor"),
        ("http://box.lan", None, "own_network"),
        ("http://gpu-box:8188", None, "own_network"),
        ("http://box.lan", False, "vendor"),
        ("https://gpu.example.org", True, "own_network"),
        ("https://api.acme.test", None, "vendor"),
        ("https://8.8.8.8", None, "vendor"),
    ],
)
def test_who_sees_what_is_sent(url: str, local: bool | None, where: str) -> None:
    assert where_is(HttpSettings(base_url=url, local=local)) == where


def test_an_address_is_shown_without_its_secrets() -> None:
    assert public_url(URL + "/?token=secret#x") == "https://host.test:8443/base"
    assert public_url("http://[::1]:8188/") == "http://[::1]:8188"
