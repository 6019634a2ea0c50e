"""Estimate how long a picture takes, from real runs."""

from __future__ import annotations

import math
from dataclasses import replace

from ziggie_image_mcp.routing.types import HistorySnapshot, Latency

WEIGHT = 0.3
"""What the newest run weighs against all before it."""

ENOUGH_SAMPLES = 3
"""Fewer runs say less than the table of priors."""


def learnt_seconds(
    snapshot: HistorySnapshot,
    provider: str,
    model: str,
    bucket: str,
    min_samples: int = ENOUGH_SAMPLES,
) -> float | None:
    """Seconds for one picture, learnt from real runs; None before there were enough of them."""
    known = snapshot.latencies.get((provider, model, bucket))
    return known.seconds if known is not None and known.samples >= min_samples else None


def bucket(width: int, height: int, steps: int | None) -> str:
    """The runs that are alike in size and steps, each within a factor of two.

    >>> bucket(1024, 1024, 25), bucket(832, 1216, 30), bucket(512, 512, None)
    ('1MP/32', '1MP/32', '0.25MP')
    """
    size = f"{2.0 ** round(math.log2(max(width * height, 1) / 2**20)):g}MP"
    return size if steps is None else f"{size}/{1 << (max(steps, 1) - 1).bit_length()}"


def moving_mean(before: Latency, seconds: float) -> Latency:
    """The latency after one more run: an exponential moving mean of the logarithms."""
    if before.samples == 0:
        return replace(before, seconds=seconds, samples=1)
    mean = (1 - WEIGHT) * math.log(before.seconds) + WEIGHT * math.log(seconds)
    return replace(before, seconds=math.exp(mean), samples=before.samples + 1)
