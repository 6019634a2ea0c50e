"""Name pictures, so that the name tells the day and whose they are."""

from __future__ import annotations

import re
from datetime import date
from pathlib import PurePath
from urllib.parse import unquote

PICTURE_ID = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})-[0-9a-f]{16}(?:-([0-9a-f]{8}))?")

_NAMED = re.compile(rf"(?:.*-)?(?P<id>{PICTURE_ID.pattern})(?:\.(?:png|webp|jpe?g|json))?")

_LINK = re.compile(rf"https?://.*/download/(?P<id>{PICTURE_ID.pattern})\.[0-9]+\.[0-9a-f]{{64}}")
"""Where a picture can be downloaded, as answers over HTTP say."""


def unquoted(text: str) -> str:
    """A name without the blanks, quotes or brackets that were put around it."""
    text = text.strip()
    while len(text) > 1 and (text[0], text[-1]) in (*((q, q) for q in "\"'`"), ("<", ">")):
        text = text[1:-1].strip()
    return text


def named_id(text: str) -> str | None:
    """The id that a text names: by itself, as image://ID, or as a file's name or path has it."""
    text = unquoted(text)
    link = _LINK.fullmatch(text)
    if link is not None:
        return link["id"]
    if text.lower().startswith("image:"):
        text = unquote(text.partition(":")[2]).partition("?")[0].strip("/")
    match = _NAMED.fullmatch(re.split(r"[\\/]", text)[-1])
    return None if match is None else match["id"]


def hint_in(name: str) -> str:
    """What a stored picture's file is called, without its id and ending."""
    stem = PurePath(name).stem
    return stem.removesuffix(named_id(stem) or "").rstrip("-")


def picture_id(day: date, token: str, owner: str = "") -> str:
    """The id of a picture of that day: 16 hexadecimal digits, and the mark of its owner.

    Pictures of this machine's owner have no mark.
    """
    return f"{day:%Y%m%d}-{token}" + (f"-{owner}" if owner else "")


def day_of(image_id: str) -> str:
    """The day that an id begins with, as 2026-11-24: the folder of its picture."""
    return f"{image_id[:4]}-{image_id[4:6]}-{image_id[6:8]}"


def owner_of(image_id: str) -> str:
    """The mark of the one whose picture this is; empty for this machine's owner."""
    match = PICTURE_ID.fullmatch(named_id(image_id) or "")
    return "" if match is None else match[4] or ""
