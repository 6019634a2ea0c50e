"""Read how each family of models is run: families.json, which lies beside this module."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from ziggie_image_mcp.provider import Task


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parts(_Row):
    """The files that a diffusion model alone needs beside it, by their names in `FILES`."""

    clip: tuple[str, ...]
    type: str = ""
    """What the loader of text encoders calls the family, where it must be told."""
    vae: str


class Kind(_Row):
    """How models of one kind are run."""

    side: int
    """Native width and height, pixels."""
    max_side: int
    min_side: int = 64
    """The smallest that was seen to come out; PixArt divides by zero below."""
    multiple_of: int = 8
    steps: int
    guidance: float | None
    """The default; None where the model takes none: it then runs at cfg 1, at which ComfyUI leaves
    the negative prompt out."""
    guidance_is: Literal["cfg", "built-in"] = "cfg"
    """`built-in`: an input of the model, which knows no negative prompt."""
    sampler: str
    scheduler: str
    sigmas: str = ""
    """The fragment with the steps, where they are not those of the scheduler."""
    text: str
    """The fragment with the prompt."""
    latent: str
    """The class of the node with the empty latent picture."""
    patches: tuple[tuple[str, Mapping[str, float | int | str]], ...] = ()
    """Nodes that each model of the kind passes, with their values."""
    whole: bool | Literal["named"] = False
    """Whether checkpoints hold text encoders and VAE too. `named`: some do, and say so in their
    names."""
    parts: Parts | None = None
    """None where there are only whole checkpoints."""
    tasks: tuple[Task, ...] = ("text_to_image", "image_to_image", "inpaint")
    picture: Literal["", "pix2pix"] = ""
    """How the picture that is changed is shown to the model, where not as a beginning."""
    edit: Literal["", "reference", "qwen-edit"] = ""
    """How a model edits that follows instructions: it sees the picture beside its own noise."""
    inpaint: Literal["", "inpaint"] = ""
    """Set where the model was made for masks, and sees the mask."""
    references: int = 0
    ip_adapter: bool = False
    control: Literal["net", "patch"] | None = None
    clip_lora: bool = False
    """Whether its LoRAs change the text encoder too."""
    noise: Literal["", "epsilon"] = ""
    """`epsilon`: its pictures begin from noise alone, so that several can begin from noises of
    their own."""
    refined: bool = False
    """Whether SDXL's refiner was made for it."""
    distilled: bool = False
    since: str = ""
    """The first version of ComfyUI that runs it."""
    why_not: str = ""
    """Where it has no tasks."""

    @property
    def is_unet(self) -> bool:
        """Whether it is made of convolutions, which can pad in circles."""
        return self.latent == "EmptyLatentImage" and self.whole is True

    @property
    def takes_negative(self) -> bool:
        """Whether a negative prompt counts for anything."""
        return self.guidance is not None and self.guidance_is == "cfg"


class File(_Row):
    """A file that models need beside them, and how its name is recognised."""

    folder: str
    match: tuple[str, ...]
    """Patterns of its name without folder, the best first."""
    without: str = ""
    """A word that such a name does not hold."""
    get: str
    """What to put there where it is missing."""


class Format(_Row):
    """A file format that stock ComfyUI cannot read."""

    node: str
    """The node that loads it in our graphs; empty where we have none."""
    pack: str
    what: str


class _Data(_Row):
    about: str
    families: Mapping[str, Mapping[str, Any]]
    refused: Mapping[str, str]
    formats: Mapping[str, Format]
    files: Mapping[str, File]
    preprocessors: Mapping[str, tuple[str, ...]]
    union_types: Mapping[str, Mapping[str, str]]
    """By family and kind of picture, what the node of SDXL's union nets must say. It passes on the
    number of a word of its list; those of FLUX.1's nets (0 canny, 1 tile, 2 depth, 4 pose) stand
    beside other words there."""
    packs: Mapping[str, str]


@functools.cache
def data() -> _Data:
    """The whole file."""
    file = resources.files("ziggie_image_providers") / "comfyui" / "families.json"
    return _Data.model_validate(json.loads(file.read_text(encoding="utf-8")))


@functools.cache
def kind(family: str, variant: str = "", steps: int | None = None) -> Kind | None:
    """How models of a family are run; None where we cannot.

    Args:
        family: As in families.json.
        variant: Of it; one that the family does not know counts as none.
        steps: A number of steps that the file's name tells.
    """
    row = data().families.get(family)
    if row is None:
        return None
    values = {k: v for k, v in row.items() if k != "variants"}
    values |= row.get("variants", {}).get(variant, {})
    if steps is not None and values.get("distilled"):
        values["steps"] = steps
    return TypeAdapter(Kind).validate_python(values)


def pack_of(node: str) -> str:
    """The node pack that brings a class of nodes; empty where nobody told us."""
    return data().packs.get(node, "")
