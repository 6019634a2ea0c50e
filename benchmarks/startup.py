"""Measure start-up beside a bare MCPServer: CPU and memory until `initialize` is answered.

python benchmarks/startup.py [RUNS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

import psutil

BARE = (
    "from mcp.server import MCPServer\n"
    "server = MCPServer('bare', log_level='WARNING')\n"
    "@server.tool()\n"
    "def hello(name: str) -> str: return name\n"
    "server.run()\n"
)
SERVERS = {
    "bare MCPServer": [sys.executable, "-c", BARE],
    "ziggie-image-mcp": [sys.executable, "-m", "ziggie_image_mcp"],
}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}


def start(command: list[str]) -> tuple[float, float]:
    """CPU seconds and resident megabytes at the moment of the answer."""
    # An installed package is compiled; a working copy is so after the first run, if it may be.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, env=env) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(HELLO).encode() + b"\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        assert answer["id"] == 1, answer
        process = psutil.Process(server.pid)
        times, memory = process.cpu_times(), process.memory_info()
        server.kill()
    return times.user + times.system, memory.rss / 1e6


def middle(found: list[float]) -> float:
    """The mean of the middle half: the system counts in ticks of 10 ms, so a median jumps."""
    quarter = len(found) // 4
    return statistics.fmean(sorted(found)[quarter : len(found) - quarter])


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    for command in SERVERS.values():
        start(command)  # warm the disk
    for _ in range(runs):
        for name, command in SERVERS.items():
            found[name].append(start(command))
    bare, ours = (
        (middle([c for c, _ in rows]), middle([m for _, m in rows])) for rows in found.values()
    )
    for name, (cpu, memory) in zip(SERVERS, (bare, ours), strict=True):
        print(f"{name:18} {cpu:.3f} s CPU, {memory:.1f} MB resident (middle half of {runs} runs)")
    print(f"ratio              {ours[0] / bare[0]:.3f} (at most 1.08)")


if __name__ == "__main__":
    main()
