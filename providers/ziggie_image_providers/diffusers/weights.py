"""Safetensors headers, read without torch, and the memory that they lead one to expect."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers.families import Family
from ziggie_image_providers.diffusers.folder_settings import is_whole

HEADER_LIMIT = 100 * 1024 * 1024
DECODE_BYTES_PER_PIXEL = 1536
"""VAE decode in half precision, from 1.61 GB at 1024 x 1024."""
DECODE_BYTES_PER_PIXEL_SMALL = 200
TILED_ABOVE = 1024 * 1024
"""Pixels. The VAE's decoding sets the peak of memory; above this it works in tiles."""
SMALL_VAE = 10_000_000
"""Parameters; a VAE below this is one of the tiny autoencoders."""

KEPT = re.compile(r"norm|emb|shared|lm_head|(^|\.)wo$|^proj_(in|out)$|^conv_(in|out)$")
"""Names of modules whose weights stay as they are where others are quantised: those that decide
most about the picture, and `wo` of T5, which looks at the type of its weights."""

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Number format and shape of each tensor by its name."""

_WHOLE_NUMBERS = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8}
_SHARD = re.compile(r"-\d{5}-of-(\d{5})\.")


ABSURD = (RecursionError, OverflowError)
"""What JSON raises that nests without an end, or has numbers beyond all bounds."""


class Damaged(Exception):
    """Raised when a file is no whole safetensors file."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One component of a pipeline: its weights as they will lie in memory, bytes."""

    parameters: int
    """How many."""
    bytes: int
    """At 2 bytes per floating-point number; what is quantised stays as it is."""
    largest: int = 0
    """Of its largest tensor; 0 where the file does not tell."""
    fp8: int = 0
    """With its layers' weights as 8-bit floats; 0 where the file does not tell, as below."""
    int8: int = 0
    """With the weights of its linear layers in 8 bits, each row with a scale and a zero point."""
    nf4: int = 0
    """With the same in 4 bits, and a scale for each 64 of them."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What decides how much memory a model takes: from sizes and traced peaks, in bytes."""

    parts: Mapping[str, Part]
    activation: float
    """Of the denoiser for each pixel of a picture."""
    decode: float
    """Of the VAE for each pixel that it decodes at once."""
    tile: int
    """How many pixels it decodes at once at most."""
    native_pixels: int
    """Of the pictures that it was made for."""

    @property
    def weights(self) -> int:
        """Of all parts."""
        return sum(one.bytes for one in self.parts.values())


def shapes(path: Path) -> Tensors:
    """Read dtype and shape of every tensor in a safetensors file.

    Raises:
        Damaged: The file is cut off, or something else.
        OSError: It cannot be read.
    """
    stat = path.stat()
    return _shapes(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _shapes(path: Path, size: int, mtime_ns: int) -> Tensors:
    del mtime_ns  # only a key of the cache
    header, start = read_header(path, size)
    try:
        header.pop("__metadata__", None)
        tensors = {
            str(name): (str(entry["dtype"]), tuple(int(side) for side in entry["shape"]))
            for name, entry in header.items()
        }
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, *ABSURD) as e:
        raise Damaged(f"{path.name} has an unreadable header") from e
    if start + end > size:
        raise Damaged(f"{path.name} is shorter than its header says")
    return tensors


def read_header(path: Path, size: int) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and at which byte its numbers begin.

    Args:
        path: The file.
        size: Of it, bytes.

    Raises:
        Damaged: It is something else, or its header cannot be read.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(HEADER_LIMIT, size):
            raise Damaged(f"{path.name} is no safetensors file")
        raw = file.read(length)
    try:
        return json.loads(raw), 8 + length
    except (ValueError, *ABSURD) as e:
        raise Damaged(f"{path.name} has an unreadable header") from e


def part(tensors: Tensors) -> Part:
    """Add up tensors."""
    parameters = total = largest = fp8 = int8 = nf4 = 0
    for name, (dtype, shape) in tensors.items():
        count = math.prod(shape)
        size = count * _WHOLE_NUMBERS.get(dtype, 2)
        parameters, total, largest = parameters + count, total + size, max(largest, size)
        module, _, kind = name.rpartition(".")
        layer = tensors.get(f"{module}.weight", ("", ()))[1]
        cast = len(layer) >= 2 and kind in ("weight", "bias") and not KEPT.search(module)
        linear = cast and kind == "weight" and len(shape) == 2
        fp8 += count if cast and dtype not in _WHOLE_NUMBERS else size
        int8 += count + 5 * shape[0] if linear else size
        nf4 += count // 2 + 4 * -(-count // 64) if linear else size
    return Part(parameters=parameters, bytes=total, largest=largest, fp8=fp8, int8=int8, nf4=nf4)


def weight_files(folder: Path) -> tuple[tuple[Path, ...], str | None]:
    """Pick the weight files of one component, and the variant they belong to.

    The plain files win over those of a variant as `model.fp16.safetensors`, and safetensors over
    pickles. No files, or an incomplete set of shards, or no whole index of them, gives an empty
    tuple.
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
                indexes = [file for file in files if f"{ending}.index." in file.name]
                if not any(is_whole(file) for file in indexes if _variant(file) == variant):
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
        part(shapes(file))
        if file.suffix == ".safetensors"
        else Part(parameters=file.stat().st_size // 2, bytes=file.stat().st_size)
        for file in files
    ]
    sums = {field.name: sum(getattr(one, field.name) for one in parts) for field in fields(Part)}
    if not all(one.fp8 for one in parts):
        sums |= {"fp8": 0, "int8": 0, "nf4": 0}
    largest = max((one.largest or one.bytes for one in parts), default=0)
    return Part(**sums | {"largest": largest})


def need(parts: Mapping[str, Part], family: Family | None, native: int) -> Need | None:
    """Estimate what a model's memory depends on; None without any weights.

    Args:
        parts: Its components.
        family: What is known of its class.
        native: Side of the pictures that it was made for, pixels.
    """
    weights = sum(one.bytes for one in parts.values())
    if not weights:
        return None
    decode: float = DECODE_BYTES_PER_PIXEL
    vae = parts.get("vae")
    if vae is not None and vae.parameters < SMALL_VAE:
        decode = DECODE_BYTES_PER_PIXEL_SMALL
    if family is not None and family.vae_full_precision:
        decode *= 2
    activation = (family.activation if family else 0.6e9) * min(1.0, weights / 1e9)
    return Need(
        parts=parts,
        activation=activation / (family.native if family else native) ** 2,
        decode=decode,
        native_pixels=native**2,
        tile=max(native**2, TILED_ABOVE),
    )
