"""A subject is asked for on a ground that is far from its colours, and named in the prompt once."""

from __future__ import annotations

import pytest

from ziggie_image_mcp.assets.ground_colour import (
    COMMON_GROUNDS,
    GROUNDS,
    LONG,
    choose_ground,
    on_ground,
    without_ground,
)
from ziggie_image_mcp.assets.oklab import distance, oklab


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a knight", "green"),
        ("a red apple", "green"),
        ("a frog on a lily", "magenta"),
        ("ein grüner Drache", "magenta"),
        ("a green and pink parrot", "blue"),
        ("a white ghost", "blue"),
        ("a yellow star", "blue"),
        ("a blue fish", "green"),
        ("green, magenta and blue confetti", "white"),
        ("a greenish redcap", "green"),
    ],
)
def test_the_ground_is_far_from_the_colours_that_the_prompt_names(prompt: str, name: str) -> None:
    assert choose_ground(prompt).name == name


def test_a_model_of_few_words_is_asked_for_a_ground_that_it_knows() -> None:
    assert choose_ground("a frog", COMMON_GROUNDS).name == "blue"


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("a cat on a plain white background", "a cat"),
        ("a cat, isolated on a solid, bright green screen, pixel art", "a cat, pixel art"),
        ("a cat against a black backdrop", "a cat"),
        ("a cat on a green field", "a cat on a green field"),
        ("a cat in front of a city background", "a cat in front of a city background"),
    ],
)
def test_a_flat_ground_of_the_prompts_own_gives_way(prompt: str, subject: str) -> None:
    assert without_ground(prompt) == subject


def test_the_ground_that_gives_way_is_no_colour_of_the_subject() -> None:
    assert choose_ground("a cat on a plain green background").name == "green"


def test_the_ground_is_named_after_a_short_prompt_and_before_a_long_one() -> None:
    green = GROUNDS[0]
    words = "isolated on a plain flat solid green background"

    assert on_ground("a cat", green, exact=True) == f"a cat {words} (#00ff00)"
    assert on_ground("a cat", green, exact=False) == f"a cat {words}"
    long = "a cat " * LONG
    assert on_ground(long, green, exact=False).startswith(f"{words}: a cat")


def test_oklab_is_what_its_author_gives() -> None:
    """The table of bottosson.github.io/posts/oklab says so of XYZ; these are its sRGB corners."""
    assert oklab((255, 255, 255)) == pytest.approx((1, 0, 0), abs=1e-4)
    assert oklab((255, 0, 0)) == pytest.approx((0.628, 0.2249, 0.1258), abs=1e-3)
    assert distance((0, 0, 0), (255, 255, 255)) == pytest.approx(1, abs=1e-4)
