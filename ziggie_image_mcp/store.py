"""Keep pictures on disk: check them, name them, write them whole or not at all, find them again."""

from __future__ import annotations

import base64
import io
import json
import re
import secrets
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ziggie_image_mcp import files
from ziggie_image_mcp.errors import ImageNotFound, InvalidOutput, StorageError
from ziggie_image_mcp.types import OutputFormat, Preview, Recipe, StoredImage

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 80_000_000
"""A larger picture is refused as damaged or hostile."""

PREVIEW_SIDE = 768
PREVIEW_BASE64 = 700_000
"""Base64 characters of all previews in one result; Claude Desktop stops at 1 MiB for everything."""

RESOURCE_BYTES = 7 * 1024 * 1024
"""Raw bytes that one resource read may hold: TypeScript clients die at 10 MiB per line."""

_SUFFIX: dict[OutputFormat, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
_MEDIA = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}
_ID = re.compile(r"(\d{4})(\d{2})(\d{2})-[0-9a-f]{16}")
_OURS = re.compile(r"-\d{8}-[0-9a-f]{16}\.(png|webp|jpg|json)$")
_USER_COMMENT = 0x9286
_EXIF_IFD = 0x8769
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What was taken away."""

    pictures: int
    bytes: int


class Store:
    """The place of pictures: one folder a day, a sidecar JSON beside each picture.

    Args:
        root: A folder, or a URL that fsspec knows.
        format: Of pictures for which nobody asks another.
        metadata: Whether prompt and settings are written into the files.
    """

    def __init__(
        self, root: Path | str, *, format: OutputFormat = "png", metadata: bool = True
    ) -> None:
        self.root = root
        self._files = files.at(root)
        self._format: OutputFormat = format
        self._metadata = metadata

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
    ) -> StoredImage:
        """Check a picture, write it with its recipe, and return where it is.

        With an `image_id` given, saving again replaces the file.

        Raises:
            InvalidOutput: The bytes are no usable picture.
            StorageError: The folder cannot be written; nothing is left behind.
        """
        kind = format or self._format
        with _opened(data, recipe.provider) as image:
            _refuse_blank(image, recipe.provider)
            encoded = _encode(image, kind, recipe if self._metadata else None)
            width, height = image.size
        now = now or datetime.now(UTC)
        image_id = image_id or f"{now:%Y%m%d}-{secrets.token_hex(8)}"
        day = image_id[:8]
        folder = f"{day[:4]}-{day[4:6]}-{day[6:]}"
        stem = f"{slug(hint or recipe.prompt)}-{image_id}"
        name = stem + _SUFFIX[kind]
        sidecar = json.dumps(
            {"id": image_id, "file": name, "made": now.isoformat(timespec="seconds")}
            | (_facts(recipe) if self._metadata else {}),
            ensure_ascii=False,
            indent=1,
        )
        path = self._files.write(folder, name, encoded)
        try:
            self._files.write(folder, f"{stem}.json", sidecar.encode())
        except StorageError:
            self._files.delete(path)
            raise
        return StoredImage(
            id=image_id,
            path=path,
            media_type=_MEDIA[_SUFFIX[kind]],
            width=width,
            height=height,
            bytes=len(encoded),
            seed=recipe.seed,
        )

    def keep(self, data: bytes, image_id: str, hint: str) -> None:
        """Write a picture that was given, under an id that follows from it.

        Raises:
            StorageError: The place cannot be written.
        """
        name = f"{slug(hint)}-{image_id}{_SUFFIX['png']}"
        self._files.write(f"{image_id[:4]}-{image_id[4:6]}-{image_id[6:8]}", name, data)

    def find(self, image_id: str) -> str:
        """The path or URL of a picture.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The place cannot be read.
        """
        wanted = image_id.strip()
        found = _ID.fullmatch(wanted)
        if found is not None:
            for path in self._files.find(f"{found[1]}-{found[2]}-{found[3]}", f"-{wanted}."):
                if _suffix(path) in _MEDIA:
                    return path
        raise ImageNotFound(
            f"No picture has the id {image_id[:60]!r}. Ids look like 20261123-0123456789abcdef; "
            "generate_image returns them."
        )

    def stored(self, image_id: str, seed: int | None) -> StoredImage:
        """What is known of a stored picture.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
            InvalidOutput: The file is no longer a picture.
        """
        path = self.find(image_id)
        data = self._files.read(path)
        with _opened(data, "store") as image:
            width, height = image.size
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
        """Take away the pictures and sidecars of all days before that one, and nothing else.

        Raises:
            StorageError: A file cannot be deleted.
        """
        pictures = size = 0
        for day in self._files.days():
            if day >= before.isoformat():
                continue
            for path in self._files.find(day, f"-{day.replace('-', '')}-"):
                if _OURS.search(path) is None:
                    continue
                if _suffix(path) in _MEDIA:
                    pictures += 1
                    size += len(self._files.read(path))
                self._files.delete(path)
        return Cleaned(pictures=pictures, bytes=size)

    def original(self, image_id: str) -> bytes:
        """A picture's bytes, as they are.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
        """
        return self._files.read(self.find(image_id))

    def read(self, image_id: str) -> tuple[bytes, str]:
        """A picture's bytes and media type, made smaller when over RESOURCE_BYTES.

        Raises:
            ImageNotFound: No picture has this id.
            StorageError: The file cannot be read.
        """
        data = self.original(image_id)
        if len(data) <= RESOURCE_BYTES:
            return data, media_type(data)
        small = self._shrink(data, side=2048, base64_limit=RESOURCE_BYTES)
        return small.data, small.media_type

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
        data = self._files.read(self.find(image_id))
        return self._shrink(data, side=side, base64_limit=PREVIEW_BASE64 // max(1, share))

    def _shrink(self, data: bytes, *, side: int, base64_limit: int) -> Preview:
        from PIL import Image

        with _opened(data, "store") as image:
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


def media_type(data: bytes) -> str:
    """The media type by the first bytes; `application/octet-stream` for what is no picture."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/octet-stream"


