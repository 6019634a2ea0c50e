"""Build more families with random weights, LoRAs and ControlNets. A program: it imports torch.

python -m tests.support.random_families FOLDER
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import gguf_files, random_models
from ziggie_image_providers.diffusers.processors import TEXT, VIDEO, do_without_torchvision

WIDE = 768
"""What a UNet reads of a text in SD 1.5; LoRAs and ControlNets tell their family by it."""


def qwen_tokenizer() -> Any:
    """Letters, and the marks that the templates of Qwen's families put around a prompt."""
    transformers = importlib.import_module("transformers")
    marks = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
    letters = [*(chr(i) for i in range(33, 127)), "Ġ", "Ċ"]
    tokens = [*letters, "<|endoftext|>", "<think>", "</think>", *marks]
    words = transformers.Qwen2Tokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=[])
    words.add_special_tokens({"additional_special_tokens": marks})
    words.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}"
        "{{ m['content'] }}{% else %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}"
        "{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return words


def qwen3(words: Any, kind: str, layers: int = 1) -> Any:
    transformers = importlib.import_module("transformers")
    return getattr(transformers, kind)(
        transformers.Qwen3Config(
            vocab_size=len(words),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=layers,
            num_attention_heads=1,
            num_key_value_heads=1,
            head_dim=8,
            max_position_embeddings=1024,
        )
    )


def flow_scheduler() -> Any:
    return importlib.import_module("diffusers").FlowMatchEulerDiscreteScheduler()


def flow_autoencoder(latent_channels: int = 4) -> Any:
    return random_models.autoencoder(
        latent_channels, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609
    )


def z_image() -> Any:
    diffusers, words = importlib.import_module("diffusers"), qwen_tokenizer()
    return diffusers.ZImagePipeline(
        transformer=diffusers.ZImageTransformer2DModel(
            all_patch_size=(2,),
            all_f_patch_size=(1,),
            in_channels=4,
            dim=32,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=8,
            axes_dims=[8, 4, 4],
            axes_lens=[1024, 64, 64],
        ),
        vae=flow_autoencoder(),
        text_encoder=qwen3(words, "Qwen3Model", 2),
        tokenizer=words,
        scheduler=flow_scheduler(),
    )


def klein() -> Any:
    """FLUX.2 klein, distilled; its class reads the layers 9, 18 and 27 of the text encoder."""
    diffusers, words = importlib.import_module("diffusers"), qwen_tokenizer()
    return diffusers.Flux2KleinPipeline(
        transformer=diffusers.Flux2Transformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=3 * 8,
            timestep_guidance_channels=16,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
        vae=diffusers.AutoencoderKLFlux2(
            block_out_channels=(8, 8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=64,
            layers_per_block=1,
        ),
        text_encoder=qwen3(words, "Qwen3ForCausalLM", 28),
        tokenizer=words,
        scheduler=flow_scheduler(),
        is_distilled=True,
    )


def chroma() -> Any:
    diffusers, words = importlib.import_module("diffusers"), random_models.t5_tokenizer()
    return diffusers.ChromaPipeline(
        transformer=diffusers.ChromaTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            axes_dims_rope=(4, 4, 8),
            approximator_hidden_dim=32,
            approximator_layers=1,
            approximator_num_channels=16,
        ),
        vae=flow_autoencoder(),
        text_encoder=random_models.t5_encoder(words),
        tokenizer=words,
        scheduler=flow_scheduler(),
    )


def sd3() -> Any:
    """With 16 latent channels, without which its inpainting refuses to work.

    A ControlNet acts on what is between its layers.
    """
    diffusers = importlib.import_module("diffusers")
    clip, t5 = random_models.clip_tokenizer(), random_models.t5_tokenizer()
    kind = "CLIPTextModelWithProjection"
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=32,
            patch_size=1,
            in_channels=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=32,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            out_channels=16,
        ),
        vae=flow_autoencoder(16),
        text_encoder=random_models.clip_text_model(clip, kind=kind),
        tokenizer=clip,
        text_encoder_2=random_models.clip_text_model(clip, kind=kind),
        tokenizer_2=clip,
        text_encoder_3=random_models.t5_encoder(t5),
        tokenizer_3=t5,
        scheduler=flow_scheduler(),
    )


def qwen_image() -> Any:
    diffusers, words = importlib.import_module("diffusers"), qwen_tokenizer()
    transformers = importlib.import_module("transformers")
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": len(words),
        "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
    }
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
    }
    return diffusers.QwenImagePipeline(
        transformer=diffusers.QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            guidance_embeds=False,
            axes_dims_rope=(8, 4, 4),
        ),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=2,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(
            transformers.Qwen2_5_VLConfig(
                text_config=text, vision_config=vision, **picture_tokens(words)
            )
        ),
        tokenizer=words,
        scheduler=flow_scheduler(),
    )


