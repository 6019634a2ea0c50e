"""Words that a prompt puts in quotes, and whether a picture shows them."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw, ImageFont

from ziggie_image_mcp.assets import text_reading
from ziggie_image_mcp.assets.text_reading import missing_phrases, quoted_phrases, read_lines

needs_reader = pytest.mark.skipif(
    not text_reading.is_installed(), reason="the extra `verify` is not installed (95 MB)"
)


def lettered(*lines: str, size: tuple[int, int] = (320, 160), ground: str = "white") -> Image.Image:
    picture = Image.new("RGB", size, ground)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(40)
    for i, line in enumerate(lines):
        draw.text((20, 20 + 60 * i), line, font=font, fill="black")
    return picture


@pytest.mark.parametrize(
    ("prompt", "phrases"),
    [
        ('a sign that says "OPEN LATE"', ["OPEN LATE"]),
        ('"One" and “two” and „drei“ and «quatre»', ["One", "two", "drei", "quatre"]),
        ('twice "NO" and "NO"', ["NO"]),
        ("it's a dog's life, a 5' tall man", []),
        ('a single " alone', []),
        ('signs alone "!!!", and ""', []),
        (f'"{"long " * 20}"', []),
        ('no\n"over a\nline"', []),
        (" ".join(f'"w{i}"' for i in range(20)), [f"w{i}" for i in range(8)]),
    ],
)
def test_what_stands_in_quotes_is_meant_as_lettering(prompt: str, phrases: list[str]) -> None:
    assert quoted_phrases(prompt) == phrases


@pytest.mark.parametrize(
    ("phrase", "lines", "there"),
    [
        ("OPEN LATE", ["Open late!"], True),
        ("OPEN LATE", ["OPEN", "LATE"], True),
        ("OPEN LATE", ["OPENLATE"], True),
        ("OPEN LATE", ["LATE", "again", "OPEN"], True),
        ("OPEN LATE", ["OPEN LATTE"], False),
        ("OPEN LATE", ["OPEN"], False),
        ("Café №1", ["CAFÉ No1"], True),
        ("x", [], False),
    ],
)
def test_words_are_there_whatever_their_case_blanks_and_lines(
    phrase: str, lines: list[str], there: bool
) -> None:
    assert (missing_phrases([phrase], lines) == []) is there


@needs_reader
@pytest.mark.filterwarnings("ignore")
def test_a_drawn_word_is_read_and_another_is_missed(capfd: pytest.CaptureFixture[str]) -> None:
    lines = read_lines(lettered("OPEN LATE", "Tuesday"))

    assert missing_phrases(["open late", "Tuesday"], lines) == []
    assert missing_phrases(["OPEN LATTE"], lines) == ["OPEN LATTE"]
    assert read_lines(lettered(ground="navy")) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("prompt", ['a 5" pipe and a 6" pipe', 'a 24" screen, a 27" screen'])
def test_inches_are_no_quotes(prompt: str) -> None:
    assert quoted_phrases(prompt) == []
