"""Name the files that belong to a picture and stand beside it: sheets' data, animations, icons."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from xml.sax.saxutils import escape

SIDE_SUFFIX = re.compile(
    r"\.(?:atlas\.json|tres|tsx|png\.meta|gif|apng|animation\.webp|ico|icns|svg|webmanifest"
    r"|favicon\.ico|[a-z]+(?:-[a-z]+)*-[0-9]{2,4}\.png)"
)
"""What such a file's name has behind the picture's, which has its own ending there."""

SideFiles = Callable[[str], Mapping[str, bytes]]
"""Gives the files by their suffixes, when it is told how the picture's file is called."""


def no_side_files(_: str) -> Mapping[str, bytes]:
    """Of a picture that stands alone."""
    return {}


def in_text(name: str, suffix: str) -> str:
    """A picture's name as a side file of this kind writes it between quotes."""
    if suffix == ".tsx":
        return escape(name, {'"': "&quot;"})
    return json.dumps(name, ensure_ascii=False)[1:-1]


def renamed(data: bytes, suffix: str, old: str, new: str) -> bytes:
    """A side file for a copy of its picture, which it may name.

    Args:
        data: The file.
        suffix: Its own.
        old: How the store called the picture's file: it stands for nothing else.
        new: How the copy is called.
    """
    if suffix == ".webmanifest":  # names the icons, which begin as the picture does
        old, new = PurePath(old).stem, PurePath(new).stem
    elif suffix not in (".atlas.json", ".tres", ".tsx"):
        return data
    return data.replace(in_text(old, suffix).encode(), in_text(new, suffix).encode())
