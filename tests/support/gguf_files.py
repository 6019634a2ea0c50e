"""Write transformers as GGUF files, by the gguf package, as converters for ComfyUI do.

Numbers of one dimension stay F32; what has no rows of whole blocks stays F16.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import wire


def write(path: Path, tensors: Mapping[str, Any], architecture: str, form: str) -> None:
    """Write tensors of torch by their published names.

    Args:
        path: The file.
        tensors: By name.
        architecture: What the header says.
        form: As `Q8_0`, of the numbers of linear layers.
    """
    gguf = importlib.import_module("gguf")
    numpy = importlib.import_module("numpy")
    kind = gguf.GGMLQuantizationType[form]
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    writer = gguf.GGUFWriter(str(path), architecture)
    for name, tensor in tensors.items():
        numbers = tensor.detach().float().numpy()
        if numbers.ndim < 2:
            writer.add_tensor(name, numbers)
        elif form == "F16" or (block > 1 and (numbers.ndim > 2 or numbers.shape[-1] % block)):
            writer.add_tensor(name, numbers.astype(numpy.float16))
        else:
            writer.add_tensor(name, gguf.quantize(numbers, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def z_image_names(transformer: Any) -> dict[str, Any]:
    """The weights of a Z-Image transformer by the names of its single files."""
    torch, tensors = importlib.import_module("torch"), transformer.state_dict()
    for name in [n for n in tensors if n.endswith(".attention.to_q.weight")]:
        beginning = name.removesuffix("to_q.weight")
        rows = [tensors.pop(f"{beginning}to_{letter}.weight") for letter in "qkv"]
        tensors[f"{beginning}qkv.weight"] = torch.cat(rows)
    renamed: dict[str, Any] = {}
    for name, tensor in tensors.items():
        for ours, theirs in (
            ("all_final_layer.2-1.", "final_layer."),
            ("all_x_embedder.2-1.", "x_embedder."),
            ("to_out.0.", "out."),
            ("norm_k.", "k_norm."),
            ("norm_q.", "q_norm."),
        ):
            name = name.replace(ours, theirs)
        renamed[name] = tensor
    return renamed


def flux_names(transformer: Any) -> dict[str, Any]:
    """The weights of a FLUX.1 transformer by the names that it was published with."""
    torch, tensors = importlib.import_module("torch"), dict(transformer.state_dict())
    ends = {
        "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
        "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
        "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
        "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
        "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
        "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
        "context_embedder": "txt_in",
        "x_embedder": "img_in",
        "proj_out": "final_layer.linear",
    }
    double = {
        "norm1.linear": "img_mod.lin",
        "norm1_context.linear": "txt_mod.lin",
        "attn.to_out.0": "img_attn.proj",
        "attn.to_add_out": "txt_attn.proj",
        "ff.net.0.proj": "img_mlp.0",
        "ff.net.2": "img_mlp.2",
        "ff_context.net.0.proj": "txt_mlp.0",
        "ff_context.net.2": "txt_mlp.2",
    }
    fused = {
        "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
        "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    }
    norms = {
        "img_attn.norm.query_norm": "attn.norm_q",
        "img_attn.norm.key_norm": "attn.norm_k",
        "txt_attn.norm.query_norm": "attn.norm_added_q",
        "txt_attn.norm.key_norm": "attn.norm_added_k",
    }
    named: dict[str, Any] = {}
    for kind in ("weight", "bias"):
        for ours, theirs in ends.items():
            named[f"{theirs}.{kind}"] = tensors[f"{ours}.{kind}"]
        scale, shift = tensors[f"norm_out.linear.{kind}"].chunk(2)
        named[f"final_layer.adaLN_modulation.1.{kind}"] = torch.cat([shift, scale])
        for at in range(transformer.config.num_layers):
            block, new = f"transformer_blocks.{at}", f"double_blocks.{at}"
            for ours, theirs in double.items():
                named[f"{new}.{theirs}.{kind}"] = tensors[f"{block}.{ours}.{kind}"]
            for theirs, parts in fused.items():
                rows = [tensors[f"{block}.{part}.{kind}"] for part in parts]
                named[f"{new}.{theirs}.{kind}"] = torch.cat(rows)
        for at in range(transformer.config.num_single_layers):
            block, new = f"single_transformer_blocks.{at}", f"single_blocks.{at}"
            rows = [
                tensors[f"{block}.{part}.{kind}"]
                for part in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
            ]
            named[f"{new}.linear1.{kind}"] = torch.cat(rows)
            named[f"{new}.linear2.{kind}"] = tensors[f"{block}.proj_out.{kind}"]
            named[f"{new}.modulation.lin.{kind}"] = tensors[f"{block}.norm.linear.{kind}"]
    for at in range(transformer.config.num_layers):
        for theirs, ours in norms.items():
            named[f"double_blocks.{at}.{theirs}.scale"] = tensors[
                f"transformer_blocks.{at}.{ours}.weight"
            ]
    for at in range(transformer.config.num_single_layers):
        for which, ours in (("query", "q"), ("key", "k")):
            named[f"single_blocks.{at}.norm.{which}_norm.scale"] = tensors[
                f"single_transformer_blocks.{at}.attn.norm_{ours}.weight"
            ]
    return named


def loaded_bytes(path: Path, base: Path, pipeline: str) -> int:
    """What the transformer of a file takes in memory, in half precision."""
    torch = importlib.import_module("torch")
    loading: Any = importlib.import_module("ziggie_image_providers.diffusers.gguf_loading")
    request = wire.WorkerRequest(
        path=str(path),
        pipeline=pipeline,
        config_folder=str(base),
        prompt="",
        negative_prompt=None,
        width=64,
        height=64,
        num_images=1,
        seed=1,
        steps=1,
        guidance=None,
    )
    transformer = loading.read(request, torch.bfloat16).transformer
    return sum(p.numel() * p.element_size() for p in transformer.parameters())


def build(folder: Path, qwen: Any, z_image: Any) -> None:
    """Write the transformers of two pipelines that are saved beside this folder, and another's."""
    torch = importlib.import_module("torch")
    folder.mkdir()
    weights = qwen.transformer.state_dict()
    for form in ("Q8_0", "BF16"):
        write(folder / f"qwen-{form}.gguf", weights, "qwen_image", form)
    write(folder / "zed-F16.gguf", z_image_names(z_image.transformer), "lumina2", "F16")
    noise = torch.Generator().manual_seed(3)
    other = {n: torch.randn(t.shape, generator=noise) * 0.3 for n, t in weights.items()}
    write(folder / "qwen-other.gguf", other, "qwen_image", "Q8_0")
    del other["norm_out.linear.weight"]
    write(folder / "qwen-less.gguf", other, "qwen_image", "Q8_0")
    actual = {
        f"gguf/{name}": loaded_bytes(folder / name, folder.parent / base, pipeline)
        for name, base, pipeline in (
            ("qwen-Q8_0.gguf", "qwen-image", "QwenImagePipeline"),
            ("zed-F16.gguf", "z-image", "ZImagePipeline"),
        )
    }
    (folder / "bytes.json").write_text(json.dumps(actual), encoding="utf-8")
