r"""Make several prompts of one with alternatives: `{red|blue} car`, `{a|b} on {c|d}`.

Braces with a bar stand in code, JSON, templates and LaTeX too, and taken apart these become several
damaged prompts that may be paid for. So a group is alternatives only where it is unmistakable:

- It is on one line, not in quotes or backticks, and not in or beside braces that are none.
- Before it stands nothing, a blank without an operator, a comma, a dash, a bracket that is no
  call, or alternatives; behind it nothing that goes on with code.
- Its options are words, as `very big`, `"OPEN"`, `(red:1.2)`: none of the signs of code, no `||`,
  no `name.name`, quotes and brackets in pairs. The first or last may be empty; groups may be in it.

All else stays as it is to the letter, and `doubt` says so. What is meant as alternatives and cannot
be honoured is refused: weights (`{2::red|blue}`), counts (`{2$$a|b}`), and a group beside one that
never closes. In a prompt with alternatives `\{`, `\|` and `\}` are literal.

Our own few lines, because the dynamicprompts library (0.31) drops all after a `#`, variables and
unknown wildcards too; here nothing but the alternatives changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from math import prod

from ziggie_image_mcp.errors import InvalidRequest, quote
from ziggie_image_mcp.routing.additions import with_prompt_loras
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.request_checks import MAX_IMAGES, MAX_PROMPT

COUNTED = 1_000
"""So many combinations are made to be counted; more are only multiplied."""
DEEPEST = 8
"""Groups in groups; what goes deeper is no alternatives."""

_SIGN = re.compile(r"\\.|[{|}]", re.DOTALL)
_ESCAPED = re.compile(r"\\([{|}])")
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|«[^»]*»|`[^`]*`|(?<!\w)\'[^\'\n]*\'(?!\w)')
_OPERATORS = frozenset("=<>|&+*~^$\\")
_AFTER = re.compile(r"[}(\[=;*_$^]|\.\w|\{(?![^{}|]*\|)")
_CODE = re.compile(r"[=;<>*\[\]@^~\\$`_{}%#+\n\r]|&&|[^\W\d]\.[^\W\d]|\w\(|:(?!\d)")
_CALL = re.compile(r"\w\(\s*\)\s*$")
_WEIGHT = re.compile(r"\s*[\d.]+::")
_COUNT = re.compile(r"\s*[\d~-]*\$\$")


@dataclass
class _Parsed:
    """A text: literal pieces, and between them groups, each with its options."""

    pieces: list[str | list[_Parsed]] = field(default_factory=list["str | list[_Parsed]"])
    doubts: list[str] = field(default_factory=list[str])
    """Braces with a bar that are left as they are."""
    unclosed: bool = False
    """Whether a brace with a bar of its own never closes."""

    @property
    def has_groups(self) -> bool:
        return any(not isinstance(piece, str) for piece in self.pieces)


@dataclass
class _Braces:
    """A brace of a text, and what belongs to it."""

    start: int
    end: int
    """Behind the one that closes it; behind the text where none does."""
    bars: list[int] = field(default_factory=list[int])
    inner: list[_Braces] = field(default_factory=list["_Braces"])
    closed: bool = False
    barred: bool = False
    """Whether a bar stands in it, however deep."""
    depth: int = 1


def count(prompt: str) -> int:
    """How many prompts it makes.

    Raises:
        InvalidRequest: As `expand` tells.
    """
    parsed = _checked(prompt)
    combinations = _combinations(parsed)
    return combinations if combinations > COUNTED else len(set(_variants(parsed)))


def expand(prompt: str, *, limit: int) -> list[str]:
    """All different ones, the last alternative changing fastest. One without any stays as it is.

    Raises:
        InvalidRequest: There are more than `limit`, or it has weights, counts, or an open brace.
    """
    parsed = _checked(prompt)
    if not parsed.has_groups:
        return [prompt]
    prompts = count(prompt)
    if prompts > limit:
        fix = f"its alternatives make {prompts} prompts, and {limit} is the most; leave some out"
        raise InvalidRequest("prompt", prompt, fix)
    return list(dict.fromkeys(_variants(parsed)))


def alternatives(request: ImageRequest) -> list[ImageRequest]:
    """`{red|blue} car` is two requests; together they make no more pictures than one may.

    Raises:
        InvalidRequest: As `expand` tells.
    """
    expanded = expand(request.prompt, limit=MAX_IMAGES)
    most = max(1, MAX_IMAGES // len(expanded))
    if len(expanded) > 1 and request.num_images > most:
        fix = f"at most {most} of each: its alternatives make {len(expanded)} prompts"
        raise InvalidRequest("num_images", request.num_images, f"{fix}, and {MAX_IMAGES} pictures")
    return [with_prompt_loras(replace(request, prompt=prompt)) for prompt in expanded]


def doubt(prompt: str) -> str | None:
    """What to say of braces that look like alternatives and are left as they are."""
    parsed = _parse(prompt)
    if not parsed.doubts:
        return None
    shown = quote(" ".join(parsed.doubts[0].split()), 60)
    return (
        f"{shown} was left in the prompt as it is; alternatives are words in braces that stand "
        "alone, as in: a {red|dark blue} car"
    )


def _checked(prompt: str) -> _Parsed:
    parsed = _parse(prompt, refuse=True)
    if parsed.has_groups and parsed.unclosed:
        fix = r"one of its braces never closes; close it, or write \{ for a brace that is text"
        raise InvalidRequest("prompt", prompt, fix)
    return parsed


def _parse(prompt: str, *, refuse: bool = False) -> _Parsed:
    if len(prompt) > MAX_PROMPT:  # it is refused as a whole
        return _Parsed(pieces=[prompt])
    return _Parser(prompt, refuse=refuse).part(0, len(prompt), _braces(prompt))


class _Parser:
    """Takes one prompt apart; with `refuse`, what is meant and cannot be honoured is an error."""

    def __init__(self, prompt: str, *, refuse: bool) -> None:
        self._text = prompt
        self._refuse = refuse
        self._quoted = {i for m in _QUOTED.finditer(prompt) for i in range(*m.span())}

    def part(self, begin: int, end: int, braces: Sequence[_Braces]) -> _Parsed:
        """What stands between two places, with the braces that open there."""
        parsed, behind_group = _Parsed(), -1
        for pair in braces:
            options = self._options(pair, pair.start in (begin, behind_group))
            if options:
                parsed.pieces += [self._text[begin : pair.start], options]
                begin = behind_group = pair.end
            elif pair.barred:
                parsed.unclosed = parsed.unclosed or not pair.closed
                parsed.doubts.append(self._text[pair.start : pair.end])
        parsed.pieces.append(self._text[begin:end])
        return parsed

    def _options(self, pair: _Braces, begins: bool) -> list[_Parsed] | None:
        """The options of a group; None where it is not unmistakably one."""
        text = self._text
        if not (pair.closed and pair.bars) or pair.depth > DEEPEST:
            return None
        if not (begins or self._stands_alone(pair.start)) or _AFTER.match(text, pair.end):
            return None
        if {pair.start, pair.end - 1} <= self._quoted:
            return None
        spans = [(a + 1, b) for a, b in pairwise((pair.start, *pair.bars, pair.end - 1))]
        texts = [text[a:b] for a, b in spans]
        if self._refuse and (_COUNT.match(texts[0]) or any(map(_WEIGHT.match, texts))):
            fix = "alternatives have no weights and no counts; write {red|blue} for one of each"
            raise InvalidRequest("prompt", text, fix)
        options = [
            self.part(a, b, [inner for inner in pair.inner if a <= inner.start < b])
            for i, (a, b) in enumerate(spans)
            if texts[i] not in texts[:i]
        ]
        is_code = "" in texts[1:-1] or not any(map(str.strip, texts))
        is_block = not texts[0].strip() and any(t[:1].isspace() for t in texts[1:])  # {|x| f x}
        is_code = is_code or is_block or _CALL.search(text[: pair.start]) is not None
        return options if not is_code and all(map(_is_words, options)) else None

    def _stands_alone(self, place: int) -> bool:
        before = self._text[max(0, place - 1) : place]
        if before in ("(", "["):
            caller = self._text[max(0, place - 2) : place - 1]
            return not (caller.isalnum() or caller in ("_", ")", "]"))
        if before.isspace():
            return self._text[:place].rstrip()[-1:] not in _OPERATORS
        return before in ("", ",", "-", "\N{EN DASH}", "\N{EM DASH}")


def _braces(text: str) -> list[_Braces]:
    """The braces that are in no others, in their order."""
    outermost: list[_Braces] = []
    opened: list[_Braces] = []
    for match in _SIGN.finditer(text):
        place, sign = match.start(), match[0]
        if sign == "{":
            opened.append(_Braces(start=place, end=len(text)))
        elif sign == "|" and opened:
            opened[-1].bars.append(place)
            opened[-1].barred = True
        elif sign == "}" and opened:
            pair = opened.pop()
            pair.closed, pair.end = True, match.end()
            if opened:
                outer = opened[-1]
                outer.inner.append(pair)
                outer.barred = outer.barred or pair.barred
                outer.depth = max(outer.depth, pair.depth + 1)
            else:
                outermost.append(pair)
    for pair in opened:  # never closed: what is in it stands beside it
        pair.barred = bool(pair.bars)
        outermost += [pair, *pair.inner]
    return outermost


def _is_words(option: _Parsed) -> bool:
    literal = "".join(_ESCAPED.sub("", piece) for piece in option.pieces if isinstance(piece, str))
    in_pairs = literal.count('"') % 2 == 0 and literal.count("(") == literal.count(")")
    return in_pairs and not option.doubts and _CODE.search(literal) is None


def _combinations(parsed: _Parsed) -> int:
    return prod(sum(map(_combinations, p)) for p in parsed.pieces if not isinstance(p, str))


def _variants(parsed: _Parsed) -> Iterator[str]:
    choices: list[Sequence[str]] = [
        [_ESCAPED.sub(r"\1", piece)]
        if isinstance(piece, str)
        else [variant for option in piece for variant in _variants(option)]
        for piece in parsed.pieces
    ]
    return map("".join, product(*choices))
