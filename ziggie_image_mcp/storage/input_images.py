"""Take in the pictures that a request works from: check them, keep them in the store, fit them.

A mask is white where the picture is painted anew, and black where it stays.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ziggie_image_mcp.errors import ImageNotFound, InvalidRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.image_codec import MAX_PIXELS
from ziggie_image_mcp.storage.types import InputImage

if TYPE_CHECKING:
    from PIL import Image


MAX_BYTES = 50 * 2**20
LEAST_SIDE = 16
_ID = re.compile(r"\d{8}-[0-9a-f]{16}")


Reach = Literal["ids", "roots", "anywhere"]
"""Which pictures a caller may name: those of the store, files below the roots too, or any file."""


class InputImages:
    """The pictures that requests may work from.

    Args:
        store: Where they are kept, so that a job finds them on whatever machine it runs.
        roots: The folders of this machine from which files may be read.
    """

    def __init__(self, store: ArtifactStore, roots: Sequence[Path]) -> None:
        self._store = store
        self._roots = [root.expanduser().resolve() for root in roots]

    def image(self, reference: str, *, reach: Reach = "roots") -> InputImage:
        """The picture of this id, or of the file of this path, which is then kept.

        Args:
            reference: An id of the store, or a path.
            reach: What the caller may name.

        Raises:
            InvalidRequest: There is none, it may not be read, or it is no picture.
            StorageError: The store cannot be used.
        """
        with _opened("image", reference, self._data("image", reference, reach=reach)) as picture:
            if _ID.fullmatch(reference.strip()):
                return InputImage(id=reference.strip(), width=picture.width, height=picture.height)
            return self.keep(picture)

    def mask(self, reference: str, *, reach: Reach = "roots") -> InputImage:
        """The same for a mask: white, or transparent, is what will be painted anew.

        Raises:
            InvalidRequest: As `image` tells, or nothing of it is white.
            StorageError: The store cannot be used.
        """
        with _opened("mask", reference, self._data("mask", reference, reach=reach)) as picture:
            grey = _grey(picture)
        if grey.getextrema() == (0, 0):
            fix = "it is black everywhere; make white what is to be painted anew"
            raise InvalidRequest("mask", reference, fix)
        return self.keep(grey)

    def open(self, image: InputImage) -> Image.Image:
        """A kept picture, decoded.

        Raises:
            StorageError: It is gone.
        """
        with _opened("image", image.id, self._store.original(image.id)) as picture:
            return picture

    def _data(self, field: str, reference: str, *, reach: Reach) -> bytes:
        if _ID.fullmatch(reference.strip()):
            try:
                return self._store.original(reference.strip())
            except ImageNotFound as e:
                raise InvalidRequest(field, reference, "no picture has this id") from e
        if reach == "ids":
            raise InvalidRequest(field, reference, "give the id of a picture that was made here")
        path = Path(reference).expanduser()
        if not path.is_absolute():
            raise InvalidRequest(field, reference, "give an id, or a file's whole path")
        real = path.resolve()
        inside = any(real.is_relative_to(root) for root in self._roots)
        if reach == "roots" and not inside:
            places = ", ".join(map(str, self._roots))
            fix = f"only files below {places} are read; inputDirectories in config.json adds others"
            raise InvalidRequest(field, reference, fix)
        try:
            if real.stat().st_size > MAX_BYTES:
                raise InvalidRequest(field, reference, f"at most {MAX_BYTES >> 20} MB")
            return real.read_bytes()
        except OSError as e:
            raise InvalidRequest(field, reference, f"it cannot be read: {e.strerror or e}") from e

    def keep(self, picture: Image.Image) -> InputImage:
        """Keep the pixels and nothing else: no place, no camera, no earlier prompt."""
        data = _png(picture.convert(_mode(picture)))
        token = hashlib.sha256(data).hexdigest()[:16]
        image_id = f"{datetime.now(UTC):%Y%m%d}-{token}"
        self._store.keep(data, image_id, "input")
        return InputImage(id=image_id, width=picture.width, height=picture.height)


def fitted(
    store: ArtifactStore, image_id: str, width: int, height: int, *, mask: bool = False
) -> bytes:
    """A kept picture as a provider gets it: PNG of this size, a mask in shades of grey.

    Raises:
        StorageError: It is gone.
    """
    from PIL import Image

    with _opened("image", image_id, store.original(image_id)) as picture:
        converted = picture.convert("L" if mask else _mode(picture))
        if converted.size != (width, height):
            converted = converted.resize((width, height), Image.Resampling.LANCZOS)
    return _png(converted)


@contextmanager
def _opened(field: str, name: str, data: bytes) -> Generator[Image.Image]:
    """The picture as it is to be seen, upright."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
                if image.width * image.height > MAX_PIXELS:
                    fix = f"at most {MAX_PIXELS / 1e6:.0f} million pixels"
                    raise InvalidRequest(field, name, fix)
                if min(image.size) < LEAST_SIDE:
                    raise InvalidRequest(field, name, f"sides of {LEAST_SIDE} pixels at least")
                image.load()
                upright = ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as e:
        raise InvalidRequest(field, name, "it is no PNG, JPEG or WebP picture") from e
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise InvalidRequest(field, name, "it has too many pixels") from e
    yield upright


def _grey(picture: Image.Image) -> Image.Image:
    """White where the picture is white, or where it is transparent as OpenAI's masks are."""
    from PIL import ImageOps

    if "A" in picture.getbands() and picture.getchannel("A").getextrema() != (255, 255):
        return ImageOps.invert(picture.getchannel("A"))
    return picture.convert("L")


def _mode(picture: Image.Image) -> str:
    if picture.mode == "L":
        return "L"
    return "RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB"


def _png(picture: Image.Image) -> bytes:
    picture.info.clear()
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
