"""Weigh what a vendor claims to have charged: what counts as spent, and what is disputed."""

from __future__ import annotations

import math
from typing import NamedTuple

from ziggie_image_mcp.billing.money import usd

BELIEVED_TIMES = 4
"""A claim of more times the agreed bound is a slip or worse: prices do not drift so far."""


class Weighed(NamedTuple):
    """What a claim counts for."""

    micro_usd: int
    """What counts as spent, 1e-6 USD."""
    disputed: str = ""
    """What was claimed, for people, where that is not believed."""
    remark: str = ""
    """What the caller must be told; empty where it cost no more than was agreed."""


def weigh(claim: float | None, bound: int) -> Weighed:
    """What a vendor's claim counts for, where at most `bound` was agreed, both in 1e-6 USD.

    None is no claim: what was agreed counts as spent. So it does in place of an amount that cannot
    be; what may be, and is more than was agreed, was charged and counts.
    """
    if claim is None:
        return Weighed(bound)
    if not _is_finite(claim) or not 0 <= claim <= BELIEVED_TIMES * bound:
        text = _text(claim)
        remark = (
            f"the vendor claims to have charged {text}, which cannot be: the {usd(bound)} that was "
            "agreed counts as spent, and the rest is disputed (`ziggie-image-mcp spend --open`)"
        )
        return Weighed(bound, text, remark)
    amount = math.ceil(claim)
    if amount > bound:
        remark = f"the vendor charged {usd(amount)}, more than the {usd(bound)} that was agreed"
        return Weighed(amount, remark=remark)
    return Weighed(amount)


def _is_finite(claim: float) -> bool:
    return isinstance(claim, int) or math.isfinite(claim)


def _text(claim: float) -> str:
    try:
        dollars = float(claim) / 1e6
    except OverflowError:
        return "more dollars than a number holds"
    if not math.isfinite(dollars):
        return "no finite amount"
    return f"{'-' if dollars < 0 else ''}${abs(dollars):,.6g}"
