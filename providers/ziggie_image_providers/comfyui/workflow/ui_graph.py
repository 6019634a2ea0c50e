"""The shape in which ComfyUI's editor saves a workflow, as far as we read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ziggie_image_providers.comfyui.workflow.file import (
    EXPORT,
    MAX_NODES,
    WorkflowUnreadable,
    as_dict,
    as_list,
)

INPUT_NODE = "-10"
OUTPUT_NODE = "-20"
"""The ids that a subgraph's own inputs and outputs have in its links."""
MUTED = 2
BYPASSED = 4

Id = str | int


class Part(BaseModel):
    """A part of a workflow. What a frontend of another age adds is left out."""

    model_config = ConfigDict(extra="ignore")


class Slot(Part):
    """An input or output of a node."""

    name: str = ""
    type: Any = "*"
    link: int | None = None
    widget: Any = None
    """Set where the input is drawn as a field, and can be linked too."""

    @property
    def kinds(self) -> frozenset[str]:
        """The types that it takes."""
        return frozenset(str(self.type).split(","))


class Node(Part):
    """A node, of a class of the server's, of the editor's own, or a subgraph."""

    id: Id
    type: str
    mode: int = 0
    title: str = ""
    inputs: list[Slot] = Field(default_factory=list[Slot])
    outputs: list[Slot] = Field(default_factory=list[Slot])
    widgets_values: Any = None
    properties: dict[str, Any] = Field(default_factory=dict[str, Any])

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        set_ones = {name: item for name, item in as_dict(value).items() if item is not None}
        return set_ones or value

    @property
    def values(self) -> list[Any]:
        """The values of its fields in order; none where they are saved by name."""
        return as_list(self.widgets_values)

    @property
    def named_values(self) -> dict[str, Any]:
        """The values of its fields by name, as some node packs have them saved."""
        return as_dict(self.widgets_values)

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"node {self.id} ({self.title or self.type})"


class Link(Part):
    """A line from an output to an input."""

    id: int
    origin_id: Id
    origin_slot: int = Field(ge=0)
    target_id: Id
    target_slot: int


class Boundary(Part):
    """An input of a subgraph."""

    name: str


class Canvas(Part):
    """The nodes of a workflow or of a subgraph, with their links."""

    id: str | None = None
    name: str = ""
    nodes: list[Node]
    links: list[Link] = Field(default_factory=list[Link])
    inputs: list[Boundary] = Field(default_factory=list[Boundary])

    @field_validator("links", mode="before")
    @classmethod
    def _rows(cls, value: object) -> object:
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        return [
            dict(zip(names, as_list(row), strict=False)) if as_list(row) else row
            for row in as_list(value)
            if row is not None
        ]


def read_canvases(ui: Mapping[str, Any]) -> tuple[Canvas, Mapping[str, Canvas]]:
    """Read a workflow and its subgraphs, these by their ids.

    Raises:
        WorkflowUnreadable: It is not as the editor saves it.
    """
    definitions = as_dict(ui.get("definitions"))
    try:
        main = Canvas.model_validate(ui)
        subgraphs = [Canvas.model_validate(item) for item in as_list(definitions.get("subgraphs"))]
    except (ValidationError, TypeError, RecursionError) as e:
        raise WorkflowUnreadable(f"the workflow is not as ComfyUI saves it; {EXPORT}") from e
    canvases = [main, *subgraphs]
    if sum(len(canvas.nodes) for canvas in canvases) > MAX_NODES:
        raise WorkflowUnreadable(f"the workflow has more than {MAX_NODES} nodes; split it")
    for canvas in canvases:
        ids = [str(node.id) for node in canvas.nodes]
        if len(set(ids)) < len(ids):
            raise WorkflowUnreadable(f"two nodes of the workflow have one id; {EXPORT}")
    return main, {canvas.id: canvas for canvas in subgraphs if canvas.id}
