"""What the provider and its worker say to each other, framed for a pipe.

A frame is the length of its header (4 bytes), the length of its payload (8 bytes), the header
(JSON) and the payload (a picture, or nothing). The worker begins with HELLO, in which its version
stands: what came before it was printed by somebody else.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ziggie_image_mcp import __version__
from ziggie_image_mcp.provider.pictures import MAX_BYTES

GREETING = b"\0ziggie-diffusers "
HELLO = GREETING + __version__.encode() + b"\n"
COMPILE = "compile"
"""Stands for compiling where attention is named by its backend."""

LENGTHS = struct.Struct(">IQ")
MAX_HEADER = 2**20

Fault = Literal[
    "cancelled",
    "dependency_missing",
    "device_missing",
    "rejected",
    "model_missing",
    "model_unusable",
    "out_of_memory",
    "crashed",
    "invalid_output",
    "refused",
]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraFile(_Message):
    """A LoRA to lay over the model."""

    path: str
    weight: float


class Net(_Message):
    """A ControlNet, and the map that it goes by."""

    path: str
    """A diffusers folder, or one .safetensors file."""
    net: str
    """The diffusers class."""
    weight: float
    mode: int | None = None
    """The number of the map's kind, where the net is for many."""
    image_bytes: int
    """Of the map in the payload, PNG."""


class IpAdapter(_Message):
    """By which a UNet looks at the references."""

    path: str
    encoder: str
    """The folder of the model that sees the pictures."""


class Refiner(_Message):
    """By which the last steps of a picture are drawn."""

    path: str
    """A diffusers folder."""
    variant: str | None = None


class Stage(_Message):
    """A later stage of a cascade, which enlarges what the one before it drew."""

    path: str
    """A diffusers folder."""
    pipeline: str
    """The diffusers class."""
    variant: str | None = None
    steps: int
    guidance: float


class Size(_Message):
    """Pixels."""

    width: int
    height: int


class WorkerRequest(_Message):
    """Make these pictures with this model."""

    kind: Literal["request"] = "request"
    path: str
    """A diffusers folder, or one .safetensors file."""
    pipeline: str
    """The diffusers class."""
    single_file: bool = False
    config_folder: str | None = None
    """A diffusers folder that lends what a single file does not hold."""
    scheduler_changes: dict[str, str | bool] = {}
    """What the file tells of its scheduler, over what that folder says."""
    variant: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    half_precision: Literal["float16", "bfloat16"] = "bfloat16"
    weight_bytes: int | None = None
    """All weights at 2 bytes each."""
    vram_bytes: int | None = None
    """GPU memory for everything at once."""
    may_offload: bool = True
    must_offload: bool = False
    need_bytes: int | None = None
    """GPU memory for one picture as the model is held."""
    extras_bytes: int = 0
    """What LoRAs, ControlNets and an IP-Adapter take of it, at 2 bytes per number."""
    picture_bytes: int | None = None
    """The same for each further one that is made together with it."""
    batch_size: int | None = None
    """How many to make at once; None: as many as there is room for."""
    rung: str = ""
    """How to hold the model, as the decision chose; empty: by what is free."""
    prompt: str
    negative_prompt: str | None
    """None where the class takes none."""
    width: int
    height: int
    num_images: int
    seed: int
    steps: int | None
    guidance: float | None
    guidance_argument: Literal["guidance_scale", "true_cfg_scale"] = "guidance_scale"
    sampler: str | None = None
    scheduler: str | None = None
    strength: float | None = None
    """With a picture to work from."""
    run_as: str = ""
    """The class that does the task with the model's parts; empty: the model's own."""
    by_reference: bool = False
    """The picture to work from is the first of the references."""
    transparent: bool = False
    """Give the class its pictures with their alpha channel; else on white."""
    image_bytes: int = 0
    """The payload begins with that picture, PNG; none where there is no payload."""
    mask_bytes: int = 0
    """And goes on with its mask, then the maps of `nets`, then the references."""
    reference_bytes: tuple[int, ...] = ()
    loras: tuple[LoraFile, ...] = ()
    nets: tuple[Net, ...] = ()
    ip_adapter: IpAdapter | None = None
    seamless: bool = False
    first: Size | None = None
    """Draw it so large at first, and then over at full size."""
    second_as: str = ""
    """The class of the second pass."""
    refiner: Refiner | None = None
    """Goes on where the model stops."""
    stages: tuple[Stage, ...] = ()
    """Of a cascade, after the model's own."""
    attention: str = ""
    """The backend of the denoiser's attention, as diffusers names it; empty: torch's own."""
    step_cache: str = ""
    """One of `step_cache.CONFIGS`; empty: every step is computed."""
    compile: bool = False
    """Compile the blocks of the denoiser that repeat."""
    compile_cache: str = ""
    """The folder that keeps what was compiled; empty: torch's own."""
    by_auto: tuple[Literal["attention", "compile"], ...] = ()
    """Which of these `auto` chose: where one does not work the pictures are made without it."""

    def chosen_by_auto(self) -> list[str]:
        """What `auto` chose: attention by the name of its backend, and COMPILE."""
        names = {"attention": self.attention, "compile": COMPILE if self.compile else ""}
        return [names[one] for one in self.by_auto if names[one]]

    def without(self, names: Collection[str]) -> WorkerRequest:
        """The same without what `auto` chose of these."""
        changes: dict[str, object] = {}
        for name in {*names} & {*self.chosen_by_auto()}:
            changes |= {"compile": False} if name == COMPILE else {"attention": ""}
        return self.model_copy(update=changes)


