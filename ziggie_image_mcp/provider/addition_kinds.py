"""Tell what a ControlNet goes by and what a LoRA was trained for, as their authors write it.

The words are those of published files: lllyasviel's ControlNet 1.1, xinsir's and InstantX's nets,
and what kohya's sd-scripts, OneTrainer and ai-toolkit write into a LoRA's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

CONTROL_PATTERNS: Mapping[str, str] = {
    "canny": r"canny",
    "depth": r"depth|zoe|midas",
    "pose": r"pose",
    "lineart": r"line_?art",
    "softedge": r"soft_?edge|(?<![a-z])hed(?![a-z])|pidi",
    "scribble": r"scribble|sketch",
    "normal": r"normal|(?<![a-z])bae",
    "seg": r"(?<![a-z])seg",
    "mlsd": r"mlsd",
    "tile": r"(?<![a-z])tile|(?<![a-z])blur",
}
"""The kind of map -> how the name of a ControlNet for it tells."""

BASE_MODEL_PATTERNS = (
    ("sdxl", r"sd_?xl|stable-diffusion-xl|pony|illustrious|noob"),
    ("sd1", r"sd_?v?1|stable-diffusion-v1|sd 1"),
    ("sd2", r"sd_?v?2|stable-diffusion-v2"),
    ("sd3", r"sd_?3|stable-diffusion-(v)?3"),
    ("flux2-klein", r"klein"),
    ("flux2", r"flux[-_. ]?2"),
    ("flux1", r"flux"),
    ("qwen-image", r"qwen"),
    ("z-image", r"z[-_ ]?image"),
    ("hidream", r"hidream"),
    ("lumina", r"lumina"),
    ("chroma", r"chroma"),
    ("kolors", r"kolors"),
)
"""The family, and what trainers write as the base model of a LoRA for it; the first that fits."""

_BASE_MODEL_KEYS = ("modelspec.architecture", "ss_base_model_version", "ss_sd_model_name")


def control_kinds(name: str) -> frozenset[str]:
    """The kinds of maps that a ControlNet of this name goes by; empty where it does not tell.

    >>> sorted(control_kinds("control_v11p_sd15_softedge.pth"))
    ['softedge']
    """
    plain = name.lower()
    return frozenset(kind for kind, word in CONTROL_PATTERNS.items() if re.search(word, plain))


def base_family(metadata: Mapping[str, object]) -> str | None:
    """The family that a LoRA was trained for by its file's metadata; None where it does not tell.

    >>> base_family({"ss_base_model_version": "sdxl_base_v1-0"})
    'sdxl'
    """
    words = " ".join(str(metadata.get(key) or "") for key in _BASE_MODEL_KEYS)
    matches = (f for f, word in BASE_MODEL_PATTERNS if re.search(word, words, re.IGNORECASE))
    return next(matches, None)
