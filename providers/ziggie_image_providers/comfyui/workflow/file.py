"""Read a workflow of the user's own out of a file: JSON, or a picture that carries it."""

from __future__ import annotations

import io
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

ApiGraph = dict[str, dict[str, Any]]
"""Nodes by id, each with its `class_type`, its `inputs`, and maybe `_meta`."""

MAX_BYTES = 128 * 2**20
MAX_TEXT_BYTES = 16 * 2**20
"""Of the JSON, also where it lies compressed in a picture."""
MAX_NODES = 5000
_MAX_DEPTH = 64
_PNG = b"\x89PNG\r\n\x1a\n"
_NAMES = ("prompt", "workflow")
EXPORT = "save it in ComfyUI by Workflow > Export (API)"


class WorkflowUnreadable(ValueError):
    """A file holds no workflow that can be used; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """What a file holds of a workflow: one of its two formats at least."""

    api: ApiGraph | None = None
    """As the server takes it."""
    ui: Mapping[str, Any] | None = None
    """As the editor saves it; `to_api` makes the other one of it."""


def read_workflow(data: bytes, name: str) -> Workflow:
    """Read a file of either format, or a PNG, WebP or JPEG that ComfyUI wrote.

    Args:
        data: The whole file.
        name: What messages call it.

    Raises:
        WorkflowUnreadable: It holds none, or a broken one.
    """
    if len(data) > MAX_BYTES:
        raise WorkflowUnreadable(f"{name} has more than {MAX_BYTES >> 20} MiB; {EXPORT}")
    if data.startswith(_PNG):
        return _from_texts(_png_texts(data, name), name)
    if data.startswith(b"\xff\xd8") or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return _from_texts(_exif_texts(data, name), name)
    return _from_json(_parse(data, name), name)


def check_graph(value: object, name: str) -> ApiGraph:
    """Take a graph in the API format, with nothing in its nodes that the server does not read.

    Raises:
        WorkflowUnreadable: It is none.
    """
    rows = as_dict(value)
    if not rows:
        raise WorkflowUnreadable(f"{name} holds no nodes; {EXPORT}")
    if len(rows) > MAX_NODES:
        raise WorkflowUnreadable(f"{name} has more than {MAX_NODES} nodes; split it")
    graph = {id: _node(id, row, name) for id, row in rows.items()}
    for id, node in graph.items():
        for input, item in node["inputs"].items():
            if is_link(item) and item[0] not in graph:
                raise WorkflowUnreadable(
                    f"{name}: `{input}` of node {id} is linked to node {item[0]}, which is not"
                    f" there; {EXPORT}"
                )
    return graph


def as_dict(value: object) -> dict[str, Any]:
    """Take an object of JSON; an empty one where it is something else."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Take a list of JSON; an empty one where it is something else."""
    return cast(list[object], value) if isinstance(value, list) else []


def is_link(value: object) -> TypeGuard[list[Any]]:
    """Tell whether an input's value is the output of another node.

    >>> is_link(["4", 0]), is_link([1, 2]), is_link("4")
    (True, False, False)
    """
    match value:
        case [str(), int()]:
            return True
        case _:
            return False


def _node(id: str, row: object, name: str) -> dict[str, Any]:
    node = as_dict(row)
    class_type, inputs = node.get("class_type"), as_dict(node.get("inputs"))
    if not isinstance(class_type, str) or not class_type:
        raise WorkflowUnreadable(f"{name}: node {id} has no class_type; {EXPORT}")
    if not isinstance(node.get("inputs"), dict):
        raise WorkflowUnreadable(f"{name}: node {id} has no inputs; {EXPORT}")
    if not _is_plain(inputs):
        raise WorkflowUnreadable(
            f"{name}: node {id} has an input that is no number, or nested too deep; {EXPORT}"
        )
    meta = as_dict(node.get("_meta"))
    about: dict[str, Any] = {"_meta": meta} if meta else {}
    return {"class_type": class_type, "inputs": inputs, **about}


