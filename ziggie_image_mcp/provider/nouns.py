"""The nouns that travel between the core and a provider. Frozen dataclasses with no behaviour."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from ziggie_image_mcp.provider.capabilities import Amount, Count, Option, Task, TaskCapability
from ziggie_image_mcp.provider.pricing import UNKNOWN_COST, Cost, Prices

HERE = "127.0.0.1"
"""This machine, where its servers listen for nobody else."""

Where = Literal["this_machine", "own_network", "vendor"]
"""Who sees prompts and pictures: this machine alone, the user's own hosts, or a vendor."""

State = Literal["ready", "loaded", "missing", "unusable"]
"""`loaded`: in memory, so that the next picture waits for nothing. `missing`: a file of it is not
here. `unusable`: it cannot be run here at all. `Model.fix` says what to do about the last two."""

Role = Literal["model", "lora", "control", "embedding"]
"""What a file is for: a model makes or changes pictures by itself; the others are laid over one,
guide it, or are called in a prompt."""

Progress = Callable[[float, str], Awaitable[None]]
"""Tell the caller how far the work is: a share of 0 to 1, and a short sentence."""

Preview = Callable[[bytes], None]
"""Show a picture of the unfinished work: JPEG, PNG or WebP, as the engine gives it. Quick, and
never raises."""


_DATED = re.compile(r"[-@](\d{4}-?\d{2}-?\d{2}|latest)$")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A LoRA to lay over the model."""

    id: str
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Control:
    """A picture that guides the composition."""

    kind: str
    """As canny, depth, pose."""
    image_id: str
    weight: float = 1.0
    compute: bool = False
    """True where the engine makes the map out of the picture; False where the picture is it."""
    image: bytes | None = field(default=None, repr=False)
    """PNG: only where a provider gets it."""


@dataclass(frozen=True, kw_only=True)
class ProviderRequest:
    """One call of a provider: a request in which nothing is left open."""

    task: Task = "text_to_image"
    prompt: str
    negative_prompt: str = ""
    width: int
    height: int
    bucket: str = ""
    """What the backend calls this size, where its sizes are a list with names."""
    num_images: int = 1
    seed: int = 0
    """Picture i is made with seed + i, modulo 2**32, where the model takes a seed."""
    steps: int | None = None
    """None where the model takes no number of steps."""
    guidance_scale: float | None = None
    """None where the model takes no guidance."""
    sampler: str | None = None
    scheduler: str | None = None
    strength: float | None = None
    """None where the model takes none, or where there is no image."""
    quality: str = ""
    """In the backend's words, as low, medium, high; empty where the model knows none."""
    transparent: bool = False
    seamless: bool = False
    style: str = ""
    factor: int | None = None
    """Of an upscale: how many times the sides grow."""
    image_id: str = ""
    """Of the picture to change; empty for text to image."""
    mask_id: str = ""
    reference_ids: tuple[str, ...] = ()
    loras: tuple[Lora, ...] = ()
    control: tuple[Control, ...] = ()
    image: bytes | None = field(default=None, repr=False)
    """The picture to change as PNG, of the request's width and height: only where a provider gets
    it. The core has cut it out and scaled it."""
    mask: bytes | None = field(default=None, repr=False)
    """As PNG of the same size, in 8-bit grey: white is painted anew."""
    references: tuple[bytes, ...] = field(default=(), repr=False)
    """The pictures of `reference_ids` as PNG: only where a provider gets them."""


@dataclass(frozen=True, kw_only=True)
class SpeedMeasurement:
    """How fast a model ran by one way, measured on this machine; the usual way is the first."""

    name: str
    """In a few words, as `compiled`."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """Of a picture after the first: the median. None where it did not run."""
    first_seconds: float | None = None
    """Of the first picture, without loading the model."""
    difference: Annotated[float, Field(ge=0)] | None = None
    """Mean over pixels and colours of how far its picture is from the usual one, of 255."""
    pays: bool = False
    """Whether it is enough faster to be taken where the engine may choose."""
    pays_from: Count | None = None
    """From how many pictures in one process on it has saved time, the slower first one included."""
    why_not: str = ""
    """Why it did not run, and what helps."""


ANY_DEVICE = ("", "auto", "gpu")
"""`Model.device` where the decision may choose among this machine's devices."""