class Cancel(_Message):
    """Stop the request that runs now."""

    kind: Literal["cancel"] = "cancel"


class InUse(BaseModel):
    """What the worker's memory holds between two requests, bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    """As torch names it, with its number."""
    vram_bytes: int
    ram_bytes: int
    rung: str
    """How the model is held."""
    peak_bytes: int | None = None
    """The most that a GPU, or main memory where the processor ran it, held since the model was
    loaded; None where it cannot be told."""
    number_bytes: int = 2
    """Of a number in its weights, where they are not quantised."""
    batch: int = 1
    """How many pictures were made at once at most."""


class Loaded(_Message):
    """The model is in memory."""

    kind: Literal["loaded"] = "loaded"
    in_use: InUse
    was_read: bool
    """For this request; it was not in memory before, or not as it is wanted."""


class Step(_Message):
    """So many steps of this picture are done."""

    kind: Literal["step"] = "step"
    picture: int
    step: int
    steps: int
    pictures: int = 1
    """How many are made at once, that one first."""


class Picture(_Message):
    """One picture is done; its PNG is the payload."""

    kind: Literal["picture"] = "picture"
    seed: int


class Done(_Message):
    """The request is finished."""

    kind: Literal["done"] = "done"
    in_use: InUse
    notes: tuple[str, ...] = ()
    """What the caller should know, a sentence each."""
    compile_seconds: float = 0.0
    """How much of its time compiling took."""


class Failed(_Message):
    """The request came to nothing."""

    kind: Literal["failed"] = "failed"
    fault: Fault
    message: str
    room_bytes: int | None = None
    """What a GPU had for this process when memory ran out there."""


Message = Annotated[
    WorkerRequest | Cancel | Loaded | Step | Picture | Done | Failed, Field(discriminator="kind")
]
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


def in_words(chosen: str) -> str:
    """What `auto` chose, as `WorkerRequest.chosen_by_auto` names it, for a person."""
    return chosen if chosen == COMPILE else f"attention by {chosen}"


def encode(message: Message, payload: bytes = b"") -> bytes:
    """Make a frame."""
    header = message.model_dump_json().encode()
    return LENGTHS.pack(len(header), len(payload)) + header + payload


def check_lengths(start: bytes) -> tuple[int, int]:
    """How long the header and the payload of an answer are, before either is read.

    Raises:
        ValueError: Longer than any answer: somebody else wrote into the pipe.
    """
    header, payload = LENGTHS.unpack(start)
    if header > MAX_HEADER or payload > MAX_BYTES:
        raise ValueError(f"a frame of {header} and {payload} bytes")
    return header, payload


def decode(header: bytes) -> Message:
    """Read a frame's header.

    Raises:
        ValueError: It is none of the messages.
    """
    return _MESSAGE.validate_json(header)
