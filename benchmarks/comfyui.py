"""Measure what a ComfyUI job costs beside the engine's own time: ours, and a bare client's.

python -m benchmarks.comfyui [JOBS] [URL] [MODEL]

A ComfyUI must run there with a small SD 1.5 model (tools/comfyui/serve.py makes one). Each job is
one step at 64 x 64 with a seed of its own; the two clients take turns, so that both meet the same
machine.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from tests.support.factory import machine
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.types import Hardware
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider import ProviderRequest
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_providers.comfyui.compose import GraphJob, compose
from ziggie_image_providers.comfyui.kinds import kind


def tell(name: str, taken: Sequence[float]) -> None:
    cuts = statistics.quantiles(taken, n=10)
    print(
        f"{name:52} median {1000 * statistics.median(taken):6.1f} ms   p90 {1000 * cuts[8]:6.1f} ms"
    )


async def engine_seconds(server: httpx2.AsyncClient, prompt_id: str) -> float:
    """What the engine itself says it took, from its start to its success."""
    history: dict[str, Any] = {}
    async with asyncio.timeout(5):  # it is written a moment after the success is told
        while prompt_id not in history:
            history = (await server.get(f"/api/history/{prompt_id}")).json()
    messages = dict(history[prompt_id]["status"]["messages"])
    begun, ended = (messages[n]["timestamp"] for n in ("execution_start", "execution_success"))
    return float(ended - begun) / 1000


async def bare(
    server: httpx2.AsyncClient, socket: ClientConnection, client_id: str, model: str, seed: int
) -> float:
    """One job of a client that keeps one socket, and does nothing else; its overhead, seconds."""
    how = kind("sd1")
    assert how
    request = ProviderRequest(prompt="a fox", width=64, height=64, steps=1)
    job = GraphJob(
        request=request, kind=how, file=model, whole=True, checkpoint=True, seeds=(seed,)
    )
    prompt_id = str(uuid.uuid4())
    body: dict[str, Any] = {"prompt": compose(job), "prompt_id": prompt_id, "client_id": client_id}
    before = time.perf_counter()
    await server.post("/api/prompt", json=body)
    while True:
        event = json.loads(await socket.recv())
        if event["type"] == "executed" and event["data"]["prompt_id"] == prompt_id:
            image = event["data"]["output"]["images"][0]
            break
    (await server.get("/api/view", params=image)).raise_for_status()
    took = time.perf_counter() - before
    return took - await engine_seconds(server, prompt_id)


async def ours(server: httpx2.AsyncClient, built: Service, model: str, seed: int) -> float:
    """One durable job: decided, reserved, made, checked, kept; its overhead, seconds."""
    request = ImageRequest(prompt="a fox", width=64, height=64, steps=1, seed=seed, model=model)
    before = time.perf_counter()
    await built.generate(request)
    took = time.perf_counter() - before
    [prompt_id] = (await server.get("/api/history", params={"max_items": "1"})).json()
    return took - await engine_seconds(server, prompt_id)


async def probe() -> Hardware:
    return machine()


async def main(jobs: int, url: str, model: str) -> None:
    off = {name: {"enabled": False} for name in ("builtin", "diffusers")}
    settings = {"providers": off | {"comfyui": {"baseUrl": url}}, "cache": False}
    client_id = str(uuid.uuid4())
    address = f"ws{url.removeprefix('http')}/api/ws?clientId={client_id}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = build_service(
            Config.model_validate(settings),
            folder,
            role=Role.ALONE,
            artifacts=ArtifactStore(folder / "pictures"),
            probe=probe,
        )
        async with httpx2.AsyncClient(base_url=url) as server, connect(address) as socket:
            plain: list[float] = []
            durable: list[float] = []
            for i in range(jobs + 2):
                one = await bare(server, socket, client_id, model, 1000 + i)
                other = await ours(server, built, model, 2000 + i)
                if i > 1:  # the first two load and warm up
                    plain.append(one)
                    durable.append(other)
        await built.aclose()
    tell("bare websocket client, beside the engine's time", plain)
    tell("durable job of this server, beside the engine's time", durable)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    asyncio.run(
        main(
            int(arguments[0]) if arguments else 30,
            arguments[1] if len(arguments) > 1 else "http://127.0.0.1:8188",
            arguments[2] if len(arguments) > 2 else "random-sd15.safetensors",
        )
    )
