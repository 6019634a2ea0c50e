"""What is known beforehand about the pipeline classes of diffusers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ziggie_image_mcp.provider import (
    FreeSize,
    Option,
    PromptLimit,
    Task,
    TaskCapability,
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One pipeline class: how it is called, and what it can do."""

    name: str
    native: int
    steps: int
    guidance: float
    multiple_of: int = 16
    guidance_argument: Literal["guidance_scale", "true_cfg_scale"] = "guidance_scale"
    negative: bool = True
    samplers: bool = False
    """Its scheduler may be swapped for one of SAMPLERS."""
    half_precision: Literal["float16", "bfloat16"] = "bfloat16"
    distilled: bool = False
    edits: bool = False
    """Whether it works from pictures, with a mask or without: seen to work on a small model."""
    prompt_tokens: int | None = None
    """How much of a prompt its longest-reading text encoder reads; None where it is not known, as
    where the prompt is wrapped in other words. The worker counts exactly."""
    activation: float = 0.6e9
    """Peak of the denoiser at native size, bytes: traced, never measured on a GPU."""
    vae_full_precision: bool = False
    config_repo: str = ""
    """Hub repo whose settings and tokenizers a single file of this class needs; "" where the class
    cannot be loaded from a single file."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A model that wants other settings than its class; told by its name."""

    family: str
    needle: str
    steps: int
    guidance: float
    native: int | None = None
    distilled: bool = True


CLIP_TOKENS = 75
"""Of 77, of which two are the beginning and the end."""

SCHNELL_TOKENS = 256
"""What FLUX.1 schnell was made for; its class would read on."""

MAX_IMAGES = 16
"""Of one request, made one after another."""

PIPELINES: Mapping[str, Family] = {
    "StableDiffusionPipeline": Family(
        name="sd1",
        prompt_tokens=CLIP_TOKENS,
        native=512,
        steps=30,
        guidance=7.5,
        multiple_of=8,
        samplers=True,
        half_precision="float16",
        edits=True,
        activation=0.14e9,
        config_repo="stable-diffusion-v1-5/stable-diffusion-v1-5",
    ),
    "LatentConsistencyModelPipeline": Family(
        name="sd1",
        prompt_tokens=CLIP_TOKENS,
        native=768,
        steps=4,
        guidance=8.5,
        multiple_of=8,
        negative=False,
        half_precision="float16",
        distilled=True,
        activation=0.31e9,
    ),
    "StableDiffusionXLPipeline": Family(
        name="sdxl",
        prompt_tokens=CLIP_TOKENS,
        native=1024,
        steps=30,
        guidance=5.0,
        multiple_of=8,
        samplers=True,
        half_precision="float16",
        edits=True,
        activation=0.33e9,
        vae_full_precision=True,
        config_repo="stabilityai/stable-diffusion-xl-base-1.0",
    ),
    "StableDiffusion3Pipeline": Family(
        name="sd3",
        prompt_tokens=256,
        native=1024,
        steps=28,
        guidance=3.5,
        activation=0.53e9,
        config_repo="stabilityai/stable-diffusion-3.5-large",
    ),
    "FluxPipeline": Family(
        name="flux1",
        prompt_tokens=512,
        native=1024,
        steps=28,
        guidance=3.5,
        negative=False,
        edits=True,
        activation=0.49e9,
        config_repo="black-forest-labs/FLUX.1-dev",
    ),
    "Flux2Pipeline": Family(name="flux2", native=1024, steps=50, guidance=4.0, negative=False),
    "Flux2KleinPipeline": Family(name="flux2", native=1024, steps=50, guidance=4.0, negative=False),
    "ZImagePipeline": Family(
        name="z-image",
        native=1024,
        steps=50,
        guidance=5.0,
        activation=0.51e9,
        config_repo="Tongyi-MAI/Z-Image-Turbo",
    ),
    "QwenImagePipeline": Family(
        name="qwen-image",
        native=1328,
        steps=50,
        guidance=4.0,
        guidance_argument="true_cfg_scale",
        activation=0.65e9,
    ),
    "PixArtSigmaPipeline": Family(
        name="pixart",
        prompt_tokens=300,
        native=1024,
        steps=20,
        guidance=4.5,
        multiple_of=8,
        half_precision="float16",
    ),
    "HiDreamImagePipeline": Family(name="hidream", native=1024, steps=50, guidance=5.0),
    "ChromaPipeline": Family(
        name="chroma",
        prompt_tokens=512,
        native=1024,
        steps=40,
        guidance=3.0,
        activation=0.49e9,
        config_repo="lodestones/Chroma1-HD",
    ),
    "SanaPipeline": Family(name="sana", native=1024, steps=20, guidance=4.5, multiple_of=32),
    "SanaSprintPipeline": Family(
        name="sana",
        native=1024,
        steps=2,
        guidance=4.5,
        multiple_of=32,
        negative=False,
        distilled=True,
    ),
    "KolorsPipeline": Family(
        name="kolors",
        native=1024,
        steps=25,
        guidance=6.5,
        multiple_of=8,
        half_precision="float16",
        activation=0.33e9,
        vae_full_precision=True,
    ),
    "Lumina2Pipeline": Family(name="lumina", native=1024, steps=30, guidance=4.0),
}

