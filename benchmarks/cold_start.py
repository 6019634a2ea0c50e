"""Measure a cold start: from the first call at a fresh, idle server to its first picture.

python benchmarks/cold_start.py MODELS [ROUNDS] [OTHER_TREE]

MODELS is a folder with a diffusers model, as tests/support/random_models.py makes them; the model
asked for is sd1. A server is started, its tools are listed, and it stands idle for a while; then
`generate_image` is called. With another working tree of this repository, as that of an older
commit, rounds of both alternate.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

IDLE_SECONDS = 3.0
ARGUMENTS = {"prompt": "a red fox", "model": "sd1", "width": 64, "height": 64, "steps": 2}


class Server:
    """One server process, spoken to over stdio."""

    def __init__(self, tree: Path, folder: Path, models: Path) -> None:
        config = folder / "config.json"
        providers = {"diffusers": {"modelDirs": [str(models)], "useHubCache": False}}
        config.write_text(json.dumps({"providers": providers}), encoding="utf-8")
        own = {
            "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'providers'}",
            "ZIGGIE_IMAGE_CONFIG": str(config),
            "XDG_DATA_HOME": str(folder),
            "XDG_CACHE_HOME": str(folder),
            "HOME": str(folder),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ziggie_image_mcp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            # An installed package is compiled; a working copy is so after the first run.
            env={k: v for k, v in (os.environ | own).items() if k != "PYTHONDONTWRITEBYTECODE"},
        )
        self._id = 0
        hello: dict[str, Any] = {"protocolVersion": "2025-11-25", "capabilities": {}}
        self.ask("initialize", {**hello, "clientInfo": {"name": "benchmark", "version": "1"}})
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.ask("tools/list", {})

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request, and wait for its answer."""
        self._id += 1
        self._send({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})
        assert self._process.stdout is not None
        while True:
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            if answer.get("id") == self._id:
                return answer

    def close(self) -> None:
        """End it, and what it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()


def cold_start(tree: Path, models: Path) -> float:
    """Seconds of one first call."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(tree, Path(folder), models)
        try:
            time.sleep(IDLE_SECONDS)
            began = time.perf_counter()
            call = {"name": "generate_image", "arguments": {**ARGUMENTS, "wait_seconds": 300}}
            answer = server.ask("tools/call", call)
            seconds = time.perf_counter() - began
        finally:
            server.close()
    if answer.get("result", {}).get("isError", True):
        raise SystemExit(json.dumps(answer)[:2000])
    return seconds


def main() -> None:
    models, here = Path(sys.argv[1]).resolve(), Path(__file__).resolve().parents[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    trees = {"here": here}
    if len(sys.argv) > 3:
        trees = {"before": Path(sys.argv[3]).resolve(), **trees}
    found: dict[str, list[float]] = {name: [] for name in trees}
    for tree in trees.values():
        cold_start(tree, models)  # warm the disk
    for _ in range(rounds):
        for name, tree in trees.items():
            found[name].append(cold_start(tree, models))
            print(f"{name:8} {found[name][-1]:6.2f} s", flush=True)
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    for name, seconds in medians.items():
        print(f"{name:8} {seconds:6.2f} s in the median of {rounds}")
    if len(medians) == 2:
        print(f"ratio    {medians['here'] / medians['before']:6.2f} (at most 0.75)")


if __name__ == "__main__":
    main()
