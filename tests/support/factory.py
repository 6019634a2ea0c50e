"""Put together the service that production builds, with fakes at its borders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.types import Gpu, Hardware
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider.contract import Provider
from ziggie_image_mcp.server.mcp_server import Open
from ziggie_image_mcp.storage.artifact_store import ArtifactStore

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


def service(
    folder: Path, *providers: Provider, gpu: bool = False, role: Role = Role.ALONE, **config: Any
) -> Service:
    """The production graph on SQLite files in `folder`; it is closed when the test ends.

    Nothing is opened before its first use. DBOS allows one open service per process.
    """

    async def probe() -> Hardware:
        return machine(RTX) if gpu else machine()

    made = build_service(
        Config.model_validate(config),
        folder,
        role=role,
        artifacts=ArtifactStore(folder / "pictures"),
        providers=providers,
        probe=probe,
        survey_seconds=0.0,
    )
    _services.append(made)
    return made


_services: list[Service] = []


async def close_services() -> None:
    """Close what `service` built. A fixture of conftest.py does it after each test."""
    while _services:
        await _services.pop().aclose()


def opener(made: Service) -> Open:
    async def give() -> Service:
        return made

    return give
