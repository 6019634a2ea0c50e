"""Make small models with random weights that InvokeAI takes for real ones.

    VENV/bin/python tools/invokeai/models.py FOLDER

InvokeAI tells a model's base by the widths of its text encoders, so those are the real ones.
"""

import sys
from pathlib import Path
from typing import Any

import diffusers  # type: ignore[import-untyped,unused-ignore]
import torch
import transformers  # type: ignore[import-untyped,unused-ignore]
from safetensors.torch import save_file
from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

LENGTH = 77
BLOCKS = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
}
UNET = {**BLOCKS, "sample_size": 8, "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tokenizer() -> Any:
    """Letters and bytes, without merges."""
    letters = [chr(i) for i in range(33, 127)] + [chr(i) for i in range(161, 324)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>"]
    vocabulary = {token: i for i, token in enumerate([*tokens, "<|endoftext|>"])}
    return transformers.CLIPTokenizer(
        vocab=vocabulary, merges=[], model_max_length=LENGTH, pad_token="<|endoftext|>"
    )


def text_encoder(words: Any, width: int, kind: str = "CLIPTextModel") -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=width,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return getattr(transformers, kind)(config)


def autoencoder() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )


def sd1(folder: Path) -> None:
    words = tokenizer()
    diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel(cross_attention_dim=768, **UNET),
        vae=autoencoder(),
        text_encoder=text_encoder(words, 768),
        tokenizer=words,
        scheduler=diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **NOISE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def sdxl(folder: Path) -> None:
    words = tokenizer()
    diffusers.StableDiffusionXLPipeline(
        unet=diffusers.UNet2DConditionModel(
            cross_attention_dim=2048,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 1280,
            **UNET,
        ),
        vae=autoencoder(),
        text_encoder=text_encoder(words, 768),
        tokenizer=words,
        text_encoder_2=text_encoder(words, 1280, "CLIPTextModelWithProjection"),
        tokenizer_2=words,
        scheduler=diffusers.EulerDiscreteScheduler(**NOISE),
    ).save_pretrained(folder)


def control(folder: Path) -> None:
    """A net for SD 1.5, told to be one for edges by its name."""
    diffusers.ControlNetModel(
        cross_attention_dim=768, conditioning_embedding_out_channels=(4, 8, 8, 8), **BLOCKS
    ).save_pretrained(folder)


def lora(file: Path) -> None:
    """Two changes to the text encoder of SD 1.5, in the names of kohya's scripts."""
    tensors: dict[str, torch.Tensor] = {}
    for part in ("q_proj", "k_proj"):
        name = f"lora_te_text_model_encoder_layers_0_self_attn_{part}"
        tensors[f"{name}.lora_down.weight"] = torch.randn(4, 768)
        tensors[f"{name}.lora_up.weight"] = torch.randn(768, 4)
        tensors[f"{name}.alpha"] = torch.tensor(4.0)
    save_file(tensors, file)


def upscaler(file: Path) -> None:
    """Of Real-ESRGAN's compact kind, twice the size."""
    net = SRVGGNetCompact(num_feat=8, num_conv=2, upscale=2)
    torch.save({"params": net.state_dict()}, file)


MAKERS = {
    "tiny-sd1": sd1,
    "tiny-sdxl": sdxl,
    "tiny-sd15-canny": control,
    "tiny-lora.safetensors": lora,
    "tiny-upscaler-x2.pth": upscaler,
}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for name, make in MAKERS.items():
        if not (folder / name).exists():
            make(folder / name)


if __name__ == "__main__":
    main()
