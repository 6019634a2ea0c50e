"""The contract between the server and a provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import BaseModel

from ziggie_image_mcp.provider.nouns import (
    HERE,
    Balance,
    CancelOutcome,
    Generation,
    Model,
    Probe,
    Progress,
    ProviderRequest,
    Resolution,
    Run,
    SpeedMeasurement,
    Submission,
)
from ziggie_image_mcp.provider.pricing import Estimate

if TYPE_CHECKING:
    import httpx2

ENTRY_POINT_GROUP = "ziggie_image_mcp.providers"

CONTRACT = 1
"""The version of this contract. A provider that says another is left out, with the reason."""

MODELS_FOLDER = "models"
"""Below the server's own folder: where `models pull` puts single files that no cache keeps. Who
runs models from folders lists it too."""

PROBE_SECONDS = 2.0
CANCEL_SECONDS = 2.0
STOP_SECONDS = 1.5
"""What a provider's `cancel` waits for its backend, so that the rest is left to write it down."""


async def _no_secret(name: str) -> str | None:
    return None


Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the IP addresses of a host; none when it cannot be resolved."""


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
    hosts: tuple[str, ...] = (HERE,)
    """Where local engines are looked for, this machine first: the config's `engineHosts`."""
    secret: Callable[[str], Awaitable[str | None]] = _no_secret
    """Gives a key by its environment variable's name (OPENAI_API_KEY), from the environment, the
    keyring or the key file; None when there is none. Never keep it in a message or a repr."""
    transport: httpx2.AsyncBaseTransport | None = None
    """Carries all HTTP in place of the network, so that a test can answer."""
    resolver: Resolver | None = None
    """Looks up hosts in place of the system."""
    max_answer_bytes: int = 400 * 2**20
    """No answer of a backend is read beyond this: ten pictures of 30 MB as base64, with room."""


@dataclass(frozen=True, kw_only=True)
class ProviderInfo:
    """What is known of a kind of provider before one is built."""

    summary: str
    """What it is, in a few words, for list_models and the docs."""
    automatic: bool = False
    """True when it is tried without being named in the config: free, and on this machine."""
    key_names: tuple[str, ...] = ()
    """The environment variables of its keys. Who has the first has the provider."""
    home_page: str = ""
    """Where people get an account or the engine."""
    extra: str = ""
    """The extra of the distribution that brings its packages."""
    detection_order: int = 100
    """Where several kinds listen on the same port, the lowest is probed first."""


@runtime_checkable
class Provider(Protocol):
    """One configured backend. No base class is needed: any class with these members will do.

    A provider opens nothing in `__init__`, and never tries a submit again by itself: the executor
    decides what is tried again. The executor alone calls `submit` and `collect`. It cancels them
    like any coroutine: they must end within `CANCEL_SECONDS`, and let the cancellation through;
    whatever works in this process is stopped by that. Then it calls `cancel` where there is a
    remote id.
    """

    name: str

    async def probe(self) -> Probe:
        """Look whether the backend is there. Never raises; ends within `PROBE_SECONDS`."""
        ...

    async def list_models(self) -> Sequence[Model]:
        """List the models that can run here, and those that could after an install. Costs nothing.

        Raises:
            ProviderError: The backend cannot be asked; the message says why and what to do.
        """
        ...

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """What a request would cost: pure, quick, without I/O. None when nobody can tell.

        `pricing.estimate` reads the model's prices, and is what most providers return.
        """
        ...

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Send one request, once.

        Raises:
            OutcomeUnknown: It was sent, and no answer came that tells what became of it.
            ProviderError: Another child of it: it was refused, and cost its `charged`.
        """
        ...

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Wait for a request that was sent, in this process or another, and fetch its pictures.

        Raises:
            OutcomeUnknown: The backend no longer tells.
            ProviderError: Another child of it: the request failed, and cost its `charged`.
        """
        ...

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Find out what became of a request whose process died.

        Args:
            key: The key of its run.
            remote_id: What `submit` returned; empty where nobody knows.
        """
        ...

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """Ask the backend to stop. Never raises; ends within `CANCEL_SECONDS`."""
        ...

    async def balance(self) -> Balance | None:
        """What is left on the account, only where it costs nothing to ask; None elsewhere.

        Raises:
            ProviderError: The vendor cannot be asked.
        """
        ...

    async def aclose(self) -> None:
        """Release connections and processes. May be called twice."""
        ...


@runtime_checkable
class ScansFolders(Protocol):
    """A provider that runs models from folders of this machine. Optional: others lack all of it.

    `models scan DIR` asks it what lies in a folder that the config does not name.
    """

    @property
    def folders_key(self) -> str:
        """The key of its section of config.json with the list of its folders: a ClassVar."""
        ...

    async def scan(self, folder: Path) -> Sequence[Model]:
        """List what lies in a folder, as `list_models` would if the config named that folder.

        What is of no use to this provider is listed with its reason. Nothing is loaded or changed.

        Raises:
            ProviderError: The folder cannot be looked into; the message says why.
        """
        ...


@runtime_checkable
class StartsAhead(Protocol):
    """What a provider may have beside: an engine that takes seconds to start, in its own care.

    Both cost nothing, return soon, and are called on the loop of `submit`.
    """

    async def start_ahead(self, model: str | None) -> None:
        """Start what a request for this model (None: for any) would need, before it is decided.

        What nobody uses within a minute or so is ended again. Nothing is done where a model of
        this name is not here, or the engine runs.
        """
        ...

    async def stand_down(self) -> None:
        """End what was started ahead and is not used."""
        ...


@runtime_checkable
class MeasuresSpeed(Protocol):
    """A provider that can run a model by several ways, and keeps which of them pay. Optional.

    `models measure NAME` asks it.
    """

    async def measure(
        self, request: ProviderRequest, model: Model, pictures: int, progress: Progress
    ) -> Sequence[SpeedMeasurement]:
        """Make pictures by each way, the usual one first, and remember what came of it.

        Args:
            request: For one picture, as `submit` gets it.
            model: By what.
            pictures: How many are timed after the first of each way.
            progress: Is told which way runs.

        Raises:
            ProviderError: The usual way failed, or nothing can be remembered.
        """
        ...


class ProviderType(Protocol):
    """The class that an entry point of the group ENTRY_POINT_GROUP names."""

    @property
    def contract(self) -> int:
        """CONTRACT, written as the number: a ClassVar."""
        ...

    @property
    def info(self) -> ProviderInfo:
        """What is known before one is built: a ClassVar."""
        ...

    @property
    def Settings(self) -> type[BaseModel]:
        """This provider's section of config.json; `extra="forbid"`: a ClassVar."""
        ...

    def __call__(self, name: str, settings: Any, context: ProviderContext) -> Provider:
        """Build one provider from its validated section."""
        ...
