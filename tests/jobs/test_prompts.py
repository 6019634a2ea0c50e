"""One prompt with alternatives makes many; all else in it stays byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.jobs.prompts import count, doubt, expand


@pytest.mark.parametrize(
    ("prompt", "made"),
    [
        ("{red|blue} car", ["red car", "blue car"]),
        ("{a|b} on {c|d}", ["a on c", "a on d", "b on c", "b on d"]),
        ("{a|{b|c} d} e", ["a e", "b d e", "c d e"]),
        ("a {|very }big cat", ["a big cat", "a very big cat"]),
        ("{a|b} #1 (x:1.2) __w__ $v", ["a #1 (x:1.2) __w__ $v", "b #1 (x:1.2) __w__ $v"]),
        ('{"json": [1]} {a|b}', ['{"json": [1]} a', '{"json": [1]} b']),
        (r"{a\|b|c} \{d\}", ["a|b {d}", "c {d}"]),
        ("{a|b", ["{a|b"]),
        ("a|b} c", ["a|b} c"]),
        ("{a|a|b}", ["a", "b"]),
        ("{a|}{a|}", ["aa", "a", ""]),
        ('{"OPEN"|"CLOSED"} sign', ['"OPEN" sign', '"CLOSED" sign']),
        (
            "well-{lit|kept}, ({big|(red:1.2)})",
            [
                "well-lit, (big)",
                "well-lit, ((red:1.2))",
                "well-kept, (big)",
                "well-kept, ((red:1.2))",
            ],
        ),
        ("{cat|dog}s", ["cats", "dogs"]),
    ],
)
def test_alternatives_become_prompts(prompt: str, made: list[str]) -> None:
    assert expand(prompt, limit=100) == made
    assert count(prompt) == len(made)


@pytest.mark.parametrize(
    "prompt",
    [
        "{one {a|b}}",
        "{{a|b}",
        "{a|b}}",
        "${a|b}",
        "f({a|b})",
        "x = {a | b}",
        "{a || b}",
        "{a|b};",
        "{a|b}.map",
        "{a|b}{c}",
        "{a: string | number}",
        "{x | x > 0}",
        "names.each { |name| puts name }",
        "list.each {|x| puts x}",
        "{% if user|length %}",
        "{# todo | later #}",
        "arr.map {|x| x + 1}",
        "function f() {return a|b}",
        "{user.name|upper}",
        "{a\nb|c}",
        "{a|",
        "{|}",
        "{a|" * 9 + "b" + "}" * 9,
        '"{a|b}"',
        "“{a|b}”",
        "'{a|b}'",
    ],
)
def test_what_may_be_code_stays_as_it_is_and_is_told(prompt: str) -> None:
    assert expand(prompt, limit=1) == [prompt]
    assert "left in the prompt as it is" in (doubt(prompt) or "")


@pytest.mark.parametrize("prompt", ["{red|blue}", "{a}", "no braces | a bar", r"\{a|b\}"])
def test_where_nothing_is_doubtful_nothing_is_told(prompt: str) -> None:
    assert doubt(prompt) is None


@pytest.mark.parametrize("text", ["{" * 10_000, "{a|" * 3_300, "( {a|b}" * 1_400, "{a|" * 10_000])
def test_the_longest_prompts_are_read_at_once(text: str) -> None:
    assert count(text[:9_999]) > 0
    assert expand(text * 99, limit=1) == [text * 99], "it is refused where its length is"


@given(st.text(st.characters(exclude_characters="|")))
def test_without_a_bar_nothing_changes(prompt: str) -> None:
    assert expand(prompt, limit=1) == [prompt]


@given(st.text("ab{|}\\ ", max_size=24))
def test_what_is_counted_is_what_is_made(prompt: str) -> None:
    try:
        number = count(prompt)
    except InvalidRequest:
        with pytest.raises(InvalidRequest):
            expand(prompt, limit=10_000)
        return
    assert len(expand(prompt, limit=10_000)) == number


def test_a_million_are_refused_without_making_them() -> None:
    with pytest.raises(InvalidRequest, match=r"make 1000000000000 prompts, and 16 is the most"):
        expand("{0|1|2|3|4|5|6|7|8|9}" * 12, limit=16)
