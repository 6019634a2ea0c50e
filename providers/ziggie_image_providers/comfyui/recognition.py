"""Tell what kind of model a file is: by its tensors, its metadata, its name and folder, its size.

Each says more surely what it says at all than the next, so the first that speaks is believed. The
names of tensors are those by which ComfyUI itself tells families apart (comfy/model_detection.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from ziggie_image_providers.comfyui import names
from ziggie_image_providers.comfyui.headers import Tensors
from ziggie_image_providers.comfyui.settings import Family

Folder = Literal["checkpoints", "diffusion_models"]
Format = Literal["", "gguf", "nf4", "nunchaku"]
Width = Callable[..., int]
"""Gives the length of a tensor's axis by its name, the second one where none is named."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What is known of a model file."""

    file: str
    """As ComfyUI lists it, with its subfolder."""
    folder: Folder
    size: int | None = None
    """Bytes."""
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    tensors: Tensors | None = None
    """Only of files on this machine."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a file was taken for."""

    family: str = ""
    """Empty where it could not be told."""
    variant: str = ""
    steps: int | None = None
    """A small number of steps that its name tells."""
    format: Format = ""
    whole: bool | None = None
    """Whether text encoders are in it; None where that is not known."""


def recognise(facts: FileFacts, overrides: Mapping[str, Family]) -> Verdict:
    """Tell what kind of model a file is.

    Args:
        facts: What is known of it.
        overrides: The user's patterns of file names; they win over all else.
    """
    name = facts.file.replace("\\", "/")
    named = names.read(name, facts.folder)
    family: str = next((f for p, f in overrides.items() if _matches(name, p)), "")
    seen = _by_tensors(facts.tensors) if facts.tensors else _Seen()
    told = _by_metadata(facts.metadata)
    if named.family == "playground" and "sdxl" in (seen.family, told):
        told, seen = "playground", _Seen(variant=seen.variant, whole=seen.whole)
    family = family or seen.family or told
    if not family:
        family = named.family
        by_size = _by_size(facts, named.format)
        if by_size and (not family or (family, by_size) in _MISNAMED):
            family = by_size
        family = family or named.guess
    variant, steps = names.variant(name, family)
    variant = seen.variant or variant
    return Verdict(
        family=family,
        variant=variant,
        steps=steps,
        format=seen.format or named.format,
        whole=seen.whole,
    )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    family: str = ""
    variant: str = ""
    format: Format = ""
    whole: bool | None = None


_PREFIXES = ("model.diffusion_model.", "model.", "transformer.", "")


def _by_tensors(tensors: Tensors) -> _Seen:
    prefix = next(p for p in _PREFIXES if any(n.startswith(p) for n in tensors))
    if prefix == "model." and f"model.{_FIRST_CONVOLUTION}" not in tensors:
        prefix = ""
    names = {n.removeprefix(prefix) for n in tensors if n.startswith(prefix)}
    whole = any(
        n.startswith(("cond_stage_model.", "conditioner.", "text_encoders.")) for n in tensors
    )

    def width(name: str, axis: int = 1) -> int:
        shape = tensors.get(prefix + name, ())
        return shape[axis] if len(shape) > axis else 0

    if any("bitsandbytes__nf4" in n for n in tensors):
        return _Seen(family=_by_names(names, width), format="nf4", whole=whole)
    if any(n.endswith((".qweight", ".wscales")) for n in names):
        return _Seen(format="nunchaku")
    family = _by_names(names, width)
    if family == "sdxl" and "edm_mean" in tensors:
        family = "playground"
    return _Seen(family=family, variant=_variant(family, names, width), whole=whole)


_FIRST_CONVOLUTION = "input_blocks.0.0.weight"


def _by_names(names: set[str], width: Width) -> str:
    """The family by the names of a model's tensors, without their prefix."""
    if "joint_blocks.0.context_block.attn.qkv.weight" in names:
        return "sd3"
    if "double_stream_modulation_img.lin.weight" in names:
        klein = width("txt_in.weight") < 15_000  # Mistral's three layers are 15,360 wide
        return "flux2-klein" if klein else "flux2"
    if any(n.startswith("distilled_guidance_layer.") for n in names):
        return "chroma"
    if "double_blocks.0.img_attn.norm.key_norm.scale" in names:
        return "flux1"
    if "caption_projection.0.linear.weight" in names:
        return "hidream"
    if "t_block.1.weight" in names:
        return "pixart"
    if "txt_norm.weight" in names:
        return "qwen-image"
    if "cap_embedder.1.weight" in names:
        return "z-image" if width("cap_embedder.1.weight") == 2560 else "lumina"
    if _FIRST_CONVOLUTION not in names:
        return ""
    if any(n.startswith("label_emb.") for n in names):
        channels = width(_FIRST_CONVOLUTION, 0)
        return "sdxl-refiner" if channels == 384 else "sdxl"
    attention = next((n for n in sorted(names) if n.endswith("attn2.to_k.weight")), "")
    return {768: "sd1", 1024: "sd2"}.get(width(attention), "")


