"""Build DeepFloyd IF with a checker that refuses all or nothing, and as it is pulled: with torch.

And ask for its pictures as the provider asks its worker.

python -m tests.support.cascades FOLDER
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.support.random_families import changed, deepfloyd
from ziggie_image_mcp.provider import ProviderContext, ProviderRequest
from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.listing import describe
from ziggie_image_providers.diffusers.scan import find
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.worker_request import worker_request


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


def asked_of_worker(folder: Path) -> wire.WorkerRequest:
    """A picture on the processor, by `if-1` and the later stages that lie in the folder now."""
    on_disk = find([folder], None)["if-1"]
    model = describe(on_disk, provider="diffusers", missing=(), frugal=True, loaded=False)
    side = on_disk.native
    assert side is not None
    return worker_request(
        ProviderRequest(prompt="a red fox", width=side, height=side, steps=2, seed=7),
        model,
        on_disk,
        settings=Settings(device="cpu"),
        context=ProviderContext(data_dir=folder),
    )


def build(folder: Path) -> None:
    """Save first stages by what their checkers do, and below `pulled` all three as float16.

    Of the second the text encoder has no weights, as `models pull` leaves them out.
    """
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    eyes = importlib.import_module("transformers.models.clip.image_processing_pil_clip")
    seen = eyes.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    for name, bias in (("prude", 1.0), ("lenient", -1.0)):
        parts = {"safety_checker": checker(bias), "feature_extractor": seen}
        changed(deepfloyd()["if-1"], "IFPipeline", **parts).save_pretrained(folder / "alone" / name)
    stages = deepfloyd()
    parts = {"safety_checker": checker(-1.0), "feature_extractor": seen}
    for name in ("if-1", "if-2"):
        stages[name] = changed(stages[name], type(stages[name]).__name__, **parts)
    for name, pipe in stages.items():
        pipe.to(torch.float16).save_pretrained(folder / "pulled" / name, variant="fp16")
    for weights in (folder / "pulled" / "if-2" / "text_encoder").glob("*.safetensors"):
        weights.unlink()
    shutil.rmtree(folder / "pulled" / "if-2" / "safety_checker")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
