"""Find what is laid over a model: LoRAs, ControlNets, IP-Adapters."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ziggie_image_mcp.provider import FREE, Memory, Model
from ziggie_image_mcp.provider.addition_kinds import base_family, control_kinds
from ziggie_image_mcp.provider.additions import find_addition
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_providers.diffusers.families import UNET_TEXT_WIDTHS
from ziggie_image_providers.diffusers.faults import EXTRA
from ziggie_image_providers.diffusers.file_content import lora_family
from ziggie_image_providers.diffusers.file_header import metadata
from ziggie_image_providers.diffusers.model_folder import CONFIG, read_json, whole_number
from ziggie_image_providers.diffusers.scan import WEIGHTS, walk
from ziggie_image_providers.diffusers.weights import Damaged, add_up, shapes, weight_files

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""The dtype and the shape of each, by its name."""

NETS: Mapping[str, str] = {
    "ControlNetModel": "",
    "ControlNetUnionModel": "sdxl",
    "FluxControlNetModel": "flux1",
    "SD3ControlNetModel": "sd3",
    "QwenImageControlNetModel": "qwen-image",
    "ZImageControlNetModel": "z-image",
    "SanaControlNetModel": "sana",
}
"""The class of a ControlNet -> its family; "" where the width of its text tells."""

UNION: Mapping[str, Mapping[str, int]] = {
    "ControlNetUnionModel": {
        "pose": 0,
        "depth": 1,
        "softedge": 2,
        "scribble": 2,
        "canny": 3,
        "lineart": 3,
        "mlsd": 3,
        "normal": 4,
        "seg": 5,
        "tile": 6,
    },
    "FluxControlNetModel": {"canny": 0, "tile": 1, "depth": 2, "pose": 4},
}
"""The number by which a net for many kinds is told which it gets: xinsir's ControlNet++ Union and
InstantX's FLUX.1-dev Union, after their cards."""

UNTOLD: Mapping[str, frozenset[str]] = {
    "QwenImageControlNetModel": frozenset({"canny", "softedge", "depth", "pose"}),
    "ZImageControlNetModel": frozenset({"canny", "softedge", "depth", "pose", "mlsd"}),
}
"""The kinds of a net that is for many, as its name says, and sees by itself which it gets: those of
InstantX for Qwen-Image and of alibaba-pai for Z-Image, after their cards."""

ALONE = ("QwenImageControlNetModel", "SanaControlNetModel", "ZImageControlNetModel")
"""Of which diffusers 0.42.1 takes one at a time."""

_QWEN_21 = re.compile(r"qwen[-_ ]?image[-_ ]?2[-_.]1(?!\d)", re.IGNORECASE)
_UNION_NAME = re.compile("union", re.IGNORECASE)
_DOWN = re.compile(r"lora_(A|down)\.(default\.)?weight$|lokr_w1|hada_w1_a")


@dataclass(frozen=True, kw_only=True)
class Addition:
    """A LoRA, a ControlNet or an IP-Adapter on disk."""

    id: str
    path: Path
    """One .safetensors file, or a diffusers folder of a ControlNet."""
    role: Literal["lora", "control", "ip_adapter"]
    family: str | None
    bytes: int
    """Of its weights at 2 bytes per number."""
    kinds: frozenset[str] = frozenset()
    """Of the maps that a ControlNet goes by."""
    net: str = ""
    """The class of a ControlNet."""
    union: bool = False
    """Whether it is told which kind of map it gets."""
    encoder: Path | None = None
    """The folder of the model that sees pictures for an IP-Adapter; None where none fits."""
    sees: int = 0
    """How many numbers an IP-Adapter takes from that model."""


