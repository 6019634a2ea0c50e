"""A program that asks faulty vendors for pictures, and tells what came of it.

It is given a folder, the type of the providers, their section of config.json, and by the names of
the faults the vendors' addresses with the deadlines of the calls, the last two as JSON. It writes a
JSON object a line, one for each fault: what the result says, how the charges stand, seconds, and
the most memory that it had, MB.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.types import TextContent

from tests.support.factory import machine, opener
from tests.support.hostile_peer import peak
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.types import Hardware
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.storage.artifact_store import ArtifactStore

Faults = dict[str, tuple[str, int]]


async def probe() -> Hardware:
    return machine()


async def main(folder: Path, kind: str, section: dict[str, Any], faults: Faults) -> None:
    model = section.pop("model")
    for deadline in {deadline: None for _, deadline in faults.values()}:  # each once, in order
        urls = {fault: url for fault, (url, limit) in faults.items() if limit == deadline}
        ours = {fault: {"type": kind, "baseUrl": url} | section for fault, url in urls.items()}
        made = build_service(
            Config.model_validate({"deadline": deadline, "providers": ours}),
            folder / str(deadline),
            role=Role.ALONE,
            artifacts=ArtifactStore(folder / "pictures"),
            probe=probe,
        )
        async with Client(make_server(opener(made))) as client:
            for fault in urls:
                ask = {"prompt": "a cat", "width": 256, "height": 256, "provider": fault}
                ask |= {"model": model, "allow_paid": True, "wait_seconds": 60}
                start = time.monotonic()
                answer = await client.call_tool("generate_image", ask)
                seconds = time.monotonic() - start
                holds = [h for h in await made.billing.ledger.holds() if h.provider == fault]
                assert isinstance(answer.content[0], TextContent)
                facts = {
                    "fault": fault,
                    "text": answer.content[0].text[:1500],
                    "holds": [
                        [h.state, h.actual, h.estimate] for h in holds if h.provider == fault
                    ],
                    "seconds": round(seconds, 2),
                    "peak": round(peak()),
                }
                print(json.dumps(facts), flush=True)
        await made.aclose()


if __name__ == "__main__":
    given, kind, section, faults = sys.argv[1:]
    anyio.run(main, Path(given), kind, json.loads(section), json.loads(faults))
