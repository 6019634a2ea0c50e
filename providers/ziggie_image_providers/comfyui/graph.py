"""Say a job in ComfyUI's words: a graph of nodes in its API format, put together of fragments.

A fragment is a file in `graphs`: some nodes, and what they hand on. `$NAME` in capitals stands for
what an earlier fragment handed on under that name, `$name` for a value of the job.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, cast

Nodes = dict[str, dict[str, Any]]

SAMPLER = "sampler"
"""How the ids of all nodes begin that sample."""


class Graph:
    """A graph that grows by fragments."""

    def __init__(self) -> None:
        self.nodes: Nodes = {}
        self._ports: dict[str, object] = {}

    def hand_on(self, port: str, other: str) -> None:
        """Give what has one name another name too."""
        self._ports[other] = self._ports[port]

    def add(self, fragment: str, **values: object) -> list[str]:
        """Add the nodes of a fragment, under ids that are new to the graph. Returns these ids."""
        rows, outputs = _fragment(fragment)
        number = self._number(rows)
        ids = {id: f"{id}{number}" for id in rows}

        def link(value: object) -> object:
            if isinstance(value, list):
                id, slot = cast(tuple[str, int], value)
                return [ids[id], slot]
            if isinstance(value, str) and value.startswith("$"):
                name = value[1:]
                return self._ports[name] if name.isupper() else values[name]
            return value

        for id, node in rows.items():
            inputs = {name: link(value) for name, value in node["inputs"].items()}
            self.nodes[ids[id]] = {"class_type": link(node["class_type"]), "inputs": inputs}
        self._ports |= {name: link(value) for name, value in outputs.items()}
        return list(ids.values())

    def add_node(self, id: str, class_type: str, port: str, **inputs: object) -> str:
        """Add one node between what has the port's name and all that comes later."""
        new = f"{id}{self._number([id])}"
        self.nodes[new] = {"class_type": class_type, "inputs": inputs}
        self._ports[port] = [new, 0]
        return new

    def port(self, name: str) -> object:
        """What was handed on under this name."""
        return self._ports[name]

    def set(self, id: str, **inputs: object) -> None:
        """Give a node more inputs, or others."""
        self.nodes[id]["inputs"] |= inputs

    def _number(self, ids: Mapping[str, Any] | list[str]) -> str:
        number = ""
        while any(f"{id}{number}" in self.nodes for id in ids):
            number = str(int(number or 1) + 1)
        return number


def stage_of(id: str) -> str:
    """A node's id as its fragment has it.

    >>> stage_of("sampler2")
    'sampler'
    """
    return re.sub(r"\d+$", "", id)


@functools.cache
def _fragment(name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    file = resources.files("ziggie_image_providers") / "comfyui" / "graphs" / f"{name}.json"
    parsed = json.loads(file.read_text(encoding="utf-8"))
    return parsed["nodes"], parsed["outputs"]


def classes_of(*fragments: str) -> frozenset[str]:
    """The classes of the nodes that fragments are made of."""
    found = {n["class_type"] for name in fragments for n in _fragment(name)[0].values()}
    return frozenset(found - {c for c in found if c.startswith("$")})
