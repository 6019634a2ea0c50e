"""Many machines on one database: HTTP servers, workers, a Postgres and an S3, all real."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.abc
import httpx2
import pytest
from anyio.abc import ByteStream, SocketStream
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from tests.support import postgres, s3
from tests.support.fake_vendors import FakeVendor, painted

pytestmark = pytest.mark.usefixtures("warm")


@contextmanager
def process(folder: Path, name: str, *words: str, **env: str) -> Generator[subprocess.Popen[bytes]]:
    """One of ours, on a host of its own as far as it can tell: with its own folder."""
    own = {"XDG_DATA_HOME": str(folder / name), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ziggie_image_mcp", "--config", str(folder / "config.json")]
    with (folder / f"{name}.log").open("wb") as log:
        found = subprocess.Popen([*command, *words], env=os.environ | own | env, stderr=log)
        try:
            yield found
        finally:
            found.terminate()
            try:
                found.wait(15)
            except subprocess.TimeoutExpired:
                found.kill()
                found.wait()


@contextmanager
def http_server(folder: Path, name: str, *options: str, **env: str) -> Generator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with process(folder, name, "serve", "--http", "--port", str(port), *options, **env):
        yield f"http://127.0.0.1:{port}/mcp"


async def until_it_answers(url: str) -> None:
    with anyio.fail_after(60):
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", int(url.split(":")[2][:-4])):
                    break
            except OSError:
                await anyio.sleep(0.1)


@asynccontextmanager
async def client(
    url: str,
    token: str = "",
    *,
    mode: Literal["auto", "legacy"] = "auto",
    each_its_own: bool = False,
    ask: Any = None,
) -> AsyncGenerator[Client]:
    """A client; with `each_its_own` every request has a connection of its own."""
    await until_it_answers(url)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limits = httpx2.Limits(max_keepalive_connections=0 if each_its_own else None)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120, limits=limits) as http,
        Client(
            streamable_http_client(url, http_client=http), mode=mode, elicitation_callback=ask
        ) as found,
    ):
        yield found


def said(result: CallToolResult) -> dict[str, Any]:
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    found: dict[str, Any] = json.loads(result.content[0].text)
    return found


def configure(folder: Path, **more: Any) -> None:
    config = {"providers": {"comfyui": {"enabled": False}}} | more
    (folder / "config.json").write_text(json.dumps(config))


async def test_two_workers_and_two_servers_make_12_pictures_each_once_while_one_dies(
    tmp_path: Path,
) -> None:
    await assert_each_is_made_once_while_one_dies(tmp_path, 12)


async def assert_each_is_made_once_while_one_dies(tmp_path: Path, pictures: int) -> None:
    postgres.skip_where_absent()
    with ExitStack() as stack:
        database = stack.enter_context(postgres.server())
        bucket = stack.enter_context(s3.server("pictures", tmp_path / "s3.log"))
        output = {"directory": "s3://pictures/game"}
        configure(tmp_path, database=database.serve_dbos("ours"), output=output, workers=True)
        doomed, _ = (
            stack.enter_context(process(tmp_path, name, "worker", **bucket))
            for name in ("worker-1", "worker-2")
        )
        urls = [
            stack.enter_context(http_server(tmp_path, name, **bucket))
            for name in ("server-1", "server-2")
        ]
        jobs = await begin(urls, pictures)
        killed, results = await collect(urls[::-1], jobs, doomed)
        stored = pictures_in(bucket)

    assert killed, "the worker died while jobs were open"
    ids = [result["images"][0]["id"] for result in results]
    assert len(set(ids)) == pictures
    assert len(stored) == pictures, "each once, also in the bucket"
    assert all(result["images"][0]["path"].startswith("s3://pictures/game/") for result in results)


async def begin(urls: Sequence[str], pictures: int) -> list[str]:
    """Ask for all pictures, half at each server, and wait for none."""
    jobs: list[str] = []

    async def ask(url: str, half: range) -> None:
        async with client(url) as session:
            for i in half:
                wish = {"prompt": f"a red star {i}", "steps": 2, "wait_seconds": 0}
                jobs.append(said(await session.call_tool("generate_image", wish))["job_id"])

    async with anyio.create_task_group() as group:
        for place, url in enumerate(urls):
            group.start_soon(ask, url, range(place, pictures, len(urls)))
    return jobs


async def collect(
    urls: Sequence[str], jobs: Sequence[str], doomed: subprocess.Popen[bytes]
) -> tuple[bool, list[dict[str, Any]]]:
    """Wait for all at the other server than was asked; kill a worker after a few."""
    results: list[dict[str, Any]] = []
    latest: dict[str, Any] = {}
    async with client(urls[0]) as one, client(urls[1]) as other:
        for place, job_id in enumerate(jobs):
            if place == len(jobs) // 5:
                os.kill(doomed.pid, signal.SIGKILL)
                latest = said(
                    await one.call_tool("get_job", {"job_id": jobs[-1], "wait_seconds": 0})
                )
            session = one if place % 2 else other
            wish = {"job_id": job_id, "wait_seconds": 60}
            results.append(said(await session.call_tool("get_job", wish)))
    return "images" not in latest, results


def pictures_in(bucket: Mapping[str, str]) -> list[str]:
    code = "import fsspec; print(*fsspec.filesystem('s3').find('pictures/game'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | bucket,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in done.stdout.split() if name.endswith(".png")]


async def test_a_server_without_any_model_leaves_all_to_a_worker_that_has_some(
    tmp_path: Path,
) -> None:
    configure(
        tmp_path,
        database=f"sqlite:///{tmp_path / 'ours.sqlite3'}",
        output={"directory": str(tmp_path / "pictures")},
        workers=True,
    )
    bare = {"ZIGGIE_IMAGE_PROVIDERS__DIFFUSERS__ENABLED": "false"}
    wish = {"prompt": "a red star", "steps": 2, "seed": 1, "wait_seconds": 50}
    with (
        process(tmp_path, "worker", "worker"),
        http_server(tmp_path, "server", **bare) as url,
    ):
        async with client(url) as session:
            made = said(await session.call_tool("generate_image", wish))
            again = said(await session.call_tool("generate_image", wish))
            paid = await session.call_tool("generate_image", wish | {"provider": "cloud"})

    assert Path(made["images"][0]["path"]).is_file()
    ids = [[i["id"] for i in one["images"]] for one in (made, again)]
    assert ids[0] == ids[1], "of the same seed"
    assert again["why"].startswith("the stored picture")
    assert paid.is_error
    assert isinstance(paid.content[0], TextContent)
    assert "[NO_ROUTE]" in paid.content[0].text


@asynccontextmanager
async def one_address(*urls: str) -> AsyncGenerator[str]:
    """A balancer that knows nothing of sessions: each connection goes to the next server."""
    ports = itertools.cycle([int(url.split(":")[2][:-4]) for url in urls])

    async def pump(source: ByteStream, sink: ByteStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                await sink.send(await source.receive())
        await sink.aclose()

    async def carry(near: SocketStream) -> None:
        async with near, await anyio.connect_tcp("127.0.0.1", next(ports)) as far:
            async with anyio.create_task_group() as both:
                both.start_soon(pump, near, far)
                both.start_soon(pump, far, near)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, carry)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}/mcp"
        group.cancel_scope.cancel()


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_servers_behind_one_address_go_on_with_each_others_calls(
    era: Literal["auto", "legacy"], tmp_path: Path
) -> None:
    asked: list[str] = []

    async def yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"agree": True})

    secrets = {
        "ZIGGIE_IMAGE_TOKEN": "open sesame",
        "OPENAI_API_KEY": "sk-proj-0123456789abcdef",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    with ExitStack() as stack:
        vendor = stack.enter_context(FakeVendor(painted))
        configure(
            tmp_path,
            database=f"sqlite:///{tmp_path / 'ours.sqlite3'}",
            output={"directory": str(tmp_path / "pictures")},
            providers={
                "comfyui": {"enabled": False},
                "diffusers": {"enabled": False},
                "openai": {"baseUrl": f"{vendor.url}/v1", "local": False, "flavour": "openai"},
            },
        )
        urls = [
            stack.enter_context(http_server(tmp_path, name, "--stateless", **secrets))
            for name in ("server-1", "server-2")
        ]
        for url in urls:
            await until_it_answers(url)
        async with one_address(*urls) as url:
            async with client(url, "open sesame", mode=era, each_its_own=True, ask=yes) as session:
                answer = await session.call_tool("generate_image", {"prompt": "a star"})
                paid = await session.call_tool(
                    "generate_image", {"prompt": "a star", "allow_paid": True, "wait_seconds": 0}
                )
                job = said(paid)["job_id"]
                found = [said(await session.call_tool("get_job", {"job_id": job}))] * 2

    assert found[0]["images"] == found[1]["images"]
    if era == "auto":
        assert len(asked) == 1
        assert said(answer)["provider"] == "openai"
    else:
        assert answer.is_error, "without a session nobody can be asked"
        assert isinstance(answer.content[0], TextContent)
        assert "PAID_CONSENT_REQUIRED" in answer.content[0].text
    assert len(vendor.asked) == (2 if era == "auto" else 1)


async def test_jobs_are_seen_by_their_caller_only(tmp_path: Path) -> None:
    configure(tmp_path, output={"directory": str(tmp_path / "pictures")})
    tokens = {"ZIGGIE_IMAGE_TOKENS": "alice:one-secret,bob:other-secret"}
    with http_server(tmp_path, "server", **tokens) as url:
        async with client(url, "one-secret") as alice, client(url, "other-secret") as bob:
            wish = {"prompt": "a red star", "steps": 2, "request_id": "r"}
            hers = said(await alice.call_tool("generate_image", wish))
            his = said(await bob.call_tool("generate_image", wish))
            again = said(await alice.call_tool("get_job", {"job_id": hers["job_id"]}))
            for tool in ("get_job", "cancel_job"):
                refused = await bob.call_tool(tool, {"job_id": hers["job_id"]})
                assert refused.is_error
                assert isinstance(refused.content[0], TextContent)
                assert "[JOB_NOT_FOUND]" in refused.content[0].text

    assert his["job_id"] != hers["job_id"], "a request_id belongs to its caller"
    assert [i["id"] for i in again["images"]] == [i["id"] for i in hers["images"]]


async def test_16_clients_at_once_are_all_served(tmp_path: Path) -> None:
    await assert_all_are_served(tmp_path, 16)


async def assert_all_are_served(tmp_path: Path, clients: int) -> None:
    configure(tmp_path, output={"directory": str(tmp_path / "pictures")})
    found: list[dict[str, Any]] = []

    async def one(url: str, go: anyio.Event, ready: anyio.Semaphore, name: str) -> None:
        async with client(url) as session:
            ready.release()
            await go.wait()
            wish = {"prompt": f"a red star {name}", "steps": 2, "wait_seconds": 0}
            job = said(await session.call_tool("generate_image", wish))
            wait = {"job_id": job["job_id"], "wait_seconds": 100}
            found.append(said(await session.call_tool("get_job", wait)))

    with http_server(tmp_path, "server") as url:
        await until_it_answers(url)
        go, ready = anyio.Event(), anyio.Semaphore(0)
        async with anyio.create_task_group() as group:
            for i in range(clients):
                group.start_soon(one, url, go, ready, str(i))
            for _ in range(clients):
                await ready.acquire()
            go.set()

    assert len({result["images"][0]["path"] for result in found}) == clients
    assert all(Path(result["images"][0]["path"]).is_file() for result in found)
