"""Keep pictures on disk: check them, name them, write them whole or not at all, find them again."""

from __future__ import annotations

import base64
import io
import json
import re
import secrets
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from ziggie_image_mcp.errors import ImageNotFound, ImageTooLarge, StorageError
from ziggie_image_mcp.provider.capabilities import OutputFormat
from ziggie_image_mcp.provider.pictures import MAX_PIXELS, media_type
from ziggie_image_mcp.storage import blobs, thumbnails
from ziggie_image_mcp.storage.image_codec import (
    decoded,
    encode,
    recipe_facts,
    refuse_blank,
)
from ziggie_image_mcp.storage.newest import ListedImage, ListPosition, newest
from ziggie_image_mcp.storage.picture_ids import PICTURE_ID, day_of, named_id, owner_of, picture_id
from ziggie_image_mcp.storage.side_files import SIDE_SUFFIX, SideFiles, no_side_files, renamed
from ziggie_image_mcp.storage.sidecars import facts_in
from ziggie_image_mcp.storage.types import Preview, Recipe, StoredImage

if TYPE_CHECKING:
    from PIL import Image

PREVIEW_SIDE = 768
PREVIEW_BASE64 = 700_000
"""Base64 characters of all previews in one result; Claude Desktop stops at 1 MiB for everything."""

RECENT_BYTES = 32 * 1024 * 1024
"""Of the pictures that need not be fetched again from far away."""

RESOURCE_BYTES = 7 * 1024 * 1024
"""Raw bytes that one resource read may hold: TypeScript clients die at 10 MiB per line."""

_SUFFIX: dict[OutputFormat, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
_MEDIA = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}
_OURS = re.compile(rf"[-/\\]{PICTURE_ID.pattern}(\.(png|webp|jpg|json)|{SIDE_SUFFIX.pattern})$")
MAX_NAME, MAX_NAME_BYTES = 48, 120
"""Characters of a name, and bytes: file systems take 255 with the id, some of them 143."""
NO_FILES: Mapping[str, bytes] = {}
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³])", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What was taken away."""

    pictures: int
    bytes: int