def _is_plain(value: object) -> bool:
    """Whether it is JSON that every reader takes, and not nested without end."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > _MAX_DEPTH or (isinstance(item, float) and not math.isfinite(item)):
            return False
        waiting += [(v, depth + 1) for v in (*as_dict(item).values(), *as_list(item))]
    return True


def _parse(text: bytes | str, name: str) -> object:
    if len(text) > MAX_TEXT_BYTES:
        raise WorkflowUnreadable(f"{name} has more than {MAX_TEXT_BYTES >> 20} MiB of JSON")
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _Duplicate as e:
        raise WorkflowUnreadable(f"{name} has {e} twice; {EXPORT}") from e
    except (ValueError, RecursionError) as e:
        raise WorkflowUnreadable(f"{name} is no JSON that can be read; {EXPORT}") from e


class _Duplicate(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Duplicate(next(repr(key[:80]) for key in keys if keys.count(key) > 1))
    return unique


def _from_json(value: object, name: str) -> Workflow:
    content = as_dict(value)
    if not content:
        raise WorkflowUnreadable(f"{name} holds no workflow; {EXPORT}")
    if _is_ui(content):
        return Workflow(ui=content)
    graph = content.get("prompt")
    if as_dict(graph) and "class_type" not in as_dict(graph):
        extra = as_dict(as_dict(content.get("extra_data")).get("extra_pnginfo")).get("workflow")
        return Workflow(api=check_graph(graph, name), ui=extra if _is_ui(extra) else None)
    ui = content.get("workflow")
    if _is_ui(ui):
        return Workflow(ui=ui)
    return Workflow(api=check_graph(content, name))


def _is_ui(value: object) -> bool:
    """Whether it is a workflow as the editor saves it."""
    return isinstance(as_dict(value).get("nodes"), list)


def _from_texts(texts: Mapping[str, str | bytes], name: str) -> Workflow:
    api, ui = texts.get("prompt"), texts.get("workflow")
    parsed = _parse(ui, name) if ui else None
    editor = as_dict(parsed) if _is_ui(parsed) else None
    if api:
        return Workflow(api=check_graph(_parse(api, name), name), ui=editor)
    if editor is None:
        raise WorkflowUnreadable(
            f"{name} is a picture without a workflow: programs that edit or send pictures strip it;"
            f" take the file out of ComfyUI's output folder, or {EXPORT}"
        )
    return Workflow(ui=editor)


def _png_texts(data: bytes, name: str) -> Mapping[str, str | bytes]:
    """The texts of a PNG that matter here, whichever of its three kinds of chunks they are in."""
    texts: dict[str, str | bytes] = {}
    for kind, body in _png_chunks(data):
        key, _, rest = body.partition(b"\0")
        label = key.decode("latin-1")
        if label not in _NAMES or label in texts:
            continue
        if kind == b"tEXt":
            texts[label] = rest.decode("latin-1")
        elif kind == b"zTXt":
            texts[label] = _inflate(rest[1:], name)
        elif kind == b"iTXt":
            text = rest[2:].split(b"\0", 2)[-1]  # after the language and the translated key
            texts[label] = _inflate(text, name) if rest[:1] == b"\1" else text
    return texts


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            yield kind, data[at + 8 : at + 8 + length]
        at += length + 12


def _inflate(data: bytes, name: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error as e:
        raise WorkflowUnreadable(f"{name} is damaged; {EXPORT}") from e
    return text


def _exif_texts(data: bytes, name: str) -> Mapping[str, str]:
    """The texts of a WebP or JPEG: `prompt:{...}` and `workflow:{...}`, in whatever tags."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("WEBP", "JPEG")) as image:
            values = [str(value) for value in image.getexif().values()]
    except Exception as e:  # Pillow's readers of EXIF raise many kinds on broken files
        raise WorkflowUnreadable(f"{name} is damaged; {EXPORT}") from e
    parts = (value.partition(":") for value in values)
    return {key.casefold(): text for key, _, text in parts if key.casefold() in _NAMES}
