"""When the same route is tried again: a table, and the budget of retries."""

from __future__ import annotations

import pytest

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ContentRefused,
    EngineCrashed,
    ImageError,
    InvalidOutput,
    OutcomeUnknown,
    OutOfMemory,
    OverBudget,
    PaymentRequired,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.jobs.retry import RetryBudget, pause

DOWN = ProviderUnavailable("p", "refused")
BAD = InvalidOutput("p", "blank")


def limited(seconds: float | None) -> RateLimited:
    return RateLimited("p", "wait", retry_after=seconds)


@pytest.mark.parametrize(
    ("error", "tries", "charged", "others", "wait"),
    [
        (limited(1), 1, False, True, 1),
        (limited(1), 3, False, True, None),
        (limited(30), 1, False, True, None),
        (limited(30), 1, False, False, 30),
        (limited(30), 2, False, False, 30),
        (limited(30), 3, False, False, None),
        (limited(120), 1, False, False, None),
        (limited(None), 1, False, False, None),
        (DOWN, 1, False, False, 0.45),
        (DOWN, 2, False, False, None),
        (DOWN, 1, False, True, None),
        (BAD, 1, False, False, 0),
        (BAD, 2, False, False, None),
        (BAD, 1, False, True, None),
        (BAD, 1, True, False, None),
        *(
            (kind("p", "x"), 1, False, False, None)
            for kind in (
                AuthenticationFailed,
                ContentRefused,
                EngineCrashed,
                OutcomeUnknown,
                OutOfMemory,
                PaymentRequired,
                ProviderTimeout,
                RequestRejected,
            )
        ),
        (OverBudget("x"), 1, False, False, None),
    ],
)
def test_when_the_same_route_is_tried_again(
    error: ImageError, tries: int, charged: bool, others: bool, wait: float | None
) -> None:
    found = pause(
        error, tries=tries, remaining=100, charged=charged, others=others, chance=lambda: 0.5
    )

    assert found == (None if wait is None else pytest.approx(wait))


def test_three_retries_may_always_run_and_then_a_fifth_of_the_calls() -> None:
    budget = RetryBudget()
    with budget.retry() as a, budget.retry() as b, budget.retry() as c, budget.retry() as d:
        assert (a, b, c, d) == (True, True, True, False)
        calls = [budget.call() for _ in range(20)]
        for call in calls:
            call.__enter__()
        with budget.retry() as e, budget.retry() as f:
            assert (e, f) == (True, False)
