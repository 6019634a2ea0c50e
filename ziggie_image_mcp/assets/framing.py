"""Trim a picture to its subject, pad it, and bring it to an exact size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

Resample = Literal["nearest", "lanczos"]

FLAT = 3
"""Of 255: what differs from the corners' colour by no more belongs to the ground."""

CLEAR = (0, 0, 0, 0)


def subject_box(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of what is not ground; None where all is.

    The ground is what is transparent; of an opaque picture the colour of its corners, where all
    four have it.
    """
    import numpy as np
    from PIL import Image

    if image.has_transparency_data:
        return image.convert("RGBA").getchannel("A").getbbox()
    pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    if np.abs(corners - corners[0]).max() > FLAT:
        return 0, 0, image.width, image.height
    differs = np.abs(pixels - corners[0]).max(axis=-1) > FLAT
    return Image.fromarray(differs).getbbox()


def padded(image: Image.Image, pixels: int) -> Image.Image:
    """The picture with so many transparent pixels on each side."""
    from PIL import Image

    whole = Image.new("RGBA", (image.width + 2 * pixels, image.height + 2 * pixels), CLEAR)
    whole.paste(image.convert("RGBA"), (pixels, pixels))
    return whole


def resized(image: Image.Image, width: int, height: int, resample: Resample) -> Image.Image:
    """The picture in exactly this size, its shape kept.

    Where the shapes differ it is centred on transparent ground. By `nearest` a picture that is to
    grow grows by whole numbers where its size allows it, so that all its pixels stay as large as
    each other.
    """
    from PIL import Image

    scale = min(width / image.width, height / image.height)
    if resample == "nearest" and scale > 1:
        scale = float(int(scale))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    how = Image.Resampling.NEAREST if resample == "nearest" else Image.Resampling.LANCZOS
    scaled = plain.resize(size, how)
    if size == (width, height):
        return scaled
    whole = Image.new("RGBA", (width, height), CLEAR)
    whole.paste(scaled.convert("RGBA"), ((width - size[0]) // 2, (height - size[1]) // 2))
    return whole
