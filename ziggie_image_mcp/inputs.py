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
from typing import TYPE_CHECKING, Literal, NamedTuple

from ziggie_image_mcp.errors import ImageNotFound, InvalidRequest
from ziggie_image_mcp.store import MAX_PIXELS, Store
from ziggie_image_mcp.types import GivenImage

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 50 * 2**20
LEAST_SIDE = 16
_ID = re.compile(r"\d{8}-[0-9a-f]{16}")


class Margins(NamedTuple):
    """How far a picture grows at each side, pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


Reach = Literal["ids", "roots", "anywhere"]
"""Which pictures a caller may name: those of the store, files below the roots too, or any file."""


class Inputs:
    """The pictures that requests may work from.

    Args:
        store: Where they are kept, so that a job finds them on whatever machine it runs.
        roots: The folders of this machine from which files may be read.
    """

    def __init__(self, store: Store, roots: Sequence[Path]) -> None:
        self._store = store
        self._roots = [root.expanduser().resolve() for root in roots]

    def image(self, wanted: str, *, reach: Reach = "roots") -> GivenImage:
        """The picture of this id, or of the file of this path, which is then kept.

        Args:
            wanted: An id of the store, or a path.
            reach: What the caller may name.

        Raises:
            InvalidRequest: There is none, it may not be read, or it is no picture.
            StorageError: The store cannot be used.
        """
        with _opened("image", wanted, self._data("image", wanted, reach=reach)) as picture:
            if _ID.fullmatch(wanted.strip()):
                return GivenImage(id=wanted.strip(), width=picture.width, height=picture.height)
            return self._keep(picture)

    def mask(self, wanted: str, *, reach: Reach = "roots") -> GivenImage:
        """The same for a mask: white, or transparent, is what will be painted anew.

        Raises:
            InvalidRequest: As `image` tells, or nothing of it is white.
            StorageError: The store cannot be used.
        """
        with _opened("mask", wanted, self._data("mask", wanted, reach=reach)) as picture:
            grey = _grey(picture)
        if grey.getextrema() == (0, 0):
            fix = "it is black everywhere; make white what is to be painted anew"
            raise InvalidRequest("mask", wanted, fix)
        return self._keep(grey)

    def grow(
        self, image: GivenImage, mask: GivenImage | None, by: Margins
    ) -> tuple[GivenImage, GivenImage]:
        """The picture with empty margins, and the mask that has them painted.

        Raises:
            InvalidRequest: It would be too large.
            StorageError: The store cannot be used.
        """
        from PIL import Image, ImageFilter

        if min(by) < 0:
            raise InvalidRequest("expand", tuple(by), "pixels to add, none below 0")
        size = (image.width + by.left + by.right, image.height + by.top + by.bottom)
        if size[0] * size[1] > MAX_PIXELS:
            fix = f"keep the picture within {MAX_PIXELS / 1e6:.0f} million pixels"
            raise InvalidRequest("expand", tuple(by), fix)
        with _opened("image", image.id, self._store.original(image.id)) as picture:
            old = picture.convert("RGB")
        corner = (by.left, by.top)
        # What the model sees in the margins is the picture itself, blurred: a flat ground would
        # show through where little of it is changed.
        grown = old.resize(size).filter(ImageFilter.GaussianBlur(max(size) / 16))
        grown.paste(old, corner)
        white = Image.new("L", size, 255)
        inside = Image.new("L", old.size, 0)
        if mask is not None:
            with _opened("mask", mask.id, self._store.original(mask.id)) as picture:
                inside = picture.convert("L")
        white.paste(inside, corner)
        return self._keep(grown), self._keep(white)

    def _data(self, field: str, wanted: str, *, reach: Reach) -> bytes:
        if _ID.fullmatch(wanted.strip()):
            try:
                return self._store.original(wanted.strip())
            except ImageNotFound as e:
                raise InvalidRequest(field, wanted, "no picture has this id") from e
        if reach == "ids":
            raise InvalidRequest(field, wanted, "give the id of a picture that was made here")
        path = Path(wanted).expanduser()
        if not path.is_absolute():
            raise InvalidRequest(field, wanted, "give an id, or a file's whole path")
        real = path.resolve()
        inside = any(real.is_relative_to(root) for root in self._roots)
        if reach == "roots" and not inside:
            places = ", ".join(map(str, self._roots))
            fix = f"only files below {places} are read; inputDirectories in config.json adds others"
            raise InvalidRequest(field, wanted, fix)
        try:
            if real.stat().st_size > MAX_BYTES:
                raise InvalidRequest(field, wanted, f"at most {MAX_BYTES >> 20} MB")
            return real.read_bytes()
        except OSError as e:
            raise InvalidRequest(field, wanted, f"it cannot be read: {e.strerror or e}") from e

    def _keep(self, picture: Image.Image) -> GivenImage:
        """Keep the pixels and nothing else: no place, no camera, no earlier prompt."""
        data = _png(picture.convert(_mode(picture)))
        token = hashlib.sha256(data).hexdigest()[:16]
        image_id = f"{datetime.now(UTC):%Y%m%d}-{token}"
        self._store.keep(data, image_id, "input")
        return GivenImage(id=image_id, width=picture.width, height=picture.height)


def fitted(store: Store, image_id: str, width: int, height: int, *, mask: bool = False) -> bytes:
    """A kept picture as a provider gets it: PNG of this size, a mask in shades of grey.

    Raises:
        StorageError: It is gone.
    """
    from PIL import Image

    with _opened("image", image_id, store.original(image_id)) as picture:
        found = picture.convert("L" if mask else _mode(picture))
        if found.size != (width, height):
            found = found.resize((width, height), Image.Resampling.LANCZOS)
    return _png(found)


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