@dataclass(frozen=True, kw_only=True)
class Peak:
    """What one stage of making a picture takes where it runs: more, the larger the picture."""

    bytes: Amount
    """Whatever the size."""
    bytes_per_pixel: Annotated[float, Field(ge=0)] = 0.0
    most_pixels: Count | None = None
    """More are worked on in tiles of so many; None where all are worked on at once."""


def peak_bytes(peaks: Sequence[Peak], pixels: int) -> int:
    """What the stage that takes the most takes, for one picture of so many pixels."""
    return max(
        int(one.bytes + one.bytes_per_pixel * min(pixels, one.most_pixels or pixels))
        for one in peaks
    )


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One way of holding a model that a GPU runs, bytes."""

    name: str
    """As full, model offload."""
    vram_bytes: Amount
    """On the GPU at the peak, for one picture of native size."""
    peaks: tuple[Peak, ...] = ()
    """The same by the picture's size; none where `vram_bytes` holds for all sizes."""
    ram_bytes: Amount = 0
    """Of weights that wait in main memory."""
    slowdown: Annotated[float, Field(ge=1)] = 1.0
    """How many times longer a picture takes so than where the GPU holds all of it."""
    exact: bool = True
    """False where pictures differ from those of the model as it is, as where its weights are
    quantised."""
    fix: str = ""
    """What makes it possible where something is missing, as pip install torchao."""
    by_layer: bool = False
    """Whether the GPU has one layer at a time, so that LoRAs and ControlNets take main memory alone
    and no more of the GPU's."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a provider's own idle worker has on a device, bytes. It is freed for another model."""

    device: str
    vram_bytes: Amount
    ram_bytes: Amount
    """Of main memory, for this device."""
    rung: str = ""
    """How the model is held that lists this, where it is the one in memory there."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a model needs, bytes; None when unknown."""

    vram_bytes: Amount | None = None
    """GPU memory of the cheapest supported way of running it."""
    ram_bytes: Amount | None = None
    """Main memory where the processor runs it, for one picture of native size."""
    ram_peaks: tuple[Peak, ...] = ()
    """The same by the picture's size; none where `ram_bytes` holds for all sizes."""
    rungs: tuple[Rung, ...] = ()
    """The ways of holding it on a GPU, the fastest first. A provider that names them is told which
    one was chosen (`Model.rung`), and on which device (`Model.device`)."""
    held: tuple[Held, ...] = ()
    managed: bool = False
    """True when another process (an engine's server) holds the weights and does its own fitting."""


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a model is asked for where the caller leaves it open."""

    steps: Count | None = None
    guidance_scale: float | None = None
    quality: str = ""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that one provider can run, with the facts that decide its fate."""

    id: Annotated[str, Field(min_length=1)]
    """As the provider knows it: a file name, a folder, a Hub id."""
    provider: str
    where: Where
    tasks: Mapping[Task, TaskCapability]
    """Empty where it cannot be told what it does."""
    prices: Prices
    """A price book, or FREE; never left out."""
    role: Role = "model"
    """What is no model of its own has no tasks; requests ask for it by name."""
    family: str | None = None
    """Architecture, as `sd1`, `sdxl`, `flux1`; None when it could not be told."""
    title: str = ""
    aliases: tuple[str, ...] = ()
    license: str = ""
    commercial_use: bool | None = None
    state: State = "ready"
    fix: str = ""
    """What makes a missing or unusable model work."""
    device: str = ""
    """What runs one job at a time, as `cuda:0` or an engine's URL: jobs of one device wait for each
    other. Empty where any number may run at once (cloud)."""
    rung: str = ""
    """How it is to be held in memory, the name of one of `memory.rungs` or cpu: the decision fills
    it in. Empty where the engine finds out by itself."""
    device_memory: Amount | None = None
    """Of the GPU that runs it, bytes (0: the processor does), where the decision chose it or an
    engine of its own told: it may be another machine's. None where it is this machine's best one,
    or nobody told."""
    memory: Memory = Memory()
    defaults: Defaults = Defaults()
    distilled: bool = False
    """True when it works only near its own steps and guidance (turbo, schnell, lightning)."""
    demo: bool = False
    """True for the built-in tiny model: a proof that all works, not a model for real pictures."""
    quality: Annotated[float, Field(ge=0, le=10)] | None = None
    """0 to 10, the source report's scale; None when unknown."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """Expected for one picture at native size and default steps, when the provider knows."""
    work: Annotated[float, Field(ge=0)] | None = None
    """Of that picture, when known: steps x passes x 10^9 parameters x 1024 x 1024 pixels."""
    load_seconds: Annotated[float, Field(ge=0)] | None = None
    """Expected to start the engine and load the model, when the provider knows."""
    queued: Amount = 0
    """How many requests of others wait or run where it runs, before one that is sent now."""
    slowdown: Annotated[float, Field(ge=1)] = 1.0
    """How many times longer it takes here than where its device holds all, if nobody timed it."""
    note: str = ""
    """What a caller should know of running it here, a sentence: said with each of its results."""
    deprecated_on: date | None = None
    """When the vendor takes it away."""


def is_local(model: Model) -> bool:
    """Whether neither prompt nor picture leaves the user's own machines."""
    return model.where != "vendor"


