from __future__ import annotations

import pytest

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ContentRefused,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.error_rules import (
    QUOTED,
    Problem,
    Rule,
    error_of,
    problem_in,
    scrub,
)


def error(problem: Problem, *rules: Rule) -> ProviderError:
    return error_of("acme", "https://acme.test", problem, rules)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, ProviderUnavailable),
        (400, RequestRejected),
        (401, AuthenticationFailed),
        (402, PaymentRequired),
        (403, AuthenticationFailed),
        (404, ProviderUnavailable),
        (408, ProviderTimeout),
        (413, RequestRejected),
        (418, ProviderError),
        (422, RequestRejected),
        (429, RateLimited),
        (500, ProviderUnavailable),
        (504, ProviderTimeout),
        (524, ProviderTimeout),
    ],
)
def test_a_status_is_the_error_that_says_who_must_act(
    status: int, kind: type[ProviderError]
) -> None:
    raised = error(Problem(status=status))

    assert type(raised) is kind
    assert "https://acme.test" in str(raised)


def test_one_status_is_told_apart_by_code_and_words() -> None:
    rules = (
        Rule(status=429, code="insufficient_quota", error=PaymentRequired),
        Rule(status=(400, 422), match="nsfw|moderation", error=ContentRefused),
        Rule(code=("busy", "full"), error=RateLimited, wait=5),
    )

    assert (
        type(error(Problem(status=429, codes=("insufficient_quota",)), *rules)) is PaymentRequired
    )
    assert type(error(Problem(status=429), *rules)) is RateLimited
    assert type(error(Problem(status=422, message="Some NSFW words"), *rules)) is ContentRefused
    assert type(error(Problem(status=400, codes=("moderation_x",)), *rules)) is ContentRefused
    assert type(error(Problem(status=400, message="bad width"), *rules)) is RequestRejected
    assert error(Problem(status=500, codes=("full",)), *rules).retry_after == 5


def test_the_first_rule_that_applies_is_taken() -> None:
    rules = (Rule(status=400, error=ContentRefused), Rule(status=400, error=PaymentRequired))

    assert type(error(Problem(status=400), *rules)) is ContentRefused


def test_a_rule_says_scope_cost_and_words() -> None:
    rule = Rule(
        status=403, error=AuthenticationFailed, message="blocked", scope="provider", charged=None
    )

    raised = error(Problem(status=403, message="go away"), rule)

    assert str(raised) == "blocked (HTTP 403): go away"
    assert (raised.scope, raised.charged) == ("provider", None)


def test_the_wait_of_the_answer_beats_the_wait_of_the_rule() -> None:
    rule = Rule(status=429, error=RateLimited, wait=60)

    raised = error(Problem(status=429, retry_after=7), rule)

    assert raised.retry_after == 7
    assert "try again in 7 s" in str(raised)
    assert "try again in 60 s" in str(error(Problem(status=429), rule))
    assert "try again later" in str(error(Problem(status=429)))


@pytest.mark.parametrize(
    ("body", "codes", "message"),
    [
        (
            {"error": {"message": "no", "code": "bad", "type": "invalid"}},
            ("bad", "invalid"),
            "no",
        ),
        ({"error": "no"}, (), "no"),
        ({"detail": "no"}, (), "no"),
        ({"detail": [{"msg": "too big", "type": "range"}]}, ("range",), "too big"),
        ({"title": "Forbidden", "detail": "no"}, (), "Forbidden; no"),
        ({"name": "content_moderation", "errors": ["no"]}, ("content_moderation",), "no"),
        ({"message": "no", "code": 12}, ("12",), "no"),
        ({"errors": [{"code": "a"}, {"code": "b", "message": "no"}]}, ("a", "b"), "no"),
        ({"code": True, "error": None}, (), ""),
        (["no"], (), "no"),
        ("no", (), "no"),
        (None, (), ""),
        (7, (), ""),
    ],
)
def test_the_usual_forms_of_an_error_are_read(
    body: object, codes: tuple[str, ...], message: str
) -> None:
    problem = problem_in(400, body)

    assert (problem.codes, problem.message) == (codes, message)


def test_a_body_without_a_bottom_is_read_to_some_depth() -> None:
    body: dict[str, object] = {"message": "deep"}
    for _ in range(50):
        body = {"error": body}

    assert problem_in(400, body).message == ""


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Incorrect API key provided: sk-proj-abcdef123456", "Incorrect API key provided: ***"),
        ("r8_Abcdef1234567 is no token", "*** is no token"),
        ("see https://user:pw@host.test/x?sig=abc#f now", "see https://host.test/x now"),
        ("token 0123456789abcdef0123456789abcdef", "token ***"),
        ("two\nlines\tand \x1b[31mcolour", "two lines and [31mcolour"),
        ("the secret my-own-secret", "the secret ***"),
        ("Keyword monkey is fine", "Keyword monkey is fine"),
        (None, ""),
        (12, ""),
    ],
)
def test_a_backends_words_are_quoted_without_keys(text: object, clean: str) -> None:
    assert scrub(text, ["my-own-secret", "is"]) == clean


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("bob:hunter2pass", "wrong password hunter2pass"),
        ("bob:hunter2pass", "wrong login BOB:HUNTER2PASS"),
        ("abcdefgh12+/xyz==", "no such key abcdefgh12%2B%2Fxyz%3D%3D"),
        ("abcdefgh12+/xyz==", "no such key abcdefgh%31abcdefgh12%2b%2fxyz%3d%3d"),
        ("abcdefgh12+/xyz==", "no such key abcdef\ngh12+/xyz=="),
    ],
)
def test_a_secret_is_found_in_whatever_form_it_is_repeated(secret: str, text: str) -> None:
    said = scrub(text, [secret])

    assert "***" in said
    assert "hunter2" not in said.lower()
    assert "gh12" not in said


def test_long_words_are_cut() -> None:
    cut = scrub("word " * 1000)

    assert len(cut) == QUOTED
    assert cut.endswith("...")
