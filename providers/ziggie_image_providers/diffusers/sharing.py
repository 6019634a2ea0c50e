"""Build pipelines of other classes from the parts of the one in memory. Imports torch."""

from __future__ import annotations

import inspect
from typing import Any

from ziggie_image_providers.diffusers.ladder import MODEL_OFFLOAD, parse
from ziggie_image_providers.diffusers.loading import diffusers, held


def share(name: str, key: str = "", **more: Any) -> Any:
    """The pipeline of this class with the parts of the model in memory, built once.

    Not by `from_pipe` of diffusers, which makes float32 of everything.

    Args:
        name: The class.
        key: What else tells it from others of its class.
        more: Parts that the model has not.
    """
    known = f"{name} {key}"
    if known not in held.edits:
        kind = getattr(diffusers, name)
        settings = {k: v for k, v in held.pipe.config.items() if not k.startswith("_")}
        parts = {**settings, **held.pipe.components, **more}
        wanted = inspect.signature(kind.__init__).parameters
        pipe = kind(**{k: v for k, v in parts.items() if k in wanted})
        _complete(pipe)
        pipe.set_progress_bar_config(disable=True)
        if parse(held.rung).offload == MODEL_OFFLOAD:  # each pipeline moves its parts by itself
            pipe.enable_model_cpu_offload(device=held.device)
        held.edits[known] = pipe
    return held.edits[known]


def _complete(pipe: Any) -> None:
    """Give a part the setting that a class asks it for and that it does not know."""
    if type(pipe).__name__ == "ChromaInpaintPipeline":  # of diffusers 0.42.1, copied from FLUX's
        pipe.transformer.register_to_config(guidance_embeds=False)
