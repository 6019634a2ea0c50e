"""Tell what a safetensors file holds that is no model by itself, and what can be done with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ziggie_image_mcp.provider import Role
from ziggie_image_providers.diffusers.families import UNET_TEXT_WIDTHS

Shapes = Mapping[str, tuple[str, tuple[int, ...]]]

_LORA = re.compile(r"(\.lora_(down|up|A|B)(\.default)?(\.weight)?|_?lora\.(down|up)\.weight)$")
_LYCORIS = re.compile(r"\.(hada_w\d|lokr_w\d|oft_blocks|oft_diag|a1\.weight$)")
_LORA_DOWN = re.compile(r"\.lora_(down|A)(\.default)?(\.weight)?$|_lora\.down\.weight$")
_CROSS_KEY = re.compile(r"attn2[._](processor[._])?to_k")
_LAYER = re.compile(r"layers[._]\d+[._]attention[._](to_q|qkv)")
_LAYER_WIDTHS = {3840: "z-image", 2304: "lumina"}
_LORA_FAMILIES = (
    ("flux2", re.compile(r"to_qkv_mlp_proj|double_stream_modulation")),
    ("flux1", re.compile(r"single_transformer_blocks|(double|single)_blocks[._]\d")),
    ("qwen-image", re.compile(r"transformer_blocks[._]\d+[._](img|txt)_m")),
    ("sd3", re.compile(r"joint_blocks[._]\d")),
    ("sdxl", re.compile(r"^lora_te2_|^text_encoder_2\.")),
)
_JOINT = re.compile(r"(?<!single_)transformer_blocks[._](\d+)[._]attn[._](to_[qkv]|add_[qkv]_proj)")
"""Attention over picture and text at once, which SD 3, FLUX and Qwen-Image call alike; UNets and
PixArt have attn1 and attn2."""
_JOINT_WIDTHS = {1536: "sd3", 2432: "sd3", 6144: "flux2"}
"""Of SD 3 medium and 3.5 medium, 3.5 large; FLUX.2 dev."""
_SHARED_WIDTH = 3072
"""Of FLUX.1, Chroma, FLUX.2 klein 4B and Qwen-Image alike."""
_BLOCKS_OF_FLUX, _BLOCKS_OF_VIDEO = 19, 20
"""Of FLUX.1 and Chroma; of HunyuanVideo, the largest of that width below Qwen-Image's 60."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a file holds."""

    what: str
    """As "a LoRA"."""
    advice: str = ""
    """What can be done with it, a sentence; empty for what is usable."""
    role: Role = "model"
    family: str | None = None

    @property
    def usable(self) -> bool:
        """Whether this engine takes it beside a model."""
        return not self.advice


def content(tensors: Shapes) -> Content | None:
    """Tell what a file holds by its tensors; None where nothing is known of them."""
    if any(_LORA.search(name) for name in tensors):
        return Content(what="a LoRA", role="lora", family=lora_family(tensors))
    return next((one for is_so, one in _CONTENTS if is_so(tensors)), None)


def lora_family(tensors: Shapes) -> str | None:
    """The architecture that a LoRA was trained on; None where its names do not tell."""
    for family, pattern in _LORA_FAMILIES:
        if any(pattern.search(name) for name in tensors):
            return family
    for name, (_, shape) in tensors.items():
        if len(shape) < 2 or not _LORA_DOWN.search(name):
            continue
        if _CROSS_KEY.search(name):
            return UNET_TEXT_WIDTHS.get(shape[1])
        if _LAYER.search(name):
            return _LAYER_WIDTHS.get(shape[1])
    return _family_of_joint_attention(tensors)


def _family_of_joint_attention(tensors: Shapes) -> str | None:
    """The architecture of a LoRA of attention alone, by its width and by which blocks it has."""
    blocks, widths = set[int](), set[int]()
    for name, (_, shape) in tensors.items():
        place = _JOINT.search(name)
        if place is not None and len(shape) == 2 and _LORA_DOWN.search(name):
            blocks.add(int(place[1]))
            widths.add(shape[1])
    if widths != {_SHARED_WIDTH}:
        return _JOINT_WIDTHS.get(widths.pop()) if len(widths) == 1 else None
    if max(blocks) >= _BLOCKS_OF_VIDEO:
        return "qwen-image"
    return "flux1" if blocks == set(range(_BLOCKS_OF_FLUX)) else None


def _has(pattern: str) -> Callable[[Shapes], bool]:
    compiled = re.compile(pattern)
    return lambda tensors: any(compiled.search(name) for name in tensors)


def _is_unet_of(channels: int) -> Callable[[Shapes], bool]:
    def test(tensors: Shapes) -> bool:
        shapes = [s for n, (_, s) in tensors.items() if n.endswith("input_blocks.0.0.weight")]
        return any(len(shape) == 4 and shape[1] == channels for shape in shapes)

    return test


