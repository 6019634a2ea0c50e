"""What a model on disk is, as far as it can be told without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ziggie_image_mcp.provider import Role
from ziggie_image_providers.diffusers.families import PIPELINES, Family
from ziggie_image_providers.diffusers.weights import Part


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
    scheduler_changes: Mapping[str, str | bool] = field(default_factory=dict[str, str | bool])
    """What a file tells of its scheduler, over what the folder says that lends to it."""
    assumed: str = ""
    """What its file does not tell and was taken for granted, a sentence; empty where nothing."""
    trouble: Trouble | None = None

    @property
    def known(self) -> Family | None:
        """The facts of its class."""
        return PIPELINES.get(self.pipeline)


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
