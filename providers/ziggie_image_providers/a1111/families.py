"""What the models of each family want, and how a file's name tells its family: families.json."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from importlib import resources
from typing import TypeVar

from ziggie_image_mcp.provider.addition_kinds import CONTROL_PATTERNS, base_family, control_kinds
from ziggie_image_mcp.provider.settings import Section

T = TypeVar("T")


class Kind(Section):
    """How models of one family are run."""

    side: int = 512
    multiple_of: int = 8
    steps: int = 20
    guidance: float | None = 7.0
    """None: it runs at cfg 1, and takes neither guidance nor a negative prompt."""
    built_in: bool = False
    """Whether its guidance is an input of the model, and its cfg is 1."""
    sampler: str = ""
    scheduler: str = ""
    hires: bool = False
    """Whether large pictures are drawn smaller first."""
    distilled: bool = False
    preset: str = ""
    """What Forge calls its settings for the family."""
    shift: float | None = None
    """What Forge Neo takes where others have the guidance of a distilled model."""
    parts: tuple[str, ...] = ()
    """The files that Forge needs beside a model alone."""
    whole: str = ""
    """A pattern of the names of files that hold those parts."""


class Variant(Section):
    """What is otherwise in models of a family whose names have such a part."""

    families: tuple[str, ...]
    pattern: str
    steps: int
    guidance: float | None = None
    sampler: str = ""
    scheduler: str = ""
    distilled: bool = False


class Part(Section):
    """A file beside a model."""

    pattern: str
    folder: str
    file: str


class Data(Section):
    """All of families.json."""

    families: dict[str, Kind]
    variants: tuple[Variant, ...]
    names: tuple[tuple[str, str], ...]
    """Family and pattern, in this order; an empty family is one that nobody here runs."""
    tensors: tuple[tuple[str, str], ...]
    """The same of the names of a file's tensors."""
    parts: dict[str, Part]
    modules: dict[str, tuple[str, ...]]
    """What makes a map of a kind from a picture; the first that the server has is taken."""


@functools.cache
def data() -> Data:
    """The facts, read once."""
    text = (resources.files(__package__ or "") / "families.json").read_text(encoding="utf-8")
    return Data.model_validate_json(text)


def family_of(name: str, own: Mapping[str, str]) -> str | None:
    """The family that a file's name stands for; None where it says nothing, or another one.

    Args:
        name: With its folders.
        own: The user's patterns, which win.
    """
    name = name.replace("\\", "/")
    chosen = set_for(name, own)
    if chosen is not None:
        return chosen
    base = name.rpartition("/")[2]
    for part in dict.fromkeys((base, name)):
        for family, pattern in data().names:
            if re.search(pattern, part, re.IGNORECASE):
                return family or None
    return None


def set_for(name: str, own: Mapping[str, T]) -> T | None:
    """What the user set for a file of this name, under its pattern; None where nothing is set."""
    base = name.replace("\\", "/").rpartition("/")[2].lower()
    stem = re.sub(r"\.(safetensors|ckpt|gguf|pt|pth)$", "", base)
    for pattern, value in own.items():
        if any(fnmatch(word, pattern.lower()) for word in (name.lower(), base, stem)):
            return value
    return None


def kind_of(family: str | None, name: str) -> Kind:
    """How a model is run; of an unknown family as one of SD 1.5, which the server may correct."""
    kind = data().families.get(family or "", Kind())
    for variant in data().variants:
        if family in variant.families and re.search(variant.pattern, name, re.IGNORECASE):
            changes = {k: getattr(variant, k) for k in ("steps", "guidance", "distilled")}
            samplers = {k: v for k in ("sampler", "scheduler") if (v := getattr(variant, k))}
            return kind.model_copy(update=changes | samplers)
    return kind


def lora_family(name: str, metadata: Mapping[str, object]) -> str | None:
    """The family that a LoRA was trained for; None where neither metadata nor name tells."""
    return base_family(metadata) or family_of(name, {})


def net_family(name: str) -> str | None:
    """The family that a control net is for; None where its name does not tell."""
    plain = name.lower()
    if re.search(r"control_v11|sd[-_]?15|sd1\.5|t2iadapter_\w+_sd1", plain):
        return "sd1"
    return family_of(re.sub(r"control[-_ ]?(net|lora)?|t2i[-_]adapter", "", plain), {})


def net_kinds(name: str) -> frozenset[str]:
    """The kinds of pictures that a control net goes by."""
    if re.search(r"union|promax", name, re.IGNORECASE):
        return frozenset(CONTROL_PATTERNS)
    return control_kinds(name)


def parts_for(
    kind: Kind, name: str, modules: Sequence[str], *, whole: bool = False
) -> tuple[tuple[str, ...], tuple[Part, ...]]:
    """The modules that a model alone needs, and those of them that are not there."""
    whole = whole or bool(kind.whole and re.search(kind.whole, name, re.IGNORECASE))
    if not kind.parts or whole:
        return (), ()
    chosen: list[str] = []
    missing: list[Part] = []
    for part in (data().parts[key] for key in kind.parts):
        fitting = (m for m in modules if re.search(part.pattern, _base(m), re.IGNORECASE))
        module = next(fitting, None)
        if module is None:
            missing.append(part)
        else:
            chosen.append(module)
    return tuple(chosen), tuple(missing)


def is_part(module: str) -> bool:
    """Whether a module belongs to a family that needs its own: not a VAE for any SD model."""
    return any(re.search(p.pattern, _base(module), re.IGNORECASE) for p in data().parts.values())


def _base(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
