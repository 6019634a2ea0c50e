"""Make the icons of applications and web pages out of one picture, and decode them again."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ziggie_image_mcp.assets.framing import CLEAR
from ziggie_image_mcp.errors import InvalidOutput, InvalidRequest
from ziggie_image_mcp.provider.pictures import MAX_PIXELS, is_transparent, on_white, to_png

if TYPE_CHECKING:
    from PIL import Image

IconSet = Literal["ico", "icns", "web", "app"]

ICO_SIZES = (16, 24, 32, 48, 64, 128, 256)
FAVICON_SIZES = (16, 32, 48)
ICNS_TYPES: Mapping[bytes, int] = {
    b"icp4": 16,
    b"ic11": 32,
    b"ic12": 64,
    b"ic07": 128,
    b"ic13": 256,
    b"ic08": 256,
    b"ic14": 512,
    b"ic09": 512,
    b"ic10": 1024,
}
"""Type and side in pixels, some of them twice: for plain displays and for those of twice the
density. Source: Apple's iconutil, as listed at en.wikipedia.org/wiki/Apple_Icon_Image_format."""

WEB_SIZES: Mapping[str, int] = {".icon-192.png": 192, ".icon-512.png": 512}
MASKABLE, TOUCH = ".maskable-512.png", ".apple-touch-icon-180.png"
SAFE_ZONE = 0.8
"""Of a maskable icon's side: the circle that every mask leaves. Source: w3.org/TR/appmanifest."""

APP_SIZES: Mapping[str, int] = {
    ".ios-1024.png": 1024,
    ".ios-180.png": 180,
    ".ios-167.png": 167,
    ".ios-152.png": 152,
    ".ios-120.png": 120,
    ".android-play-512.png": 512,
    ".android-xxxhdpi-192.png": 192,
    ".android-xxhdpi-144.png": 144,
    ".android-xhdpi-96.png": 96,
    ".android-hdpi-72.png": 72,
    ".android-mdpi-48.png": 48,
}
"""Apple's Human Interface Guidelines (App Store, iPhone at 3x and 2x, iPad Pro, iPad), and
Android's launcher icons by density with that of Google Play."""


@dataclass(frozen=True, kw_only=True)
class Icons:
    """The files of a set by their suffixes, and what is to be said of them."""

    files: Mapping[str, bytes]
    proofs: tuple[str, ...]


def make_icons(image: Image.Image, kind: IconSet) -> Icons:
    """The icons of a set, each scaled down from the picture itself.

    Those of a web page lack their manifest, which `web_manifest` writes.

    Args:
        image: Any shape; on a transparent square where it is none.
        kind: The set.

    Raises:
        InvalidRequest: The picture is too small for the set: nothing is enlarged.
        InvalidOutput: A file does not hold what it should.
    """
    source, proofs = _square(image, kind)
    if kind == "ico":
        sizes = _sizes(ICO_SIZES, source.width, kind, proofs)
        return Icons(files={".ico": _ico(source, sizes)}, proofs=tuple(proofs))
    if kind == "icns":
        sizes = _sizes(sorted(set(ICNS_TYPES.values())), source.width, kind, proofs)
        return Icons(files={".icns": _icns(source, sizes)}, proofs=tuple(proofs))
    needed = 512 if kind == "web" else 1024
    if source.width < needed:
        raise InvalidRequest("icons", kind, _too_small(source.width, needed))
    files = _web(source, proofs) if kind == "web" else _app(source, proofs)
    return Icons(files=files, proofs=tuple(proofs))


def icon_suffixes(kind: IconSet) -> tuple[str, ...]:
    """What the files of a set have behind the picture's name."""
    if kind in ("ico", "icns"):
        return (f".{kind}",)
    web = (".favicon.ico", TOUCH, *WEB_SIZES, MASKABLE, ".webmanifest")
    return web if kind == "web" else tuple(APP_SIZES)


def _square(image: Image.Image, kind: IconSet) -> tuple[Image.Image, list[str]]:
    from PIL import Image

    side = max(image.size)
    if image.size == (side, side):
        return image.convert("RGBA"), []
    if side * side > MAX_PIXELS:
        fix = (
            f"the picture of {image.width}x{image.height} would stand on {side}x{side} pixels: "
            "give width and height"
        )
        raise InvalidRequest("icons", kind, fix)
    whole = Image.new("RGBA", (side, side), CLEAR)
    place = (side - image.width) // 2, (side - image.height) // 2
    whole.paste(image.convert("RGBA"), place)
    return whole, [f"icons are square: {image.width}x{image.height} stands on {side}x{side}"]


def _sizes(all_sizes: Sequence[int], side: int, kind: IconSet, proofs: list[str]) -> list[int]:
    sizes = [size for size in all_sizes if size <= side]
    if not sizes:
        raise InvalidRequest("icons", kind, _too_small(side, all_sizes[0]))
    proofs.append(f"{kind}: {', '.join(map(str, sizes))} pixels, decoded again and compared")
    if left_out := [str(size) for size in all_sizes if size > side]:
        proofs.append(
            f"left out: {', '.join(left_out)} pixels, for the picture has {side}, and nothing is "
            f"enlarged unasked; width={all_sizes[-1]} and height={all_sizes[-1]} do it"
        )
    return sizes


