"""A worker of version 1, to stand beside a newer one on one database.

    python old_worker.py [--core PATH] URL DATA PICTURES              works until SIGTERM
    python old_worker.py [--core PATH] URL DATA PICTURES --submit N   leaves N orders on the queue

PATH is core.zip or the folder into which it was extracted; it goes first on the path, so that an
installed ziggie-image-mcp is not seen. `-` for URL: SQLite files in DATA. DATA has the slots and
the logs `engine.jsonl` and `vendor.jsonl`, whose lines say `who`: here it is `version-1`.

A worker prints `open` when it takes jobs. A submitter prints one job id a line: of `--provider`
engine or vendor, with the prompts `PREFIX 0`, `PREFIX 1`, ...
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

import anyio

HERE = Path(__file__).parent


async def work(given: argparse.Namespace) -> None:
    """As `ziggie_image_mcp.app.work` of version 1."""
    import standin

    made = standin.build(
        given.data, given.url, pictures=given.pictures, device=given.device, who="version-1"
    )
    assert made.office is not None
    await made.office.open()
    print("open", flush=True)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            break
    if made.office.busy:  # as a crash: others take up what is in hand
        os._exit(0)
    await made.aclose()


async def submit(given: argparse.Namespace) -> None:
    """As a server of version 1 with `workers: true`."""
    import standin
    from ziggie_image_mcp.types import ImageRequest

    made = standin.build(
        given.data, given.url, pictures=given.pictures, workers=True, who="version-1"
    )
    for i in range(given.submit):
        request = ImageRequest(
            prompt=f"{given.prefix} {i}",
            provider=given.provider,
            allow_paid=given.provider == "vendor",
            width=64,
            height=64,
        )
        print((await made.start([request])).id, flush=True)
    await made.aclose()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("data", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--core", type=Path, default=HERE / "core.zip")
    parser.add_argument("--submit", type=int, default=0, metavar="N")
    parser.add_argument("--provider", default="engine", choices=("engine", "vendor"))
    parser.add_argument("--prefix", default="from version 1")
    parser.add_argument("--device", default="gpu")
    given = parser.parse_args()
    given.url = None if given.url == "-" else given.url
    sys.path[:0] = [str(given.core.absolute()), str(HERE)]
    given.data.mkdir(parents=True, exist_ok=True)
    anyio.run(submit if given.submit else work, given)


if __name__ == "__main__":
    main()