def picture_tokens(words: Any) -> dict[str, int]:
    """The numbers of the marks that stand for a picture in a prompt."""
    marks = {"image": "<|image_pad|>", "vision_start": "<|vision_start|>"}
    return {f"{name}_token_id": words.convert_tokens_to_ids(mark) for name, mark in marks.items()}


def picture_reader(kind: str, words: Any, **sizes: Any) -> Any:
    """The processor of Qwen's text encoders, which shows them pictures."""
    transformers = importlib.import_module("transformers")
    module = importlib.import_module("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    pictures = module.Qwen2VLImageProcessorPil(**sizes)
    return getattr(transformers, kind)(pictures, words, chat_template=words.chat_template)


def qwen_image_21() -> Any:
    """With an alpha channel, and an autoencoder that is 16 times smaller than its pictures."""
    diffusers, words = importlib.import_module("diffusers"), qwen_tokenizer()
    transformers = importlib.import_module("transformers")
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "vocab_size": len(words),
        "rope_parameters": {"mrope_section": [2, 1, 1], "rope_type": "default", "rope_theta": 1e4},
    }
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    whole = {"shortest_edge": 1024, "longest_edge": 2**24}  # pixels: none is made smaller
    return diffusers.QwenImage21Pipeline(
        transformer=diffusers.QwenImage21Transformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            context_in_dim=16,
            axes_dims_rope=(8, 4, 4),
        ),
        vae=diffusers.AutoencoderKLQwenImage21(
            base_dim=4,
            decoder_base_dim=4,
            z_dim=4,
            dim_mult=[1] * 5,
            num_res_blocks=1,
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=transformers.Qwen3VLForConditionalGeneration(
            transformers.Qwen3VLConfig(
                text_config=text, vision_config=vision, **picture_tokens(words)
            )
        ),
        processor=picture_reader("Qwen3VLProcessor", words, patch_size=16, size=whole),
        scheduler=flow_scheduler(),
        sample_sigmas=[1.0, 0.7, 0.4],
    )


def flux2() -> Any:
    """FLUX.2 dev, whose class reads the layers 10, 20 and 30 of its text encoder."""
    diffusers, words, small = importlib.import_module("diffusers"), qwen_tokenizer(), klein()
    transformers = importlib.import_module("transformers")
    layers = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "head_dim": 8}
    text = {"num_hidden_layers": 30, "num_key_value_heads": 1, "vocab_size": len(words)}
    vision = {"num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
    return diffusers.Flux2Pipeline(
        transformer=diffusers.Flux2Transformer2DModel.from_config(
            small.transformer.config, guidance_embeds=True
        ),
        vae=small.vae,
        text_encoder=transformers.Mistral3ForConditionalGeneration(
            transformers.Mistral3Config(
                text_config={"model_type": "mistral", **layers, **text},
                vision_config={"model_type": "pixtral", **layers, **vision},
            )
        ),
        tokenizer=transformers.PixtralProcessor(words, chat_template=words.chat_template),
        scheduler=small.scheduler,
    )


def kolors(folder: Path) -> Any:
    """Kolors, whose tokenizer is one of sentencepiece, trained here on the names of this module."""
    diffusers = importlib.import_module("diffusers")
    parts = importlib.import_module("diffusers.pipelines.kolors")
    sentencepiece = importlib.import_module("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(Path(__file__).read_text(encoding="utf-8").splitlines()),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=200,
        minloglevel=2,
    )
    words = parts.ChatGLMTokenizer(str(folder / "tokenizer.model"))
    config = importlib.import_module("diffusers.pipelines.kolors.text_encoder").ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=256,
        hidden_size=32,
        ffn_hidden_size=32,
        kv_channels=8,
        num_attention_heads=4,
        multi_query_attention=True,
        multi_query_group_num=2,
        add_qkv_bias=True,
        original_rope=True,
        use_cache=True,
    )
    text_encoder = parts.ChatGLMModel(config, empty_init=False)
    for tensor in text_encoder.parameters():  # of which its class leaves some as memory has them
        importlib.import_module("torch").nn.init.normal_(tensor, std=0.1)
    base = random_models.sdxl()
    unet = diffusers.UNet2DConditionModel.from_config(
        base.unet.config,
        cross_attention_dim=32,
        encoder_hid_dim=32,
        encoder_hid_dim_type="text_proj",
    )
    return diffusers.KolorsPipeline(
        unet=unet,
        vae=base.vae,
        text_encoder=text_encoder,
        tokenizer=words,
        scheduler=base.scheduler,
    )


