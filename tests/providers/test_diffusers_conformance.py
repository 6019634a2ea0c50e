"""The suite of all providers, with a worker that says what it was asked."""

from __future__ import annotations

import base64
import importlib.util
import io
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.model_folders import pipeline
from ziggie_image_mcp.provider import Model, Provider, ProviderContext, ProviderRequest, Task
from ziggie_image_mcp.provider.testing.conformance import NAME, ProviderConformance
from ziggie_image_mcp.provider.testing.rig import Rig
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.wire import WorkerRequest

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")),
    reason='needs pip install "ziggie-image-mcp[local]"',
)

ECHO = Path(__file__).parents[1] / "support" / "echo_worker"
FOLDERS = {"sd1": "StableDiffusionPipeline", "flux": "FluxPipeline", "other": "BrandNewPipeline"}


def texts(png: bytes) -> dict[str, str]:
    """What the worker wrote into a picture."""
    with Image.open(io.BytesIO(png)) as image:
        return {str(name): str(text) for name, text in image.info.items()}


class TestDiffusers(ProviderConformance):
    provider_type = Diffusers
    speaks_http = False

    def rig(
        self, *, timeout: float | None = None, **section: Any
    ) -> AbstractAsyncContextManager[Rig]:
        return self._echoing(timeout)

    @asynccontextmanager
    async def _echoing(self, timeout: float | None) -> AsyncGenerator[Rig]:
        with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(ECHO))
            for folder, kind in FOLDERS.items():
                pipeline(Path(name) / folder, kind)
            settings = Settings(model_dirs=(Path(name),), use_hub_cache=False, timeout=timeout)
            provider = Diffusers(NAME, settings, ProviderContext(data_dir=Path(name)))
            try:
                yield Rig(provider=provider)
            finally:
                await provider.aclose()

    async def models(self, provider: Provider) -> Sequence[Model]:
        return await provider.list_models()

    def request(self, model: Model, task: Task, **changes: Any) -> ProviderRequest:
        refused = {"negative_prompt", "sampler", "scheduler"} - model.tasks[task].options
        return super().request(
            model, task, **{name: changes[name] for name in changes if name not in refused}
        )

    async def observed(self, rig: Rig, request: ProviderRequest, model: Model) -> object:
        generation = await self.make(rig, request, model)
        return [texts(image.data) for image in generation.images]

    async def observed_mask(self, rig: Rig, request: ProviderRequest, model: Model) -> bytes | None:
        generation = await self.make(rig, request, model)
        answer = texts(generation.images[0].data)
        start = WorkerRequest.model_validate_json(answer["request"]).image_bytes
        return base64.b64decode(answer["payload"])[start:] or None
