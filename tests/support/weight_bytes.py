"""Tell what the weights of pipelines take in memory, in each precision. A program: it loads them.

python weight_bytes.py FOLDER ...
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from typing import Any

from ziggie_image_providers.diffusers.ladder import FP8, LIBRARY
from ziggie_image_providers.diffusers.light_imports import import_libraries

PRECISIONS = ("", FP8, *(p for p, name in LIBRARY.items() if importlib.util.find_spec(name)))
"""Half precision, and what can be quantised here."""


def weight_bytes(folder: str, precision: str) -> dict[str, int]:
    """Bytes of the parameters of each component."""
    torch, diffusers, _ = import_libraries()
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    quantise: Any = importlib.import_module("ziggie_image_providers.diffusers.quantise")
    if precision:
        quantise.quantise(pipe, precision, torch.bfloat16)
    return {
        name: sum(size(p) for p in part.parameters())
        for name, part in pipe.components.items()
        if isinstance(part, torch.nn.Module)
    }


def size(tensor: Any) -> int:
    """Bytes of a tensor; of torchao's and bitsandbytes' with the scales."""
    if type(tensor).__module__.startswith("torchao"):
        return sum(size(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    state = getattr(tensor, "quant_state", None)
    scales = 0 if state is None else size(state.absmax)
    return int(tensor.numel() * tensor.element_size()) + scales


if __name__ == "__main__":
    found = {
        folder: {precision: weight_bytes(folder, precision) for precision in PRECISIONS}
        for folder in sys.argv[1:]
    }
    print(json.dumps(found))
