r"""Make several prompts of one with alternatives: `{red|blue} car`, `{a|b} on {c|d}`.

Our own few lines, because the dynamicprompts library (0.31) drops all after a `#`, variables and
unknown wildcards too; here nothing but the alternatives changes. `\{`, `\|` and `\}` are literal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ziggie_image_mcp.errors import InvalidRequest


class _Group(NamedTuple):
    before: str
    options: list[str]
    after: str


def count(prompt: str) -> int:
    """How many prompts it makes, without making them."""
    group = _first_group(prompt)
    if group is None:
        return 1
    return sum(count(option) for option in group.options) * count(group.after)


def expand(prompt: str, *, limit: int) -> list[str]:
    """All combinations, the last alternative changing fastest. One without any stays as it is.

    Raises:
        InvalidRequest: There are more than `limit`.
    """
    if _first_group(prompt) is None:
        return [prompt]
    prompts = count(prompt)
    if prompts > limit:
        fix = f"its alternatives make {prompts} prompts, and {limit} is the most; leave some out"
        raise InvalidRequest("prompt", prompt, fix)
    return list(_variants(prompt))


def _variants(text: str) -> Iterator[str]:
    group = _first_group(text)
    if group is None:
        yield _plain(text)
        return
    for option in group.options:
        for chosen in _variants(option):
            for rest in _variants(group.after):
                yield _plain(group.before) + chosen + rest


def _first_group(text: str) -> _Group | None:
    """The first braces that close and have a bar between them; other braces are text."""
    for start, sign in _signs(text):
        if sign != "{":
            continue
        depth, begin, options = 0, start + 1, list[str]()
        for place, inner in _signs(text, start + 1):
            if inner == "{":
                depth += 1
            elif depth == 0:
                options.append(text[begin:place])
                begin = place + 1
                if inner == "}":
                    break
            elif inner == "}":
                depth -= 1
        else:
            continue  # it never closes
        if len(options) > 1:
            return _Group(text[:start], options, text[begin:])
    return None


def _signs(text: str, start: int = 0) -> Iterator[tuple[int, str]]:
    """The braces and bars that are not escaped, and where they stand."""
    place = start
    while place < len(text):
        if text[place] == "\\":
            place += 2
            continue
        if text[place] in "{|}":
            yield place, text[place]
        place += 1


def _plain(text: str) -> str:
    for sign in "{|}":
        text = text.replace(f"\\{sign}", sign)
    return text
