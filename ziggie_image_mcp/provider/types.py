"""The nouns that travel between the core and a provider. Frozen dataclasses with no behaviour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
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

Progress = Callable[[float, str], Awaitable[None]]
"""Tell the caller how far the work is: a share of 0 to 1, and a short sentence."""


@dataclass(frozen=True, kw_only=True)
class ProviderRequest:
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
    """That picture as PNG, of the job's width and height: only where a provider gets it."""
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
