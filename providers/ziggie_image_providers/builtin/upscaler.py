"""Enlarge pictures two or four times by the compact Real-ESRGAN, in tiles.

The graph stands in `real_esrgan/` (tools/upscaler/convert.py). Import this where it is used: it
imports numpy, and onnxruntime on first use.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggie_image_mcp.provider.onnx_runtime import load_onnx_runtime
from ziggie_image_mcp.provider.processors import usable_processors
from ziggie_image_providers.builtin.engine import Stopped
from ziggie_image_providers.builtin.models import Factor
from ziggie_image_providers.builtin.sessions import session_options

Pixels = NDArray[np.uint8]
"""Height, width and 3 or 4 channels."""

Plane = NDArray[np.float32]
"""Height, width and 3 channels, 0 to 1."""

OVERLAP = 20
"""How far a pixel looks: 18 convolutions, and the correction of colours. With so many pixels of the
picture around it a tile is what it is in the whole."""

MARGIN = 8
"""Pixels repeated beyond the edges of the picture, where the network would see black."""

WHOLE = 256
"""A picture whose sides are no longer is one tile."""

TILE = 160
"""The sides of the tiles of others, at most: 120 MB, and 0.4 s on two cores, as long as a stop may
take."""


@dataclass(frozen=True, kw_only=True)
class _Span:
    """A stretch of one side: what is computed, and what of that is looked at to compute it."""

    start: int
    stop: int
    seen_from: int
    seen_to: int


class Upscaler:
    """The network in memory. Several threads may use it at once."""

    def load(self) -> None:
        """Read it now, and not at the first picture."""
        _ = self._session

    def upscale(
        self,
        pixels: Pixels,
        factor: Factor,
        *,
        wrap: bool,
        on_tile: Callable[[int, int], None],
        stop: threading.Event,
    ) -> Pixels:
        """Enlarge a picture.

        What is grey stays grey, and transparency stays: where the picture is wholly opaque or
        wholly transparent the result is so too, and colours that nobody sees colour nothing.

        Args:
            pixels: RGB or RGBA.
            factor: How many times.
            wrap: The picture is a tile: its edges fit each other, and do so in the result.
            on_tile: Called after every tile with how many are finished, and how many there are.
            stop: Looked at before each tile.

        Raises:
            Stopped: `stop` is set.
        """
        height, width, channels = pixels.shape
        margin = OVERLAP if wrap else MARGIN
        around = ((margin, margin), (margin, margin), (0, 0))
        padded = np.pad(pixels, around, mode="wrap" if wrap else "edge")
        colours, alpha = padded[..., :3], padded[..., 3:]
        transparent = channels == 4 and bool((alpha < 255).any())
        if transparent:
            colours = _fill(colours, alpha)
        grey = bool((colours == colours[..., :1]).all())
        result = np.full((height * factor, width * factor, channels), 255, np.uint8)
        limit = WHOLE if max(height, width) <= WHOLE else TILE
        tiles = [
            (y, x) for y in _spans(height, limit, margin) for x in _spans(width, limit, margin)
        ]
        for number, (y, x) in enumerate(tiles):
            if stop.is_set():
                raise Stopped
            seen = slice(y.seen_from, y.seen_to), slice(x.seen_from, x.seen_to)
            inner = (
                slice((y.start - y.seen_from) * factor, (y.stop - y.seen_from) * factor),
                slice((x.start - x.seen_from) * factor, (x.stop - x.seen_from) * factor),
            )
            target = result[
                (y.start - margin) * factor : (y.stop - margin) * factor,
                (x.start - margin) * factor : (x.stop - margin) * factor,
            ]
            if transparent:
                target[..., 3:] = self._enlarge_alpha(alpha[seen], factor)[inner]
            if stop.is_set():
                raise Stopped
            if transparent and not target[..., 3].any():
                target[..., :3] = _repeat(colours[seen], factor)[inner]
            else:
                target[..., :3] = self._enlarge(colours[seen], factor, grey=grey)[inner]
            on_tile(number + 1, len(tiles))
        return result

    def _enlarge_alpha(self, alpha: Pixels, factor: Factor) -> Pixels:
        """Enlarge the alpha of a tile; nothing becomes more, or less, than what is around it."""
        least, most = alpha.min(), alpha.max()
        if least == most:
            return _repeat(alpha, factor)
        large = self._enlarge(np.repeat(alpha, 3, axis=2), factor, grey=True)[..., :1]
        low, high = _extremes(alpha)
        return np.clip(large, _repeat(low, factor), _repeat(high, factor))

    def _enlarge(self, colours: Pixels, factor: Factor, *, grey: bool) -> Pixels:
        """Enlarge one tile."""
        planes = np.ascontiguousarray(colours.transpose(2, 0, 1)[None], np.float32) / 255
        session, options = self._session
        outputs = session.run([f"x{factor}"], {"pixels": planes}, options)
        large: Plane = outputs[0][0].transpose(1, 2, 0)
        if grey:
            large = np.broadcast_to(large.mean(axis=2, keepdims=True), large.shape)
        return np.rint(np.clip(large, 0, 1) * 255).astype(np.uint8)

    @cached_property
    def _session(self) -> tuple[Any, Any]:
        """The graph, ready to run, and how it is run: what only the other factor needs is not."""
        runtime, settings = load_onnx_runtime(), session_options(usable_processors())
        settings.enable_cpu_mem_arena = False  # what a tile needed is given back
        graph = (
            files("ziggie_image_providers.builtin") / "real_esrgan" / "animevideov3.onnx"
        ).read_bytes()
        session = runtime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
        options = runtime.RunOptions()
        options.only_execute_path_to_fetches = True
        return session, options


def _spans(length: int, limit: int, margin: int) -> Iterator[_Span]:
    """Divide a side of the picture evenly. Counted in the padded picture."""
    count = math.ceil(length / limit)
    for number in range(count):
        start = margin + length * number // count
        stop = margin + length * (number + 1) // count
        yield _Span(
            start=start,
            stop=stop,
            seen_from=max(0, start - OVERLAP),
            seen_to=min(length + 2 * margin, stop + OVERLAP),
        )


def _repeat(pixels: Pixels, factor: int) -> Pixels:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _extremes(alpha: Pixels) -> tuple[Pixels, Pixels]:
    """The least and the most of the nine pixels around each."""
    low = high = np.pad(alpha, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for axis in (0, 1):
        three = np.lib.stride_tricks.sliding_window_view(low, 3, axis=axis)
        low = three.min(axis=-1)
        high = np.lib.stride_tricks.sliding_window_view(high, 3, axis=axis).max(axis=-1)
    return low, high


def _fill(colours: Pixels, alpha: Pixels) -> Pixels:
    """Give what is wholly transparent the colours of what can be seen near it.

    Means of ever larger squares, as far as something is seen in them (Gortler et al., "The
    Lumigraph", 1996: pull and push).
    """
    seen = alpha > 0
    if seen.all() or not seen.any():
        return colours
    weights = [seen.astype(np.float32)]
    means = [colours * weights[0]]
    while max(weights[-1].shape) > 1:
        weight = _quarter(weights[-1])
        means.append(_quarter(means[-1] * weights[-1]) / np.maximum(weight, 1))
        weights.append(np.minimum(weight, 1))
    result = means.pop()
    weights.pop()
    while means:
        mean, weight = means.pop(), weights.pop()
        larger = result.repeat(2, axis=0).repeat(2, axis=1)[: mean.shape[0], : mean.shape[1]]
        result = mean + (1 - weight) * larger
    return np.where(seen, colours, np.rint(result).astype(np.uint8))


def _quarter(plane: Plane) -> Plane:
    """The sums of squares of two by two."""
    height, width, channels = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2), (0, 0)))
    sums: Plane = even.reshape(-(-height // 2), 2, -(-width // 2), 2, channels).sum(axis=(1, 3))
    return sums
