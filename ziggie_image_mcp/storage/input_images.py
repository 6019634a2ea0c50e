"""Take in the pictures that a request works from: check them, keep them in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ziggie_image_mcp.errors import ImageNotFound, InvalidRequest
from ziggie_image_mcp.provider import pictures
from ziggie_image_mcp.provider.files import read_regular
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.mask_reading import read_mask
from ziggie_image_mcp.storage.picture_ids import PICTURE_ID, owner_of, picture_id
from ziggie_image_mcp.storage.types import InputImage

if TYPE_CHECKING:
    from PIL import Image


MAX_BYTES = 50 * 2**20
LEAST_SIDE = 16


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Which pictures a caller may name."""

    files: Literal["none", "roots", "anywhere"] = "roots"
    """Beside those of the store: no file, files below the roots, or any."""
    owner: str | None = None
    """The mark of those of the store; None where it may be any. What is kept bears it too."""


FILES_BELOW_ROOTS = Reach()
ANY_FILE = Reach(files="anywhere")


class InputImages:
    """The pictures that requests may work from.

    Args:
        store: Where they are kept, so that a job finds them on whatever machine it runs.
        roots: The folders of this machine from which files may be read.
    """

    def __init__(self, store: ArtifactStore, roots: Sequence[Path]) -> None:
        self._store = store
        self._roots = [root.expanduser().resolve() for root in roots]

    def image(
        self, reference: str, *, field: str = "image", reach: Reach = FILES_BELOW_ROOTS
    ) -> InputImage:
        """The picture of this id, or of the file of this path, which is then kept.

        Args:
            reference: An id of the store, or a path.
            field: Of the request, for what is said of it.
            reach: What the caller may name.

        Raises:
            InvalidRequest: There is none, it may not be read, or it is no picture.
            StorageError: The store cannot be used.
        """
        picture = _opened(field, reference, self._data(field, reference, reach=reach))
        if PICTURE_ID.fullmatch(reference.strip()):
            return InputImage(id=reference.strip(), width=picture.width, height=picture.height)
        return self.keep(picture, reach.owner or "")

    def mask(
        self,
        reference: str,
        *,
        image: InputImage | None = None,
        reach: Reach = FILES_BELOW_ROOTS,
    ) -> InputImage:
        """The same for a mask, kept in shades of grey; `read_mask` tells how it is read.

        Args:
            reference: An id of the store, or a path.
            image: The picture that it lies on.
            reach: What the caller may name.

        Raises:
            InvalidRequest: As `image` and `read_mask` tell, or nothing of it is white.
            StorageError: The store cannot be used.
        """
        picture = _opened("mask", reference, self._data("mask", reference, reach=reach))
        below = None
        if image is not None and pictures.is_transparent(picture):
            below = self.open(image)
        grey = read_mask(picture, below, reference)
        if grey.getbbox() is None:
            fix = "it is black everywhere; make white what is to be painted anew"
            raise InvalidRequest("mask", reference, fix)
        return self.keep_mask(grey, reach.owner or "")

    def open(self, image: InputImage) -> Image.Image:
        """A kept picture, decoded.

        Raises:
            StorageError: It is gone.
        """
        return opened(self._store, image.id)

    def _data(self, field: str, reference: str, *, reach: Reach) -> bytes:
        if PICTURE_ID.fullmatch(reference.strip()):
            if reach.owner not in (None, owner_of(reference)):
                raise InvalidRequest(field, reference, "no picture has this id")
            try:
                return self._store.original(reference.strip())
            except ImageNotFound as e:
                raise InvalidRequest(field, reference, "no picture has this id") from e
        if reach.files == "none":
            raise InvalidRequest(field, reference, "give the id of a picture that was made here")
        try:
            return read_regular(self._real(field, reference, reach), MAX_BYTES)
        except OSError as e:
            raise InvalidRequest(field, reference, f"it cannot be read: {e.strerror or e}") from e

    def _real(self, field: str, reference: str, reach: Reach) -> Path:
        """The file's place, all links followed, if the caller may name it."""
        try:
            path = Path(reference).expanduser()
            if not path.is_absolute():
                fix = "give an id, or a file's whole path"
                if reach.files == "anywhere":
                    fix = "there is no such file; give a file's path, or an id"
                raise InvalidRequest(field, reference, fix)
            real = path.resolve()
        except (ValueError, RuntimeError) as e:  # a NUL, no such user, a circle of links
            raise InvalidRequest(field, reference, f"it is no path ({e})") from e
        inside = any(real.is_relative_to(root) for root in self._roots)
        if reach.files == "roots" and not inside:
            places = ", ".join(map(str, self._roots))
            fix = f"only files below {places} are read; inputDirectories in config.json adds others"
            raise InvalidRequest(field, reference, fix)
        return real

    def keep(self, picture: Image.Image, owner: str = "") -> InputImage:
        """Keep the pixels and nothing else: no place, no camera, no earlier prompt."""
        data = pictures.to_png(picture.convert(_mode(picture)))
        token = hashlib.sha256(data).hexdigest()[:16]
        image_id = picture_id(datetime.now(UTC), token, owner)
        self._store.keep(data, image_id, "input")
        return InputImage(id=image_id, width=picture.width, height=picture.height)

    def keep_mask(self, grey: Image.Image, owner: str = "") -> InputImage:
        """Keep a mask in shades of grey, and know where it is not black."""
        return replace(self.keep(grey, owner), box=grey.getbbox())


def opened(store: ArtifactStore, image_id: str) -> Image.Image:
    """A kept picture, decoded.

    Raises:
        StorageError: It is gone.
    """
    return _opened("image", image_id, store.original(image_id))


def _opened(field: str, name: str, data: bytes) -> Image.Image:
    """The picture as it is to be seen, upright."""
    from PIL import ImageOps

    try:
        picture = ImageOps.exif_transpose(pictures.decode(data))
    except pictures.NotAPicture as e:
        raise InvalidRequest(field, name, f"it is {e}") from e
    if min(picture.size) < LEAST_SIDE:
        raise InvalidRequest(field, name, f"sides of {LEAST_SIDE} pixels at least")
    return picture


def _mode(picture: Image.Image) -> str:
    if picture.mode == "L":
        return "L"
    return "RGBA" if pictures.has_alpha(picture) else "RGB"
