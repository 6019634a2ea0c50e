"""The contract between the server and a provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from ziggie_image_mcp.types import Generation, Job, Model, Progress

ENTRY_POINT_GROUP = "ziggie_image_mcp.providers"


@dataclass(frozen=True, kw_only=True)
class ProviderContext:
    """What the server lends to a provider when it builds one."""

    data_dir: Path
    """The server's own folder; a provider may keep files in a subfolder named after itself."""
    timeout: float | None = None
    """Seconds for one generation, from the config's `api.timeout`; None: the provider's own."""
    gpu: str = "auto"
    """The config's `hardware.gpu`: `auto`, `cpu`, or a device as `cuda:1`."""
    vram_optimization: bool = True
    """The config's `hardware.vramOptimization`."""


class Provider(Protocol):
    """One configured backend. No base class is needed: any class with these members will do.

    A provider opens nothing in `__init__`. `generate` is cancelled like any coroutine: it must
    stop its engine when it sees the cancellation, within two seconds, and let the cancellation
    through. It never retries a generation by itself.
    """

    name: str

    async def models(self) -> Sequence[Model]:
        """List the models that can run here, and those that could after an install.

        Raises:
            ProviderError: The backend cannot be asked; the message says why and what to do.
        """
        ...

    async def generate(self, job: Job, model: Model, progress: Progress) -> Generation:
        """Make the pictures of one job.

        Raises:
            ProviderError: A child of it that names what went wrong.
        """
        ...

    async def aclose(self) -> None:
        """Release connections and processes. May be called twice."""
        ...


class ProviderType(Protocol):
    """The class that an entry point of the group ENTRY_POINT_GROUP names."""

    Settings: ClassVar[type[BaseModel]]
    """This provider's section of config.json; `extra="forbid"`."""

    summary: ClassVar[str]
    """What it is, in a few words, for list_models and the docs."""

    automatic: ClassVar[bool]
    """True when it is tried without being named in the config: free, and on this machine."""

    def __call__(self, name: str, settings: Any, context: ProviderContext) -> Provider:
        """Build one provider from its validated section."""
        ...
