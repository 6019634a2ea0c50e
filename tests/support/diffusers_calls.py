"""Ask the diffusers provider for pictures of small models with random weights."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from PIL import Image

from ziggie_image_mcp.provider import Generation, Model, ProviderContext, ProviderRequest, Run
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.settings import Settings

_models: WeakKeyDictionary[Diffusers, dict[str, Model]] = WeakKeyDictionary()
"""What was listed, as a survey keeps it: a listing reads the headers of every file."""


def build_models(program: str, folder: Path) -> Path:
    """Let a program write models, so that torch stays out of this process."""
    subprocess.run(
        [sys.executable, "-m", program, str(folder)],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return folder


@asynccontextmanager
async def worker_for(folder: Path, **settings: Any) -> AsyncGenerator[Diffusers]:
    """A provider for the models of a folder; its worker has one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        provider = Diffusers(
            "diffusers",
            Settings.model_validate({"modelDirs": [str(folder)], "useHubCache": False, **settings}),
            ProviderContext(data_dir=folder / "data"),
        )
        try:
            yield provider
        finally:
            await provider.aclose()


async def model_named(provider: Diffusers, id: str) -> Model:
    return next(one for one in await provider.list_models() if one.id == id)


async def generation(provider: Diffusers, id: str, **changes: Any) -> Generation:
    """Two steps of 64x64 with a seed, changed as said."""
    values: dict[str, Any] = {
        "prompt": "a red fox",
        "negative_prompt": "",
        "width": 64,
        "height": 64,
        "seed": 7,
        "steps": 2,
        **changes,
    }

    async def silence(share: float, text: str) -> None:
        """Take progress and do nothing."""

    run = Run(key="k", progress=changes.pop("progress", silence))
    values.pop("progress", None)
    asked_before = _models.setdefault(provider, {})
    if id not in asked_before:
        asked_before[id] = await model_named(provider, id)
    model = asked_before[id]
    answer = await provider.submit(ProviderRequest(**values), model, run)
    assert isinstance(answer, Generation)
    return answer


async def picture(provider: Diffusers, id: str, **changes: Any) -> bytes:
    return (await generation(provider, id, **changes)).images[0].data


def plain(
    colour: str,
    mode: str = "RGB",
    box: tuple[int, int, int, int] | None = None,
    size: tuple[int, int] = (64, 64),
) -> bytes:
    """A PNG of one colour, or with a box of it on black."""
    image = Image.new(mode, size, "black" if box else colour)
    if box:
        image.paste(colour, box)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@contextmanager
def replaced_file(file: Path, content: bytes) -> Generator[None]:
    """Another file in a component of a model, which is read anew for it."""
    before, index = file.read_bytes(), file.parents[1] / "model_index.json"
    file.write_bytes(content)
    index.touch()
    try:
        yield
    finally:
        file.write_bytes(before)
        index.touch()
