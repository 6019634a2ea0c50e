"""Take in the pictures that a request works from: check them, keep them in the store."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import anyio.from_thread

from ziggie_image_mcp.errors import ImageNotFound, InvalidRequest
from ziggie_image_mcp.provider import pictures
from ziggie_image_mcp.provider.contract import Resolver
from ziggie_image_mcp.provider.files import read_regular
from ziggie_image_mcp.provider.systems import path_of_url, why_no_file
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.mask_reading import read_mask
from ziggie_image_mcp.storage.picture_ids import hint_in, named_id, owner_of, picture_id, unquoted
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
        urls: Whether pictures may be fetched from addresses of the open internet.
        resolver: Finds the IP addresses of hosts; by default the system does.
    """

    def __init__(
        self,
        store: ArtifactStore,
        roots: Sequence[Path],
        *,
        urls: bool = False,
        resolver: Resolver | None = None,
    ) -> None:
        self._store = store
        self._urls = urls
        self._resolver = resolver
        self._roots = [root.expanduser().resolve() for root in roots]

    def image(
        self,
        reference: str,
        *,
        field: str = "image",
        reach: Reach = FILES_BELOW_ROOTS,
        least_side: int = LEAST_SIDE,
    ) -> InputImage:
        """The picture of this id, or of the file of this path, which is then kept.

        Args:
            reference: An id of the store, or a path.
            field: Of the request, for what is said of it.
            reach: What the caller may name.
            least_side: Pixels; models work on no smaller ones than by default.

        Raises:
            InvalidRequest: There is none, it may not be read, it is no picture, or too small.
            StorageError: The store cannot be used.
        """
        data, image_id = self._data(field, reference, reach=reach)
        picture = _opened(field, reference, data, least_side)
        if image_id is not None:
            return InputImage(id=image_id, width=picture.width, height=picture.height)
        return replace(self.keep(picture, reach.owner or ""), note=_note(reference, picture))

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
        picture = _opened("mask", reference, self._data("mask", reference, reach=reach)[0])
        below = None
        if image is not None and pictures.is_transparent(picture):
            below = self.open(image)
        grey = read_mask(picture, below, reference)
        if grey.getbbox() is None:
            fix = "it is black everywhere; make white what is to be painted anew"
            raise InvalidRequest("mask", reference, fix)
        return replace(self.keep_mask(grey, reach.owner or ""), note=_note(reference, picture))

    def file(self, field: str, reference: str, *, reach: Reach = FILES_BELOW_ROOTS) -> bytes:
        """What stands in a file beside the pictures, as a palette.

        Raises:
            InvalidRequest: There is none, or it may not be read.
        """
        return self._data(field, reference, reach=reach)[0]

    def hint_of(self, image: InputImage) -> str:
        """What a kept picture is called, without its id."""
        return hint_in(self._store.find(image.id))

    def open(self, image: InputImage) -> Image.Image:
        """A kept picture, decoded.

        Raises:
            StorageError: It is gone.
        """
        return opened(self._store, image.id)

    def _data(self, field: str, reference: str, *, reach: Reach) -> tuple[bytes, str | None]:
        """The bytes of what is named, and its id where it stands in the store."""
        text = unquoted(reference)
        scheme = text[:8].lower()
        if scheme.startswith("data:"):
            return _inline(field, text), None
        if scheme.startswith(("http://", "https://")) and named_id(text) is None:
            return self._fetched(field, text), None
        path = _path_of_url(field, text) if scheme.startswith("file:") else text
        if reach.files == "roots" and (why := why_not_asked(PurePath(path), self._roots)):
            raise InvalidRequest(field, reference, why)
        image_id = named_id(path)
        if image_id is not None and not (reach.files != "none" and self._is_elsewhere(path)):
            if reach.owner not in (None, owner_of(image_id)):
                raise InvalidRequest(field, reference, "no picture has this id")
            try:
                return self._store.original(image_id), image_id
            except ImageNotFound as e:
                raise InvalidRequest(field, reference, "no picture has this id") from e
        if reach.files == "none":
            raise InvalidRequest(field, reference, "give the id of a picture that was made here")
        try:
            return read_regular(self._real(field, path, reach), MAX_BYTES), None
        except OSError as e:
            raise InvalidRequest(field, reference, f"it cannot be read: {e.strerror or e}") from e

    def _is_elsewhere(self, text: str) -> bool:
        """Whether it is the path of a file outside the store, as of a picture changed by hand."""
        if "://" in text or not re.search(r"[\\/]", text):
            return False
        root = self._store.root
        try:
            inside = isinstance(root, Path) and _resolved(text).is_relative_to(root.resolve())
        except (ValueError, RuntimeError, OSError):
            return True
        return not inside

    def _fetched(self, field: str, url: str) -> bytes:
        if not self._urls:
            fix = "addresses are not fetched; save the picture and give its path"
            raise InvalidRequest(field, url, f"{fix}, or set inputUrls: true in config.json")
        import httpx2

        from ziggie_image_mcp.provider import download

        nowhere = httpx2.URL("https://nowhere.invalid")
        source = download.Source(home=nowhere, resolver=self._resolver)
        get = partial(download.fetch, url, source, max_bytes=MAX_BYTES, input=True)
        try:
            return anyio.from_thread.run(get)
        except download.DownloadFailed as e:
            raise InvalidRequest(field, url, f"the picture or pictures {e}") from e

    def _real(self, field: str, reference: str, reach: Reach) -> Path:
        """The file's place, all links followed, if the caller may name it."""
        try:
            path = Path(reference).expanduser()
            if reach.files == "anywhere" and not path.is_absolute() and path.exists():
                return _resolved(reference)  # a person at the terminal, in a folder of theirs
            if not path.is_absolute():
                fix = "give an id, or a file's whole path"
                if reach.files == "anywhere":
                    fix = "there is no such file; give a file's path, or an id"
                raise InvalidRequest(field, reference, fix)
            real = _resolved(reference)
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
    return _opened("image", image_id, store.original(image_id), least_side=1)


