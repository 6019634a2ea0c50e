"""Decode pictures from anywhere, within bounds: the one decoder of answers, files and masks."""

from __future__ import annotations

import io
import struct
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 80_000_000
"""A larger picture is refused as damaged or hostile."""

MAX_BYTES = 100 * 2**20
"""So are more bytes of one encoded picture."""

MAX_SCANS = 100
"""Of a JPEG: each goes over the whole picture again, and encoders make ten."""

_SCAN = b"\xff\xda"
_FORMATS = ("PNG", "JPEG", "WEBP")
_INPUT_FORMATS = (*_FORMATS, "GIF", "BMP", "TIFF", "AVIF")
FRAMES = "frames"
"""In `info` of a decoded picture: how many the file has, where it has more than one."""


DAMAGED = (OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError, struct.error)
"""What Pillow raises on files that are not what their heads say."""


class NotAPicture(ValueError):
    """Raised when bytes are no picture that can be used; the message is the end of a sentence."""


def media_type(data: bytes) -> str:
    """The media type by the first bytes; `application/octet-stream` for what is no picture."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/octet-stream"


def is_picture(data: bytes, *, input: bool = False) -> bool:
    """Whether the first bytes are those of a picture: of an `input`, GIF, BMP, TIFF, AVIF too."""
    if not input or media_type(data) != "application/octet-stream":
        return media_type(data) != "application/octet-stream"
    avif = data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis", b"mif1")
    return avif or data.startswith((b"GIF8", b"BM", b"II*\0", b"MM\0*"))


def png_text(png: bytes, keyword: str) -> str:
    """The text that a PNG carries under a keyword before its pixels; empty where it has none."""
    at = 8
    while media_type(png) == "image/png" and at + 8 <= len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        if kind == b"IDAT":
            return ""
        body = png[at + 8 : at + 8 + length]
        if kind == b"tEXt" and body.startswith(keyword.encode("latin-1") + b"\0"):
            return body[len(keyword) + 1 :].decode("latin-1")
        at += 12 + length
    return ""


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, input: bool = False) -> Image.Image:
    """The picture, decoded to its last pixel: 8 bits a channel, L, RGB or RGBA. PNG, JPEG, WebP.

    Of an `input` the first frame of GIF, BMP, TIFF and AVIF as well; those of a backend are none.

    What is deeper is scaled down, and a palette or a colour that stands for nothing is resolved:
    what may be transparent is RGBA. What its head says is looked at before a pixel is decoded.

    Raises:
        NotAPicture: It is none, it is damaged, or it has too many bytes or pixels.
    """
    from PIL import Image

    if not is_picture(data, input=input):
        kinds = "PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF" if input else "PNG, JPEG or WebP"
        raise NotAPicture(f"{len(data)} bytes that are no {kinds} picture")
    if len(data) > MAX_BYTES:
        raise NotAPicture(f"a picture of more than {MAX_BYTES >> 20} MB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of metadata, which is not kept
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            formats = _INPUT_FORMATS if input else _FORMATS
            with Image.open(io.BytesIO(data), formats=formats) as image:
                if image.width * image.height > max_pixels:
                    raise NotAPicture(_too_large(image.width, image.height, max_pixels))
                if image.format == "JPEG" and data.count(_SCAN) > MAX_SCANS:
                    raise NotAPicture(f"a JPEG picture of more than {MAX_SCANS} scans")
                frames = getattr(image, "n_frames", 1)
                image.seek(0)
                image.load()
                depth = data[24] if media_type(data) == "image/png" else 8
                result = _eight_bits(image, depth=depth)
                if frames > 1:
                    result.info[FRAMES] = frames
                return result
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise NotAPicture(f"a picture of more than {MAX_PIXELS / 1e6:.0f} million pixels") from e
    except NotAPicture:
        raise
    except DAMAGED as e:
        raise NotAPicture("a damaged picture") from e


def _eight_bits(image: Image.Image, *, depth: int) -> Image.Image:
    """The picture in 8 bits a channel. `depth` is that of the file, bits."""
    hole: int | bytes | tuple[int, ...] | None = image.info.get("transparency")
    if image.mode.startswith("I"):
        result = _from_sixteen_bits(image, hole)
    else:
        # Pillow scales the pixels to 8 bits, but not the colour that is transparent.
        if isinstance(hole, tuple) and depth == 16:
            image.info["transparency"] = tuple(value >> 8 for value in hole)
        elif isinstance(hole, int) and image.mode == "L" and depth < 8:
            image.info["transparency"] = hole * 255 // (2**depth - 1)
        mode = "RGBA" if has_alpha(image) else "L" if image.mode in ("1", "L", "F") else "RGB"
        result = image if image.mode == mode else image.convert(mode)
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return result


def _from_sixteen_bits(image: Image.Image, hole: object) -> Image.Image:
    """Grey of 16 bits, which Pillow's `convert` would clip; `hole` is what is transparent."""
    from PIL import Image

    deep = image.convert("I")
    grey = deep.point([value >> 8 for value in range(1 << 16)], "L")
    if hole is None:
        return grey
    alpha = deep.point([0 if value == hole else 255 for value in range(1 << 16)], "L")
    return Image.merge("RGBA", (grey, grey, grey, alpha))


def to_png(image: Image.Image) -> bytes:
    """The pixels as PNG, and nothing else of what a file may carry."""
    clean = image.copy()
    clean.info.clear()
    out = io.BytesIO()
    clean.save(out, "PNG")
    return out.getvalue()


def has_alpha(image: Image.Image) -> bool:
    """Whether anything of the picture may be transparent."""
    return "A" in image.getbands() or "transparency" in image.info


def is_transparent(image: Image.Image) -> bool:
    """Whether anything of the picture is transparent."""
    if not has_alpha(image):
        return False
    return image.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def on_white(image: Image.Image) -> Image.Image:
    """The picture without transparency: what was transparent is white."""
    from PIL import Image

    if not has_alpha(image):
        return image.convert("RGB")
    over = image.convert("RGBA")
    ground = Image.new("RGB", over.size, "white")
    ground.paste(over, mask=over.getchannel("A"))
    return ground


def _too_large(width: int, height: int, max_pixels: int) -> str:
    return f"a picture of {width}x{height}, more than {max_pixels / 1e6:.0f} million pixels"