def is_present(model: Model) -> bool:
    """Whether nothing is missing to run it."""
    return model.state in ("ready", "loaded")


def is_same_model(served: str, model: Model) -> bool:
    """Whether what an answer calls its model is this one, but for an owner, a version or a day."""

    def plain(id: str) -> str:
        return _DATED.sub("", id.lower().rpartition("/")[2].partition(":")[0].strip())

    return plain(served) in map(plain, (model.id, *model.aliases))


def options_of(model: Model, task: Task) -> frozenset[Option]:
    """What the model honours in a task; nothing where it does not do the task."""
    capability = model.tasks.get(task)
    return frozenset() if capability is None else capability.options


def _always() -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a request."""

    key: str
    """Unique to this execution, and the same in whatever process goes on with it: an idempotency
    key where the vendor takes one, and what an engine's own ids are derived from."""
    progress: Progress
    is_ours: Callable[[], bool] = _always
    """False once another process has taken the execution up: what was sent is left to it then, and
    not stopped."""
    preview: Preview | None = None
    """Takes pictures of the unfinished work; None where nobody looks at them."""
    deadline: datetime | None = None
    """UTC; when nobody waits for the pictures any more. None where they may take any time."""


@dataclass(frozen=True, kw_only=True)
class GeneratedImage:
    """A picture as a provider gave it: encoded bytes, not yet checked."""

    data: bytes
    seed: int | None
    """None when the provider does not tell; such a picture cannot be made again."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What a provider gives back for one request."""

    images: tuple[GeneratedImage, ...]
    notes: tuple[str, ...] = ()
    """What the caller should know: what was not read, what was done otherwise. A sentence each."""
    cost: Cost = UNKNOWN_COST
    """What a free model costs is not looked at."""
    load_seconds: Annotated[float, Field(ge=0)] | None = None
    """How much of the time went into starting the engine and loading the model: 0 where it was in
    memory, None where the provider does not tell."""
    compile_seconds: Annotated[float, Field(ge=0)] = 0.0
    """How much more of it compiled the model, or failed at that and was done anew: later pictures
    of this size need not wait for it."""


@dataclass(frozen=True, kw_only=True)
class RemoteJob:
    """A request that the backend works on, and where it will be found."""

    id: Annotated[str, Field(min_length=1)]
    """The backend's own, or several of them in a form that the provider reads again."""


Submission = Generation | RemoteJob
"""What becomes of a request that was sent: the answer is here, or it is to be collected."""


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What became of a request whose process died.

    `not_sent`: the backend has no such request, and never charges for it. `running`, `finished`:
    it is collected under `remote_id`. `failed`: it came to nothing, and cost `cost`. `unknowable`:
    this backend cannot look it up, or does not answer.
    """

    state: Literal["not_sent", "running", "finished", "failed", "unknowable"]
    remote_id: str = ""
    cost: Cost = UNKNOWN_COST
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class CancelOutcome:
    """What came of asking the backend to stop."""

    state: Literal["stopped", "too_late", "unsupported"]
    cost: Cost = UNKNOWN_COST
    """Of what was stopped."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Whether the backend is there, and as what."""

    state: Literal["ready", "unreachable", "unauthorised", "wrong_service"]
    message: str = ""
    """Where it is not ready: why, and what to do."""
    flavour: str = ""
    """Which dialect of its API it speaks."""
    version: str = ""
    url: str = ""
    """Where it answers, as messages write it; an engine of the user's own tells it."""
    loaded_model: str = ""
    queue_length: Amount | None = None
    free_memory: Amount | None = None
    """GPU memory, bytes."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What is left on the account with a vendor."""

    micro_usd: int
