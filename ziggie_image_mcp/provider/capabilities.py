"""Say what a model can do: tasks, options, sizes, masks, LoRAs, control, prompt limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
"""At least one."""

Amount = Annotated[int, Field(ge=0)]
"""Never below 0."""

Task = Literal[
    "text_to_image", "image_to_image", "inpaint", "outpaint", "upscale", "remove_background"
]

Option = Literal[
    "negative_prompt",
    "seed",
    "steps",
    "guidance_scale",
    "sampler",
    "scheduler",
    "strength",
    "quality",
    "transparent",
    "seamless",
    "style",
]
"""What a request may ask of a model beside prompt and size. A model lists what it honours, task by
task; what it does not list is never asked of it."""

OutputFormat = Literal["png", "webp", "jpeg"]
ProcessedFormat = Literal["png", "webp", "jpeg", "svg", "gif"]
"""What a finished picture may be made into; those that are made have the first three."""

MaskPolarity = Literal["white", "black", "alpha"]
"""What a backend paints anew: where its mask is white, where it is black, where it is transparent.

The mask of a request is always 8-bit grey, and white is painted anew; `masks` converts it."""


@dataclass(frozen=True, kw_only=True)
class FreeSize:
    """Any width and height within bounds. Pixels."""

    native_width: Count = 1024
    """What the model is best at, and what it makes where nothing else is asked."""
    native_height: Count = 1024
    min_side: Count = 64
    max_side: Count = 2048
    multiple_of: Count = 8
    min_pixels: Amount = 0
    """Width times height at least."""
    max_pixels: Count | None = None
    """Width times height at most; None: what the sides allow."""
    max_ratio: Annotated[float, Field(ge=1)] | None = None
    """The longer side by the shorter one at most; None: what the sides allow."""
    exact: bool = True
    """False where the backend keeps the shape alone, and makes as many pixels as it likes."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One size of a list. Pixels."""

    width: Count
    height: Count
    name: str = ""
    """In the backend's words, as 16:9; empty where it is called by its pixels."""


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """A list of sizes, the native one first."""

    sizes: Annotated[tuple[Bucket, ...], Field(min_length=1)]
    exact: bool = True
    """False where the backend promises a ratio, and its pixels may differ."""


@dataclass(frozen=True, kw_only=True)
class SameAsInput:
    """The picture comes back in the size in which it was given; `accepts` says which are taken."""

    accepts: FreeSize = FreeSize()


SizeRule = FreeSize | Buckets | SameAsInput


@dataclass(frozen=True, kw_only=True)
class LoraSupport:
    """LoRAs that can be laid over a model."""

    max_count: Count = 8
    families: frozenset[str] = frozenset()
    """Architectures of LoRAs that fit; empty: those of the model's own family."""
    listed: bool = True
    """The provider lists its LoRAs among its models, and takes no others. False where it takes
    whatever name or address it is given."""


@dataclass(frozen=True, kw_only=True)
class ControlSupport:
    """Pictures that guide a model's composition."""

    kinds: frozenset[str] = frozenset()
    """Of finished maps, as canny, depth, pose."""
    computed: frozenset[str] = frozenset()
    """Of maps that the engine makes out of a picture by itself."""
    max_count: Count = 1
    required: bool = False
    """Whether the model makes nothing without one."""
    nets: tuple[Mapping[str, str], ...] = ()
    """By kind the id of the listed control model that goes by it, where its weights come into
    memory beside the model's. Those of one mapping work together: the first that has all the kinds
    asked for is taken."""


@dataclass(frozen=True, kw_only=True)
class PromptLimit:
    """How much of a prompt a model reads."""

    count: Count
    unit: Literal["tokens", "characters"]
    beyond: Literal["refused", "cut"]
    """`refused`: the backend refuses a longer one, so the model is no candidate. `cut`: it reads
    the beginning, so another model is preferred, and the result says what was not read."""


@dataclass(frozen=True, kw_only=True)
class TaskCapability:
    """How far a model can do one task."""

    sizes: SizeRule
    options: frozenset[Option] = frozenset()
    max_images: Count = 1
    max_references: Amount = 0
    reference_bytes: Amount = 0
    """Of weights that come into memory beside the model's only to look at references."""
    mask: MaskPolarity | None = None
    """Of the masks that the backend takes; None where it takes none."""
    loras: LoraSupport | None = None
    control: ControlSupport | None = None
    embeddings: bool = False
    """Whether `embedding:NAME` in a prompt calls one of the embeddings that the provider lists."""
    factors: tuple[Count, ...] = ()
    """Of an upscaler: how many times the sides may grow."""
    max_prompt: PromptLimit | None = None
    bounds: Mapping[Option, tuple[float, float]] = field(
        default_factory=dict[Option, tuple[float, float]]
    )
    """The least and the most of a number that the backend takes; what is not here has none."""
