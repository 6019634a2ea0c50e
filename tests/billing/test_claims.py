"""What a vendor claims, and what counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggie_image_mcp.billing.claims import BELIEVED_TIMES, weigh

BOUND = 40_000


@pytest.mark.parametrize(
    ("claim", "counts", "disputed", "said"),
    [
        (None, BOUND, "", ""),
        (0, 0, "", ""),
        (39_999.2, BOUND, "", ""),
        (BOUND, BOUND, "", ""),
        (41_000, 41_000, "", "charged $0.041, more than the $0.04"),
        (4 * BOUND, 4 * BOUND, "", "charged $0.16, more than the $0.04"),
        (4 * BOUND + 1, BOUND, "$0.160001", "the rest is disputed"),
        (-1, BOUND, "-$1e-06", "which cannot be"),
        (30_000_000_000, BOUND, "$30,000", "which cannot be"),
        (10**36, BOUND, "$1e+30", "which cannot be"),
        (10**400, BOUND, "more dollars than a number holds", "which cannot be"),
        (math.inf, BOUND, "no finite amount", "which cannot be"),
        (math.nan, BOUND, "no finite amount", "which cannot be"),
    ],
)
def test_a_claim_is_believed_where_it_can_be(
    claim: float | None, counts: int, disputed: str, said: str
) -> None:
    found = weigh(claim, BOUND)

    assert (found.micro_usd, found.disputed) == (counts, disputed)
    assert said in found.remark
    assert bool(found.remark) == bool(said)


@given(claim=st.one_of(st.integers(), st.floats()), bound=st.integers(0, 10**9))
def test_no_claim_blocks_more_than_its_share(claim: float, bound: int) -> None:
    assert 0 <= weigh(claim, bound).micro_usd <= BELIEVED_TIMES * bound
