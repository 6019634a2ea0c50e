"""Read in the head of a model's file, where it lies on this machine, what its name does not say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ziggie_image_mcp.provider.files import open_regular
from ziggie_image_providers.a1111.families import data

MAX_HEADER = 64 * 2**20
"""Bytes; those of the largest models take a tenth of it."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the tensors of a file say."""

    family: str | None = None
    whole: bool = False
    """Whether text encoders or a VAE are in it too."""


def read(file: str) -> Head:
    """What a safetensors file says; nothing of another one, or of one that is not here."""
    path = Path(file)
    if path.suffix != ".safetensors" or not path.is_absolute():
        return Head()
    try:
        with open_regular(path) as opened:
            length = int.from_bytes(opened.read(8), "little")
            header: object = json.loads(opened.read(length)) if length <= MAX_HEADER else {}
    except (OSError, ValueError, RecursionError):
        return Head()
    return told_by(cast(dict[str, Any], header)) if isinstance(header, dict) else Head()


def told_by(tensors: Iterable[str]) -> Head:
    """What the names of tensors say."""
    names = list(tensors)

    def has(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    family = next((family for family, pattern in data().tensors if has(pattern)), None)
    return Head(family=family, whole=has(r"^(text_encoders|vae|first_stage_model|conditioner)\."))
