"""Tell a model from another one under the same path, without reading its files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

_ENDINGS = (".safetensors", ".gguf", ".bin", ".pt", ".ckpt", ".json")
"""Of the files that decide what a folder's model is: weights, and how they are to be read."""


def model_stamp(path: Path) -> str:
    """What changes where a model's file, or one of a folder's and its components', is another.

    Args:
        path: A file, or a folder whose components are folders in it.

    Returns:
        A short text made of the files' names, sizes and times. A call takes some microseconds for
        each file, so that it may be made before every picture.

    Raises:
        OSError: There is nothing, or it cannot be looked at.
    """
    if not path.is_dir():
        stat = path.stat()
        return f"{stat.st_mtime_ns}/{stat.st_size}"
    files = "\n".join(sorted(_files(str(path), "", deep=True)))
    return hashlib.blake2b(files.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _files(folder: str, within: str, *, deep: bool) -> Iterator[str]:
    """Name, size and time of each file that counts."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_ENDINGS):
                try:
                    stat = entry.stat()
                except FileNotFoundError:  # a link whose file is gone: the name is all there is
                    yield f"{within}{entry.name}"
                    continue
                yield f"{within}{entry.name}/{stat.st_size}/{stat.st_mtime_ns}"
            elif deep and not entry.name.startswith(".") and entry.is_dir():
                yield from _files(entry.path, f"{entry.name}/", deep=False)
