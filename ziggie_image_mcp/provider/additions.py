"""Find LoRAs, control models and embeddings by the names that people call them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

from ziggie_image_mcp.provider.nouns import Model, Role

_ENDING = re.compile(r"\.(safetensors|ckpt|pth|pt|bin|gguf)$")
_EMBEDDING = re.compile(r"(?<![\w:])embedding:([\w.\-\\/]*[\w\-])", re.IGNORECASE)


def addition_key(name: str) -> str:
    r"""A name without case, ending and the kind of its slashes.

    >>> addition_key("SDXL\\Pixel-Art.safetensors")
    'sdxl/pixel-art'
    """
    return _ENDING.sub("", name.strip().lower().replace("\\", "/"))


def find_addition(name: str, role: Role, additions: Iterable[Model]) -> Model | None:
    """The addition of this id, or else the one whose file is called so, or has it as an alias."""
    key = addition_key(name)
    named = [a for a in additions if a.role == role]
    exact = (a for a in named if addition_key(a.id) == key)
    short = [a for a in named if key in (_short(a.id), *map(addition_key, a.aliases))]
    return next(exact, short[0] if len(short) == 1 else None)


def nearest_additions(name: str, role: Role, additions: Iterable[Model]) -> Sequence[str]:
    """Up to three ids that are most like this name; the first of all where none is like it."""
    ids = {_short(a.id): a.id for a in additions if a.role == role}
    near = difflib.get_close_matches(_short(name), ids, n=3, cutoff=0.4)
    return [ids[one] for one in near] or list(ids.values())[:3]


def embedding_names(prompt: str) -> list[str]:
    """The names after `embedding:` in a prompt, each once."""
    return list(dict.fromkeys(_EMBEDDING.findall(prompt)))


def replace_embeddings(prompt: str, word: Callable[[str], str]) -> str:
    """A prompt with each `embedding:NAME` in an engine's own words.

    >>> replace_embeddings("embedding:bad, embedding:bad-hands", lambda name: f"<{name}>")
    '<bad>, <bad-hands>'
    """
    return _EMBEDDING.sub(lambda match: word(match[1]), prompt)


def _short(name: str) -> str:
    return addition_key(name).rsplit("/", 1)[-1]
