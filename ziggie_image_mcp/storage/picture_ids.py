"""Name pictures, so that the name tells the day and whose they are."""

from __future__ import annotations

import re
from datetime import date

PICTURE_ID = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})-[0-9a-f]{16}(?:-([0-9a-f]{8}))?")


def picture_id(day: date, token: str, owner: str = "") -> str:
    """The id of a picture of that day: 16 hexadecimal digits, and the mark of its owner.

    Pictures of this machine's owner have no mark.
    """
    return f"{day:%Y%m%d}-{token}" + (f"-{owner}" if owner else "")


def owner_of(image_id: str) -> str:
    """The mark of the one whose picture this is; empty for this machine's owner."""
    match = PICTURE_ID.fullmatch(image_id.strip())
    return "" if match is None else match[4] or ""
