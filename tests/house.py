"""Put a service together out of fakes, for the tests of service and server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ziggie_image_mcp.config import Config, provider_budgets
from ziggie_image_mcp.experience import Experience
from ziggie_image_mcp.ledger import Ledger, caps_from
from ziggie_image_mcp.paid import Cashier
from ziggie_image_mcp.provider import AnyProvider
from ziggie_image_mcp.registry import Registry
from ziggie_image_mcp.server import Open
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.store import Store
from ziggie_image_mcp.types import Gpu, Hardware

RTX = Gpu(name="RTX 4070", vendor="nvidia", vram_total=12 * 2**30, vram_free=11 * 2**30)


def machine(*gpus: Gpu) -> Hardware:
    return Hardware(
        os="Linux",
        machine="x86_64",
        cpu="test",
        cpu_cores=8,
        ram_total=32 * 10**9,
        ram_available=24 * 10**9,
        disk_free=500 * 10**9,
        gpus=gpus,
    )


def service(folder: Path, *providers: AnyProvider, gpu: bool = False, **config: Any) -> Service:
    async def probe() -> Hardware:
        return machine(RTX) if gpu else machine()

    settings = Config.model_validate(config)
    registry = Registry(settings, folder / "data", extra=providers)
    cashier = Cashier(
        Ledger(folder / "ledger.sqlite3"), caps_from(settings.budget, provider_budgets(settings))
    )
    return Service(
        settings,
        registry,
        Store(folder / "pictures"),
        probe,
        cashier,
        Experience(folder / "experience.sqlite3"),
    )


def opener(made: Service) -> Open:
    async def give() -> Service:
        return made

    return give
