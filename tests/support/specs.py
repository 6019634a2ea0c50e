"""Vendors' published specs, to which requests and recorded answers are held.

The specs lie outside the repository: in the folder that ZIGGIE_SPECS names, else in
../shared/specs. Tests that need them are marked `spec`, and are skipped where there are none.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from ziggie_image_mcp.provider.testing import Seen

Schema = Mapping[str, Any]

SPECS = Path(os.environ.get("ZIGGIE_SPECS") or Path(__file__).parents[3] / "shared" / "specs")
NO_SPECS = f"the vendors' specs are not in {SPECS}; ZIGGIE_SPECS may name another folder"


def has_specs() -> bool:
    return SPECS.is_dir()


def problems(vendor: str, pointer: str, value: Any) -> list[str]:
    """What is wrong with a value by one schema of a vendor's spec; unknown keys are wrong too.

    Args:
        vendor: The spec's file without its ending, as `openai` or `openai-sdk-3.57`.
        pointer: The name of a schema, as `CreateImageRequest`; or a JSON pointer into the file, as
            `/paths/~1images/post/requestBody/content/application~1json/schema`. References on its
            way are followed.
        value: The body of a request or an answer, or a request as it came in: of a form the texts
            are read as what the schema wants, and the files are binary texts.
    """
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped, unused-ignore]

    spec = _nullable(read(vendor))
    schema: Schema = _at(spec, pointer if pointer.startswith("/") else _pointer(spec, pointer))
    if not {"$ref", "type"} & schema.keys() and all(isinstance(v, str) for v in schema.values()):
        schema = _typed(schema)
    root = schema if "$defs" in schema else spec
    if isinstance(value, Seen):
        value = _form(value, schema, root) if value.is_form else value.body
    validator = cast(Any, Draft202012Validator({**root, **schema}))
    wrong = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(value)]
    return wrong + list(_unknown([schema], value, root, "$"))


@cache
def read(vendor: str) -> Any:
    """A vendor's spec, as it stands in its file."""
    return json.loads((SPECS / f"{vendor}.json").read_text(encoding="utf-8"))


def unknown_fields(server: str, name: str, fields: Iterable[str]) -> list[str]:
    """Which fields of a request a local server does not read.

    Args:
        server: `vllm_omni` or `sglang`.
        name: The request's name in the notes on their sources.
        fields: Of a body or a form.
    """
    return sorted(set(fields) - set(read("local-openai-dialects")[server][name]))


def _pointer(spec: Schema, name: str) -> str:
    """Where a schema of this name stands."""
    for above in (("components", "schemas"), ("schemas",), ()):
        place: Any = spec
        for key in above:
            place = place.get(key, {})
        if name in place:
            return "/".join(("", *above, name))
    raise KeyError(f"no schema {name} in this spec")


def _at(spec: Schema, pointer: str) -> Any:
    place: Any = spec
    for word in pointer.split("/")[1:]:
        key = word.replace("~1", "/").replace("~0", "~")
        while "$ref" in place:
            place = _at(spec, place["$ref"][1:])
        place = place[key]
    return place


def _parts(schemas: Iterable[Schema], root: Schema) -> Iterator[Schema]:
    """All schemas that may speak about a value of which these do."""
    for schema in schemas:
        yield schema
        if "$ref" in schema:
            yield from _parts([_at(root, schema["$ref"][1:])], root)
        for word in ("allOf", "anyOf", "oneOf"):
            yield from _parts(schema.get(word, ()), root)


def _unknown(schemas: Iterable[Schema], value: object, root: Schema, path: str) -> Iterator[str]:
    """Keys that no schema lists, where one lists any and leaves no others."""
    parts = list(_parts(schemas, root))
    if isinstance(value, list):
        items = [part["items"] for part in parts if isinstance(part.get("items"), dict)]
        for index, item in enumerate(cast("list[object]", value)):
            yield from _unknown(items, item, root, f"{path}[{index}]")
    elif isinstance(value, dict):
        others = [
            o for p in parts if (o := p.get("additionalProperties")) not in (None, True, False)
        ]
        lists = [part["properties"] for part in parts if "properties" in part]
        for key, item in cast("dict[str, object]", value).items():
            names = [properties[key] for properties in lists if key in properties]
            if lists and not names and not others:
                yield f"{path}: unknown key {key}"
            yield from _unknown(names or others, item, root, f"{path}.{key}")


def _form(seen: Seen, schema: Schema, root: Schema) -> dict[str, Any]:
    """The fields of a form as the JSON that they stand for; `image[]` is one of a list `image`."""
    value: dict[str, Any] = {}
    for name, field in seen.form.items():
        key = name.removesuffix("[]")
        lists = [part.get("properties", {}) for part in _parts([schema], root)]
        parts = _parts([properties[key] for properties in lists if key in properties], root)
        types = {kind for part in parts for kind in _several(part.get("type"))}
        item: Any = "binary" if isinstance(field, bytes) else field
        if isinstance(field, str) and "string" not in types & {*_TYPES.values()}:
            try:
                item = json.loads(field)
            except ValueError:
                item = field  # and the schema says what is wrong
        value[key] = item if name == key else [item]
    return value


_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "None": "null",
    "FileTypes": "string",
}


def _typed(fields: Mapping[str, str]) -> Schema:
    """A class's annotations, as the SDKs of some vendors write requests, as a schema."""
    optional = any(text.startswith("Required[") for text in fields.values())  # of all others
    needed = "Required[" if optional else ""
    return {
        "type": "object",
        "properties": {name: _annotation(text) for name, text in fields.items()},
        "required": [
            name
            for name, text in fields.items()
            if text.startswith(needed) and not text.startswith("NotRequired[")
        ],
    }


def _annotation(text: str) -> Schema:
    return _of(ast.parse(text, mode="eval").body)


def _of(node: ast.expr) -> Schema:
    match node:
        case ast.Name(id=name) if name in _TYPES:
            return {"type": _TYPES[name]}
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.BinOp(left=left, right=right):
            return {"anyOf": [_of(left), _of(right)]}
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            return {"enum": [ast.literal_eval(v) for v in _elements(values)]}
        case ast.Subscript(value=ast.Name(id="Required" | "NotRequired"), slice=inner):
            return _of(inner)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return {"anyOf": [_of(inner), {"type": "null"}]}
        case ast.Subscript(value=ast.Name(id="Union"), slice=inner):
            return {"anyOf": [_of(one) for one in _elements(inner)]}
        case ast.Subscript(value=ast.Name(id="list" | "SequenceNotStr"), slice=inner):
            return {"type": "array", "items": _of(inner)}
        case ast.Subscript(value=ast.Name(id="dict")):
            return {"type": "object"}
        case _:
            return {}


def _elements(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _several(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]


def _nullable(schema: object) -> Any:
    """OpenAPI 3.0's `nullable`, which some specs still use, in JSON Schema's words."""
    if isinstance(schema, list):
        return [_nullable(item) for item in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    fields = cast(dict[str, Any], schema)
    plain = {key: _nullable(value) for key, value in fields.items()}
    if fields.get("nullable") is True and isinstance(fields.get("type"), str):
        plain["type"] = [fields["type"], "null"]
    return plain
