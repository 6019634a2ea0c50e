"""Find what is laid over a model: LoRAs, ControlNets, IP-Adapters."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from ziggie_image_mcp.provider import FREE, Memory, Model
from ziggie_image_mcp.provider.additions import find_addition
from ziggie_image_providers.diffusers.faults import EXTRA
from ziggie_image_providers.diffusers.weights import Damaged, add_up, shapes, weight_files

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""The dtype and the shape of each, by its name."""

DEPTH = 4
UNET_WIDTHS: Mapping[int, str] = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""Of the text that a UNet's attention reads -> its family."""

NETS: Mapping[str, str] = {
    "ControlNetModel": "",
    "ControlNetUnionModel": "sdxl",
    "FluxControlNetModel": "flux1",
    "SD3ControlNetModel": "sd3",
}
"""The class of a ControlNet -> its family; "" where the width of its text tells."""

KINDS: Mapping[str, str] = {
    "canny": r"canny",
    "depth": r"depth|zoe|midas",
    "pose": r"pose",
    "lineart": r"line_?art",
    "softedge": r"softedge|(?<![a-z])hed(?![a-z])|pidi",
    "scribble": r"scribble|sketch",
    "normal": r"normal",
    "seg": r"(?<![a-z])seg",
    "mlsd": r"mlsd",
    "tile": r"(?<![a-z])tile|(?<![a-z])blur",
}
"""What a ControlNet goes by, and how its name tells."""

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

_BASES = (
    ("sdxl", r"sd_?xl|stable-diffusion-xl|pony|illustrious|noob"),
    ("sd1", r"sd_?v?1|stable-diffusion-v1|sd 1"),
    ("sd2", r"sd_?v?2|stable-diffusion-v2"),
    ("sd3", r"sd_?3|stable-diffusion-(v)?3"),
    ("flux2-klein", r"klein"),
    ("flux2", r"flux[-_. ]?2"),
    ("flux1", r"flux"),
    ("qwen-image", r"qwen"),
    ("z-image", r"z[-_ ]?image"),
    ("hidream", r"hidream"),
    ("lumina", r"lumina"),
    ("chroma", r"chroma"),
    ("kolors", r"kolors"),
)
"""What trainers write as the base model of a LoRA."""

_DOWN = re.compile(r"lora_(A|down)\.(default\.)?weight$|lokr_w1|hada_w1_a")
_ABOUT = ("modelspec.architecture", "ss_base_model_version", "ss_sd_model_name")


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
        for path in _walk(base, DEPTH):
            _add(additions, path, path.name if path == base else path.relative_to(base).as_posix())
    for repo in sorted(hub_cache.glob("models--*")) if hub_cache is not None else ():
        snapshots = [path for path in (repo / "snapshots").glob("*") if path.is_dir()]
        newest = max(snapshots, key=lambda path: path.stat().st_mtime_ns, default=None)
        if newest is None or (newest / "model_index.json").is_file():
            continue
        name = repo.name.removeprefix("models--").replace("--", "/")
        for path in _walk(newest, 0):
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
        state="missing" if missing else "ready",
        fix=f"Not installed here: peft. Run: {EXTRA}" if missing else "",
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


def _walk(base: Path, depth: int) -> Iterator[Path]:
    """Yield folders of ControlNets and .safetensors files, without looking into pipelines."""
    if (base / "model_index.json").is_file():
        return
    if base.is_file():
        yield from [base] if base.suffix == ".safetensors" else []
        return
    if _read_json(base / "config.json").get("_class_name") in NETS:
        yield base
        return
    try:
        entries = sorted(base.iterdir())
    except OSError:
        return  # a folder that is gone or closed to us holds nothing
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and depth > 0:
            yield from _walk(entry, depth - 1)
        elif entry.suffix == ".safetensors" and entry.is_file():
            yield entry


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
        config = _read_json(file)
        if "CLIPVisionModelWithProjection" in (config.get("architectures") or ()):
            yield file.parent, (config.get("projection_dim") or 0, config.get("hidden_size") or 0)


def _ip_adapter(path: Path, id: str, tensors: Tensors) -> Addition | None:
    """The plain kind and the plus kind; those for faces see with another model."""
    head = tensors.get("image_proj.proj.weight") or tensors.get("image_proj.proj_in.weight")
    keys = next((e for name, e in tensors.items() if name.endswith("to_k_ip.weight")), None)
    if head is None or keys is None:
        return None
    return Addition(
        id=id,
        path=path,
        role="ip_adapter",
        family=UNET_WIDTHS.get(keys[1][-1]),
        bytes=add_up([path]).bytes,
        sees=head[1][-1],
    )


def _folder(path: Path, id: str) -> Addition | None:
    config = _read_json(path / "config.json")
    net = str(config.get("_class_name"))
    files, _ = weight_files(path)
    family = NETS[net] or UNET_WIDTHS.get(config.get("cross_attention_dim") or 0)
    union = net == "ControlNetUnionModel" or bool(config.get("num_mode"))
    most = int(config.get("num_control_type") or config.get("num_mode") or 0)
    told = frozenset(kind for kind, mode in UNION.get(net, {}).items() if mode < most)
    kinds = told if union else _kinds(id)
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
    tensors = shapes(path)
    if any(name.startswith("ip_adapter.") for name in tensors):
        return _ip_adapter(path, id, tensors)
    if any(_DOWN.search(name) for name in tensors):
        family = _trained_for(_metadata(path, path.stat().st_mtime_ns)) or _family(tensors)
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
    kinds = _kinds(id)
    if not is_net or not kinds or width not in UNET_WIDTHS:
        return None
    return Addition(
        id=id,
        path=path,
        role="control",
        family=UNET_WIDTHS[width],
        bytes=add_up([path]).bytes,
        kinds=kinds,
        net="ControlNetModel",
    )


def _kinds(name: str) -> frozenset[str]:
    plain = name.lower()
    return frozenset(kind for kind, pattern in KINDS.items() if re.search(pattern, plain))


def _trained_for(about: Mapping[str, str]) -> str | None:
    words = " ".join(about.get(key, "") for key in _ABOUT)
    return next((f for f, pattern in _BASES if re.search(pattern, words, re.IGNORECASE)), None)


def _family(tensors: Tensors) -> str | None:
    """Tell it by the names and widths of a LoRA's tensors; None where these fit several."""
    down = {name: shape for name, (_, shape) in tensors.items() if _DOWN.search(name)}
    for name, shape in down.items():
        if re.search(r"attn2[._]to_k", name) and len(shape) >= 2:
            return UNET_WIDTHS.get(shape[1])
    names = " ".join(down)
    if "to_qkv_mlp_proj" in names:
        return "flux2"
    if re.search(r"single_(transformer_)?blocks|double_blocks", names):
        return "flux1"
    if "joint_blocks" in names:
        return "sd3"
    if re.search(r"transformer_blocks[._]\d+[._]img_(mlp|mod)", names):
        return "qwen-image"
    if re.search(r"layers[._]\d+[._]attention[._]to_q", names):
        return "z-image"
    return None


@lru_cache(maxsize=1024)
def _metadata(path: Path, mtime_ns: int) -> Mapping[str, str]:
    """What a trainer wrote into a file whose header was read before."""
    del mtime_ns  # only a key of the cache
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    about: dict[str, Any] = header.get("__metadata__") or {}
    return {name: str(value) for name, value in about.items()}


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # as good as absent
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
