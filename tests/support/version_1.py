"""The data that version 1 froze, and stand-ins for the engine and the vendor that it knew.

tests/data/version_1/README.md tells what stands in the data.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import anyio
import anyio.to_thread

from ziggie_image_mcp.provider import (
    Cost,
    GeneratedImage,
    Generation,
    Model,
    ProviderRequest,
    RemoteJob,
    Resolution,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.testing import StubProvider, model, picture
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.types import InputImage

DATA = Path(__file__).parents[1] / "data" / "version_1"
PRICE = 1_000
"""Of a picture of the vendor, 1e-6 USD."""


@cache
def facts() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((DATA / "facts.json").read_text(encoding="utf-8"))
    return values


@cache
def thaw() -> ModuleType:
    """The module beside the data that copies it so that it is this host's."""
    spec = importlib.util.spec_from_file_location("thaw", DATA / "thaw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def age(kind: str) -> Any:
    return datetime.now(UTC) - datetime.fromisoformat(facts()[kind]["frozen_at"])


def request(values: Mapping[str, Any]) -> ImageRequest:
    given: dict[str, Any] = dict(values)
    for name in ("image", "mask"):
        given[name] = None if values[name] is None else InputImage(**values[name])
    return ImageRequest(**given)


def log_lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def append(file: Path, **values: object) -> None:
    """One line of JSON, whole, whoever else writes."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{json.dumps(values)}\n".encode())
    finally:
        os.close(handle)


def _images(request: ProviderRequest, *, known_seed: bool) -> tuple[GeneratedImage, ...]:
    return tuple(
        GeneratedImage(
            data=picture(request.width, request.height),
            seed=(request.seed + i) % 2**32 if known_seed else None,
        )
        for i in range(request.num_images)
    )


@dataclass
class Engine(StubProvider):
    """Free, and on a device; `engine.jsonl` is its log."""

    folder: Path
    device: str = "gpu"
    who: str = "version-3"
    name: str = "engine"

    async def list_models(self) -> Sequence[Model]:
        return [model(self.name, "model", device=self.device)]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        append(self.folder / "engine.jsonl", prompt=request.prompt, seed=request.seed, who=self.who)
        await anyio.sleep(0.01)
        return Generation(images=_images(request, known_seed=True))


@dataclass
class Vendor(StubProvider):
    """Charges at `submit`; `vendor.jsonl` is its log of charges, by which it finds a call again."""

    folder: Path
    who: str = "version-3"
    name: str = "vendor"

    @property
    def log(self) -> Path:
        return self.folder / "vendor.jsonl"

    async def list_models(self) -> Sequence[Model]:
        return [model(self.name, "model", where="vendor", price=PRICE)]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        remote_id = f"remote-{hashlib.sha256(run.key.encode()).hexdigest()[:12]}"
        cost = PRICE * request.num_images
        append(self.log, key=run.key, remote_id=remote_id, micro_usd=cost, who=self.who)
        return RemoteJob(id=remote_id)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        charge = next(line for line in log_lines(self.log) if line["remote_id"] == remote_id)
        return Generation(
            images=_images(request, known_seed=False),
            cost=Cost(micro_usd=charge["micro_usd"], basis="exact"),
        )

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        known = (line["remote_id"] for line in log_lines(self.log) if line["key"] == key)
        found = next(known, "")
        return Resolution(state="finished" if found else "not_sent", remote_id=found)


async def until(done: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for an awaitable condition; the test fails after so many seconds."""
    with anyio.fail_after(seconds):
        while not await done():
            await anyio.sleep(0.05)


class OldWorker:
    """A worker process of version 1, and its submitter.

    Args:
        folder: For the extracted package.
        data: The data folder; its `pictures` and logs are shared with the stand-ins above.
        database: A Postgres URL; None for SQLite files in `data`.
        halts: Where it stands still, as standin.py of the data tells.
    """

    def __init__(
        self,
        folder: Path,
        data: Path,
        database: str | None = None,
        halts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        core = folder / "core"
        shutil.unpack_archive(DATA / "core.zip", core)
        data.mkdir(exist_ok=True)
        program = [sys.executable, str(DATA / "old_worker.py"), "--core", str(core)]
        self._command = [*program, database or "-", str(data), str(data / "pictures")]
        self._environment = {**os.environ, "STANDIN_HALT": json.dumps(halts or {})}
        self.process: subprocess.Popen[bytes]

    async def submit(self, count: int, provider: str = "engine") -> list[str]:
        """Leave jobs on the queue as version 1 does; their ids."""
        more = ["--submit", str(count), "--provider", provider, "--prefix", "old"]
        done = await anyio.run_process([*self._command, *more])
        return done.stdout.decode().split()

    async def __aenter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, env=self._environment
        )
        assert self.process.stdout is not None
        assert await anyio.to_thread.run_sync(self.process.stdout.readline) == b"open\n"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.process.terminate()
        with self.process:  # closes the pipe, and waits
            pass
