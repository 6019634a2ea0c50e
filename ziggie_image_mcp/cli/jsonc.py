"""Change one value in the text of a JSON file, and leave all else as it stands, comments too."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_DEPTH = 100
_BLANK = re.compile(r"(?:[ \t\r\n]|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_REST_OF_LINE = re.compile(r"(?:[ \t]|/\*[^\r\n]*?\*/)*(?://[^\r\n]*)?")
_COMMENT = re.compile(r"//|/\*")
_UNPRINTED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_LITERAL = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A value, and where it stands in the text."""

    start: int
    end: int
    value: Any
    members: tuple[tuple[str, int, Node], ...] = field(default=())
    """Of an object: key, where the key begins, value."""
    comma: int = -1
    """Of an object: where a comma stands behind its last member."""


def parse(text: str) -> Node:
    """Read JSON, with comments and commas before a closing bracket.

    Raises:
        ValueError: It is none; the message says where.
    """
    start = _blank(text, 0)
    node = _value(text, start, 0)
    if _blank(text, node.end) != len(text):
        raise _wrong(text, node.end, "there is something behind its end")
    return node


def put(text: str, keys: Sequence[str], value: object) -> str:
    """The text with this value at the end of these keys; objects are made where there are none.

    Raises:
        ValueError: It is no JSON, something else than an object stands on the way, or a comment
            would be lost.
    """
    if not text.strip():
        text = "{}\n"
    node = parse(text)
    unit = _unit(text, node)
    for depth, key in enumerate(keys):
        if node.value is None and depth:
            for missing in reversed(keys[depth:]):
                value = {missing: value}
            break
        if not isinstance(node.value, dict):
            raise ValueError(f"{'.'.join(keys[:depth]) or 'it'} is no object")
        members = [m for m in node.members if m[0] == key]
        if len(members) > 1:
            raise ValueError(f"{'.'.join(keys[: depth + 1])} stands there twice")
        if not members:
            for missing in reversed(keys[depth + 1 :]):
                value = {missing: value}
            return _insert(text, node, key, value, unit)
        node = members[0][2]
    if node.value == value:
        return text
    if _has_comment(text, node):
        raise ValueError(f"there are comments in {'.'.join(keys)}, which would be lost")
    indent = _indent(text, node.start)
    return text[: node.start] + _dump(text, value, indent, unit) + text[node.end :]


def remove(text: str, keys: Sequence[str]) -> str:
    """The text without the value at the end of these keys; as it is where there is none.

    Raises:
        ValueError: It is no JSON, or a comment would be lost.
    """
    node = parse(text)
    for depth, key in enumerate(keys):
        place = next((n for n, m in enumerate(node.members) if m[0] == key), None)
        if place is None:
            return text
        if depth + 1 == len(keys):
            return _cut(text, node, place)
        node = node.members[place][2]
    return text


def dumped(value: object, *, indent: str | None = None) -> str:
    """A value as JSON that is good in UTF-8 and as YAML: half characters are escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _UNPRINTED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _cut(text: str, node: Node, place: int) -> str:
    members = node.members
    start, end = members[place][1], members[place][2].end
    if _COMMENT.search(re.sub(r'"(?:[^"\\]|\\.)*"', "", text[start:end])):
        raise ValueError(f"there are comments in {members[place][0]}, which would be lost")
    if place + 1 < len(members):
        return text[:start] + text[members[place + 1][1] :]
    if place:
        start = members[place - 1][2].end
        return text[:start] + text[end:]
    return text[: node.start] + "{}" + text[node.end :]


def _insert(text: str, node: Node, key: str, value: object, unit: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    outer = _indent(text, node.start)
    inner = outer + unit
    one_line = "\n" not in text[node.start : node.end]
    last = node.members[-1] if node.members else None
    if last and not one_line and not text[text.rfind("\n", 0, last[1]) + 1 : last[1]].strip():
        inner = _indent(text, last[1])
    member = f"{newline}{inner}{json.dumps(key)}: {_dump(text, value, inner, unit)}"
    close = f"{newline}{outer}" if one_line else ""
    if last is None:
        body = text[node.start + 1 : node.end - 1]
        rest = body if body.strip() else f"{newline}{outer}"
        return text[: node.start + 1] + member + rest + text[node.end - 1 :]
    place = node.comma + 1 if node.comma >= 0 else last[2].end
    match = _REST_OF_LINE.match(text, place)
    after = match.end() if match and not one_line else place
    comma = "" if node.comma >= 0 else ","
    behind = "," if node.comma >= 0 else ""
    return text[:place] + comma + text[place:after] + member + behind + close + text[after:]


def _dump(text: str, value: object, indent: str, unit: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = dumped(value, indent=unit).split("\n")
    return (newline + indent).join(lines)


def _unit(text: str, root: Node) -> str:
    """One step of indentation, as the file has it."""
    if root.members:
        at = root.members[0][1]
        before = text[text.rfind("\n", 0, at) + 1 : at]
        if "\n" in text[:at] and before and not before.strip():
            return before
    return "  "


def _indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _has_comment(text: str, node: Node) -> bool:
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', "", text[node.start : node.end])
    return _COMMENT.search(plain) is not None


def _blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _wrong(text: str, at: int, what: str) -> ValueError:
    line = text.count("\n", 0, at) + 1
    return ValueError(f"line {line}, column {at - text.rfind(chr(10), 0, at)}: {what}")


def _value(text: str, at: int, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise _wrong(text, at, "it is nested too deep")
    first = text[at : at + 1]
    if first == '"':
        value, end = _string(text, at)
        return Node(start=at, end=end, value=value)
    if first == "{":
        return _object(text, at, depth)
    if first == "[":
        return _array(text, at, depth)
    match = _LITERAL.match(text, at)
    if match is None:
        raise _wrong(text, at, "a value was expected")
    return Node(start=at, end=match.end(), value=json.loads(match[0]))


def _string(text: str, at: int) -> tuple[str, int]:
    try:
        value, end = json.JSONDecoder().raw_decode(text, at)
        return str(value), end
    except json.JSONDecodeError as e:
        raise _wrong(text, at, e.msg) from e


def _object(text: str, at: int, depth: int) -> Node:
    members: list[tuple[str, int, Node]] = []
    comma = -1
    here = _blank(text, at + 1)
    while text[here : here + 1] != "}":
        if members and comma < 0:
            raise _wrong(text, here, "a comma was expected")
        if text[here : here + 1] != '"':
            raise _wrong(text, here, "a key in quotes was expected")
        key, end = _string(text, here)
        colon = _blank(text, end)
        if text[colon : colon + 1] != ":":
            raise _wrong(text, colon, "a colon was expected")
        node = _value(text, _blank(text, colon + 1), depth + 1)
        members.append((key, here, node))
        here, comma = _after(text, node)
    value = {key: node.value for key, _, node in members}
    return Node(start=at, end=here + 1, value=value, members=tuple(members), comma=comma)


def _array(text: str, at: int, depth: int) -> Node:
    values: list[Any] = []
    comma = -1
    here = _blank(text, at + 1)
    while text[here : here + 1] != "]":
        if values and comma < 0:
            raise _wrong(text, here, "a comma was expected")
        node = _value(text, here, depth + 1)
        values.append(node.value)
        here, comma = _after(text, node)
    return Node(start=at, end=here + 1, value=values)


def _after(text: str, node: Node) -> tuple[int, int]:
    """Where the next part begins, and where the comma before it stands, or -1."""
    here = _blank(text, node.end)
    if text[here : here + 1] != ",":
        return here, -1
    return _blank(text, here + 1), here
