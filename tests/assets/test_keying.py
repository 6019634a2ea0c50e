"""A flat ground is taken away, and what else there is stays; beside drawings of known alpha."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ziggie_image_mcp.assets.keying import (
    AlphaStatistics,
    KeyedPicture,
    NotKeyed,
    check_alpha,
    remove_flat_ground,
)

Colour = tuple[int, int, int]
Draw = Callable[[ImageDraw.ImageDraw, float], None]
"""Draws a subject with a pen, on a square of so many pixels."""

Floats = NDArray[np.float64]

SIDE = 192
OVER = 4
"""Supersampling."""

WHITE: Colour = (255, 255, 255)
GROUNDS: Mapping[str, Colour] = {
    "white": WHITE,
    "cream": (240, 238, 225),
    "black": (12, 10, 14),
    "green": (0, 255, 0),
    "blue": (40, 80, 220),
}


def mushroom(pen: ImageDraw.ImageDraw, s: float) -> None:
    pen.rectangle((0.43 * s, 0.5 * s, 0.57 * s, 0.8 * s), fill=(190, 150, 100))
    pen.pieslice((0.25 * s, 0.2 * s, 0.75 * s, 0.8 * s), 180, 360, fill=(205, 40, 120))
    pen.ellipse((0.4 * s, 0.3 * s, 0.5 * s, 0.4 * s), fill=(240, 190, 60))


def star(pen: ImageDraw.ImageDraw, s: float) -> None:
    turns = [-np.pi / 2 + n * np.pi / 5 for n in range(10)]
    radii = [0.35 * s, 0.14 * s] * 5
    points = [
        (s / 2 + r * np.cos(t), s / 2 + r * np.sin(t)) for t, r in zip(turns, radii, strict=True)
    ]
    pen.polygon([(float(x), float(y)) for x, y in points], fill=(240, 130, 30))


def sword(pen: ImageDraw.ImageDraw, s: float) -> None:
    pen.line((0.2 * s, 0.8 * s, 0.8 * s, 0.2 * s), fill=(120, 60, 150), width=round(0.02 * s))
    pen.line((0.27 * s, 0.6 * s, 0.4 * s, 0.73 * s), fill=(150, 90, 30), width=round(0.04 * s))


def outlined(pen: ImageDraw.ImageDraw, s: float) -> None:
    fill, line = (235, 120, 60), (70, 20, 60)
    pen.ellipse((0.2 * s, 0.3 * s, 0.8 * s, 0.7 * s), fill=fill, outline=line, width=round(s / 64))


def ring(pen: ImageDraw.ImageDraw, s: float) -> None:
    box = (0.25 * s, 0.25 * s, 0.75 * s, 0.75 * s)
    pen.ellipse(box, outline=(180, 120, 40), width=round(0.08 * s))


def hairs(pen: ImageDraw.ImageDraw, s: float) -> None:
    for n in range(8):
        x = (0.2 + 0.08 * n) * s
        pen.line((x, 0.2 * s, x + 0.05 * s, 0.8 * s), fill=(30, 60, 20), width=4)


SPRITES = [
    pytest.param(subject, ground, id=f"{subject.__name__}-{name}")
    for subject in (mushroom, star, sword, outlined, ring)
    for name, ground in GROUNDS.items()
    if (subject, name) != (outlined, "black")  # the outline could be a mixture
]
THICK = [
    pytest.param(subject, ground, id=f"{subject.__name__}-{name}")
    for subject in (mushroom, star, ring)
    for name, ground in GROUNDS.items()
]


@dataclass(frozen=True)
class Drawing:
    """A subject on a flat ground, and what is known of it."""

    image: Image.Image
    alpha: Floats
    """0 to 1."""
    colours: Floats
    """Of the subject alone."""


@cache
def draw(subject: Draw, ground: Colour) -> Drawing:
    on = {g: Image.new("RGB", (SIDE * OVER, SIDE * OVER), g) for g in (WHITE, (0, 0, 0), ground)}
    for image in on.values():
        subject(ImageDraw.Draw(image), SIDE * OVER)
    white, black, picture = (np.asarray(on[g], float) for g in (WHITE, (0, 0, 0), ground))
    solid = (white == black).all(axis=2, keepdims=True)
    alpha = mean(solid.astype(float))
    colours = mean(picture * solid) / np.maximum(alpha, 1e-3)
    image = Image.fromarray(np.rint(mean(picture)).astype(np.uint8))
    return Drawing(image, alpha[..., 0], colours)


def mean(pixels: Floats) -> Floats:
    result: Floats = pixels.reshape(SIDE, OVER, SIDE, OVER, -1).mean(axis=(1, 3))
    return result


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")


def keyed(image: Image.Image) -> KeyedPicture:
    result = remove_flat_ground(image)
    assert isinstance(result, KeyedPicture), result
    assert result.image.mode == "RGBA"
    assert result.image.size == image.size
    return result


def refused(image: Image.Image) -> NotKeyed:
    result = remove_flat_ground(image)
    assert isinstance(result, NotKeyed)
    return result


def pixels_of(picture: KeyedPicture) -> tuple[Floats, Floats]:
    """Colours, and alpha from 0 to 1."""
    pixels = np.asarray(picture.image, float)
    return pixels[..., :3], pixels[..., 3] / 255


def canvas(ground: Colour = WHITE) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (SIDE, SIDE), ground)
    return image, ImageDraw.Draw(image)


@pytest.mark.parametrize(("subject", "ground"), SPRITES)
def test_a_sprite_gets_the_alpha_with_which_it_was_drawn(subject: Draw, ground: Colour) -> None:
    drawing = draw(subject, ground)

    picture = keyed(drawing.image)

    check(picture, drawing, ground, error=0.0002, tint=10)
    assert picture.ground == ground
    assert picture.confidence > 0.9


@pytest.mark.parametrize(("subject", "ground"), SPRITES)
def test_grain_is_taken_away_with_the_ground(subject: Draw, ground: Colour) -> None:
    drawing = draw(subject, ground)
    grain = np.random.default_rng(0).normal(0, 3, (SIDE, SIDE, 3))
    grained = np.clip(np.asarray(drawing.image) + grain, 0, 255).astype(np.uint8)

    check(keyed(Image.fromarray(grained)), drawing, ground, error=0.002, tint=12)


@pytest.mark.parametrize(("subject", "ground"), THICK)
def test_the_noise_of_a_jpeg_is_taken_away_with_the_ground(subject: Draw, ground: Colour) -> None:
    drawing = draw(subject, ground)

    check(keyed(as_jpeg(drawing.image, 85)), drawing, ground, error=0.02, tint=20)


def check(
    picture: KeyedPicture, drawing: Drawing, ground: Colour, *, error: float, tint: float
) -> None:
    """Compare with what was drawn.

    Args:
        picture: What was keyed.
        drawing: What is known of it.
        ground: On which it was drawn.
        error: Of the alpha, in the mean.
        tint: How far edges go from the subject's colour towards the ground's, in the mean; 255 is
            from black to white.
    """
    colours, alpha = pixels_of(picture)
    assert np.abs(alpha - drawing.alpha).mean() <= error
    outside = np.lib.stride_tricks.sliding_window_view(np.pad(drawing.alpha, 4), (9, 9))
    assert (alpha[outside.max((2, 3)) == 0] == 0).all()
    assert (alpha[inside(drawing)] > 0.9).all()
    edge = (drawing.alpha > 0.2) & (drawing.alpha < 1) & (alpha > 0.1)
    way = ground - drawing.colours[edge]
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    assert np.abs(((colours - drawing.colours)[edge] * way).sum(axis=1)).mean() <= tint


def inside(drawing: Drawing) -> NDArray[np.bool_]:
    """The pixels that are of the subject, and so are all around them."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(drawing.alpha, 2), (5, 5))
    return np.asarray(around.min((2, 3)) == 1)


