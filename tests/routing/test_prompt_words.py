"""Words that ask for what only an argument can give, and words that only look like it."""

# ruff: noqa: RUF001

from __future__ import annotations

import pytest

from ziggie_image_mcp.routing.prompt_words import wishes

ALARMS = [
    ("a red fox, transparent background", "transparent"),
    ("logo on a transparent background, flat", "transparent"),
    ("a sword, background: transparent", "transparent"),
    ("an icon of a house with no background", "transparent"),
    ("a tree without background.", "transparent"),
    ("a knight without any background, pixel art", "transparent"),
    ("remove the background", "transparent"),
    ("a cat as a transparent PNG", "transparent"),
    ("PNG with transparency, a bottle", "transparent"),
    ("a coin with alpha channel", "transparent"),
    ("a potion isolated on transparent", "transparent"),
    ("eine Katze, transparenter Hintergrund", "transparent"),
    ("ein Schwert ohne Hintergrund", "transparent"),
    ("un chat, fond transparent", "transparent"),
    ("un gato sin fondo", "transparent"),
    ("一只猫，透明背景", "transparent"),
    ("猫のアイコン、背景透過", "transparent"),
    ("кот, прозрачный фон", "transparent"),
    ("seamless texture of old bricks", "seamless"),
    ("a seamless tile of grass", "seamless"),
    ("seamless, dark wood texture", "seamless"),
    ("seamless repeating pattern of lemons", "seamless"),
    ("tileable stone wall", "seamless"),
    ("a pattern that tiles seamlessly", "seamless"),
    ("foxes in a seamless pattern", "seamless"),
    ("nahtloses Muster aus Blättern", "seamless"),
    ("nahtlose Holztextur", "seamless"),
    ("无缝纹理 石头", "seamless"),
    ("シームレスパターン 桜", "seamless"),
    ("бесшовная текстура камня", "seamless"),
    ('a sign that says "OPEN"', "text"),
    ("a sign that says “Open all night”", "text"),
    ("a wooden sign saying Closed", "text"),
    ("the word HELLO made of flowers", "text"),
    ('a poster with the text "Summer Jazz"', "text"),
    ("a mug that says best dad", "text"),
    ('a logo with the lettering "Acme"', "text"),
    ('"OPEN" written on a door', "text"),
    ("a birthday cake that reads: Happy Birthday", "text"),
    ('a neon sign "BAR" in the rain', "text"),
    ("a shop front with legible text", "text"),
    ('ein Schild mit der Aufschrift "Offen"', "text"),
    ("un panneau qui dit « Fermé »", "text"),
    ("a banner spelling 'WELCOME' over the gate", "text"),
]

QUIET = [
    "a brick wall, not tileable",
    "a logo with no alpha channel",
    "a non-seamless texture of bricks",
    "a red apple, not on a transparent background",
    "do not make the background transparent",
    "a cat without transparent background",
    "a transparent glass",
    "a transparent umbrella on a white background",
    "a glass of water, background of mountains",
    "transparent jellyfish in a dark background",
    "a room with no background noise",
    "a street, no background people",
    "a portrait without background clutter",
    "a dancer, not a transparent background but a red one",
    "remove the background people",
    "a blurred background",
    "seamless stockings",
    "a woman in seamless leggings on a patterned rug",
    "a bathroom with seamless tiles",
    "a kitchen, seamless tile floor",
    "a model on a seamless white background",
    "a smooth and seamless transition from day to night",
    "a dress with a repeating pattern",
    "a woman wearing a seamless pattern sweater",
    "a tiled roof",
    "a tiger with a striped pattern",
    "a man reading a book",
    "a girl reading a sign in the fog",
    "a poster of a woman reading a newspaper",
    "an old book with text",
    "a letter on a table",
    "a man writing a letter to his mother",
    'a "retro" style kitchen',
    'a poster in the style of "Metropolis"',
    'a dog called "Rex"',
    "it's a dog's life, the cat's bowl",
    "a logo of a fox, no text",
    'a still life, without text "or" letters',
    "a stop sign at a crossing",
    "a billboard by a road",
    "the words of a poem as birds",
    "a sign of spring",
    "a title page of an old atlas",
    "a teacher who says the truth",
    "a card trick",
    "a cake with candles",
    "a shirt on a line in the wind",
    "the text of the law, an allegory",
]


@pytest.mark.parametrize(("prompt", "wish"), ALARMS, ids=[p for p, _ in ALARMS])
def test_words_that_ask_for_more_than_a_picture_are_found(prompt: str, wish: str) -> None:
    assert [phrase.wish for phrase in wishes(prompt)] == [wish]
    assert wishes(prompt)[0].words in " ".join(prompt.split())


@pytest.mark.parametrize("prompt", QUIET)
def test_words_that_only_look_like_it_raise_no_alarm(prompt: str) -> None:
    assert wishes(prompt) == ()


def test_each_wish_of_a_prompt_is_found_once() -> None:
    prompt = 'tileable sticker sheet, transparent background, a sign "GO", transparent background'

    assert [p.wish for p in wishes(prompt)] == ["transparent", "seamless", "text"]
