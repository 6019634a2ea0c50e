"""Diffusion transformers as files of their own: FLUX and those that came after.

Each is built with the numbers that ComfyUI's detection would find; `shrink` has made the classes
narrower where detection knows but one width.
"""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.ldm.flux.model
import comfy.ldm.modules.diffusionmodules.mmdit
import comfy.ops
import encoders
import torch
import unets
import vaes
from weights import Tensors, random_tensors, save

OPERATIONS = comfy.ops.disable_weight_init


LATER = {"txt_ids_dims", "default_ref_method", "vec_in_dim"}
FLUX1: dict[str, Any] = {
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": 2,
    "vec_in_dim": 768,
    "context_in_dim": 4096,
    "hidden_size": 128,
    "mlp_ratio": 4.0,
    "num_heads": 1,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [16, 56, 56],
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}


def flux1(path: Path, **changes: Any) -> None:
    """FLUX.1: Fill is known by its 96 channels, schnell by its lack of guidance."""
    numbers = fitting(comfy.ldm.flux.model.FluxParams, {**FLUX1, **changes})
    model = comfy.ldm.flux.model.Flux(**numbers, operations=OPERATIONS)
    save(random_tensors(model, path.stem), path)


def flux2(path: Path, guidance_embed: bool = True, context: int = 15360) -> None:
    """FLUX.2, dev or klein."""
    changes = {
        "in_channels": 128,
        "out_channels": 128,
        "patch_size": 1,
        "vec_in_dim": None,
        "context_in_dim": context,
        "mlp_ratio": 3.0,
        "axes_dim": [32, 32, 32, 32],
        "theta": 2000,
        "qkv_bias": False,
        "guidance_embed": guidance_embed,
        "txt_ids_dims": [3],
        "global_modulation": True,
        "mlp_silu_act": True,
        "ops_bias": False,
    }
    flux1(path, **changes)


def chroma(path: Path) -> None:
    numbers = {
        **{name: value for name, value in FLUX1.items() if name != "guidance_embed"},
        "in_channels": 64,
        "out_channels": 64,
        "in_dim": 64,
        "out_dim": 3072,
        "hidden_dim": 5120,
        "n_layers": 5,
        "vec_in_dim": None,
    }
    build(path, "comfy.ldm.chroma.model", "Chroma", **numbers)


def z_image(path: Path) -> None:
    numbers = {
        "axes_dims": [32, 48, 48],
        "n_heads": 30,
        "n_kv_heads": 30,
        "z_image_modulation": True,
    }
    lumina(
        path,
        dim=3840,
        cap_feat_dim=2560,
        pad_tokens_multiple=32,
        **numbers,
    )


def lumina2(path: Path) -> None:
    lumina(
        path,
        dim=2304,
        cap_feat_dim=2304,
        axes_dims=[32, 32, 32],
        n_heads=24,
        n_kv_heads=8,
    )


def lumina(path: Path, **numbers: Any) -> None:
    build(
        path,
        "comfy.ldm.lumina.model",
        "NextDiT",
        in_channels=16,
        n_layers=2,
        qk_norm=True,
        **numbers,
    )


def pixart(path: Path) -> None:
    build(
        path,
        "comfy.ldm.pixart.pixartms",
        "PixArtMS",
        depth=1,
        model_max_length=300,
        micro_condition=False,
    )


def qwen_image(path: Path, method: str = "index") -> None:
    """Qwen-Image; the edit model of 2511 is known by its way with references."""
    module = "comfy.ldm.qwen_image.model"
    build(path, module, "QwenImageTransformer2DModel", num_layers=1, default_ref_method=method)


def hidream(path: Path) -> None:
    numbers = {
        "axes_dims_rope": [64, 32, 32],
        "caption_channels": [4096, 4096],
        "llama_layers": [0, 1],
    }
    module = "comfy.ldm.hidream.model"
    build(
        path,
        module,
        "HiDreamImageTransformer2DModel",
        patch_size=2,
        in_channels=16,
        out_channels=16,
        **numbers,
    )


def sd3(path: Path, encoded: bool) -> None:
    """Stable Diffusion 3.5 medium, as a checkpoint with or without its text encoders."""
    name = path.stem
    model = comfy.ldm.modules.diffusionmodules.mmdit.MMDiT(
        input_size=None,
        in_channels=16,
        out_channels=16,
        depth=2,
        adm_in_channels=2048,
        context_embedder_config={
            "target": "torch.nn.Linear",
            "params": {"in_features": 4096, "out_features": 128},
        },
        num_patches=96 * 96,
        pos_embed_max_size=96,
        qk_norm="rms",
        x_block_self_attn_layers=[0],
        operations=OPERATIONS,
    )
    tensors = random_tensors(model, name, "model.diffusion_model.") | vaes.taesd(
        name, vaes.SD3, "first_stage_model."
    )
    if encoded:
        tensors |= unets.clip_l(name, "text_encoders.clip_l.") | unets.clip_g(
            name, "text_encoders.clip_g."
        )
        tensors |= encoders.t5xxl_tensors(name, "text_encoders.t5xxl.transformer.")
    save(tensors, path)


def build(path: Path, module: str, kind: str, **numbers: Any) -> None:
    """Write one of ComfyUI's classes; older versions lack some."""
    source = importlib.import_module(module)
    target = getattr(source, kind)
    numbers = fitting(getattr(source, f"{kind}Params", target), numbers)
    model = target(**numbers, operations=OPERATIONS)
    save(random_tensors(model, path.stem) | marks(model), path)


def fitting(target: Callable[..., Any], numbers: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an older version does not ask for, where it had the same value unasked."""
    asked = inspect.signature(target).parameters
    return {name: value for name, value in numbers.items() if name in asked or name not in LATER}


def marks(model: torch.nn.Module) -> Tensors:
    """Empty tensors say what they say by their name."""
    return {key: value for key, value in model.state_dict().items() if not value.numel()}