def sprint() -> Any:
    """SANA Sprint, with an autoencoder that is 32 times smaller than its pictures, as its own."""
    diffusers, words = importlib.import_module("diffusers"), qwen_tokenizer()
    transformers = importlib.import_module("transformers")
    stages = 6
    return diffusers.SanaSprintPipeline(
        transformer=diffusers.SanaTransformer2DModel(
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=8,
            sample_size=32,
            qk_norm="rms_norm_across_heads",
            guidance_embeds=True,
        ),
        vae=diffusers.AutoencoderDC(
            in_channels=3,
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types=("ResBlock",) * stages,
            decoder_block_types=("ResBlock",) * stages,
            encoder_block_out_channels=(4,) * stages,
            decoder_block_out_channels=(4,) * stages,
            encoder_qkv_multiscales=((),) * stages,
            decoder_qkv_multiscales=((),) * stages,
            encoder_layers_per_block=(1,) * stages,
            decoder_layers_per_block=[1] * stages,
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            decoder_norm_types="rms_norm",
            decoder_act_fns="silu",
            scaling_factor=0.41407,
        ),
        text_encoder=transformers.Gemma2Model(
            transformers.Gemma2Config(
                vocab_size=len(words),
                hidden_size=8,
                intermediate_size=8,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=4,
                max_position_embeddings=512,
            )
        ),
        tokenizer=words,
        scheduler=diffusers.SCMScheduler(),
    )


def sana() -> Any:
    """SANA, with the parts of its Sprint but for what tells that the guidance."""
    diffusers, pipe = importlib.import_module("diffusers"), sprint()
    return diffusers.SanaPipeline(
        transformer=diffusers.SanaTransformer2DModel.from_config(
            pipe.transformer.config,
            guidance_embeds=False,
            num_layers=2,  # a ControlNet acts from the second on
        ),
        vae=pipe.vae,
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        scheduler=flow_scheduler(),
    )


def deepfloyd() -> dict[str, Any]:
    """The three stages of DeepFloyd IF, whose first draws 16 px; without its checker."""
    diffusers, words = importlib.import_module("diffusers"), random_models.t5_tokenizer()
    parts = importlib.import_module("diffusers.pipelines.deepfloyd_if")
    clip = random_models.clip_tokenizer()
    shape = {
        "out_channels": 6,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "encoder_hid_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "resnet_time_scale_shift": "scale_shift",
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2,
    }
    noise: dict[str, Any] = {"beta_schedule": "squaredcos_cap_v2", "thresholding": True}
    noise |= {"variance_type": "learned_range", "sample_max_value": 1.5}
    watermark = parts.IFWatermarker()
    watermark.watermark_image += 255
    first = diffusers.IFPipeline(
        tokenizer=words,
        text_encoder=random_models.t5_encoder(words),
        unet=diffusers.UNet2DConditionModel(sample_size=16, in_channels=3, **shape),
        scheduler=diffusers.DDPMScheduler(**noise),
        safety_checker=None,
        feature_extractor=None,
        watermarker=watermark,
        requires_safety_checker=False,
    )
    second = changed(
        first,
        "IFSuperResolutionPipeline",
        unet=diffusers.UNet2DConditionModel(
            sample_size=64,
            in_channels=6,
            class_embed_type="timestep",
            time_cond_proj_dim=None,
            **shape,
        ),
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        requires_safety_checker=False,
    )
    third = diffusers.StableDiffusionUpscalePipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=64,
            scaling_factor=0.08333,
        ),
        text_encoder=random_models.clip_text_model(clip),
        tokenizer=clip,
        unet=diffusers.UNet2DConditionModel(
            sample_size=64,
            in_channels=7,
            out_channels=4,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=4,
            num_class_embeds=1000,
        ),
        low_res_scheduler=diffusers.DDPMScheduler(),
        scheduler=diffusers.DDIMScheduler(
            beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
    )
    return {"if-1": first, "if-2": second, "if-3": third}


def changed(pipe: Any, name: str, **parts: Any) -> Any:
    """A pipeline of another class with the parts of one."""
    kind = getattr(importlib.import_module("diffusers"), name)
    wanted = inspect.signature(kind.__init__).parameters
    return kind(**{k: v for k, v in {**pipe.components, **parts}.items() if k in wanted})


