"""The stand-ins of version 1's frozen data: a free engine, a paid vendor, and a house around them.

Version 1's package must be importable as `ziggie_image_mcp`. All that is real is version 1's own:
Service, Maker, Office, Cashier, Ledger, Experience. Two places can be told to halt for ever, so
that the process can be killed at a known moment: by `halts`, or by the environment's STANDIN_HALT,
a JSON object of a moment to the names at which it halts:

    engine.generate   prompt    the picture is being made
    vendor.submit     hold id   the vendor has not seen the job
    vendor.charged    hold id   it has charged, and its answer is on its way
    vendor.collect    hold id   its id is known
    ledger.submit     hold id   the money is reserved, and nothing more
    ledger.settle     hold id   the pictures are saved
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from ziggie_image_mcp.experience import Experience
from ziggie_image_mcp.ledger import Ledger, caps_from
from ziggie_image_mcp.office import Office
from ziggie_image_mcp.paid import Cashier
from ziggie_image_mcp.registry import Registry
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.store import Store
from ziggie_image_mcp.testing import model, picture
from ziggie_image_mcp.types import (
    GeneratedImage,
    Generation,
    Hardware,
    Hold,
    Job,
    Model,
    Progress,
    Submission,
)

from ziggie_image_mcp.config import Config, provider_budgets
from ziggie_image_mcp.errors import RequestRejected

PRICE = 1_000
"""Of a picture of the vendor, 1e-6 USD."""

SETTINGS: dict[str, Any] = {
    "budget": {"perImage": 1, "perDay": 100, "perMonth": 1000},
    "allowPaidFallback": "ask",
    "deadline": 2_000_000_000,  # so that an order taken up years later is still in time
}
"""The config under which everything was made."""

COLOURS = ("teal", "orange", "purple", "olive", "navy", "crimson", "gold", "sienna")


class Halts:
    """Where this process stands still until it is killed; a file in `marks` tells that it does."""

    def __init__(self, folder: Path, halts: Mapping[str, Sequence[str]] | None = None) -> None:
        told: Mapping[str, Sequence[str]] = json.loads(os.environ.get("STANDIN_HALT", "{}"))
        self._halts = told if halts is None else halts
        self._marks = folder / "marks"

    async def at(self, moment: str, name: str) -> None:
        if name in self._halts.get(moment, ()):
            self._marks.mkdir(parents=True, exist_ok=True)
            (self._marks / f"{moment}@{name}").touch()
            await anyio.sleep_forever()


class Engine:
    """Free, and on a device; `engine.jsonl` is its log. Prompts `refuse ...` fail."""

    name = "engine"

    def __init__(self, folder: Path, halts: Halts, device: str = "gpu", who: str = "") -> None:
        self._log = folder / "engine.jsonl"
        self._halts = halts
        self._device = device
        self._who = who

    async def models(self) -> Sequence[Model]:
        return [model(self.name, "model", device=self._device)]

    async def generate(self, job: Job, model: Model, progress: Progress) -> Generation:
        append(self._log, prompt=job.prompt, seed=job.seed, images=job.num_images, who=self._who)
        if job.prompt.startswith("refuse"):
            raise RequestRejected(self.name, "the engine does not like this prompt")
        await progress(0.5, "halfway")
        await self._halts.at("engine.generate", job.prompt)
        await anyio.sleep(0.02)
        return Generation(images=pictures(job, known_seed=True))

    async def aclose(self) -> None:
        pass


class Vendor:
    """Charges at `submit`. `vendor.jsonl` is its log of charges: key, remote id, amount."""

    name = "vendor"

    def __init__(self, folder: Path, halts: Halts, who: str = "") -> None:
        self._log = folder / "vendor.jsonl"
        self._halts = halts
        self._who = who

    async def models(self) -> Sequence[Model]:
        return [model(self.name, "model", local=False, price_micro_usd=PRICE)]

    async def submit(self, job: Job, model: Model, key: str) -> Submission:
        await self._halts.at("vendor.submit", key)
        remote = remote_id(key)
        cost = PRICE * job.num_images
        append(self._log, key=key, remote_id=remote, micro_usd=cost, who=self._who)
        await self._halts.at("vendor.charged", key)
        return Submission(remote_id=remote)

    async def collect(
        self, remote_id: str, job: Job, model: Model, progress: Progress
    ) -> Generation:
        known = {line["remote_id"]: line for line in lines_of(self._log)}
        await progress(0.5, "being made")
        await self._halts.at("vendor.collect", known[remote_id]["key"])
        cost: int = known[remote_id]["micro_usd"]
        return Generation(images=pictures(job, known_seed=False), cost_micro_usd=cost)

    async def find(self, key: str) -> str | None:
        found = [line["remote_id"] for line in lines_of(self._log) if line["key"] == key]
        return found[0] if found else None

    async def aclose(self) -> None:
        pass


class HaltingLedger(Ledger):
    """Version 1's ledger, which may stand still before two of its moves."""

    halts: Halts

    async def submit(self, hold_id: str, *, owner: str | None = None) -> bool:
        await self.halts.at("ledger.submit", hold_id)
        return await super().submit(hold_id, owner=owner)

    async def settle(self, hold_id: str, actual: int) -> Hold:
        await self.halts.at("ledger.settle", hold_id)
        return await super().settle(hold_id, actual)


def build(
    data: Path,
    database: str | None = None,
    *,
    pictures: Path | None = None,
    halts: Mapping[str, Sequence[str]] | None = None,
    device: str = "gpu",
    listen: bool = True,
    paid_only: bool = False,
    workers: bool = False,
    who: str = "",
) -> Service:
    """Version 1's service with its office, as `ziggie_image_mcp.app.House` puts it together."""
    told = Halts(data, halts)
    settings = Config.model_validate(SETTINGS | {"workers": workers})
    engine, vendor = Engine(data, told, device, who), Vendor(data, told, who)
    registry = Registry(settings, data, extra=[vendor] if paid_only else [engine, vendor])
    ledger = HaltingLedger(database or data / "ledger.sqlite3")
    ledger.halts = told

    async def probe() -> Hardware:
        return Hardware(
            os="Linux",
            machine="x86_64",
            cpu="stand-in",
            cpu_cores=8,
            ram_total=32 * 10**9,
            ram_available=24 * 10**9,
            disk_free=500 * 10**9,
        )

    made = Service(
        settings,
        registry,
        Store(pictures or data / "pictures"),
        probe,
        Cashier(ledger, caps_from(settings.budget, provider_budgets(settings))),
        Experience(database or data / "experience.sqlite3"),
    )
    made.office = Office(database, data, made.maker.make, hands=not workers, listen=listen)
    return made


def pictures(job: Job, *, known_seed: bool) -> tuple[GeneratedImage, ...]:
    """Plain pictures, whose colour follows from the prompt."""
    colour = COLOURS[hashlib.sha256(job.prompt.encode()).digest()[0] % len(COLOURS)]
    return tuple(
        GeneratedImage(
            data=picture(job.width, job.height, colour),
            seed=(job.seed + i) % 2**32 if known_seed else None,
        )
        for i in range(job.num_images)
    )


def remote_id(key: str) -> str:
    """What the vendor calls a job: it follows from the key, so that it can be known beforehand."""
    return f"remote-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def append(file: Path, **facts: object) -> None:
    """One line of JSON, whole, whoever else writes."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{json.dumps(facts)}\n".encode())
    finally:
        os.close(handle)


def lines_of(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


async def silent(fraction: float, message: str) -> None:
    """Report progress to nobody."""
