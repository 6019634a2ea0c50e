"""Find what a graph takes by going back from its samplers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ziggie_image_providers.comfyui.workflow.file import ApiGraph, as_dict, is_link

Port = tuple[str, str]
"""A node's id and the name of one of its inputs."""

TEXTS = (
    "text",
    "prompt",
    "user_prompt",
    "positive_prompt",
    "clip_l",
    "clip_g",
    "t5xxl",
    "llama",
    "text_g",
    "text_l",
    "caption",
    "string",
    "value",
    "string_b",
    "string_a",
    "text_a",
)
"""Inputs that hold a prompt, in nodes that encode one or hand one on."""
_TEXT_LINKS = (*TEXTS, "replace", "source", "json_string")
"""Inputs by which a text reaches a node that changes it."""
NUMBERS = ("value", "int", "float", "number", "seed", "noise_seed")
"""Inputs that hold a number, in nodes that only hand one on."""
_GUIDED = ("positive", "guider", "conditioning")
_SAMPLING = ("seed", "noise_seed", "noise", "sigmas")
_LATENTS = ("latent_image", "latent", "latents", "samples", "optional_latent", "image")
_SWITCH = ("on_false", "on_true")
_MAX_DEPTH = 20
_MAX_WORK = 20_000
"""Steps after which a graph that is all knots is left as it is."""


def trace(graph: ApiGraph) -> dict[str, list[Port]]:
    """Find the inputs for each role.

    A number that nodes compute, as the width of a ratio, is set where it goes in instead.
    """
    return _Trace(graph).roles()


def is_picture_loader(node: Mapping[str, Any]) -> bool:
    """Tell whether a node loads a picture by the name of its file."""
    loads = str(node["class_type"]).startswith("LoadImage")
    return loads and isinstance(node["inputs"].get("image"), str)


