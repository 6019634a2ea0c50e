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
    (path / "tokenizer").mkdir(exist_ok=True)
    for name, size in sizes.items():
        write(path / name / f"model{suffix}.safetensors", {"weight": [size]})
    return path


def cached(cache: Path, repo: str, *, revision: str = "abc", **more: Any) -> Path:
    """Write a repo into a Hub cache."""
    base = cache / f"models--{repo.replace('/', '--')}"
    (base / "refs").mkdir(parents=True, exist_ok=True)
    (base / "refs" / "main").write_text(revision, encoding="utf-8")
    return pipeline(base / "snapshots" / revision, **more)
