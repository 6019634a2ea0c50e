"""Answers in place of a ComfyUI, and jobs to provoke them with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from tests.support.fake_comfyui import FILES, NODES, PNG, STATS
from ziggie_image_mcp.provider import (
    FREE,
    Generation,
    Model,
    ProviderContext,
    ProviderRequest,
    RemoteJob,
    Run,
)
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.settings import Settings
from ziggie_image_providers.comfyui.watch import Pace

NOBODY = "http://127.0.0.1:1"
"""Where no websocket can be had."""
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
IMAGES = {"save": {"images": [{"filename": "a.png", "subfolder": "ziggie", "type": "output"}]}}

Answer = httpx2.Response | httpx2.RequestError


class Answers:
    """Answers each path as told, and all else as a healthy ComfyUI with FILES would."""

    def __init__(self, answers: Mapping[str, Answer | Any] | None = None, **job: Any) -> None:
        self.answers: dict[str, Answer | Any] = {
            "system_stats": STATS,
            "object_info": NODES,
            "embeddings": [],
            "upload/image": {"name": "picture.png", "subfolder": "ziggie", "type": "temp"},
            "jobs": {"jobs": []},
            "queue": {"queue_running": [], "queue_pending": []},
            "view": httpx2.Response(200, content=PNG),
            **{f"models/{folder}": files for folder, files in FILES.items()},
            **(answers or {}),
        }
        self.job = {"status": "completed", "outputs": IMAGES} | job
        self.posted: list[dict[str, Any]] = []
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        path = request.url.path.partition("/api/")[2]
        posts = path == "prompt" and request.method == "POST"
        if posts:
            self.posted.append(json.loads(request.content))
        elif path == "prompt":
            path = "queue length"
        default: Any = httpx2.Response(404, text="404: Not Found")
        if path == "queue length":
            default = {"exec_info": {"queue_remaining": 0}}
        elif posts:
            default = {"prompt_id": self.posted[-1]["prompt_id"], "number": 3, "node_errors": {}}
        elif path.startswith("jobs/"):
            default = self.job
        answer = self.answers.get(path, default)
        if isinstance(answer, httpx2.RequestError):
            raise answer
        return answer if isinstance(answer, httpx2.Response) else httpx2.Response(200, json=answer)


def provider(answers: Answers, **settings: Any) -> ComfyUI:
    section = Settings.model_validate({"baseUrl": NOBODY} | settings)
    context = ProviderContext(data_dir=Path("unused"), transport=httpx2.MockTransport(answers))
    return ComfyUI("comfyui", section, context, Pace(first=0, longest=0, patience=0))


async def listed(answers: Answers, **settings: Any) -> dict[str, Model]:
    comfy = provider(answers, **settings)
    models = await comfy.list_models()
    await comfy.aclose()
    return {m.id: m for m in models}


def named(id: str) -> Model:
    return Model(id=id, provider="comfyui", where="this_machine", tasks={}, prices=FREE)


async def silence(share: float, sentence: str) -> None:
    pass


async def generate(comfy: ComfyUI, request: ProviderRequest, model: Model, run: Run) -> Generation:
    """Submit and collect, as the executor does, and close."""
    try:
        job = await comfy.submit(request, model, run)
        assert isinstance(job, RemoteJob)
        return await comfy.collect(job.id, request, model, run)
    finally:
        await comfy.aclose()


async def generated(
    answers: Answers, model: str, _settings: Mapping[str, Any] | None = None, **changes: Any
) -> Generation:
    values: dict[str, Any] = {"prompt": "a red fox", "width": 512, "height": 768, "seed": 2**32 - 1}
    request = ProviderRequest(**(values | changes))
    run = Run(key="a-run", progress=silence)
    return await generate(provider(answers, **(_settings or {})), request, named(model), run)
