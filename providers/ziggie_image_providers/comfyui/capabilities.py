"""Say what a model can do on a server, by its kind and by the nodes and files that are there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ziggie_image_mcp.provider import (
    ControlSupport,
    FreeSize,
    LoraSupport,
    Option,
    SameAsInput,
    Task,
    TaskCapability,
)
from ziggie_image_providers.comfyui import wire
from ziggie_image_providers.comfyui.additions import ControlNet
from ziggie_image_providers.comfyui.graph import classes_of
from ziggie_image_providers.comfyui.kinds import Kind, data
from ziggie_image_providers.comfyui.recognition import Verdict

MAX_IMAGES = 16
"""Of one request."""
MAX_CONTROL = 4
MOST_PIXELS = 4096 * 4096
"""Of an enlarged picture."""

_SEAMLESS = ("SeamlessTile", "MakeCircularVAE")
_ADAPTER = ("IPAdapterUnifiedLoader", "IPAdapter")
_CLIP_LOADERS = {
    1: "CLIPLoader",
    2: "DualCLIPLoader",
    3: "TripleCLIPLoader",
    4: "QuadrupleCLIPLoader",
}


def is_whole(verdict: Verdict, kind: Kind | None, file: str, *, checkpoint: bool) -> bool:
    """Whether a file holds text encoders and VAE too."""
    if not checkpoint or kind is None:
        return False
    if verdict.whole is not None:
        return verdict.whole
    if kind.whole == "named":
        return bool(re.search(r"incl|scaled|all[-_]?in[-_]?one|aio|clips", file, re.IGNORECASE))
    return kind.whole


def why_not(
    verdict: Verdict,
    kind: Kind | None,
    file: str,
    folder: str,
    nodes: wire.NodeTable,
    *,
    whole: bool,
) -> str:
    """Why a model cannot be used on this server; empty where it can."""
    family = verdict.family
    if not family:
        return (
            "its family could not be told from its metadata or name;"
            f' set it under the provider\'s `families`, as {{"{file}": "sdxl"}}'
        )
    if verdict.format:
        format = data().formats[verdict.format]
        if not format.node:
            return (
                f"stock ComfyUI cannot read {format.what}; the node pack {format.pack} can, by a"
                " workflow of your own under the provider's `workflows`"
            )
        if format.node not in nodes:
            return (
                f"ComfyUI reads {format.what} by the node {format.node}, which is not there;"
                f" install the node pack {format.pack}"
            )
    if kind is None:
        return data().refused.get(family, f"{family} models are not supported here yet")
    if not kind.tasks:
        return kind.why_not
    if not whole and kind.parts is None:
        return f"a {family} model alone is not supported; use a whole checkpoint of it"
    return _too_old(family, kind, nodes, whole=whole)


def _too_old(family: str, kind: Kind, nodes: wire.NodeTable, *, whole: bool) -> str:
    needed = {kind.latent, *(name for name, _ in kind.patches)}
    needed |= classes_of(kind.text, *([kind.sigmas] if kind.sigmas else ()))
    if not whole and kind.parts is not None:
        loader = _CLIP_LOADERS[len(kind.parts.clip)]
        needed.add(loader)
        types = nodes.choices(loader, "type")
        if kind.parts.type and types and kind.parts.type not in types:
            return _update(f"its {loader} has no type {kind.parts.type!r}", family, kind)
    missing = nodes.missing(needed)
    return _update(f"it has no node {missing[0]}", family, kind) if missing else ""


def _update(lack: str, family: str, kind: Kind) -> str:
    since = f" to {kind.since} or later" if kind.since else ""
    return f"this ComfyUI is too old for {family} models ({lack}); update ComfyUI{since}"


def of(
    kind: Kind,
    family: str,
    nodes: wire.NodeTable,
    nets: Iterable[ControlNet],
    embeddings: bool,
    adapters: bool,
) -> Mapping[Task, TaskCapability]:
    """What models of a kind do on a server."""
    options: set[Option] = {"seed", "steps", "sampler", "scheduler"}
    if kind.sigmas == "sigmas_flux2":
        options.discard("scheduler")
    if kind.guidance is not None:
        options.add("guidance_scale")
    if kind.takes_negative:
        options.add("negative_prompt")
    if kind.is_unet and not nodes.missing(_SEAMLESS):
        options.add("seamless")
    adapter = kind.ip_adapter and adapters and not nodes.missing(_ADAPTER)
    plain = TaskCapability(
        sizes=FreeSize(
            native_width=kind.side,
            native_height=kind.side,
            min_side=kind.min_side,
            max_side=kind.max_side,
            multiple_of=kind.multiple_of,
        ),
        options=frozenset(options),
        max_images=MAX_IMAGES,
        max_references=kind.references or (1 if adapter else 0),
        loras=LoraSupport(families=frozenset(_lora_families(family))),
        control=_control(kind, family, nodes, nets),
        embeddings=embeddings and kind.clip_lora,
    )
    edit = replace(plain, max_references=max(0, plain.max_references - bool(kind.edit)))
    if not kind.edit and not kind.picture:
        edit = replace(edit, options=edit.options | {"strength"})
    if not adapter and not kind.edit:
        edit = replace(edit, max_references=0)
    able: dict[Task, TaskCapability] = {
        "text_to_image": plain,
        "image_to_image": edit,
        "inpaint": replace(edit, mask="white", options=edit.options | {"strength"}),
    }
    if kind.inpaint or kind.edit:
        able["inpaint"] = replace(able["inpaint"], options=edit.options)
    return {task: able[task] for task in kind.tasks}


def _lora_families(family: str) -> set[str]:
    """Families whose LoRAs fit: models of the same architecture."""
    same = ({"sdxl", "playground"},)
    return next((group for group in same if family in group), {family})


def _control(
    kind: Kind, family: str, nodes: wire.NodeTable, nets: Iterable[ControlNet]
) -> ControlSupport | None:
    if kind.control is None:
        return None
    own = [n for n in nets if n.family == family and n.patch == (kind.control == "patch")]
    kinds = frozenset(k for net in own for k in net.kinds)
    if not kinds:
        return None
    computed = frozenset(k for k in kinds if preprocessor(k, nodes))
    return ControlSupport(kinds=kinds, computed=computed, max_count=MAX_CONTROL)


def preprocessor(kind: str, nodes: wire.NodeTable) -> str:
    """The node that makes a map of this kind; empty where the server has none."""
    return next((n for n in data().preprocessors.get(kind, ()) if n in nodes), "")


def upscaling(factors: tuple[int, ...]) -> Mapping[Task, TaskCapability]:
    """What an upscaler does."""
    accepts = FreeSize(
        native_width=512,
        native_height=512,
        min_side=1,
        max_side=4096,
        multiple_of=1,
        max_pixels=MOST_PIXELS // max(factors) ** 2,
    )
    return {"upscale": TaskCapability(sizes=SameAsInput(accepts=accepts), factors=factors)}