def of_nine_channels(pipe: Any, name: str) -> Any:
    """An inpainting checkpoint: its UNet sees the mask and the picture below it."""
    diffusers = importlib.import_module("diffusers")
    unet = diffusers.UNet2DConditionModel.from_config(pipe.unet.config, in_channels=9)
    return changed(pipe, name, unet=unet, requires_safety_checker=False)


def fill() -> Any:
    """FLUX.1 Fill: its transformer sees the mask and the picture below it."""
    pipe, diffusers = random_models.flux(), importlib.import_module("diffusers")
    channels = 16 + 16 + 4 * 64  # latents, those of the masked picture, the mask
    transformer = diffusers.FluxTransformer2DModel.from_config(
        pipe.transformer.config, in_channels=channels, out_channels=16
    )
    return changed(pipe, "FluxFillPipeline", transformer=transformer)


def lcm() -> Any:
    """A UNet that is told the guidance, for few steps."""
    pipe, diffusers = random_models.sd1(), importlib.import_module("diffusers")
    return changed(
        pipe,
        "LatentConsistencyModelPipeline",
        unet=diffusers.UNet2DConditionModel.from_config(pipe.unet.config, time_cond_proj_dim=16),
        scheduler=diffusers.LCMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        ),
        requires_safety_checker=False,
    )


def lora(model: Any, file: Path, prefix: str, strength: float = 1.0, seed: int = 0) -> None:
    """Write a LoRA for the attention of a model, as peft names its weights."""
    torch = importlib.import_module("torch")
    safetensors = importlib.import_module("safetensors.torch")
    noise, tensors = torch.Generator().manual_seed(seed), {}
    for name, layer in model.named_modules():
        if name.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")):
            down, up = (4, layer.in_features), (layer.out_features, 4)
            tensors[f"{prefix}.{name}.lora_A.weight"] = torch.randn(down, generator=noise)
            tensors[f"{prefix}.{name}.lora_B.weight"] = torch.randn(up, generator=noise) * strength
    safetensors.save_file(tensors, file, metadata={"format": "pt"})


def nets(folder: Path, wide: Any, sdxl: Any, flux: Any) -> None:
    """Write ControlNets whose last layers are not zero, as they are before training."""
    diffusers = importlib.import_module("diffusers")
    safetensors = importlib.import_module("safetensors.torch")
    plain = {"conditioning_embedding_out_channels": (8, 8, 8, 16)}
    for name in ("control-canny", "control-depth"):
        net = stirred(diffusers.ControlNetModel.from_unet(wide.unet, **plain))
        net.save_pretrained(folder / name)
    whole = stirred(diffusers.ControlNetModel.from_unet(wide.unet))
    tensors = {name: tensor.contiguous() for name, tensor in whole.state_dict().items()}
    safetensors.save_file(tensors, folder / "control-scribble.safetensors")
    union = diffusers.ControlNetUnionModel.from_config(
        sdxl.unet.config, num_trans_channel=8, num_trans_head=2, num_proj_channel=8, **plain
    )
    stirred(union).save_pretrained(folder / "control-union-sdxl")
    same = ("in_channels", "attention_head_dim", "num_attention_heads", "joint_attention_dim")
    more = ("pooled_projection_dim", "axes_dims_rope", "guidance_embeds")
    shape = {name: flux.transformer.config[name] for name in (*same, *more)}
    net = diffusers.FluxControlNetModel(num_layers=1, num_single_layers=0, **shape)
    stirred(net).save_pretrained(folder / "flux-control-depth")


def transformer_nets(folder: Path, pipelines: Mapping[str, Any]) -> None:
    """Write the same for transformers that are not FLUX's."""
    diffusers = importlib.import_module("diffusers")
    sd3 = pipelines["sd3"].transformer.config
    net = diffusers.SD3ControlNetModel.from_config(sd3, num_layers=1, extra_conditioning_channels=0)
    stirred(net).save_pretrained(folder / "sd3-control-canny")
    net = diffusers.QwenImageControlNetModel.from_config(
        pipelines["qwen-image"].transformer.config, extra_condition_channels=0
    )
    stirred(net).save_pretrained(folder / "qwen-image-union")
    net = diffusers.ZImageControlNetModel(
        control_layers_places=[0],
        control_refiner_layers_places=[0],
        control_in_dim=4,
        dim=32,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
    )
    stirred(net).save_pretrained(folder / "z-image-control-depth")
    sana = pipelines["sana"].transformer.config
    net = diffusers.SanaControlNetModel.from_config(sana, num_layers=1)
    stirred(net).save_pretrained(folder / "sana-control-softedge")