VARIANTS: tuple[Variant, ...] = (
    Variant(family="sdxl", needle="sdxl-turbo", steps=1, guidance=0.0, native=512),
    Variant(family="sdxl", needle="playground-v2.5", steps=50, guidance=3.0, distilled=False),
    Variant(family="sd3", needle="turbo", steps=4, guidance=0.0),
    Variant(family="sd3", needle="medium", steps=40, guidance=4.5, distilled=False),
    Variant(family="flux1", needle="schnell", steps=4, guidance=0.0),
    Variant(family="z-image", needle="turbo", steps=9, guidance=0.0),
    Variant(family="hidream", needle="fast", steps=16, guidance=0.0),
)

LICENSES: Mapping[str, tuple[str, bool]] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": ("CreativeML OpenRAIL-M", True),
    "stabilityai/stable-diffusion-xl-base-1.0": ("CreativeML OpenRAIL++-M", True),
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

SAMPLERS: Mapping[str, tuple[str, Mapping[str, bool]]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": False}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "ddim": ("DDIMScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
"""Our name of a sampler -> the scheduler class, and what is set on it."""

SAMPLER_ALIASES: Mapping[str, str] = {"euler_ancestral": "euler_a", "uni_pc": "unipc"}

_OTHER_PURPOSE = re.compile(
    "Img2Img|Inpaint|Upscal|SuperResolution|Control|Edit|Video|Audio|Fill|Kontext|Redux|Depth"
    "|Pix2Pix|Variation|Adapter|PAG|Prior|Decoder|Refiner|Layered|IFPipeline|Animate|Wan|LTX"
    "|Hunyuan|CogVideo|Mochi|Allegro"
)


def makes_pictures_from_text(pipeline: str) -> bool:
    """Say whether a class belongs in the list: known ones do, and others not named otherwise."""
    return pipeline in PIPELINES or (
        pipeline.endswith("Pipeline") and _OTHER_PURPOSE.search(pipeline) is None
    )


def sampler(name: str) -> str | None:
    """Find our name of a sampler from a spelling like "DPM++ 2M Karras"; None when unknown."""
    plain = "_".join(name.lower().replace("++", "pp").replace("-", " ").split())
    plain = SAMPLER_ALIASES.get(plain, plain)
    return plain if plain in SAMPLERS else None


def tasks(
    family: Family | None, sizes: FreeSize, *, guided: bool, prompt_tokens: int | None
) -> Mapping[Task, TaskCapability]:
    """List what a model does. Without guidance (distilled models) no negative prompt works.

    Args:
        family: Its class, where that is known.
        sizes: What it makes.
        guided: Whether it takes a guidance.
        prompt_tokens: How much of a prompt it reads.
    """
    limit = PromptLimit(count=prompt_tokens, unit="tokens", beyond="cut") if prompt_tokens else None
    options: set[Option] = {"seed"}
    if family is not None:
        options.add("steps")
        if guided:
            options.add("guidance_scale")
        if guided and family.negative:
            options.add("negative_prompt")
        if family.samplers:
            options.add("sampler")
    plain = TaskCapability(
        sizes=sizes, options=frozenset(options), max_images=MAX_IMAGES, max_prompt=limit
    )
    if family is None or not family.edits:
        return {"text_to_image": plain}
    edit = replace(plain, options=plain.options | {"strength"})
    return {
        "text_to_image": plain,
        "image_to_image": edit,
        "inpaint": replace(edit, mask="white"),
    }
