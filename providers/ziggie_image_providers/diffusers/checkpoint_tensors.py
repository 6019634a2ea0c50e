"""Which tensors a checkpoint in one file must have, by the settings of its family.

Names are those that checkpoints are published with (Stability's, Black Forest Labs'), as the
converters of diffusers 0.42.1 read them (loaders/single_file_utils.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Layout = Mapping[str, Any]
"""The config.json of a UNet or transformer."""

UNETS = ("sd1", "sd2", "sdxl")

_MOST_NAMED = 3
_COUNTS = (
    *("layers_per_block", "num_layers", "num_single_layers", "num_refiner_layers"),
    *("n_layers", "n_refiner_layers"),
)

_LAYOUTS: Mapping[str, Layout] = {
    "sd1": {"block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2},
    "sd2": {"block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2},
    "sdxl": {"block_out_channels": [320, 640, 1280], "layers_per_block": 2},
    "flux1": {"num_layers": 19, "num_single_layers": 38},
    "chroma": {"num_layers": 19, "num_single_layers": 38},
    "z-image": {"n_layers": 30, "n_refiner_layers": 2},
}
"""Of the published models, where no folder of the family is here to tell."""


def lacking(family: str, names: Mapping[str, tuple[int, ...]], layout: Layout) -> str:
    """Say which tensors of its denoiser a file lacks; empty where it has all that are asked for.

    Of families that have no layout here nothing is asked.

    Args:
        family: As `sdxl`.
        names: Its tensors' names without the prefix of the denoiser, with their shapes.
        layout: The config.json of the denoiser of a folder of this family; empty where there is
            none.
    """
    layout = {**_LAYOUTS.get(family, {}), **_numbers(layout)}
    wanted = list(_WANTED[family](layout, names)) if family in _WANTED else []
    missing = [name for name in wanted if name not in names]
    if not missing:
        return _wrong_width(family, names, layout)
    shown = ", ".join(missing[:_MOST_NAMED])
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    have = len(wanted) - len(missing)
    return f"it holds {have} of {len(wanted)} tensors that {family} needs; missing: {shown}{more}"


def _numbers(layout: Layout) -> Layout:
    """Those settings that are of the kind that is expected here."""
    lists = {"block_out_channels"}
    kinds = {key: list if key in lists else int for key in (*lists, *_COUNTS)}
    return {key: layout[key] for key, kind in kinds.items() if isinstance(layout.get(key), kind)}


def _wrong_width(family: str, names: Mapping[str, tuple[int, ...]], layout: Layout) -> str:
    channels = layout.get("block_out_channels")
    if family not in UNETS or not channels:
        return ""
    width = names["input_blocks.0.0.weight"][0]
    if width == channels[0]:
        return ""
    return f"its first layer is {width} wide, and that of {family} is {channels[0]}"


def _unet(layout: Layout, names: object) -> Iterator[str]:
    """Count the blocks of a UNet: each stage's layers, and a change of size between stages."""
    del names
    stages, layers = len(layout["block_out_channels"]), layout["layers_per_block"]
    yield from ("time_embed.0.weight", "time_embed.2.weight")
    yield "input_blocks.0.0.weight"
    number = 1
    for stage in range(stages):
        for _ in range(layers):
            yield f"input_blocks.{number}.0.in_layers.2.weight"
            yield f"input_blocks.{number}.0.out_layers.3.weight"
            number += 1
        if stage < stages - 1:
            yield f"input_blocks.{number}.0.op.weight"
            number += 1
    yield from ("middle_block.0.in_layers.2.weight", "middle_block.2.in_layers.2.weight")
    for number in range(stages * (layers + 1)):
        yield f"output_blocks.{number}.0.in_layers.2.weight"
        yield f"output_blocks.{number}.0.out_layers.3.weight"
    yield from ("out.0.weight", "out.2.weight")


def _flux(layout: Layout, names: object) -> Iterator[str]:
    del names
    yield from ("img_in.weight", "txt_in.weight", "final_layer.linear.weight")
    for number in range(layout["num_layers"]):
        for part in ("img_attn.qkv", "img_attn.proj", "img_mlp.0", "img_mlp.2"):
            yield f"double_blocks.{number}.{part}.weight"
            yield f"double_blocks.{number}.{part.replace('img', 'txt')}.weight"
    for number in range(layout["num_single_layers"]):
        yield from (f"single_blocks.{number}.linear{i}.weight" for i in (1, 2))


