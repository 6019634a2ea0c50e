"""Say a job in ComfyUI's words: a graph of nodes in its API format."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from ziggie_image_mcp.provider import ProviderRequest
from ziggie_image_providers.comfyui.families import Companions, Folder, Kind

SAMPLER = "sampler"
"""The id that the sampler's node bears in each of our graphs."""


def graph(
    request: ProviderRequest,
    file: str,
    folder: Folder,
    kind: Kind,
    companions: Companions | None,
    seed: int,
    prefix: str,
) -> dict[str, Any]:
    """Fill the kind's graph with one picture of a job.

    Args:
        request: What is wanted; its seed and number of pictures are not read.
        file: The model's file, as ComfyUI lists it.
        folder: Where ComfyUI lists it.
        kind: How such models are run.
        companions: The other files that a FLUX.1 model alone needs.
        seed: This picture's seed.
        prefix: How the server shall name the file. Of this picture alone: a graph that is the same
            to the last letter is answered from a cache, with a file that may be gone.
    """
    nodes = json.loads(_template(_name(folder, kind)))
    inputs = {id: node["inputs"] for id, node in nodes.items()}
    if folder == "checkpoints":
        inputs["model"]["ckpt_name"] = file
    else:
        assert companions, "a model alone is listed as installed only with its companions"
        inputs["model"]["unet_name"] = file
        inputs["clip"] |= {"clip_name1": companions.clip_l, "clip_name2": companions.t5xxl}
        inputs["vae"]["vae_name"] = companions.vae
    inputs["positive"]["text"] = request.prompt
    inputs["latent"] |= {"width": request.width, "height": request.height}
    guidance = kind.guidance
    if guidance is not None and request.guidance_scale is not None:
        guidance = request.guidance_scale
    if kind.family != "flux1":
        takes_negative = "negative_prompt" in kind.options
        inputs["negative"]["text"] = request.negative_prompt if takes_negative else ""
        cfg = 1.0 if guidance is None else guidance
    else:
        cfg = 1.0  # FLUX.1 has its guidance built in, as an input of the model
        if guidance is None:
            del nodes["guidance"]
            inputs[SAMPLER]["positive"] = ["positive", 0]
        else:
            inputs["guidance"]["guidance"] = guidance
    inputs[SAMPLER] |= {
        "seed": seed,
        "steps": request.steps or kind.steps,
        "cfg": cfg,
        "sampler_name": request.sampler or kind.sampler,
        "scheduler": request.scheduler or kind.scheduler,
    }
    inputs["save"]["filename_prefix"] = prefix
    return dict(nodes)


def _name(folder: Folder, kind: Kind) -> str:
    if kind.family != "flux1":
        return "stable_diffusion"
    return "flux1_checkpoint" if folder == "checkpoints" else "flux1_split"


@functools.cache
def _template(name: str) -> str:
    file = resources.files("ziggie_image_providers.comfyui") / "graphs" / f"{name}.json"
    return file.read_text(encoding="utf-8")
