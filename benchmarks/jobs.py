"""Measure what durable jobs cost: 64 clients that enqueue at once, and one call after another.

python -m benchmarks.jobs [CLIENTS] [CALLS]
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.types import TextContent

from tests.support.factory import service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.provider import ProviderRequest, Run
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.routing.request import ImageRequest

WISH = {"prompt": "a red star on a black background", "steps": 2, "wait_seconds": 0}


def tell(name: str, taken: Sequence[float]) -> None:
    cuts = statistics.quantiles(taken, n=100)
    p50, p99 = statistics.median(taken) * 1000, cuts[98] * 1000
    print(f"{name:58} p50 {p50:8.1f} ms   p99 {p99:8.1f} ms")


async def alone(calls: int) -> list[float]:
    """The engine itself, without anything around it."""
    provider = FakeProvider(models=[model(device="gpu")])
    request = ProviderRequest(
        prompt="a cat",
        negative_prompt="",
        width=64,
        height=64,
        num_images=1,
        seed=0,
        steps=None,
        guidance_scale=None,
    )

    async def quiet(fraction: float, message: str) -> None:
        pass

    taken: list[float] = []
    for _ in range(calls):
        before = time.perf_counter()
        await provider.submit(request, model(), Run(key="benchmark", progress=quiet))
        taken.append(time.perf_counter() - before)
    return taken[1:]


async def planned(built: Service, calls: int) -> list[float]:
    taken: list[float] = []
    for _ in range(calls):
        before = time.perf_counter()
        await built.plan(ImageRequest(prompt="a cat", width=64, height=64))
        taken.append(time.perf_counter() - before)
    return taken[1:]


async def generated(built: Service, calls: int) -> list[float]:
    taken: list[float] = []
    for _ in range(calls):
        before = time.perf_counter()
        await built.generate(ImageRequest(prompt="a cat", width=64, height=64))
        taken.append(time.perf_counter() - before)
    return taken[1:]


async def in_process(calls: int) -> None:
    tell("the engine alone (it draws a plain picture)", await alone(calls))
    with tempfile.TemporaryDirectory() as name:
        built = service(Path(name), FakeProvider(models=[model(device="gpu")]))
        tell("a survey and a decision; nothing is made", await planned(built, calls))
        tell("decided, made, checked, kept, as a durable job", await generated(built, calls))
        await built.aclose()


@asynccontextmanager
async def server(folder: Path) -> AsyncGenerator[str]:
    """The real server with the tiny model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "output": {"directory": str(folder / "pictures")},
        "providers": {"comfyui": {"enabled": False}},
        "queueLimit": 10_000,
    }
    (folder / "config.json").write_text(json.dumps(config))
    env = os.environ | {"XDG_DATA_HOME": str(folder)}
    command = [sys.executable, "-m", "ziggie_image_mcp", "--config", str(folder / "config.json")]
    process = await anyio.open_process(
        [*command, "serve", "--http", "--port", str(port)], env=env, stderr=subprocess.DEVNULL
    )
    async with process:
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    break
            except OSError:
                await anyio.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
        process.terminate()


async def data(session: Client, tool: str, wish: dict[str, Any]) -> dict[str, Any]:
    """What a tool answers."""
    result = await session.call_tool(tool, wish)
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    answer: dict[str, Any] = json.loads(result.content[0].text)
    return answer


async def clients(count: int) -> None:
    enqueued: list[float] = []
    ended: list[float] = []

    async def one(url: str, go: anyio.Event, ready: anyio.Semaphore) -> None:
        async with Client(url) as session:
            await session.list_tools()
            ready.release()
            await go.wait()
            before = time.perf_counter()
            job = await data(session, "generate_image", WISH)
            enqueued.append(time.perf_counter() - before)
            wait = {"job_id": job["job_id"], "wait_seconds": 600}
            assert (await data(session, "get_job", wait))["images"]
            ended.append(time.perf_counter() - before)

    with tempfile.TemporaryDirectory() as name:
        async with server(Path(name)) as url:
            async with Client(url) as first:  # the model is loaded, the database is there
                await data(first, "generate_image", WISH | {"wait_seconds": 600})
            go, ready = anyio.Event(), anyio.Semaphore(0)
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(one, url, go, ready)
                for _ in range(count):
                    await ready.acquire()
                go.set()
    tell(f"{count} MCP clients at once: until the job_id is there", enqueued)
    tell(f"{count} MCP clients at once: until the picture is there", ended)


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    await in_process(calls)
    await clients(count)


if __name__ == "__main__":
    anyio.run(main)
