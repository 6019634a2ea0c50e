"""How InvokeAI runs the models of each base: families.json, read."""

from __future__ import annotations

import functools
import json
import re
from importlib import resources
from typing import Any

from pydantic import Field, JsonValue

from ziggie_image_mcp.provider import Task, addition_kinds
from ziggie_image_mcp.provider.addition_kinds import CONTROL_PATTERNS
from ziggie_image_mcp.provider.settings import Section

EXTERNAL = "external"
"""The base of what InvokeAI hands to a vendor."""


class Node(Section):
    """A node of a graph, as far as it is the same in each."""

    type: str
    slots: dict[str, str] = Field(default={})
    """Its inputs, each with the slot that it is fed from: an output of the loader, by name."""
    always: dict[str, JsonValue] = Field(default={})


class Denoiser(Node):
    """The node that samples."""

    positive: str
    negative: str = ""
    """Its input for the negative prompt; empty: it has none."""
    negative_if_guided: bool = False
    """Whether it takes one only above a guidance of 1."""
    steps: str = "steps"
    guidance: str = "cfg_scale"


class ControlNode(Node):
    """The node that applies a control net."""

    weight: str
    modes: dict[str, int] = Field(default={})
    """What a net for many kinds is told."""


class Part(Section):
    """A model beside a main one."""

    field: str
    """Of the loader."""
    type: str
    bases: tuple[str, ...] = ()
    """Empty: any."""
    variant: str = ""
    get: str
    """What it is, in words."""


class Kind(Section):
    """How models of one base are run."""

    family: str
    side: int
    max_side: int = 2048
    multiple_of: int = 8
    steps: int
    guidance: float | None = None
    """None: it takes neither guidance nor a negative prompt."""
    sampler: str = ""
    samplers: str = ""
    """The list of its samplers; empty: it takes none."""
    distilled: bool = False
    loader: Node
    text: Node
    sized_text: bool = False
    denoise: Denoiser
    decode: Node
    encode: Node
    lora: Node | None = None
    seamless: bool = False
    noise: bool = False
    """Whether noise is a node of its own, which has size and seed; else the sampler has them."""
    masked_image: bool = False
    """Whether its mask carries the picture, which models for inpainting look at."""
    embeddings: bool = False
    control: ControlNode | None = None
    ip_adapter: bool = False
    reference: str = ""
    """The node that takes references, and pictures that are changed by an instruction."""
    whole: tuple[str, ...] = ()
    """Formats in which a model brings its parts."""
    source: str = ""
    """The field that takes a whole model in place of parts."""
    parts: tuple[Part, ...] = ()
    tasks: tuple[Task, ...] = ("text_to_image", "image_to_image", "inpaint")
    why_not: str = ""
    """Why no model of this kind can be run."""


class Data(Section):
    """All of families.json but its families, which are merged before they are read."""

    samplers: dict[str, tuple[str, ...]]
    nodes: dict[str, str]
    """The kind of map -> what makes one of a picture."""


@functools.cache
def _raw() -> dict[str, Any]:
    text = (resources.files(__package__ or "") / "families.json").read_text(encoding="utf-8")
    raw: dict[str, Any] = json.loads(text)
    return raw


@functools.cache
def data() -> Data:
    """The facts that are not of one family, read once."""
    return Data.model_validate({k: v for k, v in _raw().items() if k in ("samplers", "nodes")})


@functools.cache
def kind_of(base: str, variant: str = "", name: str = "") -> Kind | None:
    """How a model is run; None of a base that this provider makes no graphs for.

    Args:
        base: InvokeAI's word, as sd-1.
        variant: InvokeAI's word, as inpaint or schnell.
        name: Of the model: few-step models are told by it.
    """
    families: dict[str, dict[str, Any]] = _raw()["families"]
    row = families.get(base)
    if row is None:
        return None
    row = {**families.get(row.get("like", ""), {}), **row}
    row.pop("like", None)
    for changes in row.pop("variants", {}).values():
        match, changes = changes["match"], {k: v for k, v in changes.items() if k != "match"}
        fits = match.get("variant") == variant if "variant" in match else _has(name, match["name"])
        if fits:
            if "negative" in changes:
                negative = {"negative": changes.pop("negative"), "negative_if_guided": True}
                changes["denoise"] = {**row["denoise"], **negative}
            row |= changes
            break
    return Kind.model_validate(row)


def control_kinds(name: str, preprocessor: str, kind: Kind) -> frozenset[str]:
    """The kinds of pictures that a control net goes by; none where nothing tells.

    Args:
        name: Of the net.
        preprocessor: What InvokeAI makes maps for it with, where it knows.
        kind: Of the models that it guides.
    """
    if is_union(name):
        return frozenset((kind.control and kind.control.modes) or CONTROL_PATTERNS)
    return addition_kinds.control_kinds(name) or addition_kinds.control_kinds(preprocessor)


def is_union(name: str) -> bool:
    """Whether a control net is for many kinds of pictures."""
    return _has(name, "union|promax")


def _has(text: str, pattern: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None
