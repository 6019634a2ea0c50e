"""Licences of the models of these families."""

from __future__ import annotations

from collections.abc import Mapping

from ziggie_image_providers.diffusers.disk_model import DiskModel

LICENSES: Mapping[str, tuple[str, bool]] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": ("CreativeML OpenRAIL-M", True),
    "stabilityai/stable-diffusion-xl-base-1.0": ("CreativeML OpenRAIL++-M", True),
    "stabilityai/stable-diffusion-xl-refiner-1.0": ("CreativeML OpenRAIL++-M", True),
    "stabilityai/sdxl-turbo": ("sai-nc-community", False),
    "stabilityai/stable-diffusion-3.5-large": ("Stability AI Community License", True),
    "stabilityai/stable-diffusion-3.5-large-turbo": ("Stability AI Community License", True),
    "stabilityai/stable-diffusion-3.5-medium": ("Stability AI Community License", True),
    "black-forest-labs/FLUX.1-schnell": ("Apache-2.0", True),
    "black-forest-labs/FLUX.1-dev": ("FLUX.1 [dev] Non-Commercial License", False),
    "black-forest-labs/FLUX.2-dev": ("FLUX Non-Commercial License", False),
    "black-forest-labs/FLUX.2-klein-4B": ("Apache-2.0", True),
    "black-forest-labs/FLUX.2-klein-9B": ("FLUX Non-Commercial License", False),
    "Tongyi-MAI/Z-Image-Turbo": ("Apache-2.0", True),
    "Qwen/Qwen-Image": ("Apache-2.0", True),
    "Qwen/Qwen-Image-2512": ("Apache-2.0", True),
    "Qwen/Qwen-Image-Edit": ("Apache-2.0", True),
    "Qwen/Qwen-Image-Edit-2509": ("Apache-2.0", True),
    "Qwen/Qwen-Image-Edit-2511": ("Apache-2.0", True),
    "Qwen/Qwen-Image-2.1": ("Qwen Research License", False),
    "HiDream-ai/HiDream-I1-Full": ("MIT, with a Llama 3.1 text encoder", True),
    "HiDream-ai/HiDream-I1-Fast": ("MIT, with a Llama 3.1 text encoder", True),
    "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS": ("CreativeML OpenRAIL++-M", True),
    "playgroundai/playground-v2.5-1024px-aesthetic": ("Playground v2.5 Community License", True),
    "Efficient-Large-Model/SANA1.5_1.6B_1024px_diffusers": ("NVIDIA NSCL v2-custom", False),
    "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers": ("NVIDIA NSCL v2-custom", False),
    "lodestones/Chroma1-HD": ("Apache-2.0", True),
    "Kwai-Kolors/Kolors-diffusers": ("Kolors-3B license", False),
    "Alpha-VLLM/Lumina-Image-2.0": ("Apache-2.0", True),
}
"""Licence and whether it allows commercial use, by Hub id; collected, not legal advice."""

FAMILY_LICENSES: Mapping[str, tuple[str, bool]] = {
    "deepfloyd": ("DeepFloyd IF License", False),
    "deepfloyd-ii": ("DeepFloyd IF License", False),
    "sd-x4-upscaler": ("CreativeML OpenRAIL++-M", True),
}
"""The same by family, of those whose classes run one author's models only, whatever their folders
are called."""


def license_of(on_disk: DiskModel) -> tuple[str, bool | None]:
    """The licence of a model with its later stages, and whether it allows commercial use.

    Empty and None where it is not known.
    """
    own, commercial = _own_license(on_disk)
    stages = [_own_license(stage) for stage in on_disk.later]
    others = list(dict.fromkeys(name for name, _ in stages if name not in ("", own)))
    if any(allowed is False for _, allowed in stages):
        commercial = False
    return ", with a later stage under ".join([own, *others]), commercial


def _own_license(on_disk: DiskModel) -> tuple[str, bool | None]:
    by_family = FAMILY_LICENSES.get(on_disk.family or "", ("", None))
    return LICENSES.get(on_disk.id, by_family)
