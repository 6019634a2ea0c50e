"""The built-in upscaler: a checker on pixels."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ziggie_image_providers.builtin.engine import Stopped
from ziggie_image_providers.builtin.models import Factor
from ziggie_image_providers.builtin.upscaler import Pixels, Upscaler

Floats = NDArray[np.float64]

FLAT = 2
"""How much a flat field may change, and a tile beside the whole; of 255."""

FACTORS: Sequence[Factor] = (2, 4)

UPSCALER = Upscaler()


def upscale(pixels: Pixels, factor: Factor = 4, *, wrap: bool = False) -> Pixels:
    return UPSCALER.upscale(
        pixels, factor, wrap=wrap, on_tile=lambda done, of: None, stop=threading.Event()
    )


def drawing(seed: int, side: int, *, ground: bool = True) -> Pixels:
    """Shapes of the kind that the tiny model draws, RGBA; supersampled three times."""
    rng = random.Random(seed)
    scale = side * 3

    def colour() -> tuple[int, int, int]:
        return rng.randrange(256), rng.randrange(256), rng.randrange(256)

    image = Image.new("RGBA", (scale, scale), (*colour(), 255 if ground else 0))
    pen = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = (scale * rng.uniform(0.25, 0.75) for _ in "xy")
        r = scale * rng.uniform(0.08, 0.2)
        corners, turn = rng.choice((3, 4, 5, 40)), rng.uniform(0, 6)
        angles = [turn + 2 * math.pi * n / corners for n in range(corners)]
        pen.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for a in angles], fill=colour())
        pen.ellipse((x - r / 3, y - r / 3, x + r / 3, y + r / 3), fill=colour())
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def reduced(pixels: Pixels, factor: int) -> Pixels:
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((width // factor, height // factor), Image.Resampling.BOX))


def bicubic(pixels: Pixels, factor: int) -> Pixels:
    height, width = pixels.shape[:2]
    size = (width * factor, height * factor)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def sharpness(pixels: Pixels) -> float:
    """The 99th percentile of the gradient of the greys."""
    grey: Floats = pixels[..., :3].astype(float) @ np.array([0.299, 0.587, 0.114])
    down, across = np.gradient(grey)
    return float(np.percentile(np.hypot(down, across), 99))


def psnr(one: Pixels, other: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2)))


def difference(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def premultiplied(pixels: Pixels) -> Pixels:
    """What is seen of an RGBA picture, and how much."""
    seen = pixels[..., :3].astype(float) * (pixels[..., 3:] / 255)
    return np.concatenate([np.rint(seen).astype(np.uint8), pixels[..., 3:]], axis=-1)


def seam(pixels: Pixels) -> float:
    """How the steps over the edges of a tile compare with the larger ones inside it."""
    ratios: list[float] = []
    for axis in (0, 1):
        values = np.moveaxis(pixels.astype(float), axis, 0)
        inner = np.abs(np.diff(values, axis=0)).mean(axis=(1, 2))
        over = np.abs(values[0] - values[-1]).mean()
        ratios.append(float(over / np.percentile(inner, 98)))
    return max(ratios)


def waves(side: int) -> Pixels:
    """A tile whose edges fit each other."""
    t = np.arange(side) * 2 * np.pi / side
    across, down = np.meshgrid(t, t)
    planes = [np.sin(3 * across + a) * np.cos(2 * down + a) for a in (0, 1, 2)]
    return np.asarray(128 + 100 * np.sign(np.stack(planes, axis=-1)), np.uint8)


def test_edges_are_as_sharp_as_those_of_the_original() -> None:
    originals = [drawing(seed, 256)[..., :3] for seed in range(8)]

    large = [upscale(reduced(original, 4)) for original in originals]

    smooth = [bicubic(reduced(original, 4), 4) for original in originals]
    there = sum(map(sharpness, originals))
    assert sum(map(sharpness, large)) >= 0.8 * there
    assert sum(map(sharpness, smooth)) < 0.7 * there
    for original, ours, theirs in zip(originals, large, smooth, strict=True):
        assert psnr(ours, original) >= psnr(theirs, original) - 2


def test_twice_is_sharper_than_bicubic_too() -> None:
    originals = [drawing(seed, 128)[..., :3] for seed in range(8)]

    large = [upscale(reduced(original, 2), 2) for original in originals]

    assert sum(map(sharpness, large)) >= 0.8 * sum(map(sharpness, originals))
    for original, ours in zip(originals, large, strict=True):
        assert psnr(ours, original) >= psnr(bicubic(reduced(original, 2), 2), original) - 2


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("channels", [3, 4])
def test_tiles_make_the_picture_that_the_whole_makes(
    monkeypatch: pytest.MonkeyPatch, channels: int, factor: Factor
) -> None:
    picture = drawing(7, 150, ground=channels == 3)[..., :channels]
    whole = upscale(picture, factor)
    monkeypatch.setattr("ziggie_image_providers.builtin.upscaler.WHOLE", 64)
    monkeypatch.setattr("ziggie_image_providers.builtin.upscaler.TILE", 64)
    progress: list[tuple[int, int]] = []

    tiled = UPSCALER.upscale(
        picture,
        factor,
        wrap=False,
        on_tile=lambda done, of: progress.append((done, of)),
        stop=threading.Event(),
    )

    assert progress == [(n + 1, 9) for n in range(9)]
    if channels == 4:
        whole, tiled = premultiplied(whole), premultiplied(tiled)
    assert difference(tiled, whole) <= FLAT


@pytest.mark.parametrize("factor", FACTORS)
def test_a_flat_field_stays_flat_to_its_corners(factor: Factor) -> None:
    rng = random.Random(1)
    colours = [(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in range(40)]
    colours += [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)]
    for colour in colours:
        field = np.full((20, 20, 3), colour, np.uint8)

        large = upscale(field, factor)

        assert difference(large, np.full_like(large, colour)) <= FLAT, colour


def test_a_grey_picture_stays_grey() -> None:
    grey = np.repeat(drawing(3, 48)[..., :1], 3, axis=2)

    large = upscale(grey)

    assert (large == large[..., :1]).all()


@pytest.mark.parametrize("factor", FACTORS)
def test_what_is_opaque_stays_so_and_looks_as_it_does_without_alpha(factor: Factor) -> None:
    picture = drawing(4, 64)

    large = upscale(picture, factor)

    assert (large[..., 3] == 255).all()
    assert (large[..., :3] == upscale(picture[..., :3], factor)).all()


def test_alpha_is_enlarged_without_ringing() -> None:
    original = drawing(5, 256, ground=False)
    small = reduced(original, 4)

    alpha = upscale(small)[..., 3]

    blocks = alpha.reshape(64, 4, 64, 4).swapaxes(1, 2)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(small[..., 3], 1, "edge"), (3, 3))
    for value in (0, 255):
        assert (blocks[(around == value).all(axis=(2, 3))] == value).all()
    assert np.abs(alpha.astype(int) - original[..., 3]).mean() < 2


@pytest.mark.parametrize("hidden", [(255, 255, 255), (0, 0, 0), (0, 255, 0)])
def test_colours_under_what_is_transparent_do_not_bleed(hidden: tuple[int, int, int]) -> None:
    picture = np.zeros((48, 48, 4), np.uint8)
    picture[..., :3] = hidden
    picture[12:36, 12:36] = (200, 40, 30, 255)

    large = upscale(picture)

    shown = large[large[..., 3] > 0][..., :3].astype(int)
    assert np.abs(shown - (200, 40, 30)).max() <= FLAT


def test_what_is_half_transparent_everywhere_stays_so() -> None:
    picture = np.full((20, 20, 4), (90, 120, 200, 128), np.uint8)

    large = upscale(picture)

    assert (large[..., 3] == 128).all()


def test_what_is_wholly_transparent_stays_so() -> None:
    picture = np.full((20, 20, 4), (90, 120, 200, 0), np.uint8)

    assert (upscale(picture)[..., 3] == 0).all()


@pytest.mark.parametrize("factor", FACTORS)
def test_a_seamless_picture_stays_seamless(factor: Factor) -> None:
    tile = waves(48)
    assert seam(tile) <= 1

    wrapped, not_wrapped = upscale(tile, factor, wrap=True), upscale(tile, factor)

    assert seam(wrapped) <= seam(tile) + 0.15
    shifted = upscale(np.roll(tile, (17, 23), axis=(0, 1)), factor, wrap=True)
    rolled = np.roll(wrapped, (17 * factor, 23 * factor), axis=(0, 1))
    assert difference(shifted, rolled) <= FLAT
    assert difference(not_wrapped, wrapped) > 10


@pytest.mark.parametrize("shape", [(1, 1), (2, 300)])
@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
def test_the_narrowest_pictures_work(shape: tuple[int, int], wrap: bool, channels: int) -> None:
    picture = np.full((*shape, channels), 77, np.uint8)

    large = upscale(picture, 2, wrap=wrap)

    assert large.shape == (shape[0] * 2, shape[1] * 2, channels)
    assert difference(large, np.full_like(large, 77)) <= FLAT


def test_a_strip_of_5000_pixels_works() -> None:
    picture = np.full((3, 5000, 3), (200, 40, 30), np.uint8)

    large = upscale(picture)

    assert difference(large, np.full((12, 20000, 3), (200, 40, 30), np.uint8)) <= FLAT


def test_a_stop_is_heard_before_the_next_tile() -> None:
    stop = threading.Event()
    tiles: list[int] = []

    def on_tile(done: int, of: int) -> None:
        tiles.append(done)
        stop.set()

    with pytest.raises(Stopped):
        UPSCALER.upscale(
            np.zeros((30, 600, 3), np.uint8), 2, wrap=False, on_tile=on_tile, stop=stop
        )

    assert tiles == [1]


def test_2048_pixels_need_at_most_600_mb() -> None:
    code = (
        "import pathlib, threading, numpy\n"
        "from ziggie_image_providers.builtin.upscaler import Upscaler\n"
        "pixels = numpy.random.default_rng(0).integers(0, 256, (512, 512, 4), numpy.uint8)\n"
        "pixels[100:, :, 3] = 255\n"
        "large = Upscaler().upscale(\n"
        "    pixels, 4, wrap=False, on_tile=lambda done, of: None, stop=threading.Event()\n"
        ")\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(large.shape[0], status.partition('VmHWM:')[2].split()[0])\n"
    )
    if sys.platform != "linux":  # elsewhere a program begins with the peak of its parent
        pytest.skip("only Linux tells the peak of a program itself")

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    )

    side, most = map(int, answer.stdout.split())
    assert side == 2048
    assert most * 1024 <= 600e6