def find_additions(model_dirs: Sequence[Path], hub_cache: Path | None) -> tuple[Addition, ...]:
    """List all, each with an id of its own: its path below the folder, or its Hub id."""
    additions: dict[str, Addition] = {}
    for base in (folder.expanduser() for folder in model_dirs):
        for path in walk(base):
            _add(additions, path, path.name if path == base else path.relative_to(base).as_posix())
    for repo in sorted(hub_cache.glob("models--*")) if hub_cache is not None else ():
        snapshots = [path for path in (repo / "snapshots").glob("*") if path.is_dir()]
        newest = max(snapshots, key=lambda path: path.stat().st_mtime_ns, default=None)
        if newest is None or (newest / "model_index.json").is_file():
            continue
        name = repo.name.removeprefix("models--").replace("--", "/")
        for path in walk(newest, 0):
            inner = "" if path == newest else f"/{path.name}"
            _add(additions, path, f"{name}{inner}")
    if not any(a.role == "ip_adapter" for a in additions.values()):
        return tuple(additions.values())
    encoders = list(_encoders(model_dirs, hub_cache))
    return tuple(
        replace(a, encoder=next((path for path, sizes in encoders if a.sees in sizes), None))
        if a.role == "ip_adapter"
        else a
        for a in additions.values()
    )


def ip_adapter_for(family: str | None, additions: Sequence[Addition]) -> Addition | None:
    """The IP-Adapter for a family that can be used; None where there is none."""
    return next(
        (a for a in additions if a.role == "ip_adapter" and a.family == family and a.encoder), None
    )


def nets_for(family: str | None, additions: Sequence[Addition]) -> list[Addition]:
    """The ControlNets for a family, those for one kind before those for many."""
    nets = [a for a in additions if a.role == "control" and a.family == family]
    return sorted(nets, key=lambda net: (len(net.kinds), net.id))


def net_for(kind: str, family: str | None, additions: Sequence[Addition]) -> Addition | None:
    """The ControlNet that goes by a kind of map; None where there is none."""
    return next((net for net in nets_for(family, additions) if kind in net.kinds), None)


def nets_by_kind(
    pipelines: Mapping[str, str], family: str | None, additions: Sequence[Addition]
) -> list[dict[str, Addition]]:
    """The net for each kind of map, apart for each class of nets: a pipeline takes those of one.

    Args:
        pipelines: By the class of a net the pipeline that takes it, the best first.
        family: Of the model.
        additions: Those that are here.
    """
    here = nets_for(family, additions)
    return [
        {kind: net for net in reversed(here) if net.net == name for kind in net.kinds}
        for name in pipelines
        if any(net.net == name for net in here)
    ]


def extras_bytes(additions: Sequence[Addition]) -> int:
    """What these add to a model's weights in memory, each file once.

    Of an IP-Adapter with the model that sees pictures for it.
    """
    files = {a.path: a.bytes for a in additions}
    for encoder in {a.encoder for a in additions if a.encoder is not None}:
        files[encoder] = add_up(weight_files(encoder)[0]).bytes
    return sum(files.values())


def lora_of(name: str, provider: str, additions: Sequence[Addition]) -> Addition | None:
    """The LoRA of this name; None where there is none, or several are called so."""
    model = find_addition(name, "lora", as_models(additions, provider))
    return next((a for a in additions if model is not None and a.id == model.id), None)


def loads_loras() -> bool:
    """Whether the package is here without which diffusers loads no LoRA; it is not imported."""
    return importlib.util.find_spec("peft") is not None


def as_models(additions: Sequence[Addition], provider: str) -> list[Model]:
    """Those that a request asks for by name or kind; references have no name for their adapter."""
    return [as_model(a, provider) for a in additions if a.role != "ip_adapter"]


def as_model(addition: Addition, provider: str) -> Model:
    """A LoRA or a ControlNet in the server's words."""
    assert addition.role != "ip_adapter"
    kinds = ", ".join(sorted(addition.kinds))
    name = addition.path.name if addition.path.is_dir() else addition.path.stem
    missing = addition.role == "lora" and not loads_loras()
    return Model(
        id=addition.id,
        provider=provider,
        where="this_machine",
        tasks={},
        prices=FREE,
        role=addition.role,
        family=addition.family,
        title=f"control: {kinds}" if kinds else "",
        aliases=tuple(a for a in (name, str(addition.path)) if a != addition.id),
        state="missing" if missing else "ready",
        fix=f"Not installed here: peft. Run: {install_command(EXTRA)}" if missing else "",
        memory=Memory(vram_bytes=addition.bytes, ram_bytes=addition.bytes),
    )