class _Trace:
    def __init__(self, graph: ApiGraph) -> None:
        self._graph = graph
        self._work = 0
        self._roles: dict[str, list[Port]] = {}
        self._consumers: dict[tuple[str, int], list[Port]] = {}
        for id, node in graph.items():
            for name, value in node["inputs"].items():
                if is_link(value):
                    self._consumers.setdefault((value[0], value[1]), []).append((id, name))

    def roles(self) -> dict[str, list[Port]]:
        samplers = self._samplers()
        # what samples without a prompt draws depths and the like for those that have one
        prompted = [id for id in samplers if next(self._prompts(id, "positive"), None)]
        for id in prompted or samplers:
            self._read_sampler(id, samplers)
        if not samplers:
            self._read_nodes()
        self._read_pictures()
        return self._roles

    def _inputs(self, id: str) -> dict[str, Any]:
        return as_dict(self._graph[id]["inputs"])

    def _add(self, role: str, ports: Iterable[Port]) -> bool:
        """Give a role more inputs, unless another role has them; say whether it has some now."""
        taken = {port for listed in self._roles.values() for port in listed}
        fresh = [port for port in dict.fromkeys(ports) if port not in taken]
        if fresh:
            self._roles.setdefault(role, []).extend(fresh)
        return role in self._roles

    def _samplers(self) -> list[str]:
        """The nodes that sample, those that work on another's result after it."""
        samplers = [
            id
            for id in self._graph
            if any(is_link(self._inputs(id).get(name)) for name in _GUIDED)
            and any(name in self._inputs(id) for name in _SAMPLING)
        ]
        above = {id: set(self._upstream(id)) & set(samplers) for id in samplers}
        return sorted(samplers, key=lambda id: len(above[id]))

    def _upstream(self, id: str) -> Iterator[str]:
        """All nodes that feed a node, without itself."""
        seen, waiting = {id}, [id]
        while waiting:
            for value in self._inputs(waiting.pop(0)).values():
                if is_link(value) and value[0] in self._graph and value[0] not in seen:
                    seen.add(value[0])
                    waiting.append(value[0])
                    yield value[0]

    def _read_sampler(self, id: str, samplers: list[str]) -> None:
        inputs = self._inputs(id)
        guider = self._follow(id, "guider")
        conditioned = guider or id
        distilled = self._guidance(conditioned)
        self._add("prompt", self._prompts(id, "positive"))
        self._add("negative_prompt", self._prompts(id, "negative"))
        scale = self._value(conditioned, "cfg")
        if distilled and (not scale or self._literal(scale[0]) in (1, 1.0)):
            scale = distilled
        self._same("guidance_scale", scale)
        for name in ("seed", "noise_seed"):
            self._add("seed", self._value(id, name))
        noise = self._follow(id, "noise")
        if noise:
            self._add("seed", self._value(noise, "noise_seed"))
        schedule = id
        if self._follow(id, "sigmas"):
            schedule = next(self._with("steps", inputs["sigmas"]), id)
        self._same("steps", self._value(schedule, "steps"))
        self._same("scheduler", self._value(schedule, "scheduler"))
        select = self._follow(id, "sampler") or id
        self._same("sampler", self._value(select, "sampler_name"))
        self._read_latent(id, schedule, samplers)

    def _same(self, role: str, ports: list[Port]) -> None:
        """Take inputs of a later sampler only where they say what those of the first say."""
        first = self._roles.get(role)
        if first is None or not ports or self._literal(first[0]) == self._literal(ports[0]):
            self._add(role, ports)

    def _literal(self, port: Port) -> Any:
        return self._inputs(port[0]).get(port[1])

    def _follow(self, id: str, name: str) -> str:
        """The node that an input is linked to; empty where there is none."""
        return self._source(self._inputs(id).get(name))

    def _source(self, value: object) -> str:
        """The node that a link comes from; empty where a value is no link."""
        return str(value[0]) if is_link(value) and value[0] in self._graph else ""

    def _with(self, name: str, link: object) -> Iterator[str]:
        """The nodes at or above a link that have such an input."""
        source = self._source(link)
        for id in (source, *self._upstream(source)) if source else ():
            if name in self._inputs(id):
                yield id

    def _value(self, id: str, name: str, depth: int = 0) -> list[Port]:
        """Where to write a value so that it arrives in an input."""
        value = self._inputs(id).get(name)
        source = self._source(value)
        if not source or not is_link(value):
            return [] if value is None else [(id, name)]
        inputs, branch = self._inputs(source), self._branch(source)
        names = [n for n in (name, *NUMBERS, *TEXTS) if n in inputs]
        literals = [n for n in names if not is_link(inputs[n])]
        if depth < _MAX_DEPTH and branch:
            return self._value(source, branch, depth + 1)
        if literals and len(inputs) <= 2:
            return [(source, literals[0])]
        if depth < _MAX_DEPTH and names and len(inputs) == 1:
            return self._value(source, names[0], depth + 1)
        return self._consumers[source, value[1]]

    def _branch(self, id: str) -> str:
        """The input that a switch lets through; empty where it is none."""
        inputs = self._inputs(id) if id in self._graph else {}
        if not all(name in inputs for name in _SWITCH):
            return ""
        state = inputs.get("switch")
        for _ in range(_MAX_DEPTH):
            source = self._source(state)
            if not source:
                break
            state = self._inputs(source).get("value")
        return _SWITCH[state is True]

    def _prompts(self, sampler: str, side: str) -> Iterator[Port]:
        """The inputs for the prompt of one side of a sampler."""
        inputs = self._inputs(self._follow(sampler, "guider") or sampler)
        names = ("positive", "conditioning", "cond1") if side == "positive" else ("negative",)
        for name in names:
            yield from self._texts(inputs.get(name), side)

    def _texts(self, link: object, side: str) -> Iterator[Port]:
        """The inputs for a prompt at or above a conditioning of one side."""
        waiting, seen = [link], set[tuple[str, int]]()
        while waiting:
            this = waiting.pop(0)
            source = self._source(this)
            if not source or not is_link(this) or (source, this[1]) in seen:
                continue
            seen.add((source, this[1]))
            inputs, branch = self._inputs(source), self._branch(source)
            names = [n for n in TEXTS if n in inputs and n != "value"]
            if "ZeroOut" in self._graph[source]["class_type"]:
                continue
            if branch:
                waiting.append(inputs[branch])
            elif isinstance(inputs.get(side), str):
                yield source, side
            elif "positive" in inputs and "negative" in inputs:
                waiting.append(inputs["negative" if this[1] == 1 else "positive"])
            elif names:
                for name in names:
                    yield from self._text(source, name, 0)
            else:
                conditioned = [v for name, v in inputs.items() if "cond" in name]
                waiting += conditioned or list(inputs.values())

    def _text(self, id: str, name: str, depth: int) -> Iterator[Port]:
        """Where to write a prompt so that it arrives in an input, past what joins and improves."""
        self._work += 1
        value = self._inputs(id).get(name)
        if isinstance(value, str):
            yield id, name
        source = self._source(value)
        if not source or depth > _MAX_DEPTH or self._work > _MAX_WORK:
            return
        branch = self._branch(source)
        if branch:
            yield from self._text(source, branch, depth + 1)
            return
        inputs = self._inputs(source)
        linked = [n for n in _TEXT_LINKS if is_link(inputs.get(n))]
        ports = [port for n in linked[:1] for port in self._text(source, n, depth + 1)]
        written = [(source, n) for n in TEXTS if isinstance(inputs.get(n), str)]
        yield from ports or written[:1]

    def _guidance(self, id: str) -> list[Port]:
        """The guidance that a distilled model is given with its prompt."""
        inputs = self._inputs(id)
        link = inputs.get("positive", inputs.get("conditioning"))
        node = next(self._with("guidance", link), "")
        return self._value(node, "guidance") if node else []

    def _read_latent(self, id: str, schedule: str, samplers: list[str]) -> None:
        """What a sampler starts from: its size, or a picture."""
        inputs = self._inputs(id)
        start = next((inputs[n] for n in _LATENTS if is_link(inputs.get(n))), None)
        waiting, seen = [start], set[str]()
        pictures: list[Port] = []
        masks: list[Port] = []
        while waiting:
            node = self._source(waiting.pop(0))
            if not node or node in seen or node in samplers:
                continue
            seen.add(node)
            own, branch = self._inputs(node), self._branch(node)
            if "pixels" in own:
                pictures += self._pictures(own["pixels"])
            elif "width" in own and "height" in own and "samples" not in own:
                for name in ("width", "height"):
                    self._add(name, self._size(node, name, schedule))
            for name in ("batch_size", "amount"):
                self._add("batch", self._value(node, name))
            for name in ("mask", "noise_mask"):
                masks += self._pictures(own.get(name))
            names = (branch,) if branch else (*_LATENTS, "pixels")
            waiting += [v for n, v in own.items() if n in names or (not branch and "latent" in n)]
        if pictures and self._add("image", pictures):
            self._same("strength", self._value(schedule, "denoise"))
        if masks:
            self._roles["mask"] = list(dict.fromkeys(masks))  # may be the picture's own

    def _size(self, node: str, name: str, schedule: str) -> list[Port]:
        """A side of the picture: that of the latent, and that which the schedule is made for."""
        ports = self._value(node, name)
        beside = self._value(schedule, name)
        same = bool(ports and beside) and self._literal(ports[0]) == self._literal(beside[0])
        return [*ports, *beside] if same else ports

    def _pictures(self, link: object) -> list[Port]:
        """The loaders of pictures at or above a link."""
        source = self._source(link)
        nodes = [source, *self._upstream(source)] if source else []
        return [(id, "image") for id in nodes if is_picture_loader(self._graph[id])]

    def _read_pictures(self) -> None:
        """All other pictures; the first is the one to edit where there is none yet."""
        taken = {port for ports in self._roles.values() for port in ports}
        others = [
            (id, "image")
            for id, node in self._graph.items()
            if is_picture_loader(node) and (id, "image") not in taken
        ]
        if "image" not in self._roles and others:
            self._roles["image"] = [others.pop(0)]
        if others:
            self._roles["reference"] = others

    def _read_nodes(self) -> None:
        """Take what has the names of our parameters, in a graph that samples somewhere else."""
        for id in self._graph:
            for role, names in _PLAIN_NAMES.items():
                for name in names:
                    if name in self._inputs(id) and not is_picture_loader(self._graph[id]):
                        found = (
                            self._text(id, name, 0) if "prompt" in role else self._value(id, name)
                        )
                        self._add(role, found)


_PLAIN_NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt",),
    "negative_prompt": ("negative_prompt",),
    "seed": ("seed",),
    "width": ("width",),
    "height": ("height",),
}
