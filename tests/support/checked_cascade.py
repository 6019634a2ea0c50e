"""Build first stages of DeepFloyd IF with a checker that refuses all or nothing; imports torch.

python -m tests.support.checked_cascade FOLDER
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from tests.support.random_families import changed, deepfloyd


def checker(bias: float) -> Any:
    """A checker whose answer is that of a bias alone: above 0 it refuses."""
    transformers = importlib.import_module("transformers")
    parts = importlib.import_module("diffusers.pipelines.deepfloyd_if")
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
        "projection_dim": 16,
    }
    one = parts.IFSafetyChecker(transformers.CLIPConfig(vision_config=vision, projection_dim=16))
    for head, value in ((one.p_head, bias), (one.w_head, -1.0)):
        head.weight.data.zero_()
        head.bias.data.fill_(value)
    return one


def build(folder: Path) -> None:
    """Save one of each."""
    importlib.import_module("torch").manual_seed(0)
    eyes = importlib.import_module("transformers.models.clip.image_processing_pil_clip")
    seen = eyes.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    for name, bias in (("prude", 1.0), ("lenient", -1.0)):
        parts = {"safety_checker": checker(bias), "feature_extractor": seen}
        changed(deepfloyd()["if-1"], "IFPipeline", **parts).save_pretrained(folder / name)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
