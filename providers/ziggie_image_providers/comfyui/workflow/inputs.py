"""Decide which inputs of a workflow take what: as the user says, by titles, by tracing.

A node's title names a role where it is, in whatever case and with `_` or blanks, the role's name or
one of these, maybe behind `INPUT_`, `PARAM_` or `ziggie:`:

    prompt            positive, positive prompt, CLIP Text Encode (Positive Prompt)
    negative_prompt   negative, CLIP Text Encode (Negative Prompt)
    seed              noise seed
    guidance_scale    guidance, cfg
    sampler           sampler name
    batch             batch size
    image             input image
    strength          denoise
    reference         reference image, also with a number behind it
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from ziggie_image_providers.comfyui import wire
from ziggie_image_providers.comfyui.workflow.file import ApiGraph, WorkflowUnreadable, is_link
from ziggie_image_providers.comfyui.workflow.trace import NUMBERS, TEXTS, Port, trace

Role = Literal[
    "prompt",
    "negative_prompt",
    "seed",
    "steps",
    "guidance_scale",
    "sampler",
    "scheduler",
    "width",
    "height",
    "batch",
    "image",
    "mask",
    "strength",
    "reference",
]
ROLES: tuple[Role, ...] = get_args(Role)

WorkflowMap = Mapping[str, str | Sequence[str]]
"""The user's own word: a role to `"6.text"`, a node's id and its input, or several of them."""

_OTHER_NAMES: Mapping[str, Role] = {
    "positive": "prompt",
    "positive_prompt": "prompt",
    "negative": "negative_prompt",
    "noise_seed": "seed",
    "cfg": "guidance_scale",
    "guidance": "guidance_scale",
    "sampler_name": "sampler",
    "batch_size": "batch",
    "input_image": "image",
    "denoise": "strength",
    "reference_image": "reference",
}
_PREFIXES = ("ziggie:", "input_", "param_")
_TITLE = re.compile(r"clip text encode \((?P<side>positive|negative) prompt\)")
TOKEN = re.compile(
    r"\$\{(?P<name>\w+)(?::(?P<default>[^}]*))?\}"
    r"|\bPARAM_(?:INT_|FLOAT_|STR_|BOOLEAN_)?(?P<param>[A-Z_]*[A-Z])\b"
)
"""A place in a text that a value goes into: `${seed:0}`, `${prompt}`, `PARAM_PROMPT`."""

_INPUTS: Mapping[Role, tuple[str, ...]] = {
    "prompt": TEXTS,
    "negative_prompt": TEXTS,
    "seed": ("seed", "noise_seed", *NUMBERS),
    "steps": ("steps", *NUMBERS),
    "guidance_scale": ("cfg", "guidance", *NUMBERS),
    "sampler": ("sampler_name", "value"),
    "scheduler": ("scheduler", "value"),
    "width": ("width", *NUMBERS),
    "height": ("height", *NUMBERS),
    "batch": ("batch_size", "amount", *NUMBERS),
    "image": ("image",),
    "mask": ("image",),
    "strength": ("denoise", "strength", *NUMBERS),
    "reference": ("image",),
}
"""The inputs of a node with a role's title that may be meant."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Where a workflow takes what."""

    ports: Mapping[Role, tuple[Port, ...]] = field(default_factory=dict["Role", "tuple[Port, ...]"])
    """A mask with the same port as the image is that picture's transparency."""
    tokens: frozenset[Role] = frozenset()
    """The roles that texts of the workflow have places for."""

    def __contains__(self, role: object) -> bool:
        return role in self.ports or role in self.tokens


