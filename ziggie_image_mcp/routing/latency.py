"""Estimate how long a picture takes, from real runs."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

from ziggie_image_mcp.provider.nouns import ProviderRequest
from ziggie_image_mcp.routing.types import HistorySnapshot, Latency

WEIGHT = 0.5
"""What the newest run weighs against all before it. By a replay of 149 warm runs on a machine whose
load came and went, 0.3 missed by 18 % in the median, 0.5 by 14 %, 0.7 by 13 %."""

ENOUGH_SAMPLES = 3
"""Fewer runs may be told to people; they rule no model out."""

CONTROL_WORK, LORA_WORK, REFERENCE_WORK = 0.45, 0.1, 0.05
"""What each adds to the work of a step on a local engine. A ControlNet copies the encoder's half of
a UNet (0.36 of 0.86 x 10^9 parameters for SD 1.5, 1.25 of 2.57 for SDXL); the others are guesses,
of LoRAs that are not merged and of pictures that an adapter reads."""

LOAD = ""
"""Stands in the place of a bucket for what comes before the first step of a cold run."""


def learnt_seconds(
    snapshot: HistorySnapshot, provider: str, model: str, bucket: str, *, cold: bool = False
) -> Latency | None:
    """What one picture takes, learnt from real runs; None before there was one.

    After a load the first picture takes longer: `cold` looks at the runs that loaded first. Where
    there were none of the kind, those of the other kind say more than any table.
    """
    key = (provider, model, bucket)
    warm_runs, cold_runs = snapshot.latencies.get(key), snapshot.loads.get(key)
    return (cold_runs or warm_runs) if cold else (warm_runs or cold_runs)


def learnt_load(snapshot: HistorySnapshot, provider: str, model: str) -> float | None:
    """Seconds that the engine's start and the loading of the model take on this machine."""
    known = snapshot.loads.get((provider, model, LOAD))
    return None if known is None else known.seconds


@functools.lru_cache(maxsize=1024)
def bucket(width: int, height: int, steps: int | None) -> str:
    """The runs that are alike in size and steps, each within a factor of two.

    >>> bucket(1024, 1024, 25), bucket(832, 1216, 30), bucket(512, 512, None)
    ('1MP/32', '1MP/32', '0.25MP')
    """
    size = f"{2.0 ** round(math.log2(max(width * height, 1) / 2**20)):g}MP"
    return size if steps is None else f"{size}/{1 << (max(steps, 1) - 1).bit_length()}"


def extra_work(request: ProviderRequest) -> float:
    """How many times the work of a plain request it is, by what guides and changes the model.

    What is learnt of a model is divided by it, and what is expected is multiplied.

    >>> extra_work(ProviderRequest(prompt="a cat", width=512, height=512))
    1.0
    """
    return (
        1.0
        + CONTROL_WORK * len(request.control)
        + LORA_WORK * len(request.loras)
        + REFERENCE_WORK * len(request.reference_ids)
    )


def moving_mean(before: Latency, seconds: float) -> Latency:
    """The latency after one more run: an exponential moving mean of the logarithms."""
    if before.samples == 0:
        return replace(before, seconds=seconds, samples=1)
    mean = (1 - WEIGHT) * math.log(before.seconds) + WEIGHT * math.log(seconds)
    return replace(before, seconds=math.exp(mean), samples=before.samples + 1)
