"""How the servers with AUTOMATIC1111's routes differ: flavours.json, read."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

from pydantic import Field, JsonValue, TypeAdapter

from ziggie_image_mcp.provider import Option
from ziggie_image_mcp.provider.engines import engines
from ziggie_image_mcp.provider.settings import Section

OPTIONS, MODELS, PROGRESS = "sdapi/v1/options", "sdapi/v1/sd-models", "sdapi/v1/progress"
PING = "internal/ping"

Word = Option | Literal["num_images"]


class Flavour(Section):
    """One kind of server."""

    title: str
    """As engines.json has it."""
    source: str
    lists_models: bool = True
    """Whether it tells which models it has; else it has the one that its options name."""
    switch: Literal["override", ""] = ""
    """How a request names its model; empty: the server has one, whatever is asked."""
    words: dict[Word, str]
    """Our words, by the server's names for them; what is not here it does not take."""
    always: dict[str, JsonValue] = Field(default={})
    image: dict[str, JsonValue] = Field(default={})
    """Sent beside a picture to change, and `mask` beside a mask."""
    mask: dict[str, JsonValue] = Field(default={})
    neutral: dict[str, JsonValue] = Field(default={})
    """Sent where the server's options have such a key, so that the app's own choice is not used."""
    only_listed: bool = False
    """Whether it takes only what its options have as keys."""
    max_images: int = 16
    multiple_of: int = 8
    families: tuple[str, ...] = ()
    """Those that it runs; empty: nobody knows of one that it does not."""
    distilled: str = ""
    """The field for the guidance of models that have it built in; empty: there is none."""
    forge: bool = False
    """Whether a request names preset and modules."""
    lora: Literal["tag", "list", ""] = ""
    embeddings: bool = False
    control: bool = False
    hires: dict[str, JsonValue] = Field(default={})
    """Sent beside a second pass; empty: there is none."""
    upscales: bool = False
    interrupts: Literal["task", "idle", ""] = ""
    """How to know that what it interrupts is ours: it tells of one task by its id, or it had
    nothing to do before; empty: it cannot be interrupted."""
    limits: dict[Literal["steps", "guidance_scale"], float] = Field(default={})
    """Above these it takes less, without a word."""


@functools.cache
def flavours() -> Mapping[str, Flavour]:
    """All that are known, by their names in `provider/engines.json`, which tells them apart."""
    text = (resources.files(__package__ or "") / "flavours.json").read_text(encoding="utf-8")
    known: dict[str, dict[str, Any]] = json.loads(text)
    titled = {name: row | {"title": engines()[name].title} for name, row in known.items()}
    return TypeAdapter(dict[str, Flavour]).validate_python(titled)