def _too_small(side: int, needed: int) -> str:
    return (
        f"the picture has {side} pixels, and {needed} are needed: nothing is enlarged unasked; "
        f"give width={needed} and height={needed} (resample=nearest for pixel art), or upscale "
        "first"
    )


def _scaled(source: Image.Image, side: int) -> Image.Image:
    """The picture with that side; area and Lanczos, as Pillow's reducing gap joins them."""
    from PIL import Image

    if side == source.width:
        return source
    return source.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _ico(source: Image.Image, sizes: Sequence[int]) -> bytes:
    from PIL import IcoImagePlugin

    images = [_scaled(source, size) for size in sizes]
    out = io.BytesIO()
    largest = images[-1]
    pairs = [image.size for image in images]
    largest.save(out, "ICO", sizes=pairs, append_images=images[:-1])
    data = out.getvalue()
    file = IcoImagePlugin.IcoFile(io.BytesIO(data))
    for image in images:
        _compare(file.getimage(image.size), image, "ico")
    return data


def _icns(source: Image.Image, sizes: Sequence[int]) -> bytes:
    """Pillow's own writer enlarges in silence what is too small, so the container is written here.

    It is `icns` and its length, then each icon's type, length and PNG.
    """
    from PIL import IcnsImagePlugin

    parts = [
        (kind, to_png(_scaled(source, size))) for kind, size in ICNS_TYPES.items() if size in sizes
    ]
    body = b"".join(struct.pack(">4sI", kind, 8 + len(png)) + png for kind, png in parts)
    data = struct.pack(">4sI", b"icns", 8 + len(body)) + body
    file = IcnsImagePlugin.IcnsFile(io.BytesIO(data))
    for width, height, scale in file.itersizes():
        image = file.getimage((width, height, scale))
        _compare(image, _scaled(source, width * scale), "icns")
    return data


def web_manifest(stem: str) -> bytes:
    """What a web application's manifest says of the icons, whose files' names begin so."""
    icons = [
        {"src": f"{stem}{suffix}", "sizes": f"{side}x{side}", "type": "image/png"}
        for suffix, side in WEB_SIZES.items()
    ]
    masked = {"src": f"{stem}{MASKABLE}", "sizes": "512x512", "type": "image/png"}
    manifest = {"icons": [*icons, masked | {"purpose": "maskable"}]}
    return (json.dumps(manifest, ensure_ascii=False, indent=1) + "\n").encode()


def _web(source: Image.Image, proofs: list[str]) -> dict[str, bytes]:
    files = {".favicon.ico": _ico(source, FAVICON_SIZES)}
    files[TOUCH] = _png(_opaque(_scaled(source, 180)))
    files |= {suffix: _png(_scaled(source, side)) for suffix, side in WEB_SIZES.items()}
    files[MASKABLE] = _png(_maskable(source, 512))
    proofs.append("web: favicon of 16, 32, 48; icons of 180, 192, 512, decoded again and compared")
    if is_transparent(source):
        proofs.append("the touch icon and the maskable one are opaque by their rules: on white")
    else:
        proofs.append("the maskable icon may lose what lies outside its middle circle of 80%")
    return files


def _app(source: Image.Image, proofs: list[str]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for suffix, side in APP_SIZES.items():
        scaled = _scaled(source, side)
        files[suffix] = _png(_opaque(scaled) if suffix.startswith(".ios") else scaled)
    proofs.append(f"app: {len(files)} icons of 48 to 1024 pixels, decoded again and compared")
    if is_transparent(source):
        proofs.append("the icons for iOS are opaque by its rules: on white")
    return files


def _maskable(source: Image.Image, side: int) -> Image.Image:
    """An opaque one whose subject lies within the safe circle; an opaque picture fills it all."""
    import numpy as np
    from PIL import Image

    if not is_transparent(source):
        return _opaque(_scaled(source, side))
    rows, columns = np.nonzero(np.asarray(source.getchannel("A")))
    middle = (source.width - 1) / 2
    radius = float(np.hypot(rows - middle, columns - middle).max()) + 1 if len(rows) else 1.0
    # Lanczos spreads a pixel's colour to its neighbours, so that one more is left free.
    inner = max(2, min(side, int(source.width * (SAFE_ZONE * side / 2 - 1) / radius)) & ~1)
    scaled = source.resize((inner, inner), Image.Resampling.LANCZOS)
    whole = Image.new("RGBA", (side, side), CLEAR)
    whole.paste(scaled, ((side - inner) // 2, (side - inner) // 2))
    return _opaque(whole)


def _opaque(image: Image.Image) -> Image.Image:
    return on_white(image)


def _png(image: Image.Image) -> bytes:
    from PIL import Image

    data = to_png(image)
    with Image.open(io.BytesIO(data)) as again:
        _compare(again, image, "png")
    return data


def _compare(again: Image.Image, image: Image.Image, kind: str) -> None:
    if (
        again.size != image.size
        or again.convert("RGBA").tobytes() != image.convert("RGBA").tobytes()
    ):
        raise InvalidOutput("assets", f"The icon of {image.width} pixels differs in its {kind}.")