def test_dust_is_taken_away_with_the_ground() -> None:
    image, pen = canvas()
    pen.rectangle((60, 60, 130, 130), fill=(20, 60, 160))
    for n in range(10, 180, 10):
        pen.rectangle((n, 20, n + 1, 21), fill=(235, 228, 235))

    assert pixels_of(keyed(image))[1].sum() == 71 * 71


def test_thin_lines_fade_as_they_are_drawn() -> None:
    drawing = draw(hairs, WHITE)

    colours, alpha = pixels_of(keyed(drawing.image))

    hair = drawing.alpha > 0.1
    assert np.abs(alpha - drawing.alpha)[hair].mean() <= 0.15
    assert np.abs(colours - (30, 60, 20))[hair & (alpha > 0.3)].mean() <= 60


def test_what_a_jpeg_leaves_around_a_dark_edge_is_not_opaque() -> None:
    image, pen = canvas()
    pen.rectangle((61, 61, 130, 130), fill=(139, 90, 43))

    _, alpha = pixels_of(keyed(as_jpeg(image, 80)))

    alpha[61:131, 61:131] = 0
    assert alpha.max() <= 0.5


def test_the_hole_of_a_ring_is_ground() -> None:
    _, alpha = pixels_of(keyed(draw(ring, WHITE).image))

    assert alpha[SIDE // 2, SIDE // 2] == 0


def test_the_white_of_an_eye_is_no_ground() -> None:
    image, pen = canvas()
    pen.ellipse((40, 60, 150, 130), fill=(40, 80, 200))
    pen.ellipse((60, 80, 76, 96), fill=WHITE)

    _, alpha = pixels_of(keyed(image))

    assert alpha[88, 68] == 1
    assert alpha[10, 10] == 0


def test_a_white_face_within_its_outline_is_no_ground() -> None:
    image, pen = canvas()
    pen.ellipse((40, 40, 150, 150), fill=WHITE, outline=(20, 20, 20), width=3)
    for x in (70, 110):
        pen.ellipse((x, 75, x + 12, 90), fill=(20, 20, 20))

    _, alpha = pixels_of(keyed(image))

    assert (alpha[95:140, 70:120] == 1).all()
    assert alpha[20, 20] == 0


def test_on_a_screens_green_every_hole_is_one() -> None:
    image, pen = canvas((0, 255, 0))
    pen.ellipse((40, 60, 150, 130), fill=(40, 80, 200))
    pen.ellipse((60, 80, 76, 96), fill=(0, 255, 0))

    _, alpha = pixels_of(keyed(image))

    assert alpha[88, 68] == 0


def test_a_light_subject_on_white_is_told_from_it() -> None:
    image, pen = canvas()
    pen.ellipse((40, 40, 150, 150), fill=(228, 228, 228))

    _, alpha = pixels_of(keyed(image))

    assert alpha[95, 95] == 1
    assert alpha[10, 10] == 0


@pytest.mark.parametrize("light", [252, 255])
def test_a_white_subject_on_white_is_refused(light: int) -> None:
    image, pen = canvas()
    pen.ellipse((40, 40, 150, 150), fill=(light, light, light))

    assert refused(image).code == "NO_SUBJECT"


def test_a_subject_that_fades_into_the_ground_is_refused() -> None:
    away = np.hypot(*(np.indices((SIDE, SIDE)) - SIDE / 2)) / (SIDE / 2)
    grey = np.clip(205 + 50 * away, 0, 255).astype(np.uint8)
    image = Image.fromarray(np.repeat(grey[..., None], 3, axis=2))

    assert refused(image).code in ("NO_CONTRAST", "NO_FLAT_GROUND")


@pytest.mark.parametrize("steps", [40, 100])
def test_a_gradient_is_no_flat_ground(steps: int) -> None:
    image, pen = canvas()
    for y in range(SIDE):
        level = y * steps // SIDE
        pen.line((0, y, SIDE, y), fill=(40 + level, 80 + level, 220))
    pen.ellipse((60, 60, 130, 130), fill=(200, 40, 30))

    assert refused(image).code == "NO_FLAT_GROUND"


def test_a_sky_over_a_meadow_is_no_flat_ground() -> None:
    image, pen = canvas((120, 180, 250))
    pen.rectangle((0, 150, SIDE, SIDE), fill=(60, 150, 50))
    pen.rectangle((70, 90, 120, 160), fill=(150, 60, 40))

    answer = refused(image)

    assert answer.code == "NO_FLAT_GROUND"
    assert answer.message == "the lower edge of the picture is not of the colour of the others"


def test_a_subject_that_covers_most_of_the_edges_is_refused() -> None:
    image, pen = canvas()
    for n in range(SIDE // 8):
        pen.rectangle((n * 8, 40, n * 8 + 8, SIDE), fill=(10 * n, 40, 250 - 10 * n))

    answer = refused(image)

    assert answer.code == "NO_FLAT_GROUND"
    assert "60% are needed" in answer.message


def test_two_colours_in_turn_are_no_flat_ground() -> None:
    checked = (np.indices((64, 64)).sum(axis=0) % 2 * 30 + 100).astype(np.uint8)

    refused(Image.fromarray(np.repeat(checked[..., None], 3, axis=2)))


def test_a_portrait_may_stand_on_the_lower_edge() -> None:
    image, pen = canvas((200, 210, 220))
    pen.ellipse((66, 30, 126, 110), fill=(180, 120, 90))
    pen.ellipse((30, 110, 162, 300), fill=(40, 60, 120))

    picture = keyed(image)

    _, alpha = pixels_of(picture)
    assert alpha[-1, SIDE // 2] == 1
    assert alpha[-1, 0] == 0
    assert 0.7 < picture.confidence < 1


def test_a_picture_whose_ground_is_transparent_is_given_back_as_it_is() -> None:
    image = Image.new("RGBA", (20, 20), (255, 255, 255, 0))
    image.paste((200, 30, 30, 255), (5, 5, 15, 15))
    image.putpixel((7, 7), (1, 2, 3, 90))

    picture = keyed(image)

    assert picture.ground is None
    assert picture.image.tobytes() == image.tobytes()
    assert picture.alpha.transparent == 300 / 400


def test_an_opaque_ground_is_keyed_although_something_else_is_transparent() -> None:
    image = Image.new("RGBA", (60, 60), (255, 255, 255, 255))
    image.paste((200, 30, 30, 255), (15, 15, 45, 45))
    image.paste((40, 80, 220, 120), (25, 25, 35, 35))  # a window of glass

    picture = keyed(image)

    alpha = picture.image.getchannel("A")
    assert picture.ground == (255, 255, 255)
    assert (alpha.getpixel((2, 2)), alpha.getpixel((17, 17)), alpha.getpixel((30, 30))) == (
        0,
        255,
        120,
    )


def test_a_small_subject_on_a_large_ground_is_one() -> None:
    image = Image.new("RGB", (1024, 1024), "white")
    ImageDraw.Draw(image).ellipse((500, 500, 520, 520), fill=(220, 35, 35))

    assert keyed(image).image.getchannel("A").getpixel((510, 510)) == 255


def test_a_pale_part_that_goes_with_the_ground_is_told() -> None:
    image = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse((30, 30, 120, 120), fill=(220, 35, 35))
    clear = keyed(as_jpeg(image, 70))
    pen.rectangle((160, 160, 240, 240), fill=(240, 240, 240))

    pale = keyed(as_jpeg(image, 70))

    assert clear.pale < 0.001
    lost = pale.image.getchannel("A").getpixel((200, 200)) == 0
    assert not lost or pale.pale > 0.02


@pytest.mark.parametrize("mode", ["RGBA", "L", "P"])
def test_an_opaque_picture_of_any_mode_is_keyed(mode: str) -> None:
    image, pen = canvas()
    pen.rectangle((50, 50, 100, 100), fill=(0, 0, 0))

    _, alpha = pixels_of(keyed(image.convert(mode)))

    assert alpha.sum() == 51 * 51


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 3), (300, 2)])
def test_the_smallest_pictures_have_no_subject(size: tuple[int, int]) -> None:
    assert refused(Image.new("RGB", size, (10, 200, 30))).code == "NO_SUBJECT"


def test_the_ground_of_a_large_picture_is_known_to_the_level() -> None:
    image = Image.new("RGB", (2048, 2048), (253, 254, 255))
    ImageDraw.Draw(image).rectangle((900, 900, 1100, 1100), fill=(20, 20, 20))

    picture = keyed(image)

    assert picture.ground == (253, 254, 255)
    assert picture.alpha.transparent == 1 - 201**2 / 2048**2


def test_transparency_is_counted() -> None:
    image = Image.new("RGBA", (10, 10), (9, 9, 9, 0))
    image.paste((9, 9, 9, 255), (2, 2, 7, 8))
    image.paste((9, 9, 9, 128), (0, 0, 1, 10))

    assert check_alpha(image) == AlphaStatistics(
        transparent=0.6, partial=0.1, border_transparent=26 / 36
    )
    assert check_alpha(image.convert("RGB")) == AlphaStatistics(
        transparent=0, partial=0, border_transparent=0
    )


def test_a_picture_that_would_take_too_much_memory_is_refused() -> None:
    keyed = remove_flat_ground(Image.new("L", (8192, 4096), 255))

    assert isinstance(keyed, NotKeyed)
    assert keyed.code == "TOO_LARGE"
    assert "17 million pixels" in keyed.message
