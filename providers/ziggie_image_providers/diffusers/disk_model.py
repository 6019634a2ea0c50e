"""What a model on disk is, as far as it can be told without loading it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ziggie_image_mcp.provider import Role
from ziggie_image_providers.diffusers.families import PIPELINES, Family
from ziggie_image_providers.diffusers.weights import Part

ANY_MULTIPLE = 16
"""Of what the sides of a class that is not known are multiples, pixels."""

ENLARGED = 4
"""How many times as long each later stage of a cascade makes the sides."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a model cannot be used as it is, and what to do."""

    kind: Literal["missing", "unusable"]
    text: str


@dataclass(frozen=True, kw_only=True)
class DiskModel:
    """A model on disk, or what is laid over one."""

    id: str
    path: Path
    pipeline: str
    """The diffusers class; of a control model its own, of a LoRA none."""
    family: str | None
    role: Role = "model"
    parts: Mapping[str, Part] = field(default_factory=dict[str, Part])
    variant: str | None = None
    native: int | None = None
    distilled: bool = False
    """Told by its configuration."""
    steps: int | None = None
    """Of the schedule that its configuration gives, where it gives one."""
    single_file: bool = False
    config_folder: Path | None = None
    later: tuple[DiskModel, ...] = ()
    """The stages that enlarge what it draws, in their order: of a cascade."""
    scheduler_changes: Mapping[str, str | bool] = field(default_factory=dict[str, str | bool])
    """What a file tells of its scheduler, over what the folder says that lends to it."""
    assumed: str = ""
    """What its file does not tell and was taken for granted, a sentence; empty where nothing."""
    trouble: Trouble | None = None

    @property
    def known(self) -> Family | None:
        """The facts of its class."""
        return PIPELINES.get(self.pipeline)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where it lies, and its later stages."""
        return (self.path, *(stage.path for stage in self.later))

    @property
    def all_parts(self) -> Mapping[str, Part]:
        """Its components and those of its later stages, whose names tell their number."""
        parts = dict(self.parts)
        for number, stage in enumerate(self.later, 2):
            parts |= {
                name if name == "vae" else f"{name}_{number}": one
                for name, one in stage.parts.items()
            }
        return parts

    @property
    def multiple_of(self) -> int:
        """Of what a side must be a multiple, pixels."""
        step = self.known.multiple_of if self.known else ANY_MULTIPLE
        return step * math.prod(ENLARGED for _ in self.later)


def useless(
    path: Path,
    id: str,
    text: str,
    *,
    family: str | None = None,
    kind: Literal["missing", "unusable"] = "unusable",
) -> DiskModel:
    """What lies there and cannot be run, with the reason."""
    trouble = Trouble(kind=kind, text=text)
    return DiskModel(
        id=id,
        path=path,
        pipeline="",
        family=family,
        single_file=path.is_file(),
        trouble=trouble,
    )
