"""Convert masks into the polarity that a backend takes.

The mask of a request is 8-bit grey PNG, and white is painted anew.
"""

from __future__ import annotations

from ziggie_image_mcp.provider.capabilities import MaskPolarity
from ziggie_image_mcp.provider.pictures import decode, to_png


def convert_mask(mask: bytes, polarity: MaskPolarity, *, hard: bool = False) -> bytes:
    """The mask as a backend of this polarity takes it, PNG.

    Args:
        mask: Of a request: grey, white is painted anew.
        polarity: `white` as it is, `black` inverted, `alpha` transparent where it is painted anew.
        hard: Without greys: what is painted anew in part is painted anew as a whole.

    Raises:
        NotAPicture: It is no picture.
    """
    from PIL import Image, ImageOps

    grey = decode(mask).convert("L")
    if hard:
        grey = grey.point([0] + [255] * 255)
    if polarity == "white":
        return to_png(grey)
    inverted = ImageOps.invert(grey)
    if polarity == "black":
        return to_png(inverted)
    return to_png(Image.merge("LA", (Image.new("L", grey.size), inverted)).convert("RGBA"))
