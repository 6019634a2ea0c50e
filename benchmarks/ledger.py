"""Measure what the ledger adds to a paid job: reserve, submit and settle, each durable.

python -m benchmarks.ledger [JOBS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import anyio

from tests.support import postgres
from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.ledger import Ledger

CAPS = Caps(per_day=10**12, per_month=10**12)


async def measure(database: str | Path, jobs: int) -> list[float]:
    """Milliseconds of each job."""
    ledger, taken = Ledger(database), list[float]()
    await ledger.holds()  # make the tables
    for i in range(jobs):
        before = time.perf_counter()
        await ledger.reserve(
            f"job-{i}",
            provider="vendor",
            model="m",
            images=1,
            estimate=40_000,
            caps=CAPS,
            owner="benchmark",
            now=datetime.now(UTC),
        )
        assert await ledger.submit(f"job-{i}")
        await ledger.settle(f"job-{i}", 39_500)
        taken.append((time.perf_counter() - before) * 1000)
    await ledger.aclose()
    return taken


def tell(name: str, taken: list[float]) -> None:
    worst = statistics.quantiles(taken, n=20)[-1]
    print(f"{name:12} {statistics.median(taken):7.2f} ms median, {worst:7.2f} ms at 95 %")


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print(f"reserve + submit + settle, {jobs} jobs one after another")
    with tempfile.TemporaryDirectory() as folder:
        tell("SQLite", anyio.run(measure, Path(folder) / "ledger.sqlite3", jobs))
    if why := postgres.why_not():
        print(f"Postgres     not measured: {why}")
        return
    with postgres.server() as server:
        tell("Postgres", anyio.run(measure, server.url("public"), jobs))


if __name__ == "__main__":
    main()
