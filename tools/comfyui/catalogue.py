"""All files that `models.py` writes, in the order of use."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import colours
import dits
import encoders
import extras
import unets
import vaes

FILES: dict[str, Callable[[Path], None]] = {
    "checkpoints/random-sd15.safetensors": unets.sd1,
    "checkpoints/random-sd15-inpainting.safetensors": partial(unets.sd1, in_channels=9),
    "checkpoints/random-sdxl.safetensors": unets.sdxl,
    "checkpoints/sd_xl_refiner_random.safetensors": unets.refiner,
    "checkpoints/sd_xl_turbo_random.safetensors": unets.sdxl,
    "diffusion_models/flux1-dev-random.safetensors": dits.flux1,
    "diffusion_models/flux1-schnell-random.safetensors": partial(dits.flux1, guidance_embed=False),
    "diffusion_models/flux1-fill-dev-random.safetensors": partial(dits.flux1, in_channels=96),
    "diffusion_models/flux1-kontext-dev-random.safetensors": dits.flux1,
    "text_encoders/clip_l.safetensors": encoders.clip_l,
    "text_encoders/clip_g.safetensors": encoders.clip_g,
    "text_encoders/t5xxl_fp16.safetensors": encoders.t5xxl,
    "vae/ae.safetensors": partial(vaes.small, scale=vaes.FLUX1),
    "loras/random-sd15-lora.safetensors": partial(
        extras.lora,
        base="checkpoints/random-sd15.safetensors",
        part="transformer_blocks",
        metadata={
            "ss_base_model_version": "sd_v1",
            "ss_network_module": "networks.lora",
            "modelspec.architecture": "stable-diffusion-v1/lora",
        },
    ),
    "loras/random-sdxl-lora.safetensors": partial(
        extras.lora,
        base="checkpoints/random-sdxl.safetensors",
        part="transformer_blocks",
        metadata={"ss_base_model_version": "sdxl_base_v1-0", "ss_network_module": "networks.lora"},
    ),
    "loras/random-flux1-lora.safetensors": partial(
        extras.lora, base="diffusion_models/flux1-dev-random.safetensors", part="_blocks."
    ),
    "controlnet/control_v11p_sd15_canny_random.safetensors": extras.control,
    "controlnet/control_v11f1p_sd15_depth_random.safetensors": extras.control,
    "controlnet/controlnet-union-sdxl-1.0-promax-random.safetensors": extras.control_union,
    "controlnet/flux1-dev-controlnet-union-pro-random.safetensors": extras.control_flux,
    "upscale_models/2x_random.safetensors": extras.upscaler,
    "embeddings/random-embedding.safetensors": extras.embedding,
    "vae/sdxl_vae.safetensors": partial(vaes.small, scale=vaes.SDXL),
    "vae/sd3_vae.safetensors": partial(vaes.small, scale=vaes.SD3),
    "checkpoints/playground-v2.5-random.safetensors": unets.playground,
    "checkpoints/v2-1_512-random.safetensors": unets.sd2,
    "checkpoints/sd3.5_medium_random.safetensors": partial(dits.sd3, encoded=False),
    "checkpoints/sd3.5_medium_incl_clips_random.safetensors": partial(dits.sd3, encoded=True),
    "diffusion_models/flux2-dev-random.safetensors": dits.flux2,
    "text_encoders/mistral_3_small_flux2.safetensors": encoders.mistral,
    "vae/flux2-vae.safetensors": colours.flux2,
    "diffusion_models/flux-2-klein-4b-random.safetensors": partial(
        dits.flux2, guidance_embed=False, context=7680
    ),
    "text_encoders/qwen_3_4b.safetensors": encoders.qwen3_4b,
    "diffusion_models/z_image_turbo_random.safetensors": dits.z_image,
    "diffusion_models/chroma1-hd-random.safetensors": dits.chroma,
    "diffusion_models/lumina2-random.safetensors": dits.lumina2,
    "text_encoders/gemma_2_2b.safetensors": encoders.gemma,
    "diffusion_models/pixart_sigma_random.safetensors": dits.pixart,
    "diffusion_models/qwen_image_random.safetensors": dits.qwen_image,
    "diffusion_models/qwen_image_edit_2511_random.safetensors": partial(
        dits.qwen_image, method="index_timestep_zero"
    ),
    "text_encoders/qwen_2.5_vl_7b.safetensors": encoders.qwen2_5_vl,
    "vae/qwen_image_vae.safetensors": colours.wan,
    "diffusion_models/hidream_i1_full_random.safetensors": dits.hidream,
    "text_encoders/llama_3.1_8b_instruct.safetensors": encoders.llama,
}