def slug(text: str) -> str:
    """A short file name out of any text: letters, digits and dashes, never a path."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower().encode("ascii", "ignore").decode())
    name = words.strip("-")[:48].strip("-") or "picture"
    return f"picture-{name}" if _RESERVED.fullmatch(name) else name


def parameters(recipe: Recipe) -> str:
    """The recipe in AUTOMATIC1111's one-text form, which most tools read."""
    lines = [recipe.prompt]
    if recipe.negative_prompt:
        lines.append(f"Negative prompt: {recipe.negative_prompt}")
    facts: list[str] = []
    if recipe.steps is not None:
        facts.append(f"Steps: {recipe.steps}")
    if recipe.guidance_scale is not None:
        facts.append(f"CFG scale: {recipe.guidance_scale:g}")
    if recipe.seed is not None:
        facts.append(f"Seed: {recipe.seed}")
    facts.append(f"Size: {recipe.width}x{recipe.height}")
    facts.append(f"Model: {recipe.model}")
    facts += [f"{key}: {value}" for key, value in recipe.extra.items()]
    return "\n".join([*lines, ", ".join(facts)])


def _facts(recipe: Recipe) -> dict[str, Any]:
    return {
        "prompt": recipe.prompt,
        "negative_prompt": recipe.negative_prompt,
        "provider": recipe.provider,
        "model": recipe.model,
        "seed": recipe.seed,
        "steps": recipe.steps,
        "guidance_scale": recipe.guidance_scale,
        "width": recipe.width,
        "height": recipe.height,
        **recipe.extra,
    }


@contextmanager
def _opened(data: bytes, provider: str) -> Generator[Image.Image]:
    """The picture, decoded to its last pixel."""
    from PIL import Image, UnidentifiedImageError

    if media_type(data) == "application/octet-stream":
        raise InvalidOutput(provider, f"{provider} returned {len(data)} bytes that are no picture.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise InvalidOutput(
                        provider, f"{provider} returned {image.width}x{image.height} pixels."
                    )
                image.load()
                yield image
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as e:
        raise InvalidOutput(provider, f"{provider} returned a damaged picture.") from e
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise InvalidOutput(provider, f"{provider} returned too many pixels.") from e


def _refuse_blank(image: Image.Image, provider: str) -> None:
    highest = [band.histogram() for band in image.convert("RGBA").split()]
    red, green, blue, alpha = (max(i for i, n in enumerate(h) if n) for h in highest)
    if alpha == 0 or (red == green == blue == 0):
        raise InvalidOutput(
            provider,
            f"{provider} returned a blank picture: the model overflowed or its filter blacked it.",
        )


def _encode(image: Image.Image, kind: OutputFormat, recipe: Recipe | None) -> bytes:
    """Encode anew, so that nothing that the engine wrote into the file travels on."""
    from PIL import Image, PngImagePlugin

    mode = "RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB"
    clean = image.convert(mode)
    clean.info.clear()
    out = io.BytesIO()
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        if recipe is not None:
            info.add_itxt("parameters", parameters(recipe))
            facts = json.dumps(_facts(recipe), ensure_ascii=False)
            info.add_itxt("ziggie-image", facts)
        clean.save(out, "PNG", pnginfo=info)
        return out.getvalue()
    exif = Image.Exif()
    if recipe is not None:
        text = parameters(recipe).encode("utf-16-be")
        ifd = exif.get_ifd(_EXIF_IFD)
        ifd[_USER_COMMENT] = b"UNICODE\0" + text
    if kind == "webp":
        clean.save(out, "WEBP", quality=92, exif=exif)
    else:
        if mode == "RGBA":
            ground = Image.new("RGB", clean.size, "white")
            ground.paste(clean, mask=clean.getchannel("A"))
            clean = ground
        clean.save(out, "JPEG", quality=93, subsampling=0, exif=exif)
    return out.getvalue()


def _suffix(path: str) -> str:
    return PurePath(path).suffix
