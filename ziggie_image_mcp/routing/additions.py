"""Read LoRAs and control pictures as people write them: `name:0.8, other` and `canny:ID:0.7`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, cast

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.request_checks import MAX_LORA_WEIGHT

MAX_CONTROL = 4

LORA_FORM = "as `name:0.8, other`, with weights of -4 to 4"
CONTROL_FORM = (
    "as `canny:ID:0.7`: a kind, a picture, and how strongly (0 to 2) it counts; "
    "`depth:ID` is a finished map, `make-depth:ID` has it made of a picture"
)

_TAG = re.compile(r"<\s*(?:lora|lyco|lycoris)\s*:\s*([^:<>]+?)\s*(?::([^<>]*))?>", re.IGNORECASE)
_WEIGHT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_KINDS: Mapping[str, str] = {
    "edges": "canny",
    "edge": "canny",
    "openpose": "pose",
    "dwpose": "pose",
    "dw_pose": "pose",
    "skeleton": "pose",
    "hed": "softedge",
    "pidi": "softedge",
    "sketch": "scribble",
    "segmentation": "seg",
    "segment": "seg",
    "line": "lineart",
    "lines": "lineart",
    "normalmap": "normal",
    "normals": "normal",
    "depthmap": "depth",
    "blur": "tile",
}
"""Other words for a kind of control picture."""


class ControlName(NamedTuple):
    """A control picture as it is asked for; its picture is not looked at yet."""

    kind: str
    picture: str
    weight: float
    compute: bool


def read_loras(value: object) -> tuple[Lora, ...]:
    """The LoRAs of a text, a list of texts, or a list of objects with `name` and `weight`.

    Raises:
        InvalidRequest: It is none of these, or a weight is out of bounds.
    """
    loras: list[Lora] = []
    for part in _parts(value):
        if isinstance(part, Lora):
            loras.append(part)
        elif isinstance(part, dict):
            facts = {str(k).lower(): v for k, v in cast(dict[object, object], part).items()}
            names = [facts[k] for k in ("name", "id", "model", "path", "lora") if k in facts]
            weights = [facts[k] for k in ("weight", "scale", "strength") if k in facts]
            loras.append(_lora(str(names[0]) if names else "", str(weights[0]) if weights else ""))
        else:
            tag = _TAG.fullmatch(str(part).strip())
            name, weight = (tag[1], tag[2] or "") if tag else _split_weight(str(part))
            loras.append(_lora(name, weight))
    return tuple(loras)


def read_control(text: str) -> list[ControlName]:
    """The control pictures of a text.

    Raises:
        InvalidRequest: It cannot be read so.
    """
    names: list[ControlName] = []
    for part in _pictures(text):
        kind, colon, rest = part.partition(":")
        kind = kind.strip().lower()
        compute = kind.startswith(("make-", "make_"))
        kind = kind[5:] if compute else kind
        kind = _KINDS.get(kind, kind)
        picture, weight = _split_weight(rest)
        if not (colon and picture and re.fullmatch(r"[a-z][a-z0-9_-]*", kind)):
            raise InvalidRequest("control", part, CONTROL_FORM)
        number = float(weight) if weight else 1.0
        if not 0 <= number <= 2:
            raise InvalidRequest("control", part, CONTROL_FORM)
        if kind == "canny":
            compute = False  # its lines are always drawn here
        names.append(ControlName(kind=kind, picture=picture, weight=number, compute=compute))
    if len(names) > MAX_CONTROL:
        raise InvalidRequest("control", text, f"at most {MAX_CONTROL}")
    return names


def with_prompt_loras(request: ImageRequest) -> ImageRequest:
    """The request with its prompt's `<lora:NAME:WEIGHT>` as LoRAs, and not as words.

    One that the argument names too has the argument's weight.

    Raises:
        InvalidRequest: One has no name, or a weight that is none.
    """
    tags = list(_TAG.finditer(request.prompt))
    if not tags:
        return request
    weighted = ((tag, (tag[2] or "").split(":")[0]) for tag in tags)  # A1111 knows a second weight
    loras = {lora.id: lora for lora in (_lora(tag[1], weight) for tag, weight in weighted)}
    loras |= {lora.id: lora for lora in request.loras}
    prompt = re.sub(r"[ \t]{2,}", " ", _TAG.sub("", request.prompt)).strip(" \t,")
    return replace(request, prompt=prompt, loras=tuple(loras.values()))


def _parts(value: object) -> list[object]:
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            value = json.loads(value)
        except ValueError as e:
            raise InvalidRequest("loras", value, LORA_FORM) from e
    if isinstance(value, dict):
        facts = cast(dict[str, object], value)
        named = {"name", "id", "model", "path", "lora"} & {k.lower() for k in facts}
        value = [facts] if named else [f"{k}:{v}" for k, v in facts.items()]
    if isinstance(value, str):
        return [part.strip() for part in re.split(r"[,;\n]", value) if part.strip()]
    if isinstance(value, list | tuple):
        return list(cast(list[object], value))
    raise InvalidRequest("loras", value, LORA_FORM)


def _pictures(text: str) -> list[str]:
    parts = re.split(r",(?=\s*(?:make[-_])?[A-Za-z][\w-]*:(?!//))", text)
    return [part.strip() for part in parts if part.strip(" ,")]


def _split_weight(text: str) -> tuple[str, str]:
    name, colon, weight = text.strip().rpartition(":")
    if colon and _WEIGHT.fullmatch(weight.strip()):
        return name.strip(), weight.strip()
    return text.strip(), ""


def _lora(name: str, weight: str) -> Lora:
    try:
        number = float(weight) if weight.strip() else 1.0
    except ValueError:
        number = math.nan
    name = name.strip().strip("\"'")
    if not name or not -MAX_LORA_WEIGHT <= number <= MAX_LORA_WEIGHT:
        raise InvalidRequest("loras", f"{name}:{weight}" if weight else name, LORA_FORM)
    return Lora(id=name, weight=number)
