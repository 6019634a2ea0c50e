"""Stored pictures and their recipes. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ziggie_image_mcp.provider.nouns import Lora


@dataclass(frozen=True, kw_only=True)
class InputImage:
    """A picture that stands in the store, to work from."""

    id: str
    width: int
    height: int
    box: tuple[int, int, int, int] | None = None
    """Of a mask: left, top, right and bottom of what is painted anew, pixels."""
    note: str = ""
    """What of the file that was named is not in the picture, a sentence."""


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
    proof: str = ""
    """What was measured of its asset contract, as `size=32x32 colors=9`."""
    files: tuple[str, ...] = ()
    """Paths of what belongs to it: data of a sheet, an animation, icons."""


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


class NoRecipe(ValueError):
    """Raised when a file does not tell how its picture was made; says why, to go on a sentence."""


@dataclass(frozen=True, kw_only=True)
class FileRecipe:
    """How a picture was made, as far as its file tells. None and empty: it does not."""

    source: str
    """The program that wrote it."""
    prompt: str = ""
    negative_prompt: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    sampler: str = ""
    scheduler: str = ""
    width: int | None = None
    """Pixels, as `height`: of the first pass where there were more."""
    height: int | None = None
    model: str = ""
    provider: str = ""
    """Of the model, where this server made the picture."""
    loras: tuple[Lora, ...] = ()
    references: tuple[str, ...] = ()
    """Ids of this server's pictures."""
    control: str = ""
    """As `control` of a request has it, with ids of this server's pictures."""
    seamless: bool = False
    transparent: bool = False
    asset: str = ""
    """The contract that the picture keeps."""
    unread: tuple[str, ...] = ()
    """What else went into the picture, and stands in no field here."""
