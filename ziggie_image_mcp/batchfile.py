"""Read a batch: one request per line of JSON, with the keys of generate_image."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from ziggie_image_mcp import prompts
from ziggie_image_mcp.errors import ImageError, InvalidRequest
from ziggie_image_mcp.types import ImageRequest

MAX_REQUESTS = 10_000
MOST_ERRORS = 20

_OURS = ("allow_paid",)
"""Said once for the whole batch, by --budget, and not line by line."""
_EDITS = ("image", "mask", "strength")
"""A batch makes pictures from text."""
KEYS = tuple(f.name for f in fields(ImageRequest) if f.name not in _OURS + _EDITS)


class BatchInvalid(ImageError):
    """Raised when lines of a batch make no sense; the message tells all of them."""

    code = "BATCH_INVALID"

    def __init__(self, problems: Sequence[str]) -> None:
        shown = list(problems[:MOST_ERRORS])
        if len(problems) > MOST_ERRORS:
            shown.append(f"and {len(problems) - MOST_ERRORS} more")
        super().__init__("\n".join(shown))


@dataclass(frozen=True, kw_only=True)
class Item:
    """One request of a batch, and the line that it came from; `part` counts the line's prompts."""

    line: int
    part: int
    request: ImageRequest

    @property
    def name(self) -> str:
        """Short, and no other item of the batch has it."""
        return f"{self.line}.{self.part}" if self.part else str(self.line)


def read(text: str, name: str = "batch") -> list[Item]:
    """The requests of a file's text, in its order; prompts with alternatives make several.

    A line is a JSON object, or a JSON string, which is a prompt. Empty lines and lines that begin
    with `#` or `//` are passed over.

    Raises:
        BatchInvalid: Some lines make no sense, there is none, or there are too many requests.
    """
    found: list[Item] = []
    problems: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(("#", "//")):
            continue
        try:
            request = _request(line)
            made = prompts.expand(request.prompt, limit=MAX_REQUESTS)
        except (ValueError, InvalidRequest) as e:
            problems.append(f"{name}, line {number}: {e}")
            continue
        found += [
            Item(line=number, part=i if len(made) > 1 else 0, request=replace(request, prompt=p))
            for i, p in enumerate(made, 1)
        ]
    if not found and not problems:
        problems.append(f'{name} has no request; a line is as {{"prompt": "a red star"}}')
    if len(found) > MAX_REQUESTS:
        problems.append(f"{name} makes {len(found)} requests, and {MAX_REQUESTS} is the most")
    if problems:
        raise BatchInvalid(problems)
    return found


def batch_id(items: Sequence[Item]) -> str:
    """The same for the same requests: a batch run again goes on where it stopped."""
    return hashlib.sha256(repr(tuple(items)).encode()).hexdigest()[:12]


def _request(line: str) -> ImageRequest:
    from pydantic import TypeAdapter, ValidationError

    try:
        value: object = json.loads(line)
    except ValueError as e:
        raise ValueError(f"this is no JSON: {e}") from e
    if isinstance(value, str):
        value = {"prompt": value}
    if not isinstance(value, dict):
        raise ValueError(f"a line is an object or a prompt in quotes, not {line.strip()[:60]}")
    given = cast(Mapping[str, Any], value)
    wrong = list(_unknown(given))
    try:
        known = {key: given[key] for key in given if key in KEYS}
        text = json.dumps(known)  # in JSON a dataclass is an object also where types are strict
        made: ImageRequest = TypeAdapter(ImageRequest).validate_json(text, strict=True)
    except ValidationError as e:
        for problem in e.errors(include_url=False):
            key = ".".join(map(str, problem["loc"]))
            value = "" if problem["type"] == "missing" else f"={problem['input']!r:.60}"
            wrong.append(f"{key}{value}: {problem['msg']}")
        raise ValueError("; ".join(wrong)) from e
    if wrong:
        raise ValueError("; ".join(wrong))
    return made


def _unknown(given: Mapping[str, Any]) -> Iterator[str]:
    for key in given:
        if key in _OURS:
            yield f"{key!r} is not said by line: run the batch with --budget USD"
        elif key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else f" Keys: {', '.join(KEYS)}."
            yield f"there is no key {key!r}.{meant}"
