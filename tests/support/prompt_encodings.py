"""Count how often the text encoders of small models run. A program: it imports torch.

python -m tests.support.prompt_encodings FOLDER
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import loading, pipeline, wire
from ziggie_image_providers.diffusers.prompt_embeddings import KEPT

CLASSES = {
    "sd1": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "flux": "FluxPipeline",
}


class Counted:
    """A model in the worker's memory, with how often its text encoders ran."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path, self.name, self.count = folder / name, name, 0
        loading.load(self._request("a fox"))
        for part, encoder in loading.held.pipe.components.items():
            if part.startswith("text_encoder"):
                encoder.register_forward_pre_hook(self._add)

    def draw(self, prompt: str, **changes: Any) -> tuple[int, str]:
        """The runs for one picture, and the picture's hash."""
        self.count, request = 0, self._request(prompt, **changes)
        (png,) = pipeline.pictures(request, [0], pass_by, pipeline.Inputs())
        return self.count, hashlib.sha256(png).hexdigest()

    def _add(self, *_: Any) -> None:
        self.count += 1

    def _request(self, prompt: str, **changes: Any) -> wire.WorkerRequest:
        negative = None if self.name == "flux" else ""
        plain: dict[str, Any] = {"negative_prompt": negative, "seed": 7}
        return wire.WorkerRequest(
            path=str(self.path),
            pipeline=CLASSES[self.name],
            device="cpu",
            prompt=prompt,
            **(plain | changes),
            width=64,
            height=64,
            num_images=1,
            steps=2,
            guidance=3.0,
        )


def pass_by(step: int, steps: int) -> None:
    """Take a step's number and do nothing."""


def draw_all(folder: Path, name: str) -> dict[str, tuple[int, str]]:
    """Pictures of one model: the same again, others, and the first once more without a memory."""
    model = Counted(folder, name)
    drawn = {
        "first": model.draw("a red fox"),
        "again": model.draw("a red fox"),
        "other": model.draw("a blue cat"),
        "other seed": model.draw("a red fox", seed=8),
    }
    if name != "flux":
        drawn["other negative"] = model.draw("a red fox", negative_prompt="fog")
    loading.held.embeddings.clear()
    drawn["forgotten"] = model.draw("a red fox")
    for number in range(KEPT):
        model.draw(f"picture {number}")
    drawn["pushed out"] = model.draw("a red fox")
    drawn["kept"] = len(loading.held.embeddings), ""
    loading.held.drop()
    drawn["dropped"] = len(loading.held.embeddings), ""
    return drawn


if __name__ == "__main__":
    print(json.dumps({name: draw_all(Path(sys.argv[1]), name) for name in CLASSES}))
