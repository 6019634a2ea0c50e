"""Random weights for any torch module, the same ones at every run."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

# Norms of queries and keys: attention that picks its tokens lets every prompt count.
SHARP = tuple(
    f"{norm}.{kind}"
    for norm in ("query_norm", "key_norm", "norm_q", "norm_k", "norm_added_q", "norm_added_k")
    for kind in ("weight", "scale")
)
SHARP += ("attention.q_norm.weight", "attention.k_norm.weight")
Tensors = dict[str, torch.Tensor]


def random_tensors(
    module: torch.nn.Module, name: str, prefix: str = "", gain: float = 1.0
) -> Tensors:
    """Draw weights for a module: matrices by their width, norms near one, the rest near zero."""
    return draw(
        {key: tuple(value.shape) for key, value in module.state_dict().items()}, name, prefix, gain
    )


def draw(
    shapes: Mapping[str, tuple[int, ...]], name: str, prefix: str = "", gain: float = 1.0
) -> Tensors:
    """The same for shapes alone. `name` is the seed."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
    generator = torch.Generator().manual_seed(seed)
    return {prefix + key: _tensor(key, shapes[key], generator, gain) for key in sorted(shapes)}


def _tensor(
    key: str, shape: tuple[int, ...], generator: torch.Generator, gain: float
) -> torch.Tensor:
    values = torch.randn(shape, generator=generator)
    if "embed" in key and key.endswith(
        ("embedding.weight", "shared.weight", "embed_tokens.weight")
    ):
        return values.half()
    if len(shape) >= 2:
        fan_in = values[0].numel()
        return (values * gain / fan_in**0.5).half()
    if key.endswith(SHARP):
        return (2.5 + 0.1 * values).half()
    if key.endswith(("weight", "scale")):
        return (1 + 0.1 * values).half()
    return (0.1 * values).half()


def save(tensors: Tensors, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file and say how large it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")  # A server may look at the folder.
    save_file({key: value.contiguous() for key, value in tensors.items()}, part, metadata)
    part.replace(path)
    print(f"{path.parent.name}/{path.name}: {path.stat().st_size / 1e6:.0f} MB", flush=True)
