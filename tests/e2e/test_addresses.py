"""Addresses of engines as people write them, and what answers there in another tongue."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from tests.cli.test_main import run
from ziggie_image_mcp.provider.settings import HttpSettings
from ziggie_image_providers.comfyui.settings import Settings as ComfyUi
from ziggie_image_providers.openai.settings import Settings as OpenAi
from ziggie_image_providers.replicate.settings import Settings as Replicate

EMPTY = b"404 Not Found\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("kind", "written", "meant"),
    [
        (ComfyUi, "localhost:8188", "http://localhost:8188"),
        (ComfyUi, "127.0.0.1:8188", "http://127.0.0.1:8188"),
        (ComfyUi, " 127.0.0.1:8188/ ", "http://127.0.0.1:8188"),
        (ComfyUi, "[::1]:8188", "http://[::1]:8188"),
        (ComfyUi, "my-pc:8188/", "http://my-pc:8188"),
        (ComfyUi, "my-pc.local:8188/comfy", "http://my-pc.local:8188/comfy"),
        (ComfyUi, "192.168.1.20:8188", "http://192.168.1.20:8188"),
        (ComfyUi, "me:pw@localhost:8188", "http://me:pw@localhost:8188"),
        (ComfyUi, "http://127.0.0.1:8188//", "http://127.0.0.1:8188"),
        (ComfyUi, "HTTP://127.0.0.1:8188", "HTTP://127.0.0.1:8188"),
        (ComfyUi, "http://127.0.0.1:8188/api", "http://127.0.0.1:8188"),
        (ComfyUi, "localhost:8188/api/", "http://localhost:8188"),
        (ComfyUi, "https://gpu.example.com/comfy/api", "https://gpu.example.com/comfy"),
        (OpenAi, "https://api.openai.com", "https://api.openai.com/v1"),
        (OpenAi, "https://api.openai.com/v1/", "https://api.openai.com/v1"),
        (OpenAi, "localhost:1234/v1", "http://localhost:1234/v1"),
        (OpenAi, "http://gateway.lan/openai", "http://gateway.lan/openai"),
        (Replicate, "https://api.replicate.com/v1", "https://api.replicate.com"),
        (Replicate, "https://api.replicate.com/v1/", "https://api.replicate.com"),
    ],
)
def test_an_address_that_means_one_thing_is_taken(
    kind: type[HttpSettings], written: str, meant: str
) -> None:
    assert kind.model_validate({"baseUrl": written}).base_url == meant


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("gpu.example.com:8188", "must begin with http:// or https://, as https://gpu.example.com"),
        ("me:s3cret@gpu.example.com", "must begin with http:// or https://"),
        ("8.8.8.8:8188", "must begin with http:// or https://"),
        ("localhost:443", "must begin with http:// or https://"),
        ("localhost:99999", "must be an address"),
        ("localhost:port", "must be an address"),
        ("ws://localhost:8188", "must be an address"),
        ("http:localhost:8188", "must be an address"),
        ("http//localhost:8188", "must be an address"),
        ("", "must be an address"),
        ("  ", "must be an address"),
        ("C:\\ComfyUI", "must be an address"),
        ("http://localhost:8188/?token=s3cret", "without a query"),
    ],
)
def test_another_is_refused_with_what_it_lacks(written: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ComfyUi.model_validate({"baseUrl": written})

    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that only ca.pem vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    own = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(own, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


@asynccontextmanager
async def listening(answer: bytes = b"", tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer:
            await reader.read(4096)
            writer.write(b"HTTP/1.1 " + answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def models(folder: Path, url: str, **section: Any) -> str:
    """What `models` says of a ComfyUI at this address."""
    off = {name: {"enabled": False} for name in ("builtin", "diffusers")}
    block = {"providers": {**off, "comfyui": {"baseUrl": url, **section}}}
    file = folder / "config.json"
    file.write_text(json.dumps(block), encoding="utf-8")
    ended = await asyncio.to_thread(run, "models", config=file)
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.usefixtures("warm")
async def test_who_speaks_http_to_a_tls_port_is_told_so(tmp_path: Path) -> None:
    async with listening(tls=certificate(tmp_path)) as port:
        said = await models(tmp_path, f"http://127.0.0.1:{port}")

    assert "where it speaks TLS, write https:// in providers.comfyui.baseUrl" in said


@pytest.mark.parametrize(
    "body",
    [
        b"<h1>400</h1>The plain HTTP request was sent to HTTPS port",
        b"Client sent an HTTP request to an HTTPS server.\n",
    ],
)
@pytest.mark.usefixtures("warm")
async def test_a_proxy_that_says_so_itself_is_understood(body: bytes, tmp_path: Path) -> None:
    head = b"400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with listening(head + body) as port:
        said = await models(tmp_path, f"http://127.0.0.1:{port}")

    assert f"http://127.0.0.1:{port} speaks TLS; write https://" in said


@pytest.mark.usefixtures("warm")
async def test_who_speaks_tls_to_an_http_port_is_told_so(tmp_path: Path) -> None:
    async with listening(EMPTY) as port:
        said = await models(tmp_path, f"https://127.0.0.1:{port}")

    assert "does not speak TLS; write http:// in providers.comfyui.baseUrl" in said


@pytest.mark.usefixtures("warm")
async def test_a_certificate_of_ones_own_is_named_and_its_file_may_be_below_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with listening(EMPTY, certificate(tmp_path)) as port:
        url = f"https://127.0.0.1:{port}"
        unknown = await models(tmp_path, url)
        trusted = await models(tmp_path, url, caFile="$HOME/ca.pem")

    assert "set providers.comfyui.caFile" in unknown
    assert "certificate" not in trusted
    assert "404" in trusted or "something else answers" in trusted
