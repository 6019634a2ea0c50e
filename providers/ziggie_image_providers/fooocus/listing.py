"""Say what a Fooocus-API can run, and what can be laid over it, as models."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources

from ziggie_image_mcp.provider import (
    FREE,
    ControlSupport,
    Defaults,
    FreeSize,
    LoraSupport,
    Memory,
    Model,
    Option,
    SameAsInput,
    Task,
    TaskCapability,
)
from ziggie_image_mcp.provider.settings import Section
from ziggie_image_providers.fooocus.server import Contents, Server
from ziggie_image_providers.fooocus.settings import Settings

UPSCALER = "fooocus-upscale-fast-2x"
"""Ours for what Fooocus calls Upscale (Fast 2x)."""

FULL: frozenset[str] = frozenset(("Speed", "Quality"))
"""Performances that leave guidance, sampler and scheduler to the request."""

GUIDANCE = 4.0
"""Of Fooocus's own preset."""

SIDE = 1024
MAX_SIDE, MAX_IMAGES, MAX_LORAS, MAX_PICTURES = 2048, 32, 5, 4
"""As Fooocus is set when it is installed; what comes beyond, it drops."""

MIN_VARY, MIN_UPSCALE = 960 * 960 + 64, 480 * 480 + 1
"""Smaller pictures it enlarges by itself, in pixels: what it makes then has another size."""


class Data(Section):
    """All of data.json."""

    about: str
    samplers: tuple[str, ...]
    schedulers: tuple[str, ...]
    steps: dict[str, int]
    """By performance."""
    others: str
    """A pattern of the names of models that are none of SDXL."""


@functools.cache
def data() -> Data:
    """The facts, read once."""
    text = (resources.files(__package__ or "") / "data.json").read_text(encoding="utf-8")
    return Data.model_validate_json(text)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All that a Fooocus-API has for us."""

    contents: Contents
    models: Mapping[str, Model]
    additions: tuple[Model, ...]


class Lister:
    """Makes the listing of one Fooocus-API.

    Args:
        name: The provider's name.
        settings: What the user says of it.
        server: Whose they are.
    """

    def __init__(self, name: str, settings: Settings, server: Server) -> None:
        self._name = name
        self._settings = settings
        self._server = server

    async def read(self) -> Listing:
        """What it has now.

        Raises:
            ProviderError: It cannot be asked, or is none.
        """
        await self._server.find()
        contents = await self._server.contents()
        models = {file: self._checkpoint(file, contents) for file in contents.models}
        models[UPSCALER] = self._upscaler(contents)
        additions = (
            replace(self._model(file, contents), role="lora", family="sdxl")
            for file in dict.fromkeys(contents.loras)
        )
        return Listing(contents=contents, models=models, additions=tuple(additions))

    def _model(self, id: str, contents: Contents) -> Model:
        return Model(
            id=id,
            provider=self._name,
            where=self._server.where,
            tasks={},
            prices=FREE,
            device=self._server.http.url,
            memory=Memory(managed=True),
            queued=contents.queued,
        )

    def _checkpoint(self, file: str, contents: Contents) -> Model:
        model = self._model(file, contents)
        if re.search(data().others, file.replace("\\", "/").rpartition("/")[2], re.IGNORECASE):
            fix = "Fooocus runs SDXL models alone; use another engine for it"
            return replace(model, state="unusable", fix=fix)
        full = self._settings.performance in FULL
        stem = re.sub(r"\.(safetensors|ckpt)$", "", re.split(r"[\\/]", file)[-1])
        return replace(
            model,
            family="sdxl",
            aliases=(stem,) if stem != file else (),
            tasks=_tasks(contents, full=full),
            defaults=Defaults(
                steps=data().steps[self._settings.performance],
                guidance_scale=GUIDANCE if full else None,
            ),
            distilled=not full,
        )

    def _upscaler(self, contents: Contents) -> Model:
        accepts = FreeSize(
            native_width=512,
            native_height=512,
            min_side=64,
            max_side=MAX_SIDE,
            multiple_of=1,
            min_pixels=MIN_UPSCALE,
        )
        able = TaskCapability(sizes=SameAsInput(accepts=accepts), factors=(2,))
        model = self._model(UPSCALER, contents)
        return replace(
            model, family="upscaler", title="Fooocus: Upscale (Fast 2x)", tasks={"upscale": able}
        )


def _tasks(contents: Contents, *, full: bool) -> Mapping[Task, TaskCapability]:
    options = set(_options(full=full))
    bounds: dict[Option, tuple[float, float]] = {
        "steps": (1, 200),
        "guidance_scale": (1, 30),
        "strength": (0.01, 1),
    }
    plain = TaskCapability(
        sizes=FreeSize(
            native_width=SIDE,
            native_height=SIDE,
            min_side=256,
            max_side=MAX_SIDE,
            multiple_of=8,
        ),
        options=frozenset(options),
        max_images=MAX_IMAGES,
        loras=LoraSupport(max_count=MAX_LORAS) if contents.loras else None,
        bounds=bounds,
    )
    edit = replace(plain, options=frozenset({*options, "strength"}))
    return {
        "text_to_image": replace(
            plain,
            max_references=MAX_PICTURES,
            control=ControlSupport(kinds=frozenset(("canny",)), max_count=MAX_PICTURES),
        ),
        "image_to_image": replace(
            edit,
            sizes=FreeSize(
                native_width=SIDE,
                native_height=SIDE,
                min_side=512,
                max_side=MAX_SIDE,
                multiple_of=8,
                min_pixels=MIN_VARY,
            ),
        ),
        "inpaint": replace(edit, mask="white"),
    }


def _options(*, full: bool) -> Iterable[Option]:
    yield from ("seed", "steps")
    if full:
        yield from ("guidance_scale", "negative_prompt", "sampler", "scheduler")
