"""List the newest pictures of a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import PurePath

from ziggie_image_mcp.storage.blobs import Entry, Files
from ziggie_image_mcp.storage.picture_ids import named_id

DESCRIPTION_CHARACTERS = 120
PICTURE_SUFFIXES = (".png", ".webp", ".jpg")


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
        path = PurePath(entry.path)
        image_id = named_id(path.stem) or ""
        sidecar = f"{image_id if files.far else path.stem}.json"
        is_picture = path.stem.endswith(image_id) and path.suffix in PICTURE_SUFFIXES
        is_ours = is_picture and sidecar in names
        if image_id and is_ours and may_see(image_id):
            description = "" if files.far else _prompt(files.get(day, sidecar))
            yield _listed(image_id, entry, day, description)


def _order(entry: Entry) -> tuple[float, str]:
    return entry.changed, PurePath(entry.path).name


def _listed(image_id: str, entry: Entry, day: str, description: str) -> ListedImage:
    path = PurePath(entry.path)
    return ListedImage(
        id=image_id,
        name=path.name,
        suffix=path.suffix,
        bytes=entry.bytes,
        description=description,
        position=ListPosition(day=day, changed=entry.changed, name=path.name),
    )


def _prompt(sidecar: bytes | None) -> str:
    """The beginning of the prompt that a sidecar keeps; a damaged one keeps none."""
    try:
        prompt: object = json.loads(sidecar or b"{}").get("prompt", "")
    except (ValueError, AttributeError):
        return ""
    text = " ".join(prompt.split()) if isinstance(prompt, str) else ""
    whole = len(text) <= DESCRIPTION_CHARACTERS
    return text if whole else f"{text[: DESCRIPTION_CHARACTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
