"""Folders and files that look like models, with nothing in their weights: no torch is needed."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Tensors = Mapping[str, Sequence[int]]
PARTS = ("unet", "text_encoder", "vae")


def write(
    path: Path,
    tensors: Tensors,
    *,
    missing: int = 0,
    about: Mapping[str, str] | None = None,
    numbers: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Write a safetensors file of F16 without using the disk: its numbers are a hole.

    But those of `numbers`, tensors of one dimension.
    """
    values: Mapping[str, Sequence[float]] = {} if numbers is None else numbers
    tensors = {**tensors, **{name: [len(own)] for name, own in values.items()}}
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(about or {})}}
    end = 0
    for name, shape in tensors.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + end - missing)
        for name, own in values.items():
            file.seek(8 + len(raw) + header[name]["data_offsets"][0])
            file.write(struct.pack(f"<{len(own)}e", *own))
    return path


def write_gguf(
    path: Path, tensors: Tensors, architecture: str = "", kind: int = 8, *, missing: int = 0
) -> Path:
    """Write a GGUF file whose numbers are a hole, all of one type: Q8_0, where none is named."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    numbers = text("a.list") + struct.pack("<IIQ", 9, 4, 2) + struct.pack("<II", 1, 2)
    own = text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    raw, offset = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 2) + numbers + own, 0
    for name, shape in tensors.items():
        sides = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        raw += text(name) + sides + struct.pack("<IQ", kind, offset)
        offset += -(-2 * math.prod(shape) // 32) * 32 + 32
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(raw)
        file.truncate(-(-len(raw) // 32) * 32 + offset - missing)
    return path


def flux_tensors(*, guided: bool = True, width: int = 64, layers: int = 19) -> dict[str, list[int]]:
    """Some of each layer of FLUX.1's transformer, by the names that it was published with."""
    tensors = {
        "img_in.weight": [3072, width],
        "txt_in.weight": [64, 64],
        "final_layer.linear.weight": [64, 64],
    }
    if guided:
        tensors["guidance_in.in_layer.weight"] = [3072, 256]
    for number in range(layers):
        block = f"double_blocks.{number}"
        for name in ("img_attn.qkv", "img_attn.proj", "img_mlp.0", "img_mlp.2", "img_mod.lin"):
            tensors[f"{block}.{name}.weight"] = [64, 64]
            tensors[f"{block}.{name.replace('img', 'txt')}.weight"] = [64, 64]
    for number in range(38):
        tensors |= {f"single_blocks.{number}.linear{which}.weight": [64, 64] for which in (1, 2)}
    return tensors


def flux(
    path: Path, name: str = "FluxPipeline", *, whole: bool = True, layers: int = 19, **layout: Any
) -> Path:
    """Write a FLUX.1 folder, with its transformer's settings, and its weights where it is whole."""
    parts = {"transformer": 9, "text_encoder": 7, "text_encoder_2": 8, "vae": 6}
    pipeline(path, name, parts=parts, transformer=["diffusers", "FluxTransformer2DModel"])
    config = {"num_layers": layers, "num_single_layers": 38, "in_channels": 64}
    (path / "transformer" / "config.json").write_text(
        json.dumps(config | {"guidance_embeds": True} | layout), encoding="utf-8"
    )
    if not whole:
        (path / "transformer" / "model.safetensors").unlink()
    return path


def sd1_tensors() -> dict[str, list[int]]:
    """Some of each layer of Stable Diffusion 1's UNet, by the names that it was published with."""
    tensors = {
        "time_embed.0.weight": [1280, 320],
        "time_embed.2.weight": [1280, 1280],
        "input_blocks.0.0.weight": [320, 4, 3, 3],
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": [320, 768],
        "out.0.weight": [320],
        "out.2.weight": [4, 320, 3, 3],
    }
    tensors |= {f"input_blocks.{place}.0.op.weight": [320, 320, 3, 3] for place in (3, 6, 9)}
    layers = [f"input_blocks.{place}" for place in (1, 2, 4, 5, 7, 8, 10, 11)]
    layers += [f"output_blocks.{place}" for place in range(12)]
    blocks = [f"{layer}.0" for layer in layers] + ["middle_block.0", "middle_block.2"]
    for block in blocks:
        tensors |= {f"{block}.{name}.weight": [8, 8] for name in ("in_layers.2", "out_layers.3")}
    return tensors


def pipeline(
    path: Path,
    pipeline: str = "StableDiffusionPipeline",
    *,
    parts: Mapping[str, int] | None = None,
    suffix: str = "",
    **index: Any,
) -> Path:
    """Write a diffusers folder; `parts` says how many numbers each component has."""
    sizes = parts or dict.fromkeys(PARTS, 1000)
    listed = {name: ["diffusers", "Whatever"] for name in sizes}
    path.mkdir(parents=True, exist_ok=True)
    (path / "model_index.json").write_text(
        json.dumps(
            {
                "_class_name": pipeline,
                **listed,
                "scheduler": ["diffusers", "DDIMScheduler"],
                "tokenizer": ["transformers", "CLIPTokenizer"],
                "safety_checker": [None, None],
                **index,
            }
        ),
        encoding="utf-8",
    )
    settings = {f"{name}/config.json": "{}" for name in sizes}
    settings |= {
        "tokenizer/vocab.json": '{"a": 0}',
        "tokenizer/merges.txt": "#version: 0.2\n",
        "tokenizer/tokenizer_config.json": '{"model_max_length": 77}',
        "scheduler/scheduler_config.json": "{}",
    }
    for file, text in settings.items():
        (path / file).parent.mkdir(exist_ok=True)
        (path / file).write_text(text, encoding="utf-8")
    for name, size in sizes.items():
        write(path / name / f"model{suffix}.safetensors", {"weight": [size]})
    return path


def cached(cache: Path, repo: str, *, revision: str = "abc", **more: Any) -> Path:
    """Write a repo into a Hub cache."""
    base = cache / f"models--{repo.replace('/', '--')}"
    (base / "refs").mkdir(parents=True, exist_ok=True)
    (base / "refs" / "main").write_text(revision, encoding="utf-8")
    return pipeline(base / "snapshots" / revision, **more)
