"""Measure pictures on a busy machine, and beside 32 clients that wait over HTTP.

python -m benchmarks.busy [CLIENTS]

The tiny model is run alone and beside two processes that never rest, with threads that spin as
they did before they were told to sleep, and as they are now. Then so many clients wait for their
pictures at once, against the engine's own pace.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
from mcp import Client

from benchmarks.jobs import data, server
from ziggie_image_mcp.provider import Model, Provider, ProviderContext, ProviderRequest, Run
from ziggie_image_providers.builtin import Builtin
from ziggie_image_providers.builtin.models import FOLDER
from ziggie_image_providers.builtin.settings import Settings
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.settings import Settings as DiffusersSettings

SPINNING = {"GOMP_SPINCOUNT": "300000", "OMP_NUM_THREADS": str(os.cpu_count() or 1)}
"""What libgomp does where nobody says anything."""

BUSY = 2
PICTURES = 5
STEPS = 8
ENGINE_PICTURES = 40


async def quiet(fraction: float, message: str) -> None:
    """Progress that nobody reads."""


@contextmanager
def environment(changes: Mapping[str, str]) -> Generator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def busy(count: int) -> Generator[None]:
    """So many processes that never rest."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def one(engine: Provider, model: Model, seed: int) -> float:
    """The seconds that a picture takes."""
    request = ProviderRequest(
        prompt="a red star on a black background",
        width=64,
        height=64,
        seed=seed,
        steps=STEPS,
        guidance_scale=3.0,
    )
    before = time.perf_counter()
    await engine.submit(request, model, Run(key="benchmark", progress=quiet))
    return time.perf_counter() - before


def by_torch(folder: Path) -> Provider:
    """The tiny model's folder in the child process of the diffusers provider."""
    settings = DiffusersSettings(model_dirs=(FOLDER,), use_hub_cache=False)
    return Diffusers("diffusers", settings, ProviderContext(data_dir=folder))


def built_in(folder: Path) -> Provider:
    """The engine that the server has by itself."""
    return Builtin("builtin", Settings(), ProviderContext(data_dir=folder))


async def pictures(count: int, build: Callable[[Path], Provider]) -> list[float]:
    """The seconds of each picture, the model being in memory."""
    with tempfile.TemporaryDirectory() as folder:
        engine = build(Path(folder))
        model = (await engine.list_models())[0]
        await one(engine, model, 0)
        taken = [await one(engine, model, seed) for seed in range(count)]
        await engine.aclose()
    return taken


async def alone_and_busy() -> None:
    for count in (0, BUSY):
        with busy(count):
            for name, changes in (("threads that spin", SPINNING), ("as it is", {})):
                with environment(changes):
                    taken = await pictures(PICTURES, by_torch)
                what = f"a tiny picture beside {count} busy processes, {name}"
                print(
                    f"{what:60} median {statistics.median(taken):6.2f} s  max {max(taken):6.2f} s"
                )


async def waiting(count: int) -> None:
    """So many clients wait over HTTP, each for one picture after another."""
    own = ENGINE_PICTURES / sum(await pictures(ENGINE_PICTURES, built_in))
    wish = {"prompt": "a red star on a black background", "steps": STEPS, "wait_seconds": 600}
    ended = 0

    async def client(url: str, ready: anyio.Semaphore, go: anyio.Event) -> None:
        nonlocal ended
        async with Client(url) as session:
            await session.list_tools()
            ready.release()
            await go.wait()
            for _ in range(2):
                assert (await data(session, "generate_image", wish))["images"]
                ended += 1

    with tempfile.TemporaryDirectory() as name:
        async with server(Path(name)) as url:
            async with Client(url) as first:
                await data(first, "generate_image", wish)
            go, ready, before = anyio.Event(), anyio.Semaphore(0), 0.0
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(client, url, ready, go)
                for _ in range(count):
                    await ready.acquire()
                before = time.perf_counter()
                go.set()
            through = ended / (time.perf_counter() - before)
    print(
        f"the engine alone {own:.2f} pictures a second;"
        f" {count} clients that wait over HTTP {through:.2f} ({through / own:.0%})"
    )


async def main() -> None:
    await alone_and_busy()
    await waiting(int(sys.argv[1]) if len(sys.argv) > 1 else 32)


if __name__ == "__main__":
    anyio.run(main)
