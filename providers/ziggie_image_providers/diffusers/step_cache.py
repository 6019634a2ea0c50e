"""Caches that skip work in steps that change little: which there are, and for which pipelines.

All by diffusers' own thresholds (0.42): `first-block` computes the first block of a transformer,
and takes the others from the step before where it changed less than 5 %; `taylorseer` predicts most
steps from those before. FasterCache fails on FLUX, and Chroma, FLUX.1 Kontext and the edits of
FLUX.1 tell no cache where they are, so that none works there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

StepCache = Literal["off", "first-block", "taylorseer"]

CONFIGS: Mapping[str, str] = {
    "first-block": "FirstBlockCacheConfig",
    "taylorseer": "TaylorSeerCacheConfig",
}
"""The class in `diffusers.hooks` whose defaults are taken."""

_BOTH = frozenset(CONFIGS)
_SECOND = frozenset({"taylorseer"})
"""Blocks of FLUX.2 take what the first-block cache calls hidden states as a list."""

WORKS: Mapping[str, frozenset[str]] = {
    "FluxPipeline": _BOTH,
    "QwenImagePipeline": _BOTH,
    "QwenImageImg2ImgPipeline": _BOTH,
    "QwenImageInpaintPipeline": _BOTH,
    "Flux2KleinPipeline": _SECOND,
    "Flux2KleinInpaintPipeline": _SECOND,
}
"""Pipeline class -> the caches that were seen to work with it on small models."""


def works(cache: str, pipeline: str) -> bool:
    """Whether a cache works with a class of pipelines."""
    return cache in WORKS.get(pipeline, ())


def note(cache: str, pipeline: str) -> str:
    """What to say of pictures that a class of pipelines makes while it is set."""
    if works(cache, pipeline):
        return f"steps cached by {cache}: pictures differ from those of all steps"
    return f"stepCache {cache} was not used: it does not work with diffusers' {pipeline}"
