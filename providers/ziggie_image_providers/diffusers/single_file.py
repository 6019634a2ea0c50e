"""Tell what a single .safetensors file holds by its tensors' names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ziggie_image_providers.diffusers.families import UNET_TEXT_WIDTHS
from ziggie_image_providers.diffusers.file_content import Content, Shapes, content
from ziggie_image_providers.diffusers.noise_prediction import Prediction, find_prediction
from ziggie_image_providers.diffusers.weights import Part, part, shapes

_PREFIX = "model.diffusion_model."
_TEXT = ("cond_stage_model.", "conditioner.embedders.", "text_encoders.")
_VAE = ("first_stage_model.", "vae.")

_PLAIN_CHANNELS, _INPAINT_CHANNELS = 4, 9
"""Of a UNet's input: latents alone, or with those of the masked picture and the mask."""
_INPAINTS = {
    "StableDiffusionPipeline": "StableDiffusionInpaintPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLInpaintPipeline",
}
"""The class that runs a UNet of nine channels, by that of its family."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model in one file."""

    pipeline: str
    family: str
    parts: Mapping[str, Part]
    distilled: bool = False
    text_width: int | None = None
    """Of the text encoder, where the UNet tells."""
    missing_parts: tuple[str, ...] = ()
    """Components that it does not hold and a diffusers folder must lend."""
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Shapes of its denoiser by name, without the prefix of the denoiser."""
    prediction: Prediction | None = None
    """Of a UNet."""

    @property
    def lenders(self) -> tuple[str, ...]:
        """The classes whose folders have the same settings and parts but the denoiser."""
        return (self.pipeline, *(own for own, other in _INPAINTS.items() if other == self.pipeline))

    @property
    def inpaints(self) -> bool:
        """Whether it wants a picture and a mask."""
        return self.pipeline in _INPAINTS.values()

    @property
    def denoiser(self) -> str:
        """The component that runs at each step."""
        return next(name for name in self.parts if name in ("unet", "transformer"))


def inspect(path: Path) -> Checkpoint | Content | None:
    """Look at one file; None when nothing is known of what it holds.

    Raises:
        Damaged: The file is cut off, or something else.
        OSError: It cannot be read.
    """
    tensors = shapes(path)
    names = {name.removeprefix(_PREFIX): shape for name, (_, shape) in tensors.items()}
    kind = _kind(names)
    if kind is None:
        return content(tensors)
    pipeline, family = kind
    denoiser = "unet" if family in ("sd1", "sd2", "sdxl") else "transformer"
    text, vae = _starting(tensors, _TEXT), _starting(tensors, _VAE)
    rest = {n: e for n, e in tensors.items() if n not in text and n not in vae}
    parts = {denoiser: part(rest)}
    if text:
        parts["text_encoder"] = part(text)
    if vae:
        parts["vae"] = part(vae)
    found = None
    if denoiser == "unet":
        inpaints = pipeline in _INPAINTS.values()
        found = find_prediction(path, tensors, family, inpaints=inpaints)
    return Checkpoint(
        pipeline=pipeline,
        prediction=found,
        family=family,
        parts=parts,
        text_width=next(iter(_widths(names)), None),
        distilled=family == "flux1" and "guidance_in.in_layer.weight" not in names,
        missing_parts=tuple(name for name in ("text_encoder", "vae") if name not in parts),
        tensors=names,
    )


def _starting(tensors: Shapes, prefixes: tuple[str, ...]) -> Shapes:
    return {name: entry for name, entry in tensors.items() if name.startswith(prefixes)}


def _kind(names: Mapping[str, tuple[int, ...]]) -> tuple[str, str] | None:
    """Name the pipeline class and family, by the keys that ComfyUI's detection uses."""
    if "joint_blocks.0.context_block.attn.qkv.weight" in names:
        return "StableDiffusion3Pipeline", "sd3"
    if any(name.startswith("double_blocks.0.img_attn.norm.key_norm.") for name in names):
        if "double_stream_modulation_img.lin.weight" in names:
            return None  # FLUX.2 has no from_single_file
        if any(name.startswith("distilled_guidance_layer.") for name in names):
            return "ChromaPipeline", "chroma"
        wide = names.get("img_in.weight", (0, 64))
        return (
            None if wide[-1:] != (64,) else ("FluxPipeline", "flux1")
        )  # 384 is Fill: needs a picture
    caption = names.get("cap_embedder.1.weight")
    if caption is not None and "noise_refiner.0.attention.k_norm.weight" in names:
        return ("ZImagePipeline", "z-image") if caption[:1] == (3840,) else None
    return _unet(names)


def _unet(names: Mapping[str, tuple[int, ...]]) -> tuple[str, str] | None:
    first = names.get("input_blocks.0.0.weight")
    if first is None or len(first) != 4 or first[1] not in (_PLAIN_CHANNELS, _INPAINT_CHANNELS):
        return None
    widths = _widths(names)
    family = UNET_TEXT_WIDTHS.get(next(iter(widths))) if len(widths) == 1 else None
    if family is None:
        return None  # 1280 is the SDXL refiner
    pipeline = "StableDiffusionXLPipeline" if family == "sdxl" else "StableDiffusionPipeline"
    return pipeline if first[1] == _PLAIN_CHANNELS else _INPAINTS[pipeline], family


def _widths(names: Mapping[str, tuple[int, ...]]) -> set[int]:
    keys = [shape for name, shape in names.items() if name.endswith("attn2.to_k.weight")]
    return {width for shape in keys for width in shape[1:2]}
