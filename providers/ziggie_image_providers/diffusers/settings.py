"""This provider's section of config.json."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ziggie_image_mcp.provider.settings import Folder, ProviderSettings
from ziggie_image_providers.diffusers.attention import AttentionBackend
from ziggie_image_providers.diffusers.capabilities import MAX_IMAGES
from ziggie_image_providers.diffusers.step_cache import StepCache


class Settings(ProviderSettings):
    """What may be set; the keys are camelCase in the file."""

    model_dirs: tuple[Folder, ...] = ()
    """Folders to look in for diffusers folders and single .safetensors files."""
    use_hub_cache: bool = True
    """List what the Hugging Face cache holds. Nothing is ever downloaded."""
    device: str = Field(default="auto", pattern=r"^(auto|(cpu|cuda|mps|xpu)(:\d+)?)$")
    """`auto` follows `hardware.gpu`."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """The number format of the weights; auto: as the device and the model bear."""
    quantization: Literal["auto", "prefer", "never"] = "auto"
    """Weights in fewer bits, where a model fits a GPU in no other way; `prefer` takes that before
    the weights wait in main memory layer by layer, which is slower."""
    attention: AttentionBackend = "auto"
    """Which kernels a transformer's attention runs by, as diffusers names them; `auto`: torch's
    own choice, unless `models measure` found another to pay for the model on this machine."""
    compile: Literal["off", "auto", "on"] = "off"
    """`on`: the blocks of a model that repeat are compiled at its first picture, which takes
    minutes then; pictures differ slightly. `auto`: where `models measure` found that it pays."""
    step_cache: StepCache = "off"
    """Skip what changes little from step to step, for FLUX.1, FLUX.2 klein and Qwen-Image: faster,
    and pictures differ."""
    batch_size: int | None = Field(default=None, ge=1, le=MAX_IMAGES)
    """How many pictures of a request are made at once; unset: as many as the card has room for, and
    on a processor one after another."""
    hires: Literal["auto", "never"] = "auto"
    """`auto`: what is well above a model's native size is drawn small first, and over then."""
    gguf_bases: dict[str, str] = Field(default_factory=dict[str, str])
    """By the id of a GGUF file the id of the diffusers folder that lends it text encoders, VAE and
    settings; needed where several of its architecture are here."""
    refiner: str = ""
    """The id of a refiner that draws the last fifth of what SDXL makes from a text; empty: none."""
    idle_seconds: float = Field(default=300, ge=0)
    """After so long without work the worker ends and its memory is free."""
    load_seconds: float = Field(default=900, gt=0)
    """Limit for loading a model."""
    step_seconds: float = Field(default=600, gt=0)
    """Limit for one step, or one decoding."""
