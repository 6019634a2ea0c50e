"""Measure how honest the expected seconds are: cold, warm, and on a machine that is busy.

python -m benchmarks.seconds [RUNS] [PROVIDER] [FOLDER OF MODELS]

Each run is planned and then made by the real service, which begins with nothing learnt. For a cold
one the provider's child processes are killed first. Printed is the median of
|expected - actual| / actual by kind, which should be at most a quarter.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import psutil

from benchmarks.busy import busy
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.routing.request import ImageRequest

GOAL = 0.25
BUSY = 2
COLD_EVERY = 4
"""Of so many runs one is cold."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run."""

    kind: str
    expected: float
    load: float
    actual: float

    @property
    def error(self) -> float:
        """The share of the actual seconds by which they were missed."""
        return abs(self.expected - self.actual) / self.actual


async def cool_down(service: Service) -> None:
    """End the engines that this process started, and wait until the service has seen it."""
    for child in psutil.Process().children(recursive=True):
        if any("ziggie_image_providers" in part for part in child.cmdline()):
            child.kill()
    builtin = service.registry.providers().get("builtin")
    if builtin is not None:
        await builtin.aclose()  # frees the memory; the next picture loads again
    # A survey serves for some seconds.
    while any(m.state == "loaded" for m in (await service.survey()).models):  # noqa: ASYNC110
        await anyio.sleep(0.1)


async def one(service: Service, kind: str, request: ImageRequest) -> Run:
    plan = await service.plan(request)
    best = plan.candidates[0]
    before = time.perf_counter()
    await service.generate(request)
    actual = time.perf_counter() - before
    return Run(kind=kind, expected=best.seconds, load=best.load_seconds, actual=actual)


async def series(service: Service, runs: int, where: str, provider: str | None) -> list[Run]:
    done: list[Run] = []
    for number in range(runs):
        cold = number % COLD_EVERY == 0
        if cold:
            await cool_down(service)
        request = ImageRequest(prompt="a red star on a black background", provider=provider)
        done.append(await one(service, f"{'cold' if cold else 'warm'}, {where}", request))
    return done


def report(runs: Sequence[Run]) -> None:
    for kind in (*dict.fromkeys(run.kind for run in runs), "all"):
        of_kind = [run for run in runs if kind in ("all", run.kind)]
        errors = sorted(run.error for run in of_kind)
        actual = statistics.median(run.actual for run in of_kind)
        worst = errors[min(len(errors) - 1, int(0.9 * len(errors)))]
        print(
            f"{kind:28} {len(errors):4} runs, median {actual:6.2f} s: expected off by "
            f"{statistics.median(errors):5.1%} in the median, {worst:5.1%} in nine of ten"
        )


async def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    provider = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        diffusers: dict[str, Any] = {"idleSeconds": 3600}
        if len(sys.argv) > 3:
            diffusers["modelDirs"] = [sys.argv[3]]
        config = {
            "output": {"directory": str(folder / "pictures")},
            "providers": {"comfyui": {"enabled": False}, "diffusers": diffusers},
        }
        service = build_service(Config.model_validate(config), folder)
        taken = await series(service, runs * 2 // 3, "an idle machine", provider)
        with busy(BUSY):
            taken += await series(service, runs - len(taken), f"{BUSY} busy processes", provider)
        await service.aclose()
    report(taken)
    missed = statistics.median(run.error for run in taken)
    print(f"median error {missed:.1%}, goal at most {GOAL:.0%}")


if __name__ == "__main__":
    anyio.run(main)