def _add(additions: dict[str, Addition], path: Path, id: str) -> None:
    try:
        addition = _folder(path, id) if path.is_dir() else _file(path, id)
    except (Damaged, OSError):
        return  # the list of models says what is wrong with a damaged file
    if addition is None or any(one.path == path for one in additions.values()):
        return
    if id in additions:
        addition = replace(addition, id=str(path))
    additions[addition.id] = addition


def _encoders(
    model_dirs: Sequence[Path], hub_cache: Path | None
) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Yield the folders of CLIP's vision models, with the numbers that they give of a picture."""
    bases = [folder.expanduser() for folder in model_dirs]
    patterns = ["*/config.json", "*/*/config.json", "*/*/*/config.json"]
    files = [file for base in bases for pattern in patterns for file in base.glob(pattern)]
    if hub_cache is not None:
        files += hub_cache.glob("models--*/snapshots/*/*/image_encoder/config.json")
    for file in sorted(files):
        config = read_json(file)
        if "CLIPVisionModelWithProjection" in str(config.get("architectures")):
            sizes = [whole_number(config, key) for key in ("projection_dim", "hidden_size")]
            yield file.parent, (sizes[0], sizes[1])


def _ip_adapter(path: Path, id: str, tensors: Tensors) -> Addition | None:
    """The plain kind and the plus kind; those for faces see with another model."""
    head = tensors.get("image_proj.proj.weight") or tensors.get("image_proj.proj_in.weight")
    keys = next((e for name, e in tensors.items() if name.endswith("to_k_ip.weight")), None)
    if head is None or keys is None or not head[1] or not keys[1]:
        return None
    return Addition(
        id=id,
        path=path,
        role="ip_adapter",
        family=UNET_TEXT_WIDTHS.get(keys[1][-1]),
        bytes=add_up([path]).bytes,
        sees=head[1][-1],
    )


def _folder(path: Path, id: str) -> Addition | None:
    config = read_json(path / CONFIG)
    net = str(config.get("_class_name"))
    if net not in NETS:
        return None  # a pipeline, or a part of one
    files, _ = weight_files(path)
    family = NETS[net] or UNET_TEXT_WIDTHS.get(whole_number(config, "cross_attention_dim"))
    modes = whole_number(config, "num_mode")
    union = net == "ControlNetUnionModel" or modes > 0
    most = whole_number(config, "num_control_type") or modes
    told = frozenset(kind for kind, mode in UNION.get(net, {}).items() if mode < most)
    kinds = told if union else control_kinds(id)
    if not kinds and _UNION_NAME.search(id):
        kinds = UNTOLD.get(net, frozenset())
    if not files or not kinds:
        return None
    return Addition(
        id=id,
        path=path,
        role="control",
        family=family,
        bytes=add_up(files).bytes,
        kinds=kinds,
        net=net,
        union=union,
    )


def _file(path: Path, id: str) -> Addition | None:
    if path.suffix != WEIGHTS:
        return None
    tensors = shapes(path)
    if any(name.startswith("ip_adapter.") for name in tensors):
        return _ip_adapter(path, id, tensors)
    if any(_DOWN.search(name) for name in tensors):
        about = metadata(path)
        family = base_family(about) or lora_family(tensors)
        if family == "qwen-image" and any(map(_QWEN_21.search, (path.stem, *about.values()))):
            family = "qwen-image-2.1"  # another transformer, which trainers call alike
        return Addition(id=id, path=path, role="lora", family=family, bytes=add_up([path]).bytes)
    width = next(
        (
            shape[1]
            for name, (_, shape) in tensors.items()
            if name.endswith("attn2.to_k.weight") and len(shape) == 2
        ),
        0,
    )
    is_net = any("controlnet_cond_embedding.conv_in" in name for name in tensors) or any(
        "input_hint_block.0" in name for name in tensors
    )
    kinds = control_kinds(id)
    if not is_net or not kinds or width not in UNET_TEXT_WIDTHS:
        return None
    return Addition(
        id=id,
        path=path,
        role="control",
        family=UNET_TEXT_WIDTHS[width],
        bytes=add_up([path]).bytes,
        kinds=kinds,
        net="ControlNetModel",
    )