def _variant(family: str, names: set[str], width: Width) -> str:
    channels = width(_FIRST_CONVOLUTION)
    if family in ("sd1", "sd2", "sdxl") and channels == 9:
        return "inpaint"
    if family in ("sd1", "sdxl") and channels == 8:
        return "instruct"
    if family == "flux1" and width("img_in.weight") == 384:
        return "fill"
    if family == "flux1" and "guidance_in.in_layer.weight" not in names:
        return "schnell"
    return ""


def _by_metadata(metadata: Mapping[str, object]) -> str:
    plain = re.sub(r"[._]", "-", str(metadata.get("modelspec.architecture", "")).lower())
    if not plain:
        return ""
    if re.search(r"/(lora|textual-inversion|control-?net|lllite)", plain):
        return "other"
    if "refiner" in plain:
        return "sdxl-refiner"
    return next((f for start, f in _ARCHITECTURES.items() if plain.startswith(start)), "")


_ARCHITECTURES = {
    "stable-diffusion-xl": "sdxl",
    "stable-diffusion-v1": "sd1",
    "stable-diffusion-v2": "sd2",
    "stable-diffusion-3": "sd3",
    "stable-diffusion-v3": "sd3",
    "stable-cascade": "cascade",
    "flux-2": "flux2",
    "flux-1": "flux1",
    "flux": "flux1",
    "chroma": "chroma",
    "qwen-image": "qwen-image",
    "z-image": "z-image",
    "lumina": "lumina",
    "hidream": "hidream",
    "pixart": "pixart",
    "playground": "playground",
    "kolors": "kolors",
    "hunyuan-video": "video",
    "wan": "video",
    "auraflow": "aura-flow",
}

_SIZES: Sequence[tuple[Folder, Format, float, float, str]] = (
    ("checkpoints", "", 1.60, 2.47, "sd1"),
    ("checkpoints", "", 2.50, 2.595, "sd1"),
    ("checkpoints", "", 2.600, 2.615, "sd2"),
    ("checkpoints", "", 3.80, 3.90, "sd1"),
    ("checkpoints", "", 4.20, 4.35, "sd1"),
    ("checkpoints", "", 5.20, 5.23, "sd2"),
    ("checkpoints", "", 5.50, 5.65, "sd1"),
    ("checkpoints", "", 6.40, 7.20, "sdxl"),
    ("checkpoints", "", 7.60, 7.75, "sd1"),
    ("checkpoints", "", 13.80, 13.95, "sdxl"),
    ("checkpoints", "", 17.00, 17.35, "flux1"),
    ("diffusion_models", "", 11.85, 11.95, "flux1"),
    ("diffusion_models", "", 23.70, 23.90, "flux1"),
    ("diffusion_models", "", 5.10, 5.18, "sdxl"),
    ("diffusion_models", "gguf", 6.75, 6.86, "flux1"),
    ("diffusion_models", "gguf", 12.60, 12.80, "flux1"),
)
"""GB between which files of a family are published: whole, at half and full precision, with parts
at either, with and without averaged weights; alone at 8 and 16 bits; as GGUF at Q4 and Q8."""

_MISNAMED = frozenset((("sdxl", "sd1"), ("sd1", "sdxl"), ("flux1", "sdxl"), ("sdxl", "flux1")))
"""What a name says, and what a size shows to be true all the same."""


def _by_size(facts: FileFacts, format: str) -> str:
    if facts.size is None:
        return ""
    size = facts.size / 1e9
    return next(
        (
            family
            for folder, kind, least, most, family in _SIZES
            if folder == facts.folder and kind == format and least <= size <= most
        ),
        "",
    )


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower().replace("\\", "/")
    return fnmatchcase(name, pattern) or fnmatchcase(name.rsplit("/", 1)[-1], pattern)
