from __future__ import annotations

import httpx2
import pytest

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider import http as _http

URL = "https://me:secret@host.test:8443/base/?token=secret"


def answer(status: int, **headers: str) -> httpx2.Response:
    request = httpx2.Request("GET", URL)
    return httpx2.Response(status, headers=headers, request=request, text="secret")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRejected),
        (401, AuthenticationFailed),
        (402, PaymentRequired),
        (403, AuthenticationFailed),
        (418, ProviderError),
        (404, ProviderUnavailable),
        (408, ProviderTimeout),
        (413, RequestRejected),
        (422, RequestRejected),
        (429, RateLimited),
        (500, ProviderUnavailable),
        (502, ProviderUnavailable),
        (504, ProviderTimeout),
    ],
)
def test_a_status_becomes_the_error_that_says_who_must_act(
    status: int, error: type[ProviderError]
) -> None:
    said = _http.status_error("engine", answer(status))

    assert type(said) is error
    assert said.provider == "engine"
    assert "https://host.test:8443/base" in str(said)
    assert "secret" not in str(said)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("inf", None), ("", None)],
)
def test_retry_after_is_read_in_seconds(header: str, seconds: float | None) -> None:
    error = _http.status_error("engine", answer(429, **{"retry-after": header}))

    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


def test_retry_after_is_read_as_a_date() -> None:
    past = _http.retry_after(answer(429, **{"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}))
    future = _http.retry_after(answer(429, **{"retry-after": "Sat, 01 Jan 2400 00:00:00 -0000"}))

    assert past == 0
    assert future is not None
    assert future > 1e9


@pytest.mark.parametrize(
    ("raised", "error", "words"),
    [
        (httpx2.ConnectError("refused by secret"), ProviderUnavailable, "nothing answers at"),
        (httpx2.ConnectTimeout("secret"), ProviderUnavailable, "start it"),
        (httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), ProviderUnavailable, "TLS"),
        (httpx2.ReadTimeout("secret"), ProviderTimeout, "too late"),
        (httpx2.ReadError("secret"), ProviderUnavailable, "broke the connection"),
        (httpx2.RemoteProtocolError("secret"), ProviderUnavailable, "broke the connection"),
        (httpx2.ProxyError("secret"), ProviderUnavailable, "proxy"),
        (httpx2.UnsupportedProtocol("secret"), ProviderUnavailable, "check the base URL"),
    ],
)
def test_no_answer_at_all_says_where_and_what_to_do(
    raised: httpx2.RequestError, error: type[ProviderError], words: str
) -> None:
    said = _http.transport_error("engine", raised, URL, "start it")

    assert type(said) is error
    assert words in str(said)
    assert "https://host.test:8443/base" in str(said)
    assert "secret" not in str(said)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8188", True),
        ("http://127.8.8.8", True),
        ("http://localhost:1/comfy", True),
        ("http://[::1]:8188", True),
        ("http://192.168.0.7:8188", False),
        ("http://127.0.0.1.evil.test", False),
        ("https://comfy.test", False),
    ],
)
def test_loopback_is_told_by_the_name(url: str, here: bool) -> None:
    assert _http.is_loopback(url) is here


def test_an_address_is_shown_without_its_secrets() -> None:
    assert _http.public_url(URL) == "https://host.test:8443/base"
    assert _http.public_url("http://[::1]:8188/") == "http://[::1]:8188"
