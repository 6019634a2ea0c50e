"""List the newest pictures of a store."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import PurePath

from ziggie_image_mcp.errors import in_utf8
from ziggie_image_mcp.storage.blobs import Entry, Files
from ziggie_image_mcp.storage.picture_ids import PICTURE_ID
from ziggie_image_mcp.storage.sidecars import facts_in

DESCRIPTION_CHARACTERS = 120
_PICTURE = re.compile(
    rf"(?P<stem>(?:.*-)?(?P<id>{PICTURE_ID.pattern}))\.(?:png|webp|jpg)", re.DOTALL
)


@dataclass(frozen=True, kw_only=True)
class ListPosition:
    """Where a picture stands in the list; what comes later does not move it."""

    day: str
    changed: float
    """When its file was written, in seconds since 1970; 0 where that is not told."""
    name: str


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """What a list says of a picture."""

    id: str
    name: str
    suffix: str
    bytes: int
    description: str
    """The prompt's beginning; empty where it is not known, or costs a round trip."""
    position: ListPosition


@dataclass(frozen=True, kw_only=True)
class PictureName:
    """What the name of a picture's file tells."""

    id: str
    sidecar: str
    """The name of the file beside it that keeps its recipe: without one it was only put in."""


def newest(
    files: Files,
    most: int,
    may_see: Callable[[str], bool],
    after: ListPosition | None = None,
) -> list[ListedImage]:
    """The newest pictures, newest first; those that were only put in are left out.

    With `after`, those that follow this position, whether or not its picture is still there.

    Raises:
        StorageError: The place cannot be read.
    """
    pictures: list[ListedImage] = []
    for day in reversed(files.days()):
        if after is not None and day > after.day:
            continue
        begin = after if after is not None and day == after.day else None
        for image in _of_day(files, day, may_see, begin):
            pictures.append(image)
            if len(pictures) == most:
                return pictures
    return pictures


def _of_day(
    files: Files, day: str, may_see: Callable[[str], bool], after: ListPosition | None
) -> Generator[ListedImage]:
    there = files.find(day, f"{day.replace('-', '')}-")
    names = {PurePath(entry.path).name for entry in there}
    for entry in sorted(there, key=_order, reverse=True):
        if after is not None and _order(entry) >= (after.changed, after.name):
            continue
        picture = picture_named(PurePath(entry.path).name, far=files.far)
        if picture is not None and picture.sidecar in names and may_see(picture.id):
            description = "" if files.far else _prompt(files.get(day, picture.sidecar))
            yield _listed(picture.id, entry, day, description)


def picture_named(name: str, *, far: bool) -> PictureName | None:
    """What a file's name tells, where it may be a stored picture; None where it is none."""
    match = _PICTURE.fullmatch(name)
    if match is None:
        return None
    return PictureName(id=match["id"], sidecar=f"{match['id'] if far else match['stem']}.json")


def _order(entry: Entry) -> tuple[float, str]:
    return entry.changed, in_utf8(PurePath(entry.path).name)


def _listed(image_id: str, entry: Entry, day: str, description: str) -> ListedImage:
    name = in_utf8(PurePath(entry.path).name)
    return ListedImage(
        id=image_id,
        name=name,
        suffix=PurePath(name).suffix,
        bytes=entry.bytes,
        description=in_utf8(description),
        position=ListPosition(day=day, changed=entry.changed, name=name),
    )


def _prompt(sidecar: bytes | None) -> str:
    """The beginning of the prompt that a sidecar keeps; a damaged one keeps none."""
    prompt = facts_in(sidecar).get("prompt", "")
    text = " ".join(prompt.split()) if isinstance(prompt, str) else ""
    whole = len(text) <= DESCRIPTION_CHARACTERS
    return text if whole else f"{text[: DESCRIPTION_CHARACTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
