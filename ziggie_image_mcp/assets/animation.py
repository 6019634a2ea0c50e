"""Put frames into a moving picture, and hold the encoded file to them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets import gif
from ziggie_image_mcp.assets.frames import cleared
from ziggie_image_mcp.assets.sheet_names import AnimationFormat
from ziggie_image_mcp.errors import InvalidOutput, InvalidRequest

if TYPE_CHECKING:
    from PIL import Image

DEFAULT_FPS = 10
MAX_FPS = 60
MAX_GIF_FPS = 50
"""Browsers show a GIF frame of less than 20 ms for 100 ms."""


@dataclass(frozen=True, kw_only=True)
class Animation:
    """A moving picture and what was measured on it."""

    data: bytes
    proofs: tuple[str, ...]


def check_animation(kind: AnimationFormat, fps: int) -> None:
    """Refuse a speed that the format cannot show.

    Raises:
        InvalidRequest: Says the highest.
    """
    if kind == "gif" and fps > MAX_GIF_FPS:
        fix = f"1 to {MAX_GIF_FPS} for gif: browsers slow what is faster; apng and webp take it"
        raise InvalidRequest("fps", fps, fix)


def animate(images: Sequence[Image.Image], kind: AnimationFormat, fps: int) -> Animation:
    """The frames in turn, without end.

    Args:
        images: Of one size.
        kind: The format.
        fps: How many are shown a second. Where that is no whole number of the format's units of
            time, frames differ by one unit, and the whole is as long as it should be.

    Raises:
        InvalidRequest: There is nothing that moves.
        InvalidOutput: The file does not show what it should.
    """
    frames = [cleared(image) for image in images]
    if all(frame.tobytes() == frames[0].tobytes() for frame in frames):
        fix = "two or more pictures that differ, or slice for one that holds several"
        raise InvalidRequest("animation", kind, fix)
    unit = 10 if kind == "gif" else 1
    lasts = durations(len(frames), fps, unit)
    changes: tuple[str, ...] = ()
    if kind == "gif":
        reduced = gif.for_gif(frames)
        frames, changes = list(reduced.images), reduced.changes
        data = gif.encode(reduced, lasts)
    else:
        data = _encode(frames, kind, lasts)
    _prove(data, frames, lasts)
    seconds = sum(lasts) / 1000
    size = f"{frames[0].width}x{frames[0].height}"
    proof = f"{kind}: {len(frames)} frames of {size} in {seconds:.2f} s, decoded again and compared"
    return Animation(data=data, proofs=(proof, *changes))


def still_gif(image: Image.Image) -> Animation:
    """One picture as GIF.

    Raises:
        InvalidOutput: The file does not show it.
    """
    reduced = gif.for_gif([image])
    data = gif.encode(reduced, [0])
    _prove(data, reduced.images, [0])
    return Animation(data=data, proofs=reduced.changes)


def durations(count: int, fps: int, unit: int) -> list[int]:
    """Milliseconds of each frame, in whole units, so that all together last as they should."""
    ends = [round(1000 * number / (fps * unit)) * unit for number in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


def _encode(frames: Sequence[Image.Image], kind: AnimationFormat, lasts: Sequence[int]) -> bytes:
    out = io.BytesIO()
    if kind == "apng":
        # Each replaces what was there, alpha included.
        frames[0].save(
            out,
            "PNG",
            save_all=True,
            append_images=frames[1:],
            duration=list(lasts),
            loop=0,
            disposal=0,
            blend=0,
        )
    else:
        frames[0].save(
            out,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=list(lasts),
            loop=0,
            lossless=True,
            exact=True,
        )
    return out.getvalue()


def _prove(data: bytes, frames: Sequence[Image.Image], lasts: Sequence[int]) -> None:
    """Decode the file, and hold what it shows at the beginning of each frame to that frame.

    Writers join frames that are the same into one that lasts longer.

    Raises:
        InvalidOutput: It shows something else, or for another time.
    """
    from PIL import Image

    shown: list[tuple[int, bytes]] = []
    with Image.open(io.BytesIO(data)) as picture:
        for place in range(getattr(picture, "n_frames", 1)):
            picture.seek(place)
            pixels = cleared(picture).tobytes()
            shown.append((round(picture.info.get("duration", 0)), pixels))
    starts = [0, *accumulate(lasts)]
    decoded = dict(zip([0, *accumulate(last for last, _ in shown)], shown, strict=False))
    current = b""
    for start, frame in zip(starts, frames, strict=False):
        current = decoded[start][1] if start in decoded else current
        if current != frame.tobytes():
            raise InvalidOutput("assets", f"The animation differs at {start} ms.")
    if sum(last for last, _ in shown) != starts[-1]:
        raise InvalidOutput("assets", f"The animation does not last {starts[-1]} ms.")
