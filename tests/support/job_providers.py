"""The providers of servers that are killed: what they did stands in files that outlive them."""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from tests.support.fake_comfyui import FakeComfyUI
from ziggie_image_mcp.errors import EngineCrashed
from ziggie_image_mcp.provider import (
    Cost,
    GeneratedImage,
    Generation,
    Model,
    Provider,
    ProviderContext,
    ProviderRequest,
    RemoteJob,
    Resolution,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.testing import StubProvider, model, picture
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.settings import Settings
from ziggie_image_providers.comfyui.watch import Pace

PRICE = 1_000
LONG = "long"
"""The prompt of a job that takes several seconds."""
SIDE = 512
"""Of all pictures: ComfyUI's models make no smaller ones."""


class Engine(StubProvider):
    """Free, and one job at a time: its lock dies with the process that has it."""

    name = "engine"

    def __init__(self, folder: Path, host: str) -> None:
        self._folder = folder
        self._device = f"gpu{host}"

    async def list_models(self) -> Sequence[Model]:
        return [model(self.name, name, device=self._device) for name in ("one", "two")]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        with (self._folder / f"{self._device}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                append(self._folder / "overlaps", request.prompt)
                raise EngineCrashed(self.name, "it was given a job while it had one") from None
            append(self._folder / "begun", request.prompt)
            append(self._folder / "at_work", str(os.getpid()))
            await run.progress(0.5, "halfway")
            await anyio.sleep(8.0 if request.prompt == LONG else random.uniform(0.01, 0.1))
        images = [
            GeneratedImage(data=picture(request.width, request.height), seed=request.seed + i)
            for i in range(request.num_images)
        ]
        return Generation(images=tuple(images))


class Vendor(StubProvider):
    """Charges at `submit`, in a log of its own, and has the picture a little later."""

    name = "vendor"

    def __init__(self, folder: Path, *, looks_up: bool) -> None:
        self._folder = folder
        self._log = folder / "charges"
        self._looks_up = looks_up

    async def list_models(self) -> Sequence[Model]:
        return [model(self.name, "paid", where="vendor", price=PRICE)]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        await anyio.sleep(random.uniform(0, 0.03))
        append(self._log, run.key)
        await anyio.sleep(random.uniform(0, 0.03))
        return RemoteJob(id=f"at-{run.key}")

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        await run.progress(0.5, "being made")
        append(self._folder / "begun", request.prompt)
        for _ in range(80 if request.prompt == LONG else 1):  # standing still makes it longer
            await anyio.sleep(random.uniform(0.02, 0.2))
        images = (GeneratedImage(data=picture(request.width, request.height), seed=None),)
        return Generation(images=images, cost=Cost(micro_usd=PRICE, basis="exact"))

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        if not self._looks_up:
            return Resolution(state="unknowable", reason="this vendor cannot look a request up")
        if key not in lines_of(self._log):
            return Resolution(state="not_sent")
        return Resolution(state="running", remote_id=f"at-{key}")


class AtOnce(StubProvider):
    """Charges in a log of its own, and answers with the picture; it can look nothing up."""

    name = "sync"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def list_models(self) -> Sequence[Model]:
        return [model(self.name, "paid", where="vendor", price=PRICE)]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        await anyio.sleep(random.uniform(0, 0.03))
        append(self._folder / "charges", run.key)
        await anyio.sleep(random.uniform(0.02, 0.2))
        images = (GeneratedImage(data=picture(request.width, request.height), seed=None),)
        return Generation(images=images, cost=Cost(micro_usd=PRICE, basis="exact"))

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        return Resolution(state="unknowable", reason="this vendor cannot look a request up")


class SlowComfyUI(FakeComfyUI):
    """Makes one prompt after another, each for a moment, whoever of its clients is killed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(ending="hangs", image=picture(SIDE, SIDE))
        self._folder = folder

    async def _prompt(self, body: dict[str, Any]) -> tuple[int, object]:
        texts = [node["inputs"].get("text") for node in body["prompt"].values()]
        prompt = next(text for text in texts if isinstance(text, str) and text)
        append(self._folder / "posted", prompt)
        if prompt not in lines_of(self._folder / "begun"):
            append(self._folder / "begun", prompt)
        return await super()._prompt(body)

    async def work(self) -> None:
        """Make what waits, for ever; its address stands in a file."""
        async with self:
            append(self._folder / "comfyui", self.url)
            while True:
                await anyio.sleep(random.uniform(0.02, 0.15))
                if self.running:
                    self.states[self.running] = "completed"


def comfyui(folder: Path) -> ComfyUI:
    """The real provider, for the server whose address stands in the folder."""
    (url,) = lines_of(folder / "comfyui")
    pace = Pace(first=0.02, longest=0.1, watched_first=0.05, watched_longest=0.1)
    settings = Settings.model_validate({"baseUrl": url})
    return ComfyUI("comfyui", settings, ProviderContext(data_dir=folder), pace)


def providers(folder: Path, host: str, shapes: Sequence[str], *, looks_up: bool) -> list[Provider]:
    """Those of these shapes."""
    known: dict[str, Provider] = {
        "engine": Engine(folder, host),
        "vendor": Vendor(folder, looks_up=looks_up),
        "sync": AtOnce(folder),
    }
    found = [provider for name, provider in known.items() if name in shapes]
    return [*found, comfyui(folder)] if "comfyui" in shapes else found


def append(file: Path, line: str) -> None:
    """One line, whole, whoever else writes."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def lines_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").split() if file.exists() else []
