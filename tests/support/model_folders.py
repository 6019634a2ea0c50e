"""Folders and files that look like models, with nothing in their weights: no torch is needed."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Tensors = Mapping[str, Sequence[int]]
PARTS = ("unet", "text_encoder", "vae")


def write(
    path: Path, tensors: Tensors, *, missing: int = 0, about: Mapping[str, str] | None = None
) -> Path:
    """Write a safetensors file of F16 without using the disk: its numbers are a hole."""
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
    settings |= {"tokenizer/vocab.json": '{"a": 0}', "scheduler/scheduler_config.json": "{}"}
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