def _opened(field: str, name: str, data: bytes, least_side: int = LEAST_SIDE) -> Image.Image:
    """The picture as it is to be seen, upright."""
    from PIL import ImageOps

    try:
        picture = ImageOps.exif_transpose(pictures.decode(data, input=True))
    except pictures.NotAPicture as e:
        raise InvalidRequest(field, name, f"it is {e}") from e
    if min(picture.size) < least_side:
        raise InvalidRequest(field, name, f"sides of {least_side} pixels at least")
    return picture


def why_not_asked(path: PurePath, roots: Sequence[PurePath]) -> str:
    """Why a file is not even looked for; empty where it may be. See `why_no_file`."""
    why = why_no_file(path)
    if why and any(path.is_relative_to(root) for root in roots) and ".." not in path.parts:
        return why_no_file(type(path)(*path.parts[1:]))  # a folder of the user's, wherever it is
    return why


def _note(reference: str, picture: Image.Image) -> str:
    """That a file has more than one picture, where it has."""
    frames = picture.info.get(pictures.FRAMES, 1)
    if frames < 2:
        return ""
    name = "the picture" if reference.lstrip()[:5].lower() == "data:" else PurePath(reference).name
    return f"{name} has {frames} frames, of which the first is worked on"


def _resolved(text: str) -> Path:
    """The file's place; of a path with a shell's escapes the one that is there."""
    path = Path(text).expanduser()
    if os.sep == "/" and "\\" in text and not path.exists():
        plain = Path(re.sub(r"\\(.)", r"\1", text)).expanduser()
        path = plain if plain.exists() else path
    return path.resolve()


def _path_of_url(field: str, text: str) -> str:
    """The path that file:///a%20b.png names."""
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise InvalidRequest(field, text, "it names a file of another machine")
    return path_of_url(parts.path)


def _inline(field: str, text: str) -> bytes:
    """The bytes of a data URL."""
    head, comma, body = text.partition(",")
    if not comma or len(body) > 2 * MAX_BYTES:
        fix = f"a data URL is data:image/png;base64,... of at most {MAX_BYTES >> 20} MB"
        raise InvalidRequest(field, text, fix)
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        plain = re.sub(r"\s+", "", unquote(body)).rstrip("=")
        alphabet = b"-_" if re.search("[-_]", plain) else b"+/"
        return base64.b64decode(plain + "=" * (-len(plain) % 4), alphabet, validate=True)
    except (binascii.Error, ValueError) as e:
        raise InvalidRequest(field, text, f"it is no base64 ({e})") from e


def _mode(picture: Image.Image) -> str:
    if picture.mode == "L":
        return "L"
    return "RGBA" if pictures.has_alpha(picture) else "RGB"
