"""Write the tables of all settings into docs/settings.md, out of the models that read them.

python tools/docs/settings_page.py
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from ziggie_image_mcp.config.config import ENV_FILE, ENV_PREFIX, ENV_TOKEN, ENV_TOKENS, Config
from ziggie_image_mcp.inventory.registry import load_types

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
BEGIN, END = "<!-- settings -->", "<!-- end of settings -->"
_BOUNDS = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + "\n".join([BEGIN, *_lines(), END]) + rest.partition(END)[2]


def _lines() -> Iterator[str]:
    yield from ("", "### All keys of config.json", "")
    yield from _head("environment variable")
    for path, name, field in keys(Config):
        variable = "" if "[]" in path else f"`{ENV_PREFIX}{'__'.join(name)}`"
        yield _row(f"`{path}`", field, words(field), variable)
    yield from ("", "### Variables without a key", "")
    yield from (
        f"- `{ENV_FILE}`: the file, where it is not config.json in its usual place.",
        f"- `{ENV_TOKEN}`: the token that the HTTP server asks for. Never in config.json.",
        f"- `{ENV_TOKENS}`: those of others, as `alice:SECRET,bob:OTHER`.",
    )
    for name, kind in load_types().usable.items():
        if not kind.__module__.startswith("ziggie_image_providers."):
            continue
        yield from ("", f"### `providers.{name}`", "", f"{_sentence(kind.info.summary)}", "")
        yield from _head()
        for key, field in kind.Settings.model_fields.items():
            yield _row(f"`{field.alias or key}`", field, attribute_words(kind.Settings, key))
    yield ""


def keys(
    model: type[BaseModel], above: str = "", names: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], FieldInfo]]:
    """Each key of a block and of those below it, in the words of config.json and of variables."""
    for name, field in model.model_fields.items():
        path, at = f"{above}{field.alias or name}", (*names, name.upper())
        block, each = _block(field.annotation)
        if block is None or each:
            yield path, at, field
        if block is not None:
            yield from keys(block, f"{path}{each}.", (*at, "name") if each == ".NAME" else at)


def words(field: FieldInfo) -> str:
    """What a key is for: of a block of its own, what its class says."""
    if field.description:
        return field.description
    block, _ = _block(field.annotation)
    return (inspect.getdoc(block) or "").splitlines()[0] if block else ""


def attribute_words(model: type[BaseModel], name: str) -> str:
    """The text below an attribute, in the class that declares it last."""
    for owner in model.__mro__:
        if text := _attribute_texts(owner).get(name):
            return text
    return ""


@functools.cache
def _attribute_texts(owner: type) -> Mapping[str, str]:
    """The texts of a class's attributes, by name; none where its source is not at hand."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    except (OSError, TypeError):
        return {}
    body: list[ast.stmt] = getattr(tree.body[0], "body", [])
    return {
        before.target.id: inspect.cleandoc(str(after.value.value))
        for before, after in itertools.pairwise(body)
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }


def _block(kind: Any) -> tuple[type[BaseModel] | None, str]:
    """The block of settings that a key holds, and what stands between: `.NAME` or `[]`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind, ""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        return _block(arguments[1])[0], ".NAME"
    if origin is tuple:
        return _block(arguments[0])[0], "[]"
    if origin in (Union, UnionType):
        return next((found for a in arguments if (found := _block(a))[0]), (None, ""))
    return None, ""


def _head(*more: str) -> Iterator[str]:
    names = ["key", "type", "default", *more, "what"]
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)


def _row(key: str, field: FieldInfo, what: str, *more: str) -> str:
    cells = [key, _type(field), _default(field), *more, " ".join(what.split())]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{word} {getattr(rule, name):,}"
        for rule in field.metadata
        for name, word in _BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return " ".join([_kind(field.annotation), *bounds])


def _kind(kind: Any) -> str:
    """A type in words; of a block the word alone, for its keys have rows of their own."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(a) for a in arguments if a is not type(None)))
    if origin in (tuple, list, frozenset):
        return "list"
    if origin in (dict, Mapping) or _block(kind)[0] is not None:
        return "block"
    if origin is not None and arguments:
        return _kind(arguments[0])
    if kind is SecretStr:
        return "secret"
    return _WORDS.get(kind, "JSON")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be set"
    value: Any = field.get_default(call_default_factory=True)
    if value in (None, "", (), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Mapping):
        return f"{len(cast(Mapping[str, object], value))} rows"
    if isinstance(value, (tuple, frozenset)):
        return ", ".join(f"`{part}`" for part in cast(Iterable[object], value))
    return f"`{value}`"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
