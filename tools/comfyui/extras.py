"""What is added to a model: LoRAs, ControlNets, embeddings; and models that enlarge."""

from pathlib import Path

import comfy.cldm.cldm
import comfy.ldm.flux.controlnet
import comfy.ldm.flux.model
import comfy.utils
import dits
import torch
import unets
from safetensors import safe_open
from weights import Tensors, draw, random_tensors, save

RANK = 4
UNION_TYPES = 8


def lora(path: Path, base: str, part: str, metadata: dict[str, str] | None = None) -> None:
    """A LoRA as kohya writes it, over the layers of `base`, which must be there already."""
    shapes: dict[str, tuple[int, ...]] = {}
    with safe_open(path.parent.parent / base, "pt") as file:
        prefix = "model.diffusion_model." if base.startswith("checkpoints") else ""
        for key in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
            shape = tuple(file.get_slice(key).get_shape())
            if (
                key.startswith(prefix)
                and part in key
                and key.endswith(".weight")
                and len(shape) == 2
            ):
                shapes |= _pair(
                    "lora_unet_"
                    + key.removeprefix(prefix).removesuffix(".weight").replace(".", "_"),
                    shape,
                )
    if base.startswith("checkpoints"):
        te = "lora_te1" if "sdxl" in base else "lora_te"
        for layer in range(2):
            shapes |= _pair(f"{te}_text_model_encoder_layers_{layer}_self_attn_q_proj", (768, 768))
            shapes |= _pair(f"{te}_text_model_encoder_layers_{layer}_self_attn_v_proj", (768, 768))
    tensors = draw(shapes, path.stem)
    names = [
        key.removesuffix(".lora_up.weight") for key in shapes if key.endswith(".lora_up.weight")
    ]
    save(tensors | {f"{name}.alpha": torch.tensor(float(RANK)) for name in names}, path, metadata)


def _pair(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.lora_up.weight": (shape[0], RANK),
        f"{name}.lora_down.weight": (RANK, shape[1]),
    }


def embedding(path: Path) -> None:
    save(draw({"emb_params": (2, 768)}, path.stem, gain=20.0), path)


def upscaler(path: Path, scale: int = 2) -> None:
    """RealESRGAN's compact net, which adds its details to the enlarged picture."""
    shapes = {"body.0": (16, 3, 3, 3), "body.2": (16, 16, 3, 3), "body.4": (3 * scale**2, 16, 3, 3)}
    tensors = draw({f"{key}.weight": shape for key, shape in shapes.items()}, path.stem, gain=0.3)
    tensors |= {f"{key}.bias": torch.zeros(shape[0]).half() for key, shape in shapes.items()}
    save(
        tensors | {f"body.{index}.weight": torch.full((16,), 0.25).half() for index in (1, 3)}, path
    )


def control(path: Path) -> None:
    """A ControlNet for SD 1.5 in the format of its authors."""
    save(seeing(random_tensors(_controlnet(unets.SD1), path.stem, "control_model.")), path)


def control_union(path: Path) -> None:
    """A ControlNet for SDXL that takes any kind of map, known by the format of diffusers alone."""
    model = _controlnet(unets.SDXL, union_controlnet_num_control_type=UNION_TYPES)
    tensors = seeing(random_tensors(model, path.stem))
    names = {
        ldm: diffusers
        for diffusers, ldm in comfy.utils.unet_to_diffusers(unets.SDXL.config()).items()
    }
    for suffix in ("weight", "bias"):
        names[f"middle_block_out.0.{suffix}"] = f"controlnet_mid_block.{suffix}"
        for index in range(20):
            names[f"zero_convs.{index}.0.{suffix}"] = f"controlnet_down_blocks.{index}.{suffix}"
        hint = [f"input_hint_block.{2 * index}.{suffix}" for index in range(8)]
        names[hint[0]] = f"controlnet_cond_embedding.conv_in.{suffix}"
        names[hint[-1]] = f"controlnet_cond_embedding.conv_out.{suffix}"
        for index, key in enumerate(hint[1:-1]):
            names[key] = f"controlnet_cond_embedding.blocks.{index}.{suffix}"
    save({names.get(key, key): value for key, value in tensors.items()}, path)


def seeing(tensors: Tensors) -> Tensors:
    """Make up for what the eight activations of the hint encoder swallow."""
    return {
        key: value * 2 if "input_hint_block" in key and value.ndim == 4 else value
        for key, value in tensors.items()
    }


def _controlnet(sizes: unets.UNet, **kwargs: int) -> torch.nn.Module:
    config = sizes.config()
    del config["out_channels"], config["transformer_depth_output"]
    return comfy.cldm.cldm.ControlNet(**config, hint_channels=3, **kwargs)


def control_flux(path: Path) -> None:
    """A union ControlNet for FLUX.1 in the format of diffusers, as InstantX's."""
    model = comfy.ldm.flux.controlnet.ControlNetFlux(
        latent_input=True,
        num_union_modes=10,
        control_latent_channels=16,
        operations=dits.OPERATIONS,
        **dits.fitting(comfy.ldm.flux.model.FluxParams, dits.FLUX1),
    )
    tensors = random_tensors(model, path.stem)
    save(to_diffusers(tensors, comfy.utils.flux_to_diffusers(dits.FLUX1)), path)


def to_diffusers(
    tensors: Tensors, names: dict[str, str | tuple[str, tuple[int, int, int]]]
) -> Tensors:
    """Rename what has a name there, and cut joined matrices apart; the rest stays."""
    result: Tensors = {}
    taken: set[str] = set()
    for name, target in names.items():
        key, part = (target, None) if isinstance(target, str) else target[:2]
        if (
            key in tensors
            and "linear_in" not in name
            and "linear_out" not in name
            and "qkv_mlp" not in name
        ):
            if "single" in name and name.endswith("attn.to_out.weight"):
                continue
            result[name] = tensors[key] if part is None else tensors[key].narrow(*part)
            taken.add(key)
    return result | {key: value for key, value in tensors.items() if key not in taken}
