"""Read a batch: one request per line of JSON, with the keys of generate_image."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ziggie_image_mcp.errors import ImageError, InvalidRequest, quote
from ziggie_image_mcp.jobs import prompts
from ziggie_image_mcp.routing.additions import with_prompt_loras
from ziggie_image_mcp.routing.request import (
    FINGERPRINT_VERSION,
    ImageRequest,
    declared_arguments,
    digest,
    set_fields,
)
from ziggie_image_mcp.routing.spellings import InvalidArguments, read_arguments

MAX_REQUESTS = 10_000
MOST_ERRORS = 20

_OURS = ("allow_paid",)
"""Said once for the whole batch, by --budget, and not line by line."""
TYPES = {a.name: a.type for a in declared_arguments("generate") if a.name not in _OURS}


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
    items: list[Item] = []
    problems: list[str] = []
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, 1):  # JSON's texts may hold other ends of lines
        if not line.strip() or line.lstrip().startswith(("#", "//")):
            continue
        try:
            request = _request(line)
            alternatives = prompts.expand(request.prompt, limit=MAX_REQUESTS)
        except (ValueError, InvalidRequest) as e:
            problems.append(f"{name}, line {number}: {e}")
            continue
        items += [
            Item(
                line=number,
                part=i if len(alternatives) > 1 else 0,
                request=with_prompt_loras(replace(request, prompt=p)),
            )
            for i, p in enumerate(alternatives, 1)
        ]
    if not items and not problems:
        problems.append(f'{name} has no request; a line is as {{"prompt": "a red star"}}')
    if len(items) > MAX_REQUESTS:
        problems.append(f"{name} makes {len(items)} requests, and {MAX_REQUESTS} is the most")
    if problems:
        raise BatchInvalid(problems)
    return items


def batch_id(items: Sequence[Item]) -> str:
    """The same for the same requests: a batch run again goes on where it stopped."""
    facts = {
        "version": FINGERPRINT_VERSION,
        "items": [[i.line, i.part, set_fields(i.request)] for i in items],
    }
    return digest(facts)[:12]


def _request(line: str) -> ImageRequest:
    try:
        value: object = json.loads(line, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as e:
        raise ValueError(f"this is no JSON: {e}") from e
    if isinstance(value, str):
        value = {"prompt": value}
    if not isinstance(value, dict):
        raise ValueError(f"a line is an object or a prompt in quotes, not {quote(line.strip())}")
    values = dict(cast(Mapping[str, Any], value))
    problems = [
        f"{key!r} is not said by line: run the batch with --budget USD."
        for key in _OURS
        if values.pop(key, None) is not None
    ]
    try:
        values = read_arguments(values, TYPES, required=("prompt",), owner="a line of a batch")
    except InvalidArguments as e:
        problems += [str(e)]
    if problems:
        raise ValueError(" ".join(problems))
    return ImageRequest(**values)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = next((key for key, n in Counter(key for key, _ in pairs).items() if n > 1), None)
    if twice is not None:
        raise ValueError(f"the key {twice!r} is there twice")
    return dict(pairs)
