"""Build pipelines of a few hundred kilobytes with random weights. A program: it imports torch.

python random_models.py FOLDER
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

CLIP_LENGTH = 77

UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_NAMES = (
    (r"encoder\.down_blocks\.(\d)\.resnets\.(\d)", r"encoder.down.\1.block.\2"),
    (r"encoder\.down_blocks\.(\d)\.downsamplers\.0", r"encoder.down.\1.downsample"),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0", "mid.attn_1"),
    ("group_norm", "norm"),
    (r"to_out\.0", "proj_out"),
    (r"to_([qkv])", r"\1"),
    ("conv_shortcut", "nin_shortcut"),
    ("conv_norm_out", "norm_out"),
)


def clip_tokenizer() -> Any:
    """A byte-level vocabulary without merges."""
    transformers = importlib.import_module("transformers")
    letters = [chr(i) for i in range(33, 127)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    return transformers.CLIPTokenizer(
        vocab=vocabulary, merges=[], model_max_length=CLIP_LENGTH, pad_token="<|endoftext|>"
    )


def clip_text_model(words: Any, width: int = 32, kind: str = "CLIPTextModel") -> Any:
    transformers = importlib.import_module("transformers")
    return getattr(transformers, kind)(
        transformers.CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            intermediate_size=37,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=CLIP_LENGTH,
            projection_dim=32,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )


def t5_tokenizer() -> Any:
    transformers = importlib.import_module("transformers")
    pieces = ["<pad>", "</s>", "<unk>", "▁", *(chr(i) for i in range(33, 127))]
    return transformers.T5TokenizerFast(
        vocab=[(piece, -float(i)) for i, piece in enumerate(pieces)], extra_ids=0
    )


def t5_encoder(words: Any) -> Any:
    transformers = importlib.import_module("transformers")
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=len(words), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4
        )
    )


def autoencoder(latent_channels: int = 4, **more: Any) -> Any:
    diffusers = importlib.import_module("diffusers")
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=64,
        **more,
    )


def sd1(width: int = 32, **more: Any) -> Any:
    """Native size 64: 8 latents of 8 pixels. `width` is that of the text encoder."""
    diffusers = importlib.import_module("diffusers")
    words = clip_tokenizer()
    return diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=width,
            attention_head_dim=4,
            norm_num_groups=4,
        ),
        vae=autoencoder(),
        text_encoder=clip_text_model(words, width),
        tokenizer=words,
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        **{
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
            **more,
        },
    )


def sdxl() -> Any:
    """Two text encoders, and a UNet that is told of sizes."""
    diffusers = importlib.import_module("diffusers")
    words = clip_tokenizer()
    return diffusers.StableDiffusionXLPipeline(
        unet=diffusers.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=64,
            attention_head_dim=4,
            norm_num_groups=4,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        vae=autoencoder(),
        text_encoder=clip_text_model(words),
        tokenizer=words,
        text_encoder_2=clip_text_model(words, kind="CLIPTextModelWithProjection"),
        tokenizer_2=words,
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
    )


def refiner(base: Any) -> Any:
    """What goes on with latents of `sdxl`: one text encoder, and a score in place of a size."""
    diffusers = importlib.import_module("diffusers")
    return diffusers.StableDiffusionXLImg2ImgPipeline(
        unet=diffusers.UNet2DConditionModel.from_config(
            base.unet.config,
            cross_attention_dim=32,
            projection_class_embeddings_input_dim=5 * 8 + 32,
        ),
        vae=base.vae,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=base.text_encoder_2,
        tokenizer_2=base.tokenizer_2,
        scheduler=base.scheduler,
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
    )


def prude() -> Any:
    """A safety checker that takes offence at everything."""
    transformers = importlib.import_module("transformers")
    checker = importlib.import_module("diffusers.pipelines.stable_diffusion.safety_checker")
    vision = {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
    }
    strict = checker.StableDiffusionSafetyChecker(
        transformers.CLIPConfig(vision_config=vision, text_config={}, projection_dim=16)
    )
    for name in ("concept_embeds_weights", "special_care_embeds_weights"):
        getattr(strict, name).data.fill_(-1.0)
    eyes = importlib.import_module("transformers.models.clip.image_processing_pil_clip")
    return sd1(
        safety_checker=strict,
        feature_extractor=eyes.CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        requires_safety_checker=True,
    )


def flux() -> Any:
    diffusers = importlib.import_module("diffusers")
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
        vae=autoencoder(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609),
        text_encoder=clip_text_model(clip),
        tokenizer=clip,
        text_encoder_2=t5_encoder(t5),
        tokenizer_2=t5,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )


def pixart() -> Any:
    """A pipeline without `callback_on_step_end`."""
    diffusers = importlib.import_module("diffusers")
    words = t5_tokenizer()
    return diffusers.PixArtSigmaPipeline(
        transformer=diffusers.PixArtTransformer2DModel(
            sample_size=32,
            num_layers=1,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_channels=32,
            cross_attention_dim=16,
            in_channels=4,
            out_channels=8,
            use_additional_conditions=False,
        ),
        vae=autoencoder(),
        text_encoder=t5_encoder(words),
        tokenizer=words,
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )


def checkpoint(folder: Path, file: Path) -> None:
    """Write an SD1 folder as one file, with the names that Stable Diffusion began with."""
    safetensors = importlib.import_module("safetensors.torch")
    text = safetensors.load_file(folder / "text_encoder" / "model.safetensors")
    unet = safetensors.load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    vae = safetensors.load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    renamed = {f"cond_stage_model.transformer.text_model.{k}": v for k, v in text.items()}
    renamed |= {f"model.diffusion_model.{unet_name(k)}": v for k, v in unet.items()}
    for name, tensor in vae.items():
        attention = re.search(r"attentions.*to_\w+(\.0)?\.weight", name)
        renamed[f"first_stage_model.{vae_name(name)}"] = (
            tensor[..., None, None].contiguous() if attention else tensor
        )
    safetensors.save_file(renamed, file, metadata={"format": "pt"})


def unet_name(name: str) -> str:
    """Rename a weight of the UNet of `sd1`, which has two blocks of one layer."""
    for ours, theirs in UNET_ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs)
    name = name.replace("down_blocks.0.downsamplers.0.conv", "input_blocks.2.0.op")
    name = name.replace("up_blocks.0.upsamplers.0", "output_blocks.1.2")
    name = re.sub(
        r"(down|up|mid)_blocks?\.?(\d?)\.(resnets|attentions)\.(\d)",
        lambda found: unet_place(found[1], int(found[2] or 0), found[3], int(found[4])),
        name,
    )
    if "attentions" not in name and "transformer_blocks" not in name:
        for ours, theirs in UNET_RESNET.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
    return name


def unet_place(where: str, block: int, kind: str, layer: int) -> str:
    inner = 0 if kind == "resnets" else 1
    if where == "mid":
        return f"middle_block.{2 * layer if inner == 0 else 1}"
    if where == "down":
        return f"input_blocks.{2 * block + 1}.{inner}"
    return f"output_blocks.{2 * block + layer}.{inner}"


def vae_name(name: str) -> str:
    """Rename a weight of the autoencoder, whose decoder counts its blocks the other way."""
    for ours, theirs in VAE_NAMES:
        name = re.sub(ours, theirs, name)
    name = re.sub(
        r"decoder\.up_blocks\.(\d)\.resnets",
        lambda found: f"decoder.up.{3 - int(found[1])}.block",
        name,
    )
    return re.sub(
        r"decoder\.up_blocks\.(\d)\.upsamplers\.0",
        lambda found: f"decoder.up.{3 - int(found[1])}.upsample",
        name,
    )


def damage(folder: Path, weights: str) -> None:
    """Cut a file to half, as a broken download leaves it."""
    file = folder / weights
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def spoil(folder: Path) -> None:
    """Make one number of the UNet no number."""
    safetensors = importlib.import_module("safetensors.torch")
    file = str(folder / "unet" / "diffusion_pytorch_model.safetensors")
    tensors = safetensors.load_file(file)
    tensors["conv_out.bias"][0] = float("nan")
    safetensors.save_file(tensors, file, metadata={"format": "pt"})


def rename_class(folder: Path, name: str) -> None:
    """Make the folder claim to be a pipeline of another class."""
    file = folder / "model_index.json"
    index = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**index, "_class_name": name}), encoding="utf-8")


def build(folder: Path) -> None:
    """Save all models, as folders named after what they are or what is wrong with them."""
    importlib.import_module("torch").manual_seed(0)
    pipelines = {"sd1": sd1(), "wide": sd1(768), "flux": flux(), "pixart": pixart()}
    for name, pipeline in {**pipelines, "sdxl": sdxl(), "prude": prude()}.items():
        pipeline.save_pretrained(folder / name)
    checkpoint(folder / "wide", folder / "single.safetensors")
    for name in ("nan", "damaged", "incomplete", "strange", "garbled"):
        shutil.copytree(folder / "sd1", folder / name)
    spoil(folder / "nan")
    damage(folder / "damaged", "unet/diffusion_pytorch_model.safetensors")
    (folder / "incomplete" / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    rename_class(folder / "strange", "NoSuchPipeline")
    (folder / "garbled" / "unet" / "config.json").write_text("{", encoding="utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
