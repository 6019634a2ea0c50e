from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, ImageChops, ImageOps

from ziggie_image_mcp.provider import pictures as kit
from ziggie_image_mcp.provider.pictures import (
    NotAPicture,
    decode,
    has_alpha,
    is_transparent,
    media_type,
    on_white,
    to_png,
)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"IDAT", packed), chunk(b"IEND", b""))
    )


@pytest.mark.parametrize(
    ("form", "kind"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_the_three_formats_are_told_and_decoded(form: str, kind: str) -> None:
    data = encoded(Image.new("RGB", (8, 6), "red"), form)

    assert media_type(data) == kind
    assert decode(data).size == (8, 6)


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_no_pictures_here(form: str) -> None:
    with pytest.raises(NotAPicture, match="no PNG, JPEG or WebP"):
        decode(encoded(Image.new("RGB", (8, 8)), form))


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG", b"RIFF1234WAVE"])
def test_what_is_no_picture_is_said(data: bytes) -> None:
    assert media_type(data) == "application/octet-stream"
    with pytest.raises(NotAPicture, match="bytes that are no"):
        decode(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_picture_is_damaged(form: str) -> None:
    data = encoded(Image.effect_noise((64, 64), 80).convert("RGB"), form)

    with pytest.raises(NotAPicture, match="damaged"):
        decode(data[: len(data) // 2])


def test_bytes_flipped_in_the_middle_are_damaged() -> None:
    data = bytearray(encoded(Image.effect_noise((64, 64), 80)))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)

    with pytest.raises(NotAPicture, match="damaged"):
        decode(bytes(data))


@pytest.mark.parametrize("side", [9_000, 12_000, 20_000, 60_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_head(side: int) -> None:
    with pytest.raises(NotAPicture):
        decode(bomb(side, side))


def test_too_many_bytes_are_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "MAX_BYTES", 100)

    with pytest.raises(NotAPicture, match="a picture of more than 0 MB"):
        decode(encoded(Image.effect_noise((64, 64), 80)))


def test_more_pixels_than_asked_for_are_refused_by_the_head() -> None:
    data = encoded(Image.new("RGB", (200, 100)))

    assert decode(data, max_pixels=20_000).size == (200, 100)
    with pytest.raises(NotAPicture, match="a picture of 200x100"):
        decode(data, max_pixels=19_999)


def test_a_jpeg_that_goes_over_itself_again_and_again_is_refused() -> None:
    data = encoded(Image.effect_noise((64, 64), 80), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]

    assert decode(data).size == (64, 64)
    with pytest.raises(NotAPicture, match="more than 100 scans"):
        decode(data[:start] + scan * 200 + b"\xff\xd9")


def test_of_an_animated_picture_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for form in ("PNG", "WEBP"):
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)

        assert decode(data).convert("RGB").getpixel((4, 4)) == (255, 0, 0)


def test_sixteen_bits_and_cmyk_are_decoded() -> None:
    deep = decode(encoded(Image.new("I;16", (8, 8), 65535)))
    inks = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))

    assert deep.size == (8, 8)
    red, green, _ = on_white(inks).getpixel((4, 4))  # type: ignore[misc]
    assert red > 200
    assert green < 60


def png(depth: int, kind: int, row: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """Four equal rows of four pixels, of any depth and kind of PNG."""
    head = struct.pack(">IIBBBBB", 4, 4, depth, kind, 0, 0, 0)
    body = [chunk(b"IHDR", head), *(chunk(*part) for part in extra)]
    body += [chunk(b"IDAT", zlib.compress((b"\0" + row) * 4)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def wide(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


PALETTE = (b"PLTE", bytes([0, 0, 0, 255, 0, 0]))
RED = (255, 0, 0)


@pytest.mark.parametrize(
    ("data", "mode", "pixels"),
    [
        (png(16, 0, wide(40000, 600, 65535, 0)), "L", [156, 2, 255, 0]),
        (
            png(16, 0, wide(40000, 40001, 0, 0), (b"tRNS", wide(40000))),
            "RGBA",
            [(156, 156, 156, 0), (156, 156, 156, 255)],
        ),
        (png(16, 2, wide(40000, 600, 65535) * 4), "RGB", [(156, 2, 255)]),
        (
            png(16, 2, wide(40000, 600, 65535, *[0] * 9), (b"tRNS", wide(40000, 600, 65535))),
            "RGBA",
            [(156, 2, 255, 0), (0, 0, 0, 255)],
        ),
        (png(16, 4, wide(40000, 600) * 4), "RGBA", [(156, 156, 156, 2)]),
        (png(16, 6, wide(40000, 600, 65535, 30000) * 4), "RGBA", [(156, 2, 255, 117)]),
        (png(8, 0, bytes([40, 41, 0, 0])), "L", [40, 41]),
        (
            png(8, 0, bytes([40, 41, 0, 0]), (b"tRNS", wide(40))),
            "RGBA",
            [(40, 40, 40, 0), (41, 41, 41, 255)],
        ),
        (png(8, 4, bytes([40, 7] * 4)), "RGBA", [(40, 40, 40, 7)]),
        (png(4, 0, b"\xa0\xa0", (b"tRNS", wide(10))), "RGBA", [(170, 170, 170, 0), (0, 0, 0, 255)]),
        (png(2, 0, b"\xc6", (b"tRNS", wide(3))), "RGBA", [(255, 255, 255, 0), (0, 0, 0, 255)]),
        (png(1, 0, b"\xa0"), "L", [255, 0, 255, 0]),
        (png(1, 0, b"\xa0", (b"tRNS", wide(1))), "RGBA", [(255, 255, 255, 0), (0, 0, 0, 255)]),
        (png(8, 3, bytes([1, 0, 0, 0]), PALETTE), "RGB", [RED, (0, 0, 0)]),
        (
            png(8, 3, bytes([1, 0, 0, 0]), PALETTE, (b"tRNS", bytes([255, 7]))),
            "RGBA",
            [(*RED, 7), (0, 0, 0, 255)],
        ),
        (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), "RGB", [(254, 0, 0)]),
        (encoded(Image.new("L", (8, 8), 40), "JPEG"), "L", [40]),
    ],
    ids=[
        "grey16",
        "grey16-hole",
        "rgb16",
        "rgb16-hole",
        "la16",
        "rgba16",
        "grey8",
        "grey8-hole",
        "la8",
        "grey4-hole",
        "grey2-hole",
        "bit",
        "bit-hole",
        "palette",
        "palette-hole",
        "cmyk",
        "grey-jpeg",
    ],
)
def test_every_mode_and_depth_becomes_eight_bits(
    data: bytes, mode: str, pixels: list[int | tuple[int, ...]]
) -> None:
    image = decode(data)

    assert image.mode == mode
    assert "transparency" not in image.info
    for x, expected in enumerate(pixels):
        assert image.getpixel((x, 0)) == pytest.approx(expected, abs=0 if x else 1)


RAMP = Image.linear_gradient("L")
"""256 rows, each of its own shade."""

DEEP = RAMP.convert("I").point(lambda level: level * 257).convert("I;16")
CLEAR = Image.merge("LA", (RAMP, RAMP.rotate(90)))
COLOURS = Image.merge("RGB", (RAMP, RAMP.rotate(90), RAMP.rotate(180)))


@pytest.mark.parametrize(
    ("source", "form", "expected", "close"),
    [
        (RAMP.point([0] * 128 + [255] * 128, "1"), "PNG", RAMP.point([0] * 128 + [255] * 128), 0),
        (RAMP, "PNG", RAMP, 0),
        (RAMP, "JPEG", RAMP, 4),
        (DEEP, "PNG", RAMP, 0),
        (CLEAR, "PNG", CLEAR.convert("RGBA"), 0),
        (RAMP.convert("P"), "PNG", RAMP.convert("RGB"), 0),
        (COLOURS, "PNG", COLOURS, 0),
        (COLOURS, "WEBP", COLOURS, 0),
        (COLOURS, "JPEG", COLOURS, 12),
        (COLOURS.convert("YCbCr"), "JPEG", COLOURS, 12),
        (COLOURS.convert("CMYK"), "JPEG", COLOURS, 12),
        (COLOURS.convert("RGBA"), "PNG", COLOURS.convert("RGBA"), 0),
        (CLEAR.convert("RGBA"), "WEBP", CLEAR.convert("RGBA"), 0),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_every_mode_keeps_its_shades(
    source: Image.Image, form: str, expected: Image.Image, close: int
) -> None:
    options = {"lossless": True, "exact": True} if form == "WEBP" else {"quality": 98}
    image = decode(encoded(source, form, **options))

    assert image.mode == expected.mode
    difference = ImageChops.difference(image.convert("RGBA"), expected.convert("RGBA"))
    assert max(high for _, high in difference.getextrema()) <= close  # type: ignore[misc]


def test_what_is_made_eight_bits_is_still_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = decode(encoded(Image.new("I;16", (8, 4), 40000), exif=exif))

    assert ImageOps.exif_transpose(deep).size == (4, 8)


def test_png_carries_the_pixels_and_nothing_else() -> None:
    image = Image.new("RGB", (8, 8), "red")
    image.info["prompt"] = "secret"
    exif = Image.Exif()
    exif[0x010E] = "secret"
    data = encoded(image, exif=exif, pnginfo=None)

    clean = to_png(decode(data))

    assert b"secret" not in clean
    assert decode(clean).getpixel((4, 4)) == (255, 0, 0)


def test_transparency_is_told_and_laid_on_white() -> None:
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    half.paste((0, 0, 0, 0), (0, 0, 4, 8))
    full = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    plain = Image.new("RGB", (8, 8), "red")

    assert [has_alpha(i) for i in (half, full, plain)] == [True, True, False]
    assert [is_transparent(i) for i in (half, full, plain)] == [True, False, False]
    assert on_white(half).getpixel((1, 1)) == (255, 255, 255)
    assert on_white(half).getpixel((6, 6)) == (255, 0, 0)


def test_a_palette_may_be_transparent() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    data = encoded(image, transparency=0)

    assert is_transparent(decode(data))
    assert on_white(decode(data)).getpixel((4, 4)) == (255, 255, 255)
