"""Tell what the weights of pipelines take in memory in half precision. A program: it loads them.

python weight_bytes.py FOLDER ...
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def weight_bytes(folder: str) -> dict[str, int]:
    """Bytes of the parameters of each component."""
    torch: Any = importlib.import_module("torch")
    diffusers: Any = importlib.import_module("diffusers")
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    return {
        name: sum(p.numel() * p.element_size() for p in part.parameters())
        for name, part in pipe.components.items()
        if isinstance(part, torch.nn.Module)
    }


if __name__ == "__main__":
    print(json.dumps({folder: weight_bytes(folder) for folder in sys.argv[1:]}))
