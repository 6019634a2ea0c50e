"""Convert and write amounts of money: integers of 1e-6 US dollars."""

from __future__ import annotations

import functools
from decimal import Decimal


@functools.lru_cache(maxsize=256)
def micro_usd(dollars: float) -> int:
    """US dollars as 1e-6 USD, rounded down: a cap is never widened by rounding."""
    return int(Decimal(str(dollars)).scaleb(6))


@functools.lru_cache(maxsize=4096)
def usd(micro: int) -> str:
    """An amount as people read it, every digit kept: $0.04, $0.0395."""
    whole, part = divmod(micro, 1_000_000)
    cents, rest = divmod(part, 10_000)
    return f"${whole}.{cents:02}" + (f"{rest:04}".rstrip("0") if rest else "")


def dollars(micro: int) -> str:
    """An amount as an argument: every digit, and no more."""
    return f"{micro / 1e6:.6f}".rstrip("0").rstrip(".")