class ArtifactStore:
    """The place of pictures: one folder a day, a sidecar JSON beside each picture.

    What else belongs to a picture stands beside it too, under its name and a suffix.

    Where each question is a round trip the sidecar is called after the id, so that it tells where
    the picture is, and the last pictures are remembered.

    Args:
        root: A folder, or a URL that fsspec knows.
        format: Of pictures for which nobody asks another.
        metadata: Whether prompt and settings are written into the files.
    """

    def __init__(
        self, root: Path | str, *, format: OutputFormat = "png", metadata: bool = True
    ) -> None:
        self._listeners: list[Callable[[], None]] = []
        self.reconfigure(root, format=format, metadata=metadata)

    def reconfigure(self, root: Path | str, *, format: OutputFormat, metadata: bool) -> None:
        """Keep pictures there and so from now on."""
        if getattr(self, "root", None) != root:
            self._files = blobs.at(root)
        self.root, self._metadata = root, metadata
        self.format: OutputFormat = format
        self._recent: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        """Path and bytes by id, of far pictures."""
        self._remembering = threading.Lock()

    @property
    def files(self) -> blobs.Files:
        """The place where the pictures are kept now."""
        return self._files

    def check_writable(self) -> None:
        """Find out before the work starts whether pictures can be kept.

        Raises:
            StorageError: Names the folder and what the system said.
        """
        self._files.check_writable()

    def save(
        self,
        data: bytes,
        recipe: Recipe,
        *,
        format: OutputFormat | None = None,
        hint: str = "",
        now: datetime | None = None,
        image_id: str | None = None,
        finish: Callable[[Image.Image], Image.Image] | None = None,
        prove: Callable[[bytes], str] | None = None,
        lossless: bool = False,
        max_pixels: int = MAX_PIXELS,
        side_files: SideFiles = no_side_files,
        may_be_blank: bool = False,
    ) -> StoredImage:
        """Check a picture, write it with its recipe, and return where it is.

        With an `image_id` given, saving again replaces the file. `finish` is given the picture,
        once it is known to show something, and gives what is kept; `prove` is given the bytes of
        the file before it is written, and tells what it measured; `lossless` keeps its pixels in
        WebP too. One of more than `max_pixels` is not decoded. What
        `side_files` gives is written with it, all or nothing.

        Raises:
            InvalidOutput: The bytes are no usable picture, or not what they were to be.
            StorageError: The folder cannot be written; nothing is left behind.
        """
        kind = format or self.format
        image = decoded(data, recipe.provider, max_pixels=max_pixels)
        if not may_be_blank:
            refuse_blank(image, recipe.provider)
        if finish is not None:
            image = finish(image)
        encoded = encode(image, kind, recipe if self._metadata else None, lossless=lossless)
        proof = "" if prove is None else prove(encoded)
        width, height = image.size
        now = now or datetime.now(UTC)
        image_id = image_id or picture_id(now, secrets.token_hex(8))
        name = f"{slug(hint or recipe.prompt)}-{image_id}{_SUFFIX[kind]}"
        facts: dict[str, object] = {
            "id": image_id,
            "file": name,
            "made": now.isoformat(timespec="milliseconds"),
        }
        if proof:
            facts["proof"] = proof
        if self._metadata:
            facts |= recipe_facts(recipe)
        beside = side_files(name)
        path, *files = self._write(image_id, name, encoded, facts, beside)
        for listener in self._listeners:
            listener()
        return StoredImage(
            id=image_id,
            path=path,
            media_type=_MEDIA[_SUFFIX[kind]],
            width=width,
            height=height,
            bytes=len(encoded),
            seed=recipe.seed,
            proof=proof,
            files=tuple(files),
        )

    def copy(self, image: StoredImage, hint: str) -> StoredImage:
        """The same picture once more, with its files, under another name and an id of its own.

        Raises:
            ImageNotFound, StorageError: It is gone, or the place cannot be written.
        """
        data, now = self._read(image.id), datetime.now(UTC)
        image_id = picture_id(now, secrets.token_hex(8), owner_of(image.id))
        name = f"{slug(hint)}-{image_id}{_suffix(image.path)}"
        facts = self._sidecar(image.id) | {"id": image_id, "file": name}
        old = PurePath(image.path)
        beside: dict[str, bytes] = {}
        for file in image.files:
            suffix = PurePath(file).name.removeprefix(old.stem)
            content = self.side_file(image.id, suffix)
            beside[suffix] = renamed(content, suffix, old.name, name)
        path, *files = self._write(image_id, name, data, facts, beside)
        return replace(image, id=image_id, path=path, files=tuple(files))

    def _write(
        self,
        image_id: str,
        name: str,
        data: bytes,
        facts: Mapping[str, object],
        side_files: Mapping[str, bytes] = NO_FILES,
    ) -> list[str]:
        """Write a picture, its side files and its sidecar, all or none; paths of all but that."""
        folder, stem = day_of(image_id), PurePath(name).stem
        paths: list[str] = []
        try:
            for suffix, content in side_files.items():
                if not SIDE_SUFFIX.fullmatch(suffix):
                    raise ValueError(f"{suffix!r} is no suffix of a side file")
                paths.append(self._files.write(folder, f"{stem}{suffix}", content))
            paths.insert(0, self._files.write(folder, name, data))
            beside = f"{image_id if self._files.far else stem}.json"
            sidecar = json.dumps(facts, ensure_ascii=False, indent=1)
            self._files.write(folder, beside, sidecar.encode())
        except StorageError:
            self._files.delete(paths)
            raise
        self._remember(image_id, paths[0], data)
        return paths

    def side_file(self, image_id: str, suffix: str) -> bytes:
        """A file that belongs to a picture.

        Raises:
            ImageNotFound: No picture has this id, or it has no such file.
            StorageError: The place cannot be read.
        """
        name = f"{PurePath(self.find(image_id)).stem}{suffix}"
        data = None
        if SIDE_SUFFIX.fullmatch(suffix):
            data = self._files.get(day_of(named_id(image_id) or ""), name)
        if data is None:
            raise ImageNotFound(f"The picture {image_id[:60]!r} has no file {suffix[:40]!r}.")
        return data

    def side_path(self, image_id: str, suffix: str) -> str:
        """Where such a file stands.

        Raises:
            ImageNotFound, StorageError: As `side_file` tells.
        """
        self.side_file(image_id, suffix)
        name = f"{PurePath(self.find(image_id)).stem}{suffix}"
        return self._files.path(day_of(named_id(image_id) or ""), name)

    def _sidecar(self, image_id: str) -> dict[str, object]:
        """What stands beside a picture; nothing where that is gone or damaged."""
        folder = day_of(image_id)
        name = image_id if self._files.far else PurePath(self.find(image_id)).stem
        return facts_in(self._files.get(folder, f"{name}.json"))

    def keep(self, data: bytes, image_id: str, hint: str) -> None:
        """Write a picture that was given, under an id that follows from it.

        Raises:
            StorageError: The place cannot be written.
        """
        name = f"{slug(hint)}-{image_id}{_SUFFIX['png']}"
        folder = day_of(image_id)
        path = self._files.write(folder, name, data)
        if self._files.far:
            record = json.dumps({"id": image_id, "file": name})
            self._files.write(folder, f"{image_id}.json", record.encode())
        self._remember(image_id, path, data)

    def _remember(self, image_id: str, path: str, data: bytes) -> None:
        if not self._files.far or len(data) > RECENT_BYTES:
            return
        with self._remembering:
            self._recent.pop(image_id, None)
            self._recent[image_id] = path, data
            while sum(len(kept) for _, kept in self._recent.values()) > RECENT_BYTES:
                self._recent.popitem(last=False)

    def _read(self, image_id: str) -> bytes:
        recent = self._recent.get(named_id(image_id) or "")
        return self._files.read(self.find(image_id)) if recent is None else recent[1]

    def find(self, image_id: str) -> str:
        """The path or URL of a picture.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The place cannot be read.
        """
        stripped = named_id(image_id) or ""
        match = PICTURE_ID.fullmatch(stripped)
        if match is not None:
            recent = self._recent.get(stripped)
            if recent is not None:
                return recent[0]
            folder = day_of(stripped)
            sidecar = self._files.get(folder, f"{stripped}.json") if self._files.far else None
            name = None if sidecar is None else _file_of(sidecar)
            if name is not None:
                return self._files.path(folder, name)
            for entry in self._files.find(folder, f"-{stripped}."):  # as earlier versions did
                if _is_picture(entry.path):
                    return entry.path
        raise not_found(image_id)

    def stored(self, image_id: str, seed: int | None) -> StoredImage:
        """What is known of a stored picture.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
            InvalidOutput: The file is no longer a picture.
        """
        path, data = self.find(image_id), self._read(image_id)
        width, height = decoded(data, "store").size
        return StoredImage(
            id=image_id,
            path=path,
            media_type=_MEDIA[_suffix(path)],
            width=width,
            height=height,
            bytes=len(data),
            seed=seed,
        )

    def clean(self, before: date) -> Cleaned:
        """Take away the pictures of all days before that one with all that belongs to them.

        What the store did not write stays. The sidecars' bytes are not counted.

        Raises:
            StorageError: A file cannot be deleted.
        """
        pictures = size = 0
        for day in self._files.days():
            if day >= before.isoformat():
                continue
            found = self._files.find(day, f"{day.replace('-', '')}-")
            ours = [entry for entry in found if _OURS.search(entry.path)]
            own = [named_id(entry.path) or "" for entry in ours if _is_picture(entry.path)]
            small = thumbnails.paths(self._files, day, own)
            self._files.delete([*(entry.path for entry in ours), *small])
            pictures += len(own)
            size += sum(entry.bytes for entry in ours if not _is_sidecar(entry.path))
        with self._remembering:
            self._recent.clear()
        return Cleaned(pictures=pictures, bytes=size)

    def original(self, image_id: str) -> bytes:
        """A picture's bytes, as they are.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
        """
        return self._read(image_id)

    def read(self, image_id: str) -> tuple[bytes, str]:
        """A picture's bytes and media type.

        Raises:
            ImageNotFound: No picture has this id.
            ImageTooLarge: It is over RESOURCE_BYTES.
            StorageError: The file cannot be read.
        """
        data = self.original(image_id)
        if len(data) > RESOURCE_BYTES:
            raise ImageTooLarge(
                f"The picture {image_id} has {len(data):,} bytes, more than the {RESOURCE_BYTES:,} "
                f"that a resource carries; image://{image_id}?max=1568 gives it smaller.",
                image_id,
                self.find(image_id),
            )
        return data, media_type(data)

    def newest(
        self, most: int, may_see: Callable[[str], bool], after: ListPosition | None = None
    ) -> list[ListedImage]:
        """The newest pictures that were made here, newest first; with `after`, those behind it.

        Raises:
            StorageError: The place cannot be read.
        """
        return newest(self._files, most, may_see, after)

    def on_save(self, listener: Callable[[], None]) -> None:
        """Have this called after each picture that is saved, in the thread that saves it."""
        self._listeners.append(listener)

    def preview(self, image_id: str, *, side: int = PREVIEW_SIDE, share: int = 1) -> Preview:
        """A picture made small enough to show to a model.

        Args:
            image_id: Which picture.
            side: The longest side at most, pixels.
            share: How many previews share one result's limit.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
        """
        data = self._read(image_id)
        return self._shrink(data, side=side, base64_limit=PREVIEW_BASE64 // max(1, share))

    def thumbnail(self, image_id: str, side: int) -> Image.Image:
        """A picture's pixels, scaled down so that its longest side is at most `side` pixels.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
        """
        from PIL import Image

        small = decoded(self.original(image_id), "store").convert("RGBA")
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        return small

    def _shrink(self, data: bytes, *, side: int, base64_limit: int) -> Preview:
        from PIL import Image

        image = decoded(data, "store")
        while True:
            small = image.copy()
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            alpha = "A" in small.getbands()
            for quality in (88, 75, 60):
                out = io.BytesIO()
                if alpha:
                    small.save(out, "WEBP", quality=quality)
                else:
                    small.convert("RGB").save(out, "JPEG", quality=quality, subsampling=0)
                if len(base64.b64encode(out.getvalue())) <= base64_limit:
                    media = "image/webp" if alpha else "image/jpeg"
                    return Preview(
                        data=out.getvalue(),
                        media_type=media,
                        width=small.width,
                        height=small.height,
                    )
            side = side * 3 // 4


def not_found(image_id: str) -> ImageNotFound:
    """What is said of an id that no picture has, or none that the caller may see."""
    return ImageNotFound(
        f"No picture has the id {image_id[:60]!r}. Ids look like 20261123-0123456789abcdef; "
        "generate_image returns them."
    )


def slug(text: str) -> str:
    """A short file name out of any text: letters and digits of every script, and dashes.

    Never a path, and safe on all systems.
    """
    plain = unicodedata.normalize("NFC", text).lower()
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else "-" for c in plain)
    name = re.sub("-+", "-", kept).strip("-")[:MAX_NAME]
    while len(name.encode(errors="ignore")) > MAX_NAME_BYTES:
        name = name[:-1]
    name = name.strip("-") or "picture"
    return f"picture-{name}" if _RESERVED.fullmatch(name) else name


def _file_of(sidecar: bytes) -> str | None:
    """The picture's name by its sidecar; None where that is damaged, or would lead elsewhere."""
    name = facts_in(sidecar).get("file")
    return name if isinstance(name, str) and "/" not in name else None


def _suffix(path: str) -> str:
    return PurePath(path).suffix


def _is_picture(path: str) -> bool:
    """Whether it is a picture of the store, and not what belongs to one."""
    return _suffix(path) in _MEDIA and named_id(PurePath(path).stem) is not None


def _is_sidecar(path: str) -> bool:
    return _suffix(path) == ".json" and named_id(PurePath(path).stem) is not None
