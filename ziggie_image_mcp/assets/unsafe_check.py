"""Find nudity in a picture, where the user wants none.

By nudenet with the model in its wheel (10 MB, AGPL-3.0 by its licence file): nothing is fetched. It
is loaded at the first use, and some 0.2 s of processor time go into a picture.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from ziggie_image_mcp.provider.onnx_runtime import load_onnx_runtime

if TYPE_CHECKING:
    from PIL import Image

EXTRA = "safety"
"""Of this distribution, which installs the detector."""

LEAST_SURE = 0.4
"""Of 1: below it a detection says nothing. A judgement: nudenet's own floor is 0.2."""

LONGEST_SIDE = 1024
"""Pixels: the model sees 320, larger pictures are given to it smaller."""

UNSAFE: Mapping[str, str] = {
    "FEMALE_BREAST_EXPOSED": "bare breasts",
    "FEMALE_GENITALIA_EXPOSED": "genitals",
    "MALE_GENITALIA_EXPOSED": "genitals",
    "ANUS_EXPOSED": "an anus",
    "BUTTOCKS_EXPOSED": "bare buttocks",
}
"""nudenet's labels -> words."""

Detect = Callable[[Any], list[dict[str, Any]]]
"""Of a picture in blue, green, red: what is seen, as {class, score, box}."""

_looking = threading.Lock()


def is_installed() -> bool:
    """Whether pictures can be checked here."""
    return importlib.util.find_spec("nudenet") is not None


def find_unsafe(image: Image.Image, detect: Detect | None = None) -> list[str]:
    """What is seen in a picture that some do not want to see, each once, the surest first.

    Args:
        image: Any.
        detect: In place of nudenet.

    Raises:
        ModuleNotFoundError: The extra is not installed.
    """
    import numpy as np

    from ziggie_image_mcp.provider.pictures import on_white

    plain = on_white(image)
    plain.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    pixels = np.ascontiguousarray(np.asarray(plain)[:, :, ::-1])
    with _looking:  # its session is for one thread at a time
        found = (detect or _detector())(pixels)
    sure = sorted((one for one in found if one["score"] >= LEAST_SURE), key=lambda o: -o["score"])
    return list(dict.fromkeys(UNSAFE[one["class"]] for one in sure if one["class"] in UNSAFE))


@cache
def _detector() -> Detect:
    load_onnx_runtime()  # silent, before nudenet imports it
    from nudenet import (  # pyright: ignore[reportMissingImports]
        NudeDetector,  # pyright: ignore[reportUnknownVariableType]
    )

    return cast(Detect, cast(Any, NudeDetector)().detect)
