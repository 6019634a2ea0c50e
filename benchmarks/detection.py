"""How long it takes to know which engines answer: six, and one that accepts and never answers.

    python benchmarks/detection.py

Fakes on loopback ports answer as tests/support/fake_engines.py does; none is an engine.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack

import httpx2

from tests.support.fake_engines import FakeEngine
from ziggie_image_mcp.inventory.detection import detect
from ziggie_image_mcp.provider.nouns import HERE
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen

SIX = ("comfyui", "a1111", "invokeai", "swarmui", "localai", "fooocus")
ROUNDS = 10


def hang(seen: Seen) -> Reply:
    """Accept, and never answer."""
    return Reply(then="hang")


async def seconds(ports: list[int]) -> list[float]:
    """What looking at these ports took, each time."""
    took: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        detected = await detect([HERE], ports)
        took.append(time.perf_counter() - started)
        assert [one.sighting.name for one in detected] == [*SIX]
    return took


def main() -> None:
    """Print the figures."""
    for what, scripts in (("six", ()), ("six, and one that hangs", (hang,))):
        with ExitStack() as stack:
            answering = [*scripts, *map(FakeEngine, SIX)]
            vendors = [stack.enter_context(FakeVendor(script)) for script in answering]
            ports = [httpx2.URL(vendor.url).port or 0 for vendor in vendors]
            took = asyncio.run(seconds(ports))
        print(f"{what}: {statistics.median(took):.2f} s, at most {max(took):.2f} s")


if __name__ == "__main__":
    main()
