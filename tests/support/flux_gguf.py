"""Write a FLUX.1 of one block of each kind in its published width, as a folder and as GGUF.

diffusers takes a single block of the published names for 3072 wide, so that no small one will do:
0.5 billion numbers. A program: python -m tests.support.flux_gguf FOLDER
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from tests.support import gguf_files, random_models

HEADS, HEAD_WIDTH = 24, 128


def build(folder: Path) -> None:
    """Save the pipeline as `flux`, and its transformer in GGUF beside it."""
    torch, diffusers = importlib.import_module("torch"), importlib.import_module("diffusers")
    torch.manual_seed(0)
    pipe = random_models.flux()
    transformer = diffusers.FluxTransformer2DModel.from_config(
        pipe.transformer.config,
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_WIDTH,
        axes_dims_rope=(16, 56, 56),
    ).to(torch.bfloat16)
    pipe.transformer = transformer
    pipe.to(torch.bfloat16).save_pretrained(folder / "flux")
    names = gguf_files.flux_names(transformer)
    for form in ("Q8_0", "Q4_0"):
        gguf_files.write(folder / f"flux-{form}.gguf", names, "flux", form)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
