"""How models of each of SwarmUI's compatibility classes are run: families.json."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from importlib import resources
from typing import TypeVar

from pydantic import Field

from ziggie_image_mcp.provider.settings import Section

T = TypeVar("T")


class Kind(Section):
    """How models of one class are run."""

    family: str | None = None
    side: int = 1024
    """Native, where SwarmUI does not tell. Pixels."""
    multiple_of: int = 16
    steps: int = 20
    guidance: float | None = 7.0
    """None: it runs at cfg 1, and takes neither guidance nor a negative prompt."""
    built_in: bool = False
    """Whether its guidance is an input of the model, and its cfg is 1."""
    unet: bool = False
    """Whether pictures whose edges meet can be had of it."""
    distilled: bool = False
    sampler: str = ""
    """Where SwarmUI's own choice does not fit."""
    scheduler: str = ""
    unusable: str = ""
    """Why it makes no picture from a prompt, the end of a sentence."""


class Variant(Section):
    """What is otherwise in models of a class whose names or architectures have such a part."""

    classes: tuple[str, ...]
    pattern: str
    steps: int
    guidance: float | None
    distilled: bool = False
    sampler: str = ""
    scheduler: str = ""


class ControlKind(Section):
    """A kind of picture that guides the composition."""

    net: str
    """A pattern of the names of control nets for it."""
    preprocessors: tuple[str, ...] = ()
    """Patterns of what makes such a map of a picture; the first that matches one is taken."""


class Data(Section):
    """All of families.json."""

    about: str
    classes: dict[str, Kind]
    variants: tuple[Variant, ...]
    special: tuple[tuple[str, str], ...]
    """Patterns of architectures that take what is not sent, and why; the end of a sentence."""
    kinds: dict[str, ControlKind] = Field(default={})


@functools.cache
def data() -> Data:
    """The facts, read once."""
    text = (resources.files(__package__ or "") / "families.json").read_text(encoding="utf-8")
    return Data.model_validate_json(text)


def kind_of(compat_class: str, architecture: str, name: str) -> Kind | None:
    """How a model is run; None where SwarmUI itself knows no such class.

    Args:
        compat_class: As SwarmUI lists it; empty where it could not tell.
        architecture: The same, more finely.
        name: Of the file, with its folders.
    """
    kind = data().classes.get(compat_class) if compat_class else Kind()
    if kind is None or kind.unusable:
        return kind
    for pattern, why in data().special:
        if re.search(pattern, architecture, re.IGNORECASE):
            return kind.model_copy(update={"unusable": why})
    for variant in data().variants:
        told = f"{architecture} {name}"
        if compat_class in variant.classes and re.search(variant.pattern, told, re.IGNORECASE):
            return kind.model_copy(update=variant.model_dump(exclude={"classes", "pattern"}))
    return kind


def kind_of_family(family: str) -> Kind:
    """How models of a family are run, by our word for it; as any other where it is not known."""
    known = (kind for kind in data().classes.values() if kind.family == family)
    return next(known, Kind(family=family))


def family_of(compat_class: str) -> str | None:
    """Our word for a class; None where SwarmUI told none, or one that we do not know."""
    kind = data().classes.get(compat_class)
    return kind.family if kind else None


def net_kinds(name: str) -> frozenset[str]:
    """The kinds of pictures that a control net goes by."""
    kinds = data().kinds
    if re.search(r"union|promax", name, re.IGNORECASE):
        return frozenset(kinds)
    return frozenset(k for k, v in kinds.items() if re.search(v.net, name, re.IGNORECASE))


def preprocessor_for(kind: str, names: Iterable[str]) -> str:
    """What makes a map of this kind, of those that SwarmUI has; empty where it has none."""
    known, listed = data().kinds.get(kind), list(names)
    for pattern in known.preprocessors if known else ():
        for name in listed:
            if re.search(pattern, name, re.IGNORECASE):
                return name
    return ""


def set_for(name: str, own: Mapping[str, T]) -> T | None:
    """What the user set for a model of this name, under its pattern; None where nothing is set."""
    whole = name.replace("\\", "/").lower()
    base = whole.rpartition("/")[2]
    stem = re.sub(r"\.(safetensors|sft|ckpt|gguf|pt|pth)$", "", base)
    for pattern, value in own.items():
        if any(fnmatch(word, pattern.lower()) for word in (whole, base, stem)):
            return value
    return None
