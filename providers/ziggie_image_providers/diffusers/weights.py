"""Safetensors headers, read without torch, and the memory that they lead one to expect."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers.families import Family

HEADER_LIMIT = 100 * 1024 * 1024
RUNTIME_GPU = 1.0e9
RUNTIME_CPU = 0.6e9
DECODE_BYTES_PER_PIXEL = 1536
"""VAE decode in half precision, from 1.61 GB at 1024 x 1024."""
DECODE_BYTES_PER_PIXEL_SMALL = 200
SMALL_VAE = 10_000_000
"""Parameters; a VAE below this is one of the tiny autoencoders."""

_WHOLE_NUMBERS = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8}
_SHARD = re.compile(r"-\d{5}-of-(\d{5})\.")


class Damaged(Exception):
    """Raised when a file is no whole safetensors file."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One component of a pipeline: its weights as they will lie in memory."""

    parameters: int
    bytes: int
    """At 2 bytes per floating-point number; what is quantised stays as it is."""
    largest: int = 0
    """Bytes of its largest tensor; 0 where the file does not tell."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """Memory in bytes. An estimate from sizes and traced peaks, never measured on a GPU."""

    weights: int
    vram_full: int
    vram_offload: int
    """Where one part after the other comes to the GPU."""
    vram_group: int
    """Where one layer after the other does."""
    ram: int
    """Where the processor runs it."""


def shapes(path: Path) -> Mapping[str, tuple[str, tuple[int, ...]]]:
    """Read dtype and shape of every tensor in a safetensors file.

    Raises:
        Damaged: The file is cut off, or something else.
        OSError: It cannot be read.
    """
    stat = path.stat()
    return _shapes(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _shapes(path: Path, size: int, mtime_ns: int) -> Mapping[str, tuple[str, tuple[int, ...]]]:
    del mtime_ns  # only a key of the cache
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(HEADER_LIMIT, size):
            raise Damaged(f"{path.name} is no safetensors file")
        raw = file.read(length)
    try:
        header: dict[str, Any] = json.loads(raw)
        header.pop("__metadata__", None)
        tensors = {
            str(name): (str(entry["dtype"]), tuple(int(side) for side in entry["shape"]))
            for name, entry in header.items()
        }
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        raise Damaged(f"{path.name} has an unreadable header") from e
    if 8 + length + end > size:
        raise Damaged(f"{path.name} is shorter than its header says")
    return tensors


def part(tensors: Iterable[tuple[str, tuple[int, ...]]]) -> Part:
    """Add up tensors."""
    parameters = total = largest = 0
    for dtype, shape in tensors:
        count = math.prod(shape)
        size = count * _WHOLE_NUMBERS.get(dtype, 2)
        parameters, total, largest = parameters + count, total + size, max(largest, size)
    return Part(parameters=parameters, bytes=total, largest=largest)


def weight_files(folder: Path) -> tuple[tuple[Path, ...], str | None]:
    """Pick the weight files of one component, and the variant they belong to.

    The plain files win over those of a variant as `model.fp16.safetensors`, and safetensors over
    pickles. No files, or an incomplete set of shards, gives an empty tuple.
    """
    files = [file for file in folder.iterdir() if file.is_file()] if folder.is_dir() else []
    for variant in (None, "fp16", "bf16"):
        for ending in (".safetensors", ".bin"):
            chosen = sorted(
                file for file in files if file.name.endswith(ending) and _variant(file) == variant
            )
            shards = [file for file in chosen if _SHARD.search(file.name)]
            if shards:
                count = _SHARD.search(shards[0].name)
                if count is None or len(shards) != int(count[1]):
                    continue
                chosen = shards
            if chosen:
                return tuple(chosen), variant
    return (), None


def _variant(file: Path) -> str | None:
    pieces = re.split(r"[.-]", file.name)
    return next((name for name in ("fp16", "bf16", "non_ema", "ema") if name in pieces), None)


def add_up(files: Iterable[Path]) -> Part:
    """Add up weight files.

    Raises:
        Damaged: A file is cut off.
        OSError: One cannot be read.
    """
    parts = [
        part(shapes(file).values())
        if file.suffix == ".safetensors"
        else Part(parameters=file.stat().st_size // 2, bytes=file.stat().st_size)
        for file in files
    ]
    return Part(
        parameters=sum(one.parameters for one in parts),
        bytes=sum(one.bytes for one in parts),
        largest=max((one.largest or one.bytes for one in parts), default=0),
    )


def need(parts: Mapping[str, Part], family: Family | None, width: int, height: int) -> Need | None:
    """Estimate the memory for one picture of this size; None without any weights."""
    weights = sum(one.bytes for one in parts.values())
    if not weights:
        return None
    decode = width * height * DECODE_BYTES_PER_PIXEL
    vae = parts.get("vae")
    if vae is not None and vae.parameters < SMALL_VAE:
        decode = width * height * DECODE_BYTES_PER_PIXEL_SMALL
    if family is not None and family.vae_full_precision:
        decode *= 2
    activation = (family.activation if family else 0.6e9) * min(1.0, weights / 1e9)
    largest = max(one.bytes for one in parts.values())
    layer = max(one.largest or one.bytes for one in parts.values())
    held_vae = vae.bytes if vae else 0
    return Need(
        weights=weights,
        vram_full=int(weights + max(activation, decode) + RUNTIME_GPU),
        vram_offload=int(max(largest + activation, held_vae + decode) + RUNTIME_GPU),
        vram_group=int(layer + max(activation, decode) + RUNTIME_GPU),
        ram=int(weights + max(activation, decode) + RUNTIME_CPU),
    )
