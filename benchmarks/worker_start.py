"""Measure what a worker's imports take, beside those of bare diffusers: CPU and wall seconds.

python benchmarks/worker_start.py [ROUNDS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

BARE = "import torch, diffusers, transformers\n"
OURS = (
    "from ziggie_image_providers.diffusers.light_imports import import_libraries\n"
    "torch, diffusers, transformers = import_libraries()\n"
)
WITH_PEFT = "import peft\n" + OURS
WITH_COMPILER = "import torch, torch._dynamo\n" + OURS
USE = (
    "import json, sys, time\n"
    "from diffusers import StableDiffusionPipeline\n"
    "from transformers import CLIPTextModel, CLIPTokenizer\n"
    "print(json.dumps([time.process_time(), time.perf_counter() - began, len(sys.modules)]))\n"
)
WAYS = {
    "bare diffusers": BARE,
    "ours": OURS,
    "ours, with peft": WITH_PEFT,
    "ours, with the compiler": WITH_COMPILER,
}


def run(way: str) -> list[float]:
    """CPU seconds, wall seconds and modules until a Stable Diffusion pipeline could be built."""
    code = f"import time\nbegan = time.perf_counter()\n{way}{USE}"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    found: list[float] = json.loads(output)
    return found


def main() -> None:
    """Rounds of all ways in turn; the medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            found[name].append(run(way))
    for name, runs in found.items():
        cpu, wall, modules = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:24} {cpu:6.1f} s of CPU  {wall:6.1f} s  {modules:5.0f} modules")


if __name__ == "__main__":
    main()