def _is_wide(tensors: Shapes) -> bool:
    """Whether FLUX takes a picture and a mask beside the noise, as Fill does."""
    inputs = [s for n, (_, s) in tensors.items() if n.endswith("img_in.weight")]
    return bool(inputs) and len(inputs[0]) == 2 and inputs[0][1] != 64


def _is_embedding(tensors: Shapes) -> bool:
    return len(tensors) <= 4 and bool(tensors.keys() & {"emb_params", "clip_l", "clip_g"})


_FOLDER_ONLY = "diffusers reads it from a whole folder only: ziggie-image-mcp models pull"
_OWN_PART = "A model brings its own; alone it makes no picture."

_CONTENTS: tuple[tuple[Callable[[Shapes], bool], Content], ...] = (
    (
        lambda tensors: any(_LYCORIS.search(name) for name in tensors),
        Content(
            what="a LyCORIS (LoHa, LoKr or OFT)",
            advice="This engine knows no model that it fits; ComfyUI takes it (models/loras).",
        ),
    ),
    (
        _has(r"^control_model\.|controlnet_cond_embedding|input_hint_block|controlnet_blocks\."),
        Content(
            what="a ControlNet in one file",
            advice="This engine takes one of SD 1.5, SD 2 or SDXL, named after its kind as depth, "
            "and else a folder with config.json: ziggie-image-mcp models pull OWNER/REPO; ComfyUI "
            "takes the file (models/controlnet).",
        ),
    ),
    (
        _has(r"^(image_proj|ip_adapter)\."),
        Content(
            what="an IP-Adapter",
            advice="This engine takes the plain and plus kinds for SD 1.5, SD 2 and SDXL; ComfyUI "
            "takes others (models/ipadapter).",
        ),
    ),
    (
        _is_embedding,
        Content(
            what="an embedding (textual inversion)",
            advice="This engine takes none; ComfyUI does (models/embeddings).",
        ),
    ),
    (
        _has(r"^(model\.\d+\.sub\.|body\.\d+\.rdb\d|conv_first\.)"),
        Content(
            what="an upscaler (ESRGAN)",
            advice="This engine takes none; ComfyUI does (models/upscale_models).",
        ),
    ),
    (
        _is_unet_of(9),
        Content(
            what="an inpainting checkpoint (a UNet of 9 channels)",
            advice="It reads texts as no family does that this engine knows (SD 1.5, SD 2, SDXL).",
        ),
    ),
    (
        _is_unet_of(8),
        Content(
            what="an InstructPix2Pix checkpoint (a UNet of 8 channels)",
            advice="This engine has no pipeline for it; ComfyUI has.",
        ),
    ),
    (
        lambda tensors: (
            _is_unet_of(4)(tensors)
            and any(
                name.endswith("attn2.to_k.weight") and shape[1:] == (1280,)
                for name, (_, shape) in tensors.items()
            )
        ),
        Content(
            what="the refiner of SDXL",
            advice="It goes on with pictures of SDXL and makes none from a text alone.",
        ),
    ),
    (
        _has(r"double_stream_modulation_img\.lin\.weight"),
        Content(
            what="FLUX.2 in one file",
            advice=f"{_FOLDER_ONLY} flux2-klein-4b.",
            family="flux2",
        ),
    ),
    (
        lambda tensors: _has(r"double_blocks\.0\.img_attn\.")(tensors) and _is_wide(tensors),
        Content(
            what="a FLUX.1 that wants a picture too (Fill, Canny or Depth)",
            advice="It makes no picture from a text alone; this engine takes Fill, as a folder.",
        ),
    ),
    (
        _has(r"transformer_blocks\.0\.img_mod\.1\.weight"),
        Content(
            what="a Qwen-Image transformer",
            advice=f"{_FOLDER_ONLY} qwen-image.",
            family="qwen-image",
        ),
    ),
    (
        _has(r"double_stream_blocks\.0\.block\."),
        Content(
            what="a HiDream transformer",
            advice=f"{_FOLDER_ONLY} HiDream-ai/HiDream-I1-Fast.",
            family="hidream",
        ),
    ),
    (
        _has(r"(^|\.)(down_blocks\.0\.resnets|(single_)?transformer_blocks\.0)\."),
        Content(
            what="one part of a diffusers folder (a UNet or a transformer)",
            advice="Keep it in its folder, beside its config.json, and name the folder that holds "
            "model_index.json.",
        ),
    ),
    (
        _has(r"^(first_stage_model\.|vae\.)?(encoder|decoder)\.conv_in\.weight$"),
        Content(what="a VAE", advice=_OWN_PART),
    ),
    (
        _has(r"(^|\.)text_model\.encoder\.layers\.0\."),
        Content(what="a CLIP text encoder", advice=_OWN_PART),
    ),
    (
        _has(r"(^|\.)encoder\.block\.0\.layer\.0\.SelfAttention\."),
        Content(what="a T5 text encoder", advice=_OWN_PART),
    ),
    (
        _has(r"(^|\.)layers\.0\.self_attn\.q_proj\."),
        Content(what="a language model, as text encoders are", advice=_OWN_PART),
    ),
)
"""In this order: the first that fits tells."""