def find_inputs(
    graph: ApiGraph, explicit: WorkflowMap, object_info: Mapping[str, Any] | None = None
) -> Inputs:
    """Find where a workflow takes what.

    What the user says wins over tokens, these over the titles of nodes, and those over what going
    back from the sampler gives. No input has two roles.

    Args:
        graph: The workflow.
        explicit: What the user says.
        object_info: The server's classes, for inputs that the workflow leaves at their default.

    Raises:
        WorkflowUnreadable: The user names a role, a node or an input that is not there.
    """
    table = wire.NodeTable(object_info or {})
    ports: dict[Role, tuple[Port, ...]] = {}
    for name, addresses in explicit.items():
        several = [addresses] if isinstance(addresses, str) else addresses
        ports[_explicit_role(name)] = tuple(_port(a, graph, table) for a in several)
    tokens = frozenset(_tokens(graph)) - ports.keys()
    traces, titles = _by_role(_traces(graph)), _by_role(_titles(graph))
    for role, listed in titles.items():
        # of several nodes with a title, those that are in use
        titles[role] = [port for port in listed if port in traces.get(role, ())] or listed
    for source in (titles, traces):
        taken = {port for listed in ports.values() for port in listed}
        for role, listed in source.items():
            shared = ports.get("image", ()) if role == "mask" else ()
            fresh = [port for port in listed if port not in taken or port in shared]
            if fresh and role not in ports and role not in tokens:
                ports[role] = tuple(fresh)
    references = ports.get("reference", ())
    if references and "image" not in ports and "reference" not in map(role_of, explicit):
        ports |= {"image": references[:1], "reference": references[1:]}
    return Inputs(ports={role: listed for role, listed in ports.items() if listed}, tokens=tokens)


def _by_role(pairs: Iterator[tuple[Role, Port]]) -> dict[Role, list[Port]]:
    by_role: dict[Role, list[Port]] = {}
    for role, port in pairs:
        if port not in by_role.setdefault(role, []):
            by_role[role].append(port)
    return by_role


def role_of(name: str) -> Role | None:
    """Read the name of a role as people write it.

    >>> role_of("INPUT_PROMPT"), role_of("ziggie:cfg"), role_of("Batch Size"), role_of("x")
    ('prompt', 'guidance_scale', 'batch', None)
    """
    word = name.strip().casefold().replace(" ", "_").replace("-", "_")
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    word = re.sub(r"^(.*image)_?\d+$", r"\1", word).removeprefix("_")
    return _OTHER_NAMES.get(word) or next((role for role in ROLES if role == word), None)


def _explicit_role(name: str) -> Role:
    role = role_of(name)
    if role is None:
        near = difflib.get_close_matches(name, ROLES, n=2)
        raise WorkflowUnreadable(
            f"a workflow takes no {name!r}; it may take {', '.join(near or ROLES)}"
        )
    return role


def _port(address: str, graph: ApiGraph, table: wire.NodeTable) -> Port:
    id, _, name = address.partition(".")
    name = name.removeprefix("inputs.")
    node = graph.get(id)
    if node is not None and (name in node["inputs"] or name in table.inputs(node["class_type"])):
        return id, name
    if node is None:
        near = difflib.get_close_matches(id, graph, n=3) or list(graph)[:8]
        raise WorkflowUnreadable(
            f"{address!r}: the workflow has no node {id!r}; it has {', '.join(near)}"
        )
    names = sorted({*node["inputs"], *table.inputs(node["class_type"])})
    near = difflib.get_close_matches(name, names, n=3) or names
    raise WorkflowUnreadable(
        f"{address!r}: node {id} ({node['class_type']}) has no input {name!r}; it has"
        f" {', '.join(near) or 'none'}"
    )


def _tokens(graph: ApiGraph) -> Iterator[Role]:
    for node in graph.values():
        for value in node["inputs"].values():
            for match in TOKEN.finditer(value) if isinstance(value, str) else ():
                role = role_of(match["name"] or match["param"])
                if role is not None:
                    yield role


def _titles(graph: ApiGraph) -> Iterator[tuple[Role, Port]]:
    for id, node in graph.items():
        title = str(node.get("_meta", {}).get("title", ""))
        match = _TITLE.fullmatch(title.strip().casefold())
        role = role_of(match["side"] if match else title)
        if role is None:
            continue
        inputs = node["inputs"]
        name = next((n for n in _INPUTS[role] if n in inputs and not is_link(inputs[n])), None)
        if name is not None and _fits(role, inputs[name]):
            yield role, (id, name)


def _fits(role: Role, value: object) -> bool:
    """Whether a value is such that it may stand for a role."""
    textual = role in ("prompt", "negative_prompt", "sampler", "scheduler", "image", "mask")
    return isinstance(value, str) if textual or role == "reference" else not isinstance(value, bool)


def _traces(graph: ApiGraph) -> Iterator[tuple[Role, Port]]:
    for role, ports in trace(graph).items():
        for port in ports:
            yield cast(Role, role), port
