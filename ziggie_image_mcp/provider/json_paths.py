"""Reach into the body or the answer of a model by paths as `data[].url`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast


def put(body: dict[str, Any], path: str, value: object) -> None:
    """Set what a path names: `a[]` is one more of a list, `a[0]` the first, `a[-1]` the last."""
    level: Any = body
    *above, last = path.split(".")
    for step in above:
        name, bracket, index = step.partition("[")
        if not bracket:
            level = level.setdefault(name, {})
            continue
        items: list[Any] = level.setdefault(name, [])
        if index == "]" or not items:
            items.append({})
        level = items[0] if index == "0]" else items[-1]
    name, bracket, _ = last.partition("[")
    if bracket:
        level.setdefault(name, []).append(value)
    else:
        level[name] = value


def values(body: object, path: str) -> Iterator[object]:
    """All that a path names; nothing where there is nothing of that form."""
    step, _, rest = path.partition(".")
    name, bracket, _ = step.partition("[")
    if not isinstance(body, dict):
        return
    found = cast("dict[str, object]", body).get(name)
    items = cast("list[object]", found) if bracket and isinstance(found, list) else [found]
    for item in items:
        if rest:
            yield from values(item, rest)
        elif item is not None:
            yield item


def objects(body: object, path: str) -> Iterator[dict[str, Any]]:
    """Those of the things that a path names which are JSON objects."""
    for value in values(body, path):
        if isinstance(value, dict):
            yield cast("dict[str, Any]", value)


def first_object(body: object, path: str) -> dict[str, Any]:
    """The first JSON object that a path names; an empty one where there is none."""
    return next(objects(body, path), dict[str, Any]())


def number(value: object) -> float | None:
    """A finite number out of JSON; None of anything else, true and false included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number larger than any float
        return None
