"""The real server over stdio, with a provider that makes plain pictures at once."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from ziggie_image_mcp.app import application
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.config import config, loader
from ziggie_image_mcp.provider import Model, ProviderRequest, Run, Submission
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider
from ziggie_image_mcp.server import transport


class Patient(FakeProvider):
    """Begins a picture of "slow" by making the file `begun`, and ends it when `go` is there."""

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        folder = Path(sys.argv[-1]).parent
        if request.prompt == "slow":
            (folder / "begun").touch()
            while not (folder / "go").exists():
                await anyio.sleep(0.02)
        return await super().submit(request, model, run)


class Plain(application.Application):
    """Builds the same service, and puts the fakes beside the providers of the config."""

    def _build(self) -> Service:
        fakes = (Patient(), FakePaidProvider())
        settings = loader.load(Path(sys.argv[-1]))
        return application.build_service(settings, config.data_dir(), providers=fakes)


if __name__ == "__main__":
    transport.__dict__["Application"] = Plain
    anyio.run(transport.serve_stdio)
