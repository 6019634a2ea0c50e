"""Keep small pictures beside the store: made when they are first looked at, deleted with theirs."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.storage.image_codec import decoded
from ziggie_image_mcp.storage.picture_ids import PICTURE_ID, day_of

if TYPE_CHECKING:
    from ziggie_image_mcp.storage.blobs import Files

SIDE = 320
"""Pixels of the longest side: a tile of 160 on a screen of two pixels a point."""
_QUALITY = 80


def kept(files: Files, image_id: str) -> bytes | None:
    """The thumbnail of a picture, where it was made before; None for what is no id.

    Raises:
        StorageError: It cannot be read.
    """
    if PICTURE_ID.fullmatch(image_id) is None:
        return None
    return files.get(_folder(day_of(image_id)), _name(image_id))


def thumbnail(files: Files, day: str, name: str, image_id: str) -> bytes | None:
    """The WebP thumbnail of a picture, made and kept if it is not there; None without a picture.

    Args:
        files: Of the store.
        day: Its folder.
        name: Of its file.
        image_id: Its id.

    Raises:
        InvalidOutput: The file is no picture that can be decoded.
        StorageError: It cannot be read.
    """
    made_before = files.get(_folder(day), _name(image_id))
    if made_before is not None:
        return made_before
    original = files.get(day, name)
    if original is None:
        return None
    small = _shrunk(original)
    with suppress(StorageError):  # a full disk takes no thumbnails, and the picture is still shown
        files.write(_folder(day), _name(image_id), small)
    return small


def paths(files: Files, day: str, image_ids: Iterable[str]) -> list[str]:
    """Where the thumbnails of pictures stand, those that were made: to be deleted with them."""
    return [files.path(_folder(day), _name(image_id)) for image_id in image_ids]


def _shrunk(data: bytes) -> bytes:
    from PIL import Image

    image = decoded(data, "store")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.convert("RGBA" if "A" in image.getbands() else "RGB").save(out, "WEBP", quality=_QUALITY)
    return out.getvalue()


def _folder(day: str) -> str:
    return f".thumbnails/{day}"


def _name(image_id: str) -> str:
    return f"{image_id}.webp"
