"""How the servers with AUTOMATIC1111's routes differ: flavours.json, read."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources
from typing import Literal

from pydantic import Field, JsonValue, TypeAdapter

from ziggie_image_mcp.provider import Option
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.settings import Section

OPTIONS, MODELS, PROGRESS = "sdapi/v1/options", "sdapi/v1/sd-models", "sdapi/v1/progress"
PING = "internal/ping"

Word = Option | Literal["num_images"]


class Sign(Section):
    """What one route answers at this server, and at none that is looked for after it."""

    path: str
    equals: dict[str, str] = Field(default={})
    has: tuple[str, ...] = ()
    """Keys of its object, all of them."""
    like: str = ""
    """A pattern that one of its keys has."""
    absent: str = ""
    """Another route, which it does not have."""


class Flavour(Section):
    """One kind of server."""

    title: str
    source: str
    sign: Sign
    needs: dict[str, str] = Field(default={})
    """Keys of the sign's answer that must be true, each with what to do where it is not."""
    version: str = ""
    """The key of the sign's answer that tells it."""
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
    tag: str = ""
    """Around what it reads in a prompt as options: a user's is none."""
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
    """All that are known, by name, in the order in which they are looked for."""
    text = (resources.files(__package__ or "") / "flavours.json").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Flavour]).validate_json(text)


def paths() -> frozenset[str]:
    """All routes that are asked to tell the flavours apart."""
    signs = [flavour.sign for flavour in flavours().values()]
    return frozenset({OPTIONS, MODELS, PING, PROGRESS, *(sign.path for sign in signs)})


def recognise(answers: Mapping[str, Answer]) -> str:
    """The flavour that gives these answers; empty where it is none of them."""
    return next((n for n, f in flavours().items() if _is(f.sign, answers)), "")


def _is(sign: Sign, answers: Mapping[str, Answer]) -> bool:
    answer = answers.get(sign.path)
    body = answer.data() if answer is not None and answer.ok else {}
    if not body:
        return False
    if sign.absent:
        other = answers.get(sign.absent)
        if other is None or other.status != 404:
            return False
    if any(body.get(key) != value for key, value in sign.equals.items()):
        return False
    return all(key in body for key in sign.has) and (
        not sign.like or any(re.search(sign.like, key) for key in body)
    )
