"""Measure what the worker process and its pipes add to a call of about a second.

python benchmarks/child_overhead.py MODEL [ROUNDS]

MODEL is a diffusers folder. The same picture is made by bare diffusers in a process of its own and
by the provider's worker, in turn; both have the model in memory, work with one thread, and end with
the bytes of a PNG, at the same priority.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ziggie_image_mcp.provider import FREE, Generation, Model, ProviderContext, ProviderRequest, Run
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.cpu_share import be_nice
from ziggie_image_providers.diffusers.settings import Settings

SECONDS = 1.0
GOAL = 1.03
SIDE = 128

BARE = """
import io, json, sys, time
import torch, diffusers
pipe = diffusers.DiffusionPipeline.from_pretrained(sys.argv[1])
pipe.set_progress_bar_config(disable=True)
print(flush=True)
for line in sys.stdin:
    words = json.loads(line)
    began = time.perf_counter()
    seed = torch.Generator("cpu").manual_seed(words.pop("seed"))
    image = pipe(**words, generator=seed).images[0]
    image.save(io.BytesIO(), "PNG")
    print(time.perf_counter() - began, flush=True)
"""


class Bare:
    """Diffusers alone."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", BARE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._line()

    def call(self, steps: int) -> float:
        """Seconds of one picture."""
        words: dict[str, Any] = {"prompt": "a red fox", "seed": 7, "width": SIDE, "height": SIDE}
        words |= {"num_inference_steps": steps, "guidance_scale": 4.0}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Ours:
    """The provider with its worker."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        settings = Settings(hires="never", model_dirs=(folder.parent,), use_hub_cache=False)
        self._provider = Diffusers("diffusers", settings, ProviderContext(data_dir=data_dir))
        self._model = Model(
            id=str(folder), provider="diffusers", where="this_machine", tasks={}, prices=FREE
        )

    async def call(self, steps: int) -> float:
        """Seconds of one picture, from the request to its bytes."""
        request = ProviderRequest(
            prompt="a red fox",
            negative_prompt="",
            width=SIDE,
            height=SIDE,
            num_images=1,
            seed=7,
            steps=steps,
            guidance_scale=4.0,
        )
        [model] = [m for m in await self._provider.list_models() if self._model.id in m.aliases]
        began = time.perf_counter()
        result = await self._provider.submit(request, model, Run(key="k", progress=_silence))
        seconds = time.perf_counter() - began
        assert isinstance(result, Generation)
        return seconds

    async def close(self) -> None:
        """End the worker."""
        await self._provider.aclose()


async def _silence(share: float, text: str) -> None:
    """Take progress and do nothing."""


async def measure(folder: Path, rounds: int, data_dir: Path) -> None:
    """Rounds of both in turn; the medians, and their ratio in each round."""
    bare, ours = Bare(folder), Ours(folder, data_dir)
    bare.call(4)
    steps = max(4, round(4 * SECONDS / bare.call(4)))
    await ours.call(4)
    found: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:  # neither is always the first
            mine = await ours.call(steps)
            found.append((bare.call(steps), mine))
        else:
            found.append((bare.call(steps), await ours.call(steps)))
    bare.close()
    await ours.close()
    for name, column in zip(("bare diffusers", "ours"), zip(*found, strict=True), strict=True):
        print(f"{name:16} {statistics.median(column):.3f} s for {steps} steps")
    ratio = statistics.median(mine / alone for alone, mine in found)
    print(f"ratio            {ratio:.3f} in the median of {rounds} rounds (at most {GOAL:.2f})")


def main() -> None:
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 21
    os.environ["OMP_NUM_THREADS"] = "1"
    be_nice()  # as the worker is: on a busy machine it would get less than bare diffusers
    with tempfile.TemporaryDirectory() as data_dir:
        asyncio.run(measure(Path(sys.argv[1]).resolve(), rounds, Path(data_dir)))


if __name__ == "__main__":
    main()
