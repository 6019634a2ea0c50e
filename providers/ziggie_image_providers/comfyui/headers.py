"""Read what a safetensors file on this machine says of its tensors, without reading them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

MAX_HEADER = 64 * 2**20
"""Bytes; those of the largest models take a tenth of it."""

Tensors = Mapping[str, Sequence[int]]
"""The names of a file's tensors, and their shapes."""


def read_tensors(path: Path) -> Tensors | None:
    """The tensors of a file; None where it is no safetensors file, or cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= MAX_HEADER:
                return None
            header: object = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    facts = cast(dict[str, Any], header)
    return {
        name: cast(dict[str, Any], about).get("shape", ())
        for name, about in facts.items()
        if name != "__metadata__" and isinstance(about, dict)
    }


def find_file(folders: Iterable[object], name: str) -> Path | None:
    """The file of this name in one of some folders; None where it is in none of them."""
    relative = Path(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts:
        return None
    for folder in folders:
        path = Path(str(folder)) / relative
        if path.is_file():
            return path
    return None
