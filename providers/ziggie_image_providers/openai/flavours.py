"""How the servers with OpenAI's picture routes differ: flavours.json, read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal, cast

from pydantic import Field, TypeAdapter

from ziggie_image_mcp.provider import MaskPolarity, Option, Task
from ziggie_image_mcp.provider.settings import Section
from ziggie_image_providers.openai.settings import Row

Words = Mapping[str, tuple[str, ...]]
"""Keys of a listed model, and the values of which it has one; no values: it has the key."""


class Route(Section):
    """How one task is asked for."""

    path: str
    always: dict[str, str] = Field(default={})
    """Sent with every request."""
    fields: dict[Option, str] = Field(default={})
    """Our options, by the server's names for them."""
    settings: tuple[Literal["complexity", "moderation"], ...] = ()
    """Which of our settings of these names it reads as fields."""
    image: str = ""
    """The file that holds the picture; of several each is called so, with [] behind it."""
    encoded_image: str = ""
    """The field of a JSON body that holds the picture as base64, instead of a file."""
    data_url: bool = False
    """Whether that base64 stands in a data URL."""
    bare: bool = False
    """Whether only model and picture are sent: no prompt, number or size."""
    factor: str = ""
    """The field that says how many times an upscaler enlarges; empty where each does as it can."""
    mask: str = ""
    polarity: MaskPolarity | None = None
    max_images: int = 10
    max_references: int = 0
    bounds: dict[Option, tuple[float, float]] = Field(default={})


class Flavour(Section):
    """One kind of server."""

    title: str = ""
    """What people call it; empty where it is no server of one's own."""
    source: str = ""
    hosts: tuple[str, ...] = ()
    """Of a vendor: its host, or the ends of its hosts where they begin with a dot."""
    key_header: str = "Authorization"
    listing: str = ""
    """Where its models are listed, below the base URL, or below the root where it begins with a
    slash; empty where rows alone say what there is."""
    sign: dict[str, tuple[str, ...]] = Field(default={})
    """What a listed model has that no other server lists so: of one that `provider/engines.json`
    does not tell, as behind a proxy that shows its API alone."""
    pictures: dict[str, tuple[str, ...]] = Field(default={})
    """What a listed model has that makes pictures; empty: all do."""
    paints: dict[str, tuple[str, ...]] = Field(default={})
    """What a listed model has that needs no picture; empty: as its row says."""
    edits: dict[str, tuple[str, ...]] = Field(default={})
    """What a listed model has that changes pictures; empty: as its row says."""
    upscales: dict[str, tuple[str, ...]] = Field(default={})
    """What a listed model has that enlarges pictures, and does nothing else."""
    upscalers: str = ""
    """The same by its id, a regular expression."""
    masks: str = ""
    """A regular expression for the ids of models that read a mask; empty: all that change
    pictures. The others drop it without a word."""
    foreign: dict[str, tuple[str, ...]] = Field(default={})
    """What a listed model has that the server passes on to somebody else."""
    without: str = ""
    """What to say of a server with such a list that has no route for pictures; empty: it has."""
    none: str = ""
    """What to do where it lists no model that makes pictures."""
    max_seed: int = 2**32 - 1
    own_host: bool = False
    """Whether its pictures lie at its own host alone, where they are no part of the answer."""
    tag: str = ""
    """Options stand as JSON inside of this tag in the prompt; a dot in a name is a level."""
    separator: str = ""
    """Stands between the prompt and the negative prompt, which have no field of its own."""
    row: Row = Row()
    """What is known of a model of which the user says nothing."""
    tasks: dict[Task, Route]


@functools.cache
def flavours() -> Mapping[str, Flavour]:
    """All that are known, by name, in the order in which they are looked for."""
    text = (resources.files(__package__ or "") / "flavours.json").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Flavour]).validate_json(text)


def by_host(host: str) -> str:
    """The flavour of a vendor's host; empty where it is nobody's."""
    for name, flavour in flavours().items():
        if any(host == h.lstrip(".") or host.endswith("." + h.lstrip(".")) for h in flavour.hosts):
            return name
    return ""


def has(item: Mapping[str, Any], words: Words) -> bool:
    """Whether a listed model has all of these."""
    for key, values in words.items():
        value = item.get(key)
        several = cast("list[object]", value) if isinstance(value, list) else [value]
        if key not in item or (values and not set(values).intersection(map(str, several))):
            return False
    return True
