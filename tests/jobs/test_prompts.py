"""One prompt with alternatives makes many; all else in it stays byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.jobs.prompts import count, expand


@pytest.mark.parametrize(
    ("prompt", "made"),
    [
        ("{red|blue} car", ["red car", "blue car"]),
        ("{a|b} on {c|d}", ["a on c", "a on d", "b on c", "b on d"]),
        ("{a|{b|c} d} e", ["a e", "b d e", "c d e"]),
        ("a {|very }big cat", ["a big cat", "a very big cat"]),
        ("{a|b} #1 (x:1.2) __w__ $v", ["a #1 (x:1.2) __w__ $v", "b #1 (x:1.2) __w__ $v"]),
        ('{"json": [1]} {a|b}', ['{"json": [1]} a', '{"json": [1]} b']),
        ("{one {a|b}}", ["{one a}", "{one b}"]),
        (r"{a\|b|c} \{d\}", ["a|b {d}", "c {d}"]),
        ("{a|b", ["{a|b"]),
        ("a|b} c", ["a|b} c"]),
        ("{{a|b}", ["{a", "{b"]),
    ],
)
def test_alternatives_become_prompts(prompt: str, made: list[str]) -> None:
    assert expand(prompt, limit=100) == made
    assert count(prompt) == len(made)


@given(st.text(st.characters(exclude_characters="|")))
def test_without_a_bar_nothing_changes(prompt: str) -> None:
    assert expand(prompt, limit=1) == [prompt]


@given(st.text("ab{|}\\ ", max_size=24))
def test_what_is_counted_is_what_is_made(prompt: str) -> None:
    assert len(expand(prompt, limit=10_000)) == count(prompt)


def test_a_million_are_refused_without_making_them() -> None:
    with pytest.raises(InvalidRequest, match=r"make 1000000000000 prompts, and 16 is the most"):
        expand("{0|1|2|3|4|5|6|7|8|9}" * 12, limit=16)
