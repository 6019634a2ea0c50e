"""The contract between the server and a provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from ziggie_image_mcp.provider.types import Generation, Model, Progress, ProviderRequest, Submission

ENTRY_POINT_GROUP = "ziggie_image_mcp.providers"


async def _no_secret(name: str) -> str | None:
    return None


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
    secret: Callable[[str], Awaitable[str | None]] = _no_secret
    """Gives a key by its environment variable's name (OPENAI_API_KEY), from the environment, the
    keyring or the key file; None when there is none. Never keep it in a message or a repr."""


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

    async def generate(
        self, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        """Make the pictures of one job.

        Raises:
            ProviderError: A child of it that names what went wrong.
        """
        ...

    async def aclose(self) -> None:
        """Release connections and processes. May be called twice."""
        ...


@runtime_checkable
class PaidProvider(Protocol):
    """A backend that takes money. Its work is cut where a crash must not charge twice.

    The service reserves the money, calls `submit` once, keeps the remote id, and then `collect`s,
    also after a restart. An error of either says by its `charged` what the job cost all the same,
    mostly nothing; OutcomeUnknown says that nobody knows. Neither method retries by itself.
    """

    name: str

    async def models(self) -> Sequence[Model]:
        """List the models with their prices. Asks nobody: the price table is data.

        Raises:
            ProviderError: The provider cannot be used; the message says why and what to do.
        """
        ...

    async def submit(self, request: ProviderRequest, model: Model, key: str) -> Submission:
        """Send one job. `key` is unique to it: an idempotency key where the vendor takes one.

        Raises:
            OutcomeUnknown: The job was sent, and no answer came that tells what became of it.
            ProviderError: Another child of it: the job was refused, and cost its `charged`.
        """
        ...

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        """Wait for a submitted job and fetch its pictures; `cost_micro_usd` is what it cost.

        When cancelled it asks the vendor to stop, where the vendor can.

        Raises:
            OutcomeUnknown: The vendor no longer tells.
            ProviderError: Another child of it: the job failed, and cost its `charged`.
        """
        ...

    async def find(self, key: str) -> str | None:
        """The remote id of the job sent under this key, for vendors that can look one up.

        None when the vendor says that there is no such job, and so no charge.

        Raises:
            OutcomeUnknown: This vendor cannot look up, or does not answer.
        """
        ...

    async def aclose(self) -> None:
        """Release connections. May be called twice."""
        ...


AnyProvider = Provider | PaidProvider


class ProviderType(Protocol):
    """The class that an entry point of the group ENTRY_POINT_GROUP names."""

    Settings: type[BaseModel]
    """This provider's section of config.json; `extra="forbid"`."""

    summary: str
    """What it is, in a few words, for list_models and the docs."""

    automatic: bool
    """True when it is tried without being named in the config: free, and on this machine."""

    def __call__(self, name: str, settings: Any, context: ProviderContext) -> AnyProvider:
        """Build one provider from its validated section."""
        ...
