from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ziggie_image_mcp.provider import ProviderContext
from ziggie_image_mcp.provider import download as kit
from ziggie_image_mcp.provider.contract import Resolver
from ziggie_image_mcp.provider.download import DownloadFailed, Source, fetch, is_public
from ziggie_image_mcp.provider.http import BEARER, HttpClient, closing
from ziggie_image_mcp.provider.settings import HttpSettings
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, picture

PNG = picture(8, 8)
HOME = httpx2.URL("https://api.acme.test/v1")
PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.1"


class Web:
    """Answers by host and path, and keeps what it was asked."""

    def __init__(self, **answers: httpx2.Response | Exception) -> None:
        self.answers = answers
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self.answers[request.url.path.strip("/").replace(".png", "")]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.asked]


def hosts(*addresses: str) -> Resolver:
    async def resolver(host: str) -> Sequence[str]:
        return addresses

    return resolver


def source(
    web: Web,
    *addresses: str,
    home: httpx2.URL = HOME,
    private: bool = False,
    trusted_hosts: tuple[str, ...] = (),
) -> Source:
    return Source(
        home=home,
        private=private,
        trusted_hosts=trusted_hosts,
        transport=httpx2.MockTransport(web),
        resolver=hosts(*addresses) if addresses else None,
    )


def found(data: bytes = PNG) -> httpx2.Response:
    return httpx2.Response(200, content=data)


def moved(to: str) -> httpx2.Response:
    return httpx2.Response(302, headers={"location": to})


# Where it connects


async def test_it_connects_to_the_address_that_was_checked() -> None:
    web = Web(a=found())

    data = await fetch("https://cdn.test:8443/a.png?sig=1", source(web, PUBLIC))

    (asked,) = web.asked
    assert data == PNG
    assert str(asked.url) == f"https://{PUBLIC}:8443/a.png?sig=1"
    assert asked.headers["host"] == "cdn.test:8443"
    assert asked.extensions["sni_hostname"] == "cdn.test"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://cdn.test/a.png", "not https"),
        ("file:///etc/passwd", "not https"),
        ("ftp://cdn.test/a.png", "not https"),
        ("data:image/png;base64,AAAA", "not https"),
        ("//cdn.test/a.png", "not https"),
        ("https://me:pw@cdn.test/a.png", "not https"),
        ("https://localhost/a.png", "on this machine"),
        ("https://127.0.0.1/a.png", "on this machine"),
        ("https://127.1/a.png", "private network"),
        ("https://[::1]/a.png", "on this machine"),
        ("https://10.0.0.1/a.png", "private network"),
        ("https://192.168.0.7/a.png", "private network"),
        ("https://169.254.169.254/latest", "private network"),
        ("https://100.64.0.1/a.png", "private network"),
        ("https://224.0.0.1/a.png", "private network"),
        ("https://[fe80::1]/a.png", "private network"),
        ("https://[fd00::1]/a.png", "private network"),
        ("https://[::ffff:10.0.0.1]/a.png", "private network"),
        ("https://0.0.0.0/a.png", "on this machine"),
        ("https://cdn.test:99999999/a.png", "no address"),
        ("https://cdn.te\x00st/a.png", "no address"),
    ],
)
async def test_what_is_no_address_of_the_open_internet_is_not_asked(url: str, words: str) -> None:
    web = Web(a=found())

    with pytest.raises(DownloadFailed, match=words):
        await fetch(url, source(web, PRIVATE))

    assert web.asked == []


async def test_one_private_address_among_those_of_a_host_is_enough_to_refuse_it() -> None:
    web = Web(a=found())

    with pytest.raises(DownloadFailed, match="inside a private network"):
        await fetch("https://cdn.test/a.png", source(web, PUBLIC, PRIVATE))

    assert web.asked == []


async def test_an_engine_on_this_machine_may_have_its_pictures_here() -> None:
    web, home = Web(a=found()), httpx2.URL("http://127.0.0.1:8188")

    data = await fetch("http://127.0.0.1:8188/a.png", source(web, home=home, private=True))

    assert data == PNG


async def test_a_backends_own_port_is_no_private_address_but_its_neighbour_is() -> None:
    web, home = Web(a=found()), httpx2.URL("http://127.0.0.1:4000/v1")

    own = await fetch("http://127.0.0.1:4000/a.png", source(web, home=home))
    with pytest.raises(DownloadFailed, match="on this machine"):
        await fetch("http://127.0.0.1:4001/a.png", source(web, home=home))

    assert own == PNG
    assert len(web.asked) == 1


async def test_hosts_of_the_vendor_are_not_looked_up() -> None:
    web = Web(a=found())
    trusting = source(web, PRIVATE, trusted_hosts=("acme.test",))

    await fetch("https://files.acme.test/a.png", trusting)
    with pytest.raises(DownloadFailed, match="private network"):
        await fetch("https://evilacme.test/a.png", trusting)

    assert web.urls == ["https://files.acme.test/a.png"]


