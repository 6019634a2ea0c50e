"""A program that asks one hostile server for pictures, and tells what it said and took of memory.

It is given a folder and the server's address, and writes a JSON object a line: the errors by the
case, and the most memory it had, MB. The first line is of a server that does what it should.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.types import TextContent

from tests.support.factory import machine, opener
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.types import Hardware
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.storage.artifact_store import ArtifactStore


def peak() -> float:
    """Of this program alone: `ru_maxrss` begins with what its parent had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) / 1024


async def probe() -> Hardware:
    return machine()


async def main(folder: Path, url: str, cases: list[str]) -> None:
    for case in cases:
        section: dict[str, Any] = {"baseUrl": f"{url}/{case}", "flavour": "compatible"}
        section |= {"local": True, "keyName": None, "timeout": 20, "models": {"m": {"priceUsd": 0}}}
        others = {name: {"enabled": False} for name in ("comfyui", "diffusers")}
        config = Config.model_validate({"providers": {"openai": section, **others}})
        made = build_service(
            config,
            folder / case,
            role=Role.ALONE,
            artifacts=ArtifactStore(folder / "pictures"),
            probe=probe,
        )
        start = time.monotonic()
        async with Client(make_server(opener(made))) as client:
            ask = {"prompt": "a cat", "width": 1024, "height": 1024, "provider": "openai"}
            answer = await client.call_tool("generate_image", ask | {"wait_seconds": 60})
        await made.aclose()
        assert isinstance(answer.content[0], TextContent)
        facts = {
            "case": case,
            "failed": answer.is_error,
            "text": answer.content[0].text[:1500],
            "peak": peak(),
            "seconds": round(time.monotonic() - start, 2),
        }
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
