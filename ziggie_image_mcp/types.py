"""The nouns: what travels between the rooms. Frozen dataclasses with no behaviour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

Feature = Literal[
    "text_to_image",
    "image_to_image",
    "inpaint",
    "strength",
    "negative_prompt",
    "seed",
    "steps",
    "guidance_scale",
    "sampler",
    "scheduler",
]
"""What a request may ask of a model. A model lists what it honours; nothing is dropped unsaid."""

OutputFormat = Literal["png", "webp", "jpeg"]
QualityTier = Literal["draft", "standard", "high"]

Progress = Callable[[float, str], Awaitable[None]]
"""Tell the caller how far the work is: a share of 0 to 1, and a short sentence."""


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """What the caller asked for. None means: the route decides."""

    prompt: str
    negative_prompt: str = ""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    aspect_ratio: str | None = None
    """As "16:9"; the model's own size is shaped to it. Not together with width and height."""
    num_images: int = 1
    seed: int | None = None
    """0 to 2**32 - 1. Picture i of a batch is made with seed + i, modulo 2**32."""
    steps: int | None = None
    guidance_scale: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    model: str | None = None
    provider: str | None = None
    """`auto`, `local`, `cloud` or the name of one provider."""
    quality: QualityTier | None = None
    max_cost_usd: float | None = None
    """Upper bound for the whole call, US dollars."""
    allow_paid: bool = False
    """The caller's yes to a paid route; the budget holds all the same."""
    output_format: OutputFormat | None = None
    file_name: str = ""
    """A hint for the file's name, never a path."""
    image: GivenImage | None = None
    """The picture to change. Without one the request is text to image."""
    mask: GivenImage | None = None
    """White is painted anew, black stays; of the same size as the image."""
    strength: float | None = None
    """How much of the image changes: above 0, to 1 where nothing of it is left."""


@dataclass(frozen=True, kw_only=True)
class GivenImage:
    """A picture that stands in the store, to work from."""

    id: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call of a provider: a request in which nothing is left open."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    num_images: int
    seed: int
    steps: int | None
    """None where the model takes no number of steps."""
    guidance_scale: float | None
    """None where the model takes no guidance."""
    sampler: str | None = None
    scheduler: str | None = None
    strength: float | None = None
    """None where the model takes none, or where there is no image."""
    image_id: str = ""
    """Of the picture to change; empty for text to image."""
    mask_id: str = ""
    image: bytes | None = field(default=None, repr=False)
    """That picture as PNG, of the job's width and height: only in the hands of a provider."""
    mask: bytes | None = field(default=None, repr=False)
    """As PNG of the same size, in shades of grey: white is painted anew."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that one provider can run, with the facts that decide its fate."""

    id: str
    """As the provider knows it: a file name, a folder, a Hub id."""
    provider: str
    local: bool
    """True when neither prompt nor picture leaves this machine or the user's own hosts."""
    family: str | None = None
    """Architecture, as `sd1`, `sdxl`, `flux1`; None when it could not be told."""
    title: str = ""
    aliases: tuple[str, ...] = ()
    features: frozenset[Feature] = frozenset()
    installed: bool = True
    how_to_install: str = ""
    demo: bool = False
    """True for the built-in tiny model: a proof that all works, not a model for real pictures."""
    loaded: bool = False
    native_width: int = 1024
    native_height: int = 1024
    min_side: int = 64
    max_side: int = 2048
    multiple_of: int = 8
    """Width and height must be multiples of this, pixels."""
    min_pixels: int = 0
    """Width times height at least."""
    max_pixels: int | None = None
    """Width times height at most; None: what the sides allow."""
    max_images: int = 16
    default_steps: int | None = None
    default_guidance: float | None = None
    distilled: bool = False
    """True when it works only near its own steps and guidance (turbo, schnell, lightning)."""
    vram_bytes: int | None = None
    """GPU memory that the cheapest supported way of running it needs; None when unknown."""
    ram_bytes: int | None = None
    device: str = ""
    """What runs one job at a time, as `cuda:0` or an engine's URL: jobs of one device wait for each
    other. Empty where any number may run at once (cloud)."""
    remote: bool = False
    """True when another process (an engine's server) holds the weights and does its own fitting."""
    quality: float | None = None
    """0 to 10, the source report's scale; None when unknown."""
    license: str = ""
    commercial_use: bool | None = None
    price_micro_usd: int | None = 0
    """Upper bound for one picture of any size, 1e-6 USD; 0 for what is free, None when unknown."""
    price_by_pixels: tuple[tuple[int, int], ...] = ()
    """Where the price depends on the size: (pixels, 1e-6 USD for a picture of at most so many),
    the smallest first."""
    price_of_given_micro_usd: int = 0
    """Added once for a picture to work from, upper bound, 1e-6 USD."""
    price_as_of: date | None = None
    """When the price was read; None for free models and for prices that the user set."""
    seconds: float | None = None
    """Expected for one picture at native size and default steps, when the provider knows."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One graphics processor. Bytes; None when it could not be told."""

    name: str
    vendor: Literal["nvidia", "amd", "apple", "intel", "unknown"]
    index: int = 0
    vram_total: int | None = None
    vram_free: int | None = None
    driver: str | None = None
    unified_memory: bool = False