# Redirects


async def test_redirects_are_checked_like_the_first_address() -> None:
    web = Web(a=moved("/b.png"), b=moved("https://10.0.0.1/c.png"), c=found())

    with pytest.raises(DownloadFailed, match="private network"):
        await fetch("https://cdn.test/a.png", source(web, PUBLIC))

    assert [asked.url.path for asked in web.asked] == ["/a.png", "/b.png"]
    assert {asked.headers["host"] for asked in web.asked} == {"cdn.test"}


async def test_three_redirects_are_followed_and_no_fourth() -> None:
    web = Web(a=moved("/b"), b=moved("/c"), c=moved("/d"), d=found(), e=moved("/a"))

    data = await fetch("https://cdn.test/a.png", source(web, PUBLIC))
    with pytest.raises(DownloadFailed, match="too many redirects"):
        await fetch("https://cdn.test/e.png", source(web, PUBLIC))

    assert data == PNG


# What comes back


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_picture_that_is_gone_is_not_asked_for_again(status: int) -> None:
    web = Web(a=httpx2.Response(status))

    with pytest.raises(DownloadFailed, match=f"are gone .HTTP {status}"):
        await fetch("https://cdn.test/a.png", source(web, PUBLIC))

    assert len(web.asked) == 1


async def test_what_is_no_picture_is_refused() -> None:
    web = Web(a=found(b"<html>"))

    with pytest.raises(DownloadFailed, match="no PNG, JPEG or WebP"):
        await fetch("https://cdn.test/a.png", source(web, PUBLIC))


async def test_a_picture_beyond_the_cap_is_not_read_whole() -> None:
    web = Web(a=found(PNG + bytes(2**20)))

    with pytest.raises(DownloadFailed, match="larger than 0 MB"):
        await fetch("https://cdn.test/a.png", source(web, PUBLIC), max_bytes=1000)


async def test_a_network_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "PAUSES", (0.0, 0.0, 0.0))
    answers: list[httpx2.Response | Exception] = [
        httpx2.ReadError("x"),
        httpx2.Response(503),
        found(),
    ]

    def web(request: httpx2.Request) -> httpx2.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx2.MockTransport(web)
    data = await fetch("https://cdn.test/a.png", Source(home=HOME, transport=transport))

    assert data == PNG
    assert answers == []


async def test_a_host_that_nobody_knows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "PAUSES", (0.0,))

    async def nowhere(host: str) -> Sequence[str]:
        return ()

    with pytest.raises(DownloadFailed, match="their host is not known"):
        await fetch("https://cdn.test/a.png", Source(home=HOME, resolver=nowhere))


# Through a client


async def test_no_key_goes_to_the_address_of_a_picture(tmp_path: Path) -> None:
    async def secret(name: str) -> str | None:
        return "acme-key"

    with FakeVendor(lambda seen: Reply(body=PNG)) as vendor:
        settings = HttpSettings.model_validate(
            {"base_url": vendor.url, "headers": {"X-Proxy": "t"}}
        )
        context = ProviderContext(data_dir=tmp_path, secret=secret)
        http = HttpClient("acme", settings, context, auth=(BEARER,), key_names=("KEY",))
        async with closing(http):
            data = await http.download(f"{vendor.url}/a.png")

    (seen,) = vendor.seen
    assert data == PNG
    assert "authorization" not in seen.headers
    assert "x-proxy" not in seen.headers


async def test_behind_a_proxy_the_proxy_looks_the_host_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    with FakeVendor(lambda seen: Reply(body=PNG)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        home = httpx2.URL("http://pictures.test/v1")
        data = await fetch("http://pictures.test/a.png", Source(home=home))

    assert data == PNG
    assert proxy.asked == ["GET http://pictures.test/a.png"]


async def test_what_no_proxy_leaves_out_with_its_port_is_looked_up_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lookup = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        return lookup("127.0.0.1" if "cdn.test" in str(host) else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "cdn.test:8443")

    with pytest.raises(DownloadFailed, match="inside a private network"):
        await fetch("https://cdn.test:8443/a.png", Source(home=HOME))


async def test_loopback_is_fetched_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    with FakeVendor(lambda seen: Reply(body=PNG)) as vendor:
        home = httpx2.URL(vendor.url)
        data = await fetch(f"{vendor.url}/a.png", Source(home=home))

    assert data == PNG


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("::ffff:127.0.0.1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b:1::a00:1", False),
        ("2002:0808:0808::1", True),
        ("2002:7f00:1::1", False),
        ("::127.0.0.1", False),
        ("fec0::1", False),
    ],
)
def test_addresses_of_the_open_internet_are_told(address: str, public: bool) -> None:
    assert is_public(address) is public
