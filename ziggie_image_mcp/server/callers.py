"""Know who calls: what they may name, and what of this machine they are not told."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.types import CallToolResult, TextContent

from ziggie_image_mcp.jobs.owners import picture_mark
from ziggie_image_mcp.storage.input_images import Reach

_PLACE = re.compile(
    r"""(?<=['"])(?:[A-Za-z]:)?[/\\](?:[^/\\'"\n]+[/\\])+  # in quotes: its parts may have blanks
    | (?<![\w/:.])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:'",;()]+[/\\])+  # a path, all but its last part
    | \b(?!https?://|image://)[a-z][a-z0-9+]*://[^\s'",;()]+""",
    re.VERBOSE,
)
_PLACES = ("path", "files", "picture_folder")
"""Keys of answers that say where something lies on this machine."""


_folders: set[str] = set()


def hide(folders: Iterable[str]) -> None:
    """Tell no remote caller of these folders, in whose names there may be blanks."""
    _folders.update(folder.rstrip("/\\") for folder in folders if len(folder) > 1)


def caller() -> str | None:
    """Whose jobs and pictures a call may see.

    None on this machine's own pipe, and where no token is asked.
    """
    token = get_access_token()
    return None if token is None else token.client_id


def name_of_token(tokens: Mapping[str, str], token: str) -> str | None:
    """Who has this token, of those by name; None where nobody has. It takes the same time."""
    name = None
    for known, own in tokens.items():
        if hmac.compare_digest(token.encode(), own.encode()):
            name = known
    return name


def reach() -> Reach:
    """Which pictures the caller may name: over HTTP with tokens, its own that were made here."""
    name = caller()
    return Reach() if name is None else Reach(files="none", owner=picture_mark(name))


def for_caller(message: str) -> str:
    """A message, without this machine's paths for those who are not on it."""
    if caller() is None:
        return message
    for folder in sorted(_folders, key=len, reverse=True):
        message = message.replace(folder, "/…")
    return _PLACE.sub("…/", message)


def answer_for_caller(result: CallToolResult) -> CallToolResult:
    """An answer, without this machine's paths for those who are not on it."""
    if caller() is None:
        return result
    content = [
        block.model_copy(update={"text": _text(block.text)})
        if isinstance(block, TextContent)
        else block
        for block in result.content
    ]
    data = {
        "structured_content": _without_places(result.structured_content),
        "meta": _without_places(result.meta),
    }
    return result.model_copy(update={"content": content, **data})


def data_for_caller(data: Mapping[str, Any], own_words: Collection[str] = ()) -> Any:
    """Plain data, without this machine's paths for those who are not on it.

    Args:
        data: With dicts and lists in it.
        own_words: Keys of what the caller wrote: a path in it is the caller's own, and stays.
    """
    return data if caller() is None else _without_places(dict(data), own_words)


def _text(text: str) -> str:
    try:
        data: object = json.loads(text)
    except ValueError:
        return for_caller(text)
    return json.dumps(_without_places(data), ensure_ascii=False, separators=(",", ":"))


def _without_places(value: object, own_words: Collection[str] = ()) -> Any:
    if isinstance(value, str):
        return for_caller(value)
    if isinstance(value, list):
        return [_without_places(part, own_words) for part in cast(list[object], value)]
    if isinstance(value, dict):
        parts = cast(dict[str, object], value)
        return {
            key: part if key in own_words else _without_places(part, own_words)
            for key, part in parts.items()
            if key not in _PLACES
        }
    return value