def ip_adapter(folder: Path, pipe: Any) -> None:
    """Write an IP-Adapter for a UNet, and the model that sees pictures for it."""
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    safetensors = importlib.import_module("safetensors.torch")
    seen, noise = 32, torch.Generator().manual_seed(9)
    tensors = {
        "image_proj.proj.weight": torch.randn(4 * WIDE, seen, generator=noise),
        "image_proj.proj.bias": torch.zeros(4 * WIDE),
        "image_proj.norm.weight": torch.ones(WIDE),
        "image_proj.norm.bias": torch.zeros(WIDE),
    }
    layers = [name for name in pipe.unet.attn_processors if "attn2" in name]
    for number, name in enumerate(layers):
        width = pipe.unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for which in ("to_k_ip", "to_v_ip"):
            key = f"ip_adapter.{2 * number + 1}.{which}.weight"
            tensors[key] = torch.randn(width, WIDE, generator=noise)
    safetensors.save_file(tensors, folder / "ip-adapter.safetensors")
    transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            hidden_size=seen,
            intermediate_size=37,
            num_hidden_layers=1,
            num_attention_heads=4,
            image_size=32,
            patch_size=8,
            projection_dim=seen,
        )
    ).save_pretrained(folder / "image_encoder")


def stirred(net: Any) -> Any:
    torch = importlib.import_module("torch")
    noise = torch.Generator().manual_seed(5)
    for tensor in net.parameters():
        if not tensor.any():
            tensor.data = torch.randn(tensor.shape, generator=noise) * 0.5
    return net


def build(folder: Path) -> None:
    """Save all, as folders and files named after what they are."""
    folder.mkdir(parents=True, exist_ok=True)
    importlib.import_module("torch").manual_seed(0)
    do_without_torchvision((*TEXT, *VIDEO))
    wide, sdxl, flux = random_models.sd1(WIDE), random_models.sdxl(), random_models.flux()
    qwen = qwen_image()
    reader = picture_reader("Qwen2VLProcessor", qwen.tokenizer)
    pipelines = {
        "sd1": wide,
        "sdxl": sdxl,
        "refiner": random_models.refiner(sdxl),
        "flux": flux,
        "flux2": flux2(),
        "pixart": random_models.pixart(),
        "sd3": sd3(),
        "z-image": z_image(),
        "qwen-image": qwen,
        "qwen-edit": changed(qwen, "QwenImageEditPipeline", processor=reader),
        "qwen-edit-plus": changed(qwen, "QwenImageEditPlusPipeline", processor=reader),
        "qwen-image-2.1": qwen_image_21(),
        "chroma": chroma(),
        "klein": klein(),
        "kontext": changed(flux, "FluxKontextPipeline"),
        "fill": fill(),
        "lcm": lcm(),
        "sana": sana(),
        "sprint": sprint(),
        "sd1-inpaint": of_nine_channels(wide, "StableDiffusionInpaintPipeline"),
        "sdxl-inpaint": of_nine_channels(sdxl, "StableDiffusionXLInpaintPipeline"),
    }
    if importlib.util.find_spec("sentencepiece") is not None:
        words = folder / "sentencepiece"
        words.mkdir()
        pipelines["kolors"] = kolors(words)
    pipelines |= deepfloyd()
    for name, pipeline in pipelines.items():
        pipeline.save_pretrained(folder / name)
    random_models.checkpoint(folder / "sd1-inpaint", folder / "nine.safetensors")
    more = folder / "additions"
    more.mkdir()
    for seed, name in enumerate(("one", "two")):
        lora(wide.unet, more / f"{name}.safetensors", "unet", 3.0, seed)
    lora(flux.transformer, more / "for-flux.safetensors", "transformer", 3.0)
    qwen = pipelines["qwen-image"].transformer
    lora(qwen, more / "for-qwen.safetensors", "transformer", 3.0)
    lora(wide.unet, more / "elsewhere.safetensors", "another_part", 3.0)
    other = importlib.import_module("diffusers").UNet2DConditionModel.from_config(
        wide.unet.config, block_out_channels=(16, 32)
    )
    lora(other, more / "too-wide.safetensors", "unet")
    nets(more, wide, sdxl, flux)
    transformer_nets(more, pipelines)
    ip_adapter(more, wide)
    if importlib.util.find_spec("gguf") is not None:
        gguf_files.build(folder / "gguf", pipelines["qwen-image"], pipelines["z-image"])


if __name__ == "__main__":
    build(Path(sys.argv[1]))
