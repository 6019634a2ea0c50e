"""Measure the built-in upscaler: seconds and memory of fresh processes.

python benchmarks/upscale.py [RUNS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence

CASES: Sequence[tuple[int, int]] = ((64, 4), (256, 4), (512, 4), (1024, 2))
"""Sides of a picture, and how many times it is enlarged."""

CODE = """
import json, resource, sys, threading, time
import numpy
from ziggie_image_providers.builtin.upscaler import Upscaler
side, factor = map(int, sys.argv[1:])
pixels = numpy.random.default_rng(0).integers(0, 256, (side, side, 3), numpy.uint8)
wall, processor = time.perf_counter(), time.process_time()
Upscaler().upscale(
    pixels, factor, wrap=False, on_tile=lambda done, of: None, stop=threading.Event()
)
made = time.process_time() - processor, time.perf_counter() - wall
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([*made, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""


def run(side: int, factor: int) -> Sequence[float]:
    """CPU seconds and seconds to enlarge, CPU seconds of the whole process, its peak in MB."""
    command = [sys.executable, "-c", CODE, str(side), str(factor)]
    answer: list[float] = json.loads(subprocess.check_output(command, text=True, encoding="utf-8"))
    return answer


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"medians of {runs} processes; CPU is user and system together")
    for side, factor in CASES:
        run(side, factor)  # warm the disk
        cpu, seconds, whole, memory = (
            statistics.median(column)
            for column in zip(*(run(side, factor) for _ in range(runs)), strict=True)
        )
        print(
            f"{side:4} to {side * factor} px: {cpu:6.2f} s CPU ({seconds:.2f} s here), "
            f"{whole:.2f} s CPU with start and imports, at most {memory:.0f} MB"
        )


if __name__ == "__main__":
    main()
