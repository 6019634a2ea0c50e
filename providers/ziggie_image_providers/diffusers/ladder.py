"""The ways of holding a pipeline on a GPU, the fastest first, with what each takes."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from ziggie_image_mcp.provider import Peak, Rung, peak_bytes
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_providers.diffusers.weights import Need, Part

FULL, MODEL_OFFLOAD, GROUP_OFFLOAD = "full", "model offload", "group offload"
FP8, INT8, NF4 = "fp8", "8 bit", "4 bit"
TILED = "tiled VAE"

Quantization = Literal["auto", "prefer", "never"]

RUNTIME_GPU = 1_000_000_000
"""Bytes beside weights and pictures: an assumption, not measured here."""
RUNTIME_CPU = 600_000_000
"""Of torch, diffusers and transformers in main memory."""

SMALL_TILE = 512
"""Side of what a VAE decodes at once where its tiles are made small, pixels."""

SLOWDOWN = {MODEL_OFFLOAD: 1.3, GROUP_OFFLOAD: 4.0, FP8: 1.1, INT8: 1.3, NF4: 1.4, TILED: 1.05}
"""Assumptions, not measured here: each part crosses the bus once for a picture, or each layer at
each step (24 GB of FLUX at 12 GB/s: 2 s, where a step takes 0.5 s); quantised weights are turned
back into numbers whenever they are used."""

DENOISERS = ("unet", "transformer")

LIBRARY = {INT8: "torchao", NF4: "bitsandbytes"}
"""What quantises, where diffusers does not by itself."""

NOTES = {
    FP8: "weights held as 8-bit floats: pictures differ slightly from those of the whole model",
    INT8: "weights held in 8 bits: pictures differ slightly from those of the whole model",
    NF4: "weights held in 4 bits: pictures differ from those of the whole model",
    TILED: "the VAE worked in small tiles, for want of memory: colours may differ slightly",
}


class Way(NamedTuple):
    """How a pipeline is held, as the words of a rung's name say it."""

    offload: str = ""
    precision: str = ""
    tiled: bool = False

    def __str__(self) -> str:
        """As the rung is named."""
        words = (self.precision, self.offload, TILED if self.tiled else "")
        return ", ".join(filter(None, words)) or FULL


def parse(name: str) -> Way:
    """Read a rung's name."""
    words = name.split(", ")
    return Way(
        offload=next((w for w in words if w in (MODEL_OFFLOAD, GROUP_OFFLOAD)), ""),
        precision=next((w for w in words if w in (FP8, INT8, NF4)), ""),
        tiled=TILED in words,
    )


def notes(name: str) -> tuple[str, ...]:
    """What to say of pictures that were made so, a sentence each."""
    way = parse(name)
    return tuple(NOTES[word] for word in (way.precision, TILED if way.tiled else "") if word)


def is_quantised(part: str, precision: str) -> bool:
    """Whether a component is held so: of text encoders, T5 bears no layer-wise casting."""
    bearers = (*DENOISERS, "text_encoder") if precision in LIBRARY else DENOISERS
    return bool(precision) and part.startswith(bearers)


def rungs(
    need: Need,
    *,
    frugal: bool,
    quantization: Quantization = "never",
    installed: Callable[[str], bool] | None = None,
) -> tuple[Rung, ...]:
    """List them for one model.

    Args:
        need: What its memory depends on.
        frugal: Parts that do not run now may wait in main memory (`vramOptimization`).
        quantization: Whether its weights may be held in fewer bits, and whether sooner than layer
            by layer in main memory.
        installed: Says whether there is a library; None: by looking.
    """
    installed = installed or _is_installed
    return tuple(_rung(need, way, installed) for way in _ways(need, frugal, quantization))


def peaks(need: Need, way: Way, *, growth: float = 1.0, runtime: int = RUNTIME_GPU) -> list[Peak]:
    """What the stages of making a picture take on the GPU.

    Args:
        need: What the model's memory depends on.
        way: How it is held.
        growth: Of what comes on top of the weights: measured by estimated.
        runtime: What comes on top whatever the picture's size.
    """
    sizes = {name: held_bytes(part, name, way.precision) for name, part in need.parts.items()}
    largest = max(sizes.values())
    match way.offload:
        case "":
            denoising = decoding = sum(sizes.values())
        case "model offload":
            denoising, decoding = largest, sizes.get("vae", 0)
        case _:
            layers = [part.largest or part.bytes for part in need.parts.values()]
            denoising = decoding = max(layers)
    tile = min(need.tile, SMALL_TILE**2) if way.tiled else need.tile
    return [
        Peak(
            bytes=denoising + int(runtime * growth),
            bytes_per_pixel=need.activation * growth,
        ),
        Peak(
            bytes=decoding + int(runtime * growth),
            bytes_per_pixel=need.decode * growth,
            most_pixels=tile,
        ),
    ]


def held_bytes(part: Part, name: str, precision: str) -> int:
    """What the weights of a component take: its `name` in the pipeline, and a rung's precision."""
    if not is_quantised(name, precision):
        return part.bytes
    return {FP8: part.fp8, INT8: part.int8, NF4: part.nf4}.get(precision, 0) or part.bytes


def _ways(need: Need, frugal: bool, quantization: Quantization) -> Iterator[Way]:
    told = all(p.fp8 for name, p in need.parts.items() if name.startswith(DENOISERS))
    quantised: list[Way] = []
    if quantization != "never" and told and sys.platform != "darwin":  # MPS has no 8-bit floats
        for precision in (FP8, INT8, NF4):
            quantised.append(Way(precision=precision))
            if frugal:
                quantised.append(Way(MODEL_OFFLOAD, precision))
    yield Way()
    if frugal:
        yield Way(MODEL_OFFLOAD)
    if quantization == "prefer":
        yield from quantised
    if frugal:
        yield Way(GROUP_OFFLOAD)
    if quantization == "auto":
        yield from quantised
    if frugal:
        yield Way(GROUP_OFFLOAD, tiled=True)
    if frugal and quantised:
        yield Way(MODEL_OFFLOAD, NF4, tiled=True)


def _rung(need: Need, way: Way, installed: Callable[[str], bool]) -> Rung:
    slowdown = 1.0
    for word in (way.offload, way.precision, TILED if way.tiled else ""):
        slowdown *= SLOWDOWN.get(word, 1.0)
    # All of them wait there at first, and a part that is on the GPU leaves its place free.
    parked = sum(held_bytes(part, name, way.precision) for name, part in need.parts.items())
    library = LIBRARY.get(way.precision, "")
    stages = peaks(need, way)
    return Rung(
        name=str(way),
        vram_bytes=peak_bytes(stages, need.native_pixels),
        peaks=tuple(stages),
        ram_bytes=parked if way.offload else 0,
        slowdown=slowdown,
        exact=not (way.precision or way.tiled),
        fix=install_command(library) if library and not installed(library) else "",
        by_layer=way.offload == GROUP_OFFLOAD,
    )


@functools.cache
def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