Tier = Literal["cpu", "below_minimum", "budget", "recommended", "professional"]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """This machine. Bytes; None when it could not be told."""

    os: str
    machine: str
    cpu: str | None = None
    cpu_cores: int | None = None
    ram_total: int | None = None
    ram_available: int | None = None
    disk_free: int | None = None
    gpus: tuple[Gpu, ...] = ()
    notes: tuple[str, ...] = ()
    """What was tried and did not answer, one sentence each."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why not: what stood against a model or a provider, and what would change it."""

    code: str
    have: str
    need: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A model, or a whole provider (`model` is None), left out, with every reason."""

    provider: str
    model: str | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What answered when the providers were asked, and why the others did not."""

    models: tuple[Model, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    configured: frozenset[str] = frozenset()
    """Providers that the user's config names, as against those merely looked for."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that passed every filter, with the job as it would be given to it."""

    model: Model
    job: Job
    score: float
    """US dollars; lower wins."""
    cost_micro_usd: int
    seconds: float
    """Expected until the pictures are there."""
    why: str
    notes: tuple[str, ...] = ()
    """What differs from the request, one sentence each."""
    wait_seconds: float = 0.0
    """How many of the expected seconds are spent in the device's line."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The routes in the order in which they will be tried, and those left out."""

    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, kw_only=True)
class GeneratedImage:
    """A picture as a provider gave it: encoded bytes, not yet checked."""

    data: bytes
    seed: int | None
    """None when the provider does not tell; such a picture cannot be made again."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What a provider gives back for one job."""

    images: tuple[GeneratedImage, ...]
    notes: tuple[str, ...] = ()
    cost_micro_usd: int = 0


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a paid provider answers to a job: the pictures at once, or where they will be."""

    remote_id: str = ""
    """The vendor's own id; empty when the vendor has none."""
    generation: Generation | None = None


HoldState = Literal["reserved", "submitted", "settled", "released", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Money set aside for one attempt. Amounts in 1e-6 USD.

    reserved -> submitted -> settled | unknown; both may be released when nothing was charged, and
    unknown may yet be settled or released. `unknown` counts as spent.
    """

    id: str
    provider: str
    model: str
    images: int
    estimate: int
    actual: int | None
    state: HoldState
    remote_id: str
    created: datetime
    """UTC."""
    owner: str
    """The process that holds it, as host:pid:start."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What is spent and held in the current day and month (UTC), 1e-6 USD."""

    day: int = 0
    month: int = 0
    by_provider_day: Mapping[str, int] = field(default_factory=dict[str, int])
    by_provider_month: Mapping[str, int] = field(default_factory=dict[str, int])
    unknown: int = 0
    """How many attempts ended without anybody knowing whether they were charged."""


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """What stands against a model now. One that is closed and has no failures is not kept."""

    provider: str
    model: str
    """"*" for the whole provider."""
    failures: int = 0
    """Since the last success."""
    opens: int = 0
    """How often failures opened it since the last success."""
    open_until: datetime | None = None
    """In the past where it is half-open; None where it never opened."""
    code: str = ""
    """Of the error that opened it, or of the latest where it is closed."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """What one picture of a bucket takes: the mean of the logarithms, the newest weighing most."""

    provider: str
    model: str
    bucket: str
    seconds: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """Who waits for one device, at one moment."""

    device: str
    running: int = 0
    waiting: int = 0
    seconds: float = 0.0
    """Expected until a newcomer's turn."""
    model: str = ""
    """The model that the device ran last; empty when unknown."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was learnt, at one moment. Plain data, for the policy to look at."""

    breakers: Mapping[tuple[str, str], Breaker] = field(
        default_factory=dict[tuple[str, str], Breaker]
    )
    """By provider and model."""
    latencies: Mapping[tuple[str, str, str], Latency] = field(
        default_factory=dict[tuple[str, str, str], Latency]
    )
    """By provider, model and bucket."""
    lines: Mapping[str, Line] = field(default_factory=dict[str, Line])
    """By device."""


@dataclass(frozen=True, kw_only=True)
class Consent:
    """A person's yes to one paid route, up to an amount in 1e-6 USD."""

    provider: str
    model: str
    micro_usd: int


@dataclass(frozen=True, kw_only=True)
class Quote:
    """The paid route that a request would take if somebody said yes."""

    provider: str
    model: str
    images: int
    micro_usd: int
    hold: str = ""
    """The hold that sets this amount aside while the question is open; empty where none does."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One provider tried for one request."""

    provider: str
    model: str
    ok: bool
    milliseconds: int
    error_code: str = ""
    error: str = ""
    cost_micro_usd: int = 0


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """A picture on disk."""

    id: str
    path: str
    media_type: str
    width: int
    height: int
    bytes: int
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one request led to."""

    images: tuple[StoredImage, ...]
    model: Model
    job: Job
    requested_width: int | None
    requested_height: int | None
    why: str
    attempts: tuple[Attempt, ...]
    notes: tuple[str, ...]
    cost_micro_usd: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A picture made small enough to show to a model."""

    data: bytes
    media_type: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a picture was made, as it is written into the file and beside it."""

    prompt: str
    negative_prompt: str
    provider: str
    model: str
    seed: int | None
    steps: int | None
    guidance_scale: float | None
    width: int
    height: int
    extra: Mapping[str, str] = field(default_factory=dict[str, str])
