"""A server whose provider writes to stdout in every way that there is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio

from tests.support.factory import opener, service
from ziggie_image_mcp.provider import Model, ProviderRequest, Run, Submission
from ziggie_image_mcp.provider.testing import FakeProvider
from ziggie_image_mcp.server.tools import make_server


class Noisy(FakeProvider):
    """Prints, writes to the descriptor, and lets a child do the same."""

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        print("100%|##########| 20/20", flush=True)
        sys.stdout.write("no newline")
        os.write(1, b"native noise\n")
        if request.seed == 0:
            subprocess.run([sys.executable, "-c", "print('child noise')"], check=True)
        return await super().submit(request, model, run)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        facts: dict[str, Any] = {"privacy": "any"}
        made = service(Path(folder), Noisy(), **facts)
        await make_server(opener(made)).run_stdio_async()


if __name__ == "__main__":
    anyio.run(main)
