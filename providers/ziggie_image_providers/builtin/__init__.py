"""The built-in engine on onnxruntime: a demo model, an upscaler, and networks that cut out."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

import anyio.to_thread

from ziggie_image_mcp.provider import (
    DependencyMissing,
    Generation,
    Model,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    Probe,
    ProviderContext,
    ProviderInfo,
    ProviderRequest,
    RequestRejected,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.delivery import InProcess
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_providers.builtin import settings as section
from ziggie_image_providers.builtin import work
from ziggie_image_providers.builtin.cut_out import (
    Network,
    NetworkUnusable,
    NothingStandsOut,
    describe_network,
    find_networks,
    folders,
)
from ziggie_image_providers.builtin.engine import Engine
from ziggie_image_providers.builtin.models import (
    FOLDER,
    TINY,
    UPSCALERS,
    describe_tiny,
    describe_upscaler,
)

PACKAGES = ("onnxruntime", "numpy", "safetensors")


class Builtin(InProcess):
    """The tiny demo model and the compact upscaler, in this process, on the CPU."""

    contract: ClassVar[int] = 1
    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="a demo model of simple scenes, and an upscaler for every picture; no download",
        automatic=True,
        home_page="https://onnxruntime.ai",
    )
    Settings: ClassVar[type[section.Settings]] = section.Settings

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        self.name = name
        self._engine = Engine(FOLDER, settings.idle_seconds)
        self._folders = tuple(settings.model_dirs)

    async def probe(self) -> Probe:
        """Always there; `message` says what is missing all the same."""
        loaded = TINY if self._engine.weights.tiny is not None else ""
        return Probe(state="ready", message=_missing(), loaded_model=loaded)

    async def list_models(self) -> Sequence[Model]:
        """The demo model, the upscalers, and what cuts out."""
        weights, missing = self._engine.weights, _missing()
        models = [
            describe_tiny(self.name, loaded=weights.tiny is not None),
            *(
                describe_upscaler(self.name, name, loaded=weights.upscaler is not None)
                for name in UPSCALERS
            ),
        ]
        models += [
            describe_network(self.name, network, loaded=network.path in weights.networks)
            for network in (await self._networks()).values()
        ]
        if missing:
            return [replace(model, state="missing", fix=missing) for model in models]
        return models

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Make the pictures of one request, or enlarge its picture."""
        missing = _missing()
        if missing:
            raise DependencyMissing(self.name, missing)
        if model.id == TINY:
            steps = request.steps or model.defaults.steps or 1
            guidance = request.guidance_scale
            if guidance is None:
                guidance = model.defaults.guidance_scale or 1.0
            task = partial(work.paint, request, steps, guidance)
        elif model.id in UPSCALERS:
            if request.image is None:
                raise RequestRejected(self.name, f"{model.id} needs a picture to enlarge.")
            task = partial(work.upscale, request, UPSCALERS[model.id])
        elif (network := (await self._networks()).get(model.id)) is not None:
            if request.image is None:
                raise RequestRejected(self.name, f"{model.id} needs a picture to cut out.")
            task = partial(work.remove_background, request, network)
        else:
            models = ", ".join((TINY, *UPSCALERS))
            raise ModelMissing(self.name, f"There is no model {model.id!r} here, only {models}.")
        return await self._run(task, run)

    async def aclose(self) -> None:
        """Stop, and free the memory. May be called twice."""
        await self._engine.aclose()

    async def _networks(self) -> Mapping[str, Network]:
        """What lies in the folders now."""
        return await anyio.to_thread.run_sync(find_networks, folders(self._folders))

    async def _run(self, task: partial[Generation], run: Run) -> Generation:
        try:
            return await self._engine.run(task, run.progress)
        except NothingStandsOut as e:
            raise RequestRejected(self.name, str(e)) from e
        except NetworkUnusable as e:
            raise ModelUnusable(self.name, str(e)) from e
        except MemoryError as e:
            raise OutOfMemory(self.name, "There was too little memory for this picture.") from e
        except ImportError as e:
            raise DependencyMissing(self.name, f"onnxruntime cannot be loaded: {e}") from e
        except (OSError, ValueError, KeyError) as e:
            what = "The built-in model cannot be run; install ziggie-image-mcp again"
            raise ModelUnusable(self.name, f"{what} ({type(e).__name__}: {e})") from e


def _missing() -> str:
    """Which packages are missing, and how to get them; nothing is imported."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    return f"Not installed here: {', '.join(missing)}. Run: {install_command(*missing)}"
