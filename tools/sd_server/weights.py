"""Write SD 1.5 in full size with random weights, as a folder of diffusers in fp16."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

SEED = 15
SURE = -30.0
"""The logarithm of a variance."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder

    torch.manual_seed(SEED)
    with torch.device("meta"):
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
            )
        )
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            norm_num_groups=32,
        )
        unet = UNet2DConditionModel(cross_attention_dim=768)
    for name, model, prefix, file in (
        ("text_encoder", text, "text_model.", "model"),  # as transformers before 5 called it
        ("vae", vae, "", "diffusion_pytorch_model"),
        ("unet", unet, "", "diffusion_pytorch_model"),  # the last: it is there when all are
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        weights = {f"{prefix}{key}": value for key, value in filled(model.state_dict()).items()}
        save_file(weights, folder / name / f"{file}.safetensors")
        print(folder / name, flush=True)


def filled(shapes: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of these shapes: norms that change nothing, and else noise that keeps its scale."""
    made: dict[str, torch.Tensor] = {}
    for name, like in shapes.items():
        if like.dtype.is_floating_point:
            shape = tuple(like.shape)
            if len(shape) == 1:
                value = torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
            else:
                value = torch.randn(shape) / (like[0].numel() ** 0.5)
            if name == "quant_conv.bias":
                value[len(value) // 2 :] = SURE  # a trained VAE hardly guesses what it sees
            made[name] = value.half().contiguous()
    return made


if __name__ == "__main__":
    main()
