"""Diffusers: run models on this machine, in a child process that alone imports torch."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from ziggie_image_mcp.errors import DependencyMissing, ModelMissing, ModelUnusable, OutOfMemory
from ziggie_image_mcp.provider.contract import ProviderContext
from ziggie_image_mcp.provider.types import Generation, Model, Progress, ProviderRequest
from ziggie_image_providers.diffusers import settings as section
from ziggie_image_providers.diffusers.device import Device
from ziggie_image_providers.diffusers.listing import describe, packages_missing
from ziggie_image_providers.diffusers.scan import TINY_ID, Found, default_hub_cache, find, locate
from ziggie_image_providers.diffusers.worker_request import differences, payload, worker_request

PACKAGES = ("torch", "diffusers", "transformers")

TINY_NOTE = (
    "Made by the built-in demo model, which knows only simple scenes of 64 pixels. For real "
    "pictures put a model into a folder of providers.diffusers.modelDirs, or start ComfyUI."
)


class Diffusers:
    """Models of the diffusers library, on this machine's GPU or CPU."""

    Settings: ClassVar[type[BaseModel]] = section.Settings
    summary: ClassVar[str] = "diffusers models on this machine, and a tiny built-in one"
    automatic: ClassVar[bool] = True

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        self.name = name
        self._settings = settings
        self._context = context
        self._tight: set[str] = set()
        """Models that did not fit at once."""
        self._device = Device(
            name,
            idle_seconds=settings.idle_seconds,
            load_seconds=settings.load_seconds,
            step_seconds=settings.step_seconds,
            total_seconds=context.timeout,
        )

    async def models(self) -> Sequence[Model]:
        """List the built-in model, those in `model_dirs`, and those in the Hub cache."""
        found = await asyncio.to_thread(find, self._settings.model_dirs, self._hub_cache())
        return [self._describe(one) for one in found.values()]

    async def generate(
        self, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        """Make the pictures of one job. `model.id` may also be an absolute path."""
        missing = missing_packages()
        if missing:
            raise DependencyMissing(self.name, packages_missing(missing))
        found = await asyncio.to_thread(
            locate, model.id, self._settings.model_dirs, self._hub_cache()
        )
        if found is None:
            raise ModelMissing(
                self.name,
                f"There is no model {model.id!r} in modelDirs or the Hub cache: "
                "list_models shows what is there.",
            )
        if found.trouble is not None:
            kind = ModelMissing if found.trouble.kind == "missing" else ModelUnusable
            raise kind(self.name, found.trouble.text)
        told = worker_request(
            request, self._describe(found), found, settings=self._settings, context=self._context
        )
        if found.id in self._tight:
            told = told.model_copy(update={"must_offload": True})
        try:
            images = await self._device.run(told, progress, payload(request))
        except OutOfMemory:
            self._tight.add(found.id)
            raise
        notes = (TINY_NOTE,) if found.id == TINY_ID else ()
        return Generation(images=images, notes=(*notes, *differences(request)))

    async def aclose(self) -> None:
        """End the worker. May be called twice."""
        await self._device.aclose()

    def _describe(self, found: Found) -> Model:
        model = describe(
            found,
            provider=self.name,
            missing=missing_packages(),
            frugal=self._context.vram_optimization,
            loaded=str(found.path) == self._device.loaded,
        )
        gpu = "gpu" if self._context.gpu == "auto" else self._context.gpu
        return replace(model, device="cpu" if found.id == TINY_ID else gpu)

    def _hub_cache(self) -> Path | None:
        return default_hub_cache() if self._settings.use_hub_cache else None


def missing_packages() -> tuple[str, ...]:
    """Name the packages that the worker would not find, without importing any."""
    return tuple(name for name in PACKAGES if importlib.util.find_spec(name) is None)