def _flux2(layout: Layout, names: object) -> Iterator[str]:
    yield from ("time_in.in_layer.weight", "time_in.out_layer.weight")
    yield from (f"double_stream_modulation_{part}.lin.weight" for part in ("img", "txt"))
    yield from ("single_stream_modulation.lin.weight", "final_layer.adaLN_modulation.1.weight")
    yield from _flux(layout, names)


def _hidream(layout: Layout, names: object) -> Iterator[str]:
    """Its files have the names of diffusers."""
    del names
    yield from ("x_embedder.proj.weight", "final_layer.linear.weight")
    yield from ("final_layer.adaLN_modulation.1.weight", "caption_projection.0.linear.weight")
    for embedder in ("t_embedder.timestep_embedder", "p_embedder.pooled_embedder"):
        yield from (f"{embedder}.linear_{number}.weight" for number in (1, 2))
    for blocks, setting, more in (
        ("double_stream_blocks", "num_layers", ("attn1.to_q_t", "attn1.to_out_t", "ff_t.w1")),
        ("single_stream_blocks", "num_single_layers", ()),
    ):
        for number in range(layout[setting]):
            for part in ("adaLN_modulation.1", "attn1.to_q", "attn1.to_v", "attn1.to_out", *more):
                yield f"{blocks}.{number}.block.{part}.weight"
            for part in ("gate", "shared_experts.w1", "experts.0.w1", "experts.0.w2"):
                yield f"{blocks}.{number}.block.ff_i.{part}.weight"


def _lumina(layout: Layout, names: object) -> Iterator[str]:
    """Its attention may be in one tensor or in three: of that nothing is asked."""
    del names
    yield from ("x_embedder.weight", "cap_embedder.0.weight", "cap_embedder.1.weight")
    yield from ("t_embedder.mlp.0.weight", "t_embedder.mlp.2.weight")
    yield from ("final_layer.linear.weight", "final_layer.adaLN_modulation.1.weight")
    refiners = layout["num_refiner_layers"]
    for blocks, count in (
        ("layers", layout["num_layers"]),
        ("noise_refiner", refiners),
        ("context_refiner", refiners),
    ):
        for number in range(count):
            parts = [f"feed_forward.w{i}" for i in (1, 2, 3)]
            if blocks != "context_refiner":
                parts.append("adaLN_modulation.1")
            yield from (f"{blocks}.{number}.{part}.weight" for part in parts)


def _sd3(layout: Layout, names: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    yield from ("x_embedder.proj.weight", "context_embedder.weight", "final_layer.linear.weight")
    numbers = (int(n.split(".")[1]) for n in names if n.startswith("joint_blocks."))
    for number in range(layout.get("num_layers") or max(numbers, default=0) + 1):
        for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
            yield f"joint_blocks.{number}.x_block.{part}.weight"
        yield f"joint_blocks.{number}.context_block.attn.qkv.weight"


def _qwen(layout: Layout, names: object) -> Iterator[str]:
    del names
    yield from ("img_in.weight", "txt_in.weight", "proj_out.weight")
    for number in range(layout["num_layers"]):
        for part in ("attn.to_q", "attn.to_v", "attn.add_q_proj", "img_mod.1", "img_mlp.net.2"):
            yield f"transformer_blocks.{number}.{part}.weight"


def _z_image(layout: Layout, names: object) -> Iterator[str]:
    del names
    yield "cap_embedder.1.weight"
    for number in range(layout["n_layers"]):
        yield from (f"layers.{number}.feed_forward.w{i}.weight" for i in (1, 2, 3))
    for number in range(layout["n_refiner_layers"]):
        for refiner in ("noise_refiner", "context_refiner"):
            yield f"{refiner}.{number}.feed_forward.w1.weight"


_WANTED: Mapping[str, Callable[[Layout, Mapping[str, tuple[int, ...]]], Iterator[str]]] = {
    **dict.fromkeys(UNETS, _unet),
    "flux1": _flux,
    "chroma": _flux,
    "sd3": _sd3,
    "flux2": _flux2,
    "hidream": _hidream,
    "lumina": _lumina,
    "qwen-image": _qwen,
    "z-image": _z_image,
}
