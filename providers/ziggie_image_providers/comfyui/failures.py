"""Say what ComfyUI's own errors mean, in our classes and in sentences that lead on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from ziggie_image_mcp.provider import (
    EngineCrashed,
    EngineGone,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    ProviderError,
    RequestRejected,
)
from ziggie_image_mcp.provider.engines import WrongService
from ziggie_image_providers.comfyui import wire
from ziggie_image_providers.comfyui.kinds import pack_of

FOLDERS = {
    "ckpt_name": "checkpoints",
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "clip_name4": "text_encoders",
    "lora_name": "loras",
    "control_net_name": "controlnet",
    "name": "model_patches",
    "model_name": "upscale_models",
    "style_model_name": "style_models",
    "vae_name": "vae",
}
"""The folder under ComfyUI's `models` in which the file of an input is looked for."""

_LOADERS = ("CheckpointLoaderSimple", "UNETLoader", "DualCLIPLoader", "VAELoader")
_MEMORY = re.compile(r"out of memory|can't allocate memory", re.IGNORECASE)
_PATH = re.compile(r"(?:[A-Za-z]:)?[\\/][^\s'\":]*[\\/]")


def wrong_service(provider: str, url: str, who: str = "something else") -> WrongService:
    """Say that what answers there is not ComfyUI."""
    return WrongService(
        provider, f"{who} answers at {url}, not ComfyUI; set providers.{provider}.baseUrl"
    )


def cannot_stop(provider: str) -> ProviderError:
    """Say that the server is too old to interrupt one prompt and no other."""
    return ProviderError(provider, "this ComfyUI is too old to stop one job; it runs on")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One input that ComfyUI refused, before it ran anything."""

    node: str
    """The node's class."""
    kind: str
    input: str
    received: str
    options: tuple[str, ...] = ()
    """What would have been accepted; empty when the answer did not say."""
    limit: str = ""


def problems(node_errors: Iterable[wire.NodeErrors]) -> list[Problem]:
    """List what is wrong with a prompt; files that are missing first."""
    all = [_problem(node.class_type, e) for node in node_errors for e in node.errors]
    return sorted(all, key=lambda p: not (p.kind == "value_not_in_list" and p.input in FOLDERS))


def _problem(node: str, error: wire.NodeError) -> Problem:
    info = error.extra_info
    config: object = info.get("input_config")
    parts = cast(list[object], config) if isinstance(config, list) else []
    about = parts[1] if len(parts) > 1 else None
    bounds = cast(dict[str, object], about) if isinstance(about, dict) else {}
    limit = {
        "value_smaller_than_min": f"at least {bounds.get('min')}",
        "value_bigger_than_max": f"at most {bounds.get('max')}",
    }.get(error.type, "")
    return Problem(
        node=node,
        kind=error.type,
        input=str(info.get("input_name", "")),
        received=_short(str(info.get("received_value", ""))),
        options=wire.options(parts),
        limit=limit,
    )


def missing_node(provider: str, node: str) -> ProviderError:
    """Say that the server lacks a class of nodes that our graph needs."""
    return ModelUnusable(provider, missing_node_text(node))


def missing_node_text(node: str) -> str:
    """The same as a sentence, with what brings it."""
    pack = pack_of(node)
    fix = f"install the node pack {pack}" if pack else "update ComfyUI, or install its node pack"
    return f"this ComfyUI has no node {_short(node)}, which this needs; {fix}"


def graph_refused(provider: str, kind: str) -> RequestRejected:
    """Say that ComfyUI refused a graph as a whole."""
    return RequestRejected(provider, f"ComfyUI refused the graph; it says: {_short(kind)}")


def refused(provider: str, problem: Problem, known: Sequence[str]) -> ProviderError:
    """Say what it means that ComfyUI refused one input; `known` is what it would have taken."""
    p = problem
    if p.kind == "value_not_in_list" and p.input in FOLDERS:
        return missing(provider, p.received, FOLDERS[p.input], known)
    if p.kind == "value_not_in_list" and p.input == "type":
        return ModelUnusable(
            provider, f"this ComfyUI is too old for {p.received} models; update ComfyUI"
        )
    if p.kind == "value_not_in_list":
        return RequestRejected(
            provider, f"ComfyUI has no {p.input} {p.received!r}{nearest(p.received, known)}"
        )
    if p.limit:
        return RequestRejected(
            provider, f"ComfyUI takes {p.input} of {p.limit}, not {p.received}; ask for that"
        )
    about = f" for {p.input} of {p.node}" if p.input else f" for {p.node}"
    return RequestRejected(provider, f"ComfyUI refused the graph: {_short(p.kind)}{about}")


def missing(provider: str, file: str, folder: str, known: Sequence[str]) -> ModelMissing:
    """Say that the server does not have a file."""
    return ModelMissing(
        provider,
        f"ComfyUI does not have {file!r}; put it into ComfyUI/models/{folder}"
        f"{nearest(file, known)}",
    )


def nearest(name: str, known: Sequence[str]) -> str:
    """The names most like this one, as the end of a sentence.

    >>> nearest("eulr", ["euler", "lcm"])
    '; nearest: euler'
    """
    by_case = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), by_case, n=3, cutoff=0.5)
    if near:
        return "; nearest: " + ", ".join(by_case[n] for n in near)
    return "; it has " + ", ".join(known[:5]) if known else ""


def failed(provider: str, error: wire.ExecutionError | None) -> ProviderError:
    """Say why a job failed while it ran."""
    if error is None:
        return ProviderError(provider, "ComfyUI says the job failed, not why; look at its log")
    kind, node = error.exception_type, error.node_type
    message = error.exception_message.strip()
    if kind.endswith("OutOfMemoryError") or _MEMORY.search(message):
        return OutOfMemory(
            provider,
            f"ComfyUI ran out of memory in {node}; ask for a smaller picture or model,"
            " or start ComfyUI with --novram",
        )
    if "Could not detect model type" in message:
        hint = ", as it seems a LoRA" if "Lora" in message else ""
        return ModelUnusable(
            provider, f"ComfyUI cannot tell what kind of model this file is{hint}; use another"
        )
    if kind.endswith("SafetensorError") or "deserializing header" in message:
        return ModelUnusable(
            provider, f"a file that {node} reads is damaged or cut short; download it again"
        )
    if "clip input is invalid: None" in message:
        return ModelUnusable(
            provider,
            "this checkpoint holds no text encoder; if it is a FLUX.1 model alone, move it to"
            " ComfyUI/models/diffusion_models",
        )
    if "shapes cannot be multiplied" in message:
        return ModelUnusable(
            provider,
            "the text encoder does not fit the model; set its family under the provider's"
            " `families`",
        )
    words = f"{kind}: {_first_line(message)}"
    if node in _LOADERS:
        return ModelUnusable(provider, f"ComfyUI could not load the model in {node}: {words}")
    return ProviderError(provider, f"ComfyUI failed in {node}: {words}; look at its log")


def stopped(provider: str) -> EngineCrashed:
    """Say that somebody else ended the job."""
    return EngineCrashed(provider, "the job was stopped in ComfyUI by somebody else; ask again")


def lost(provider: str) -> EngineGone:
    """Say that the server no longer knows the job."""
    return EngineGone(
        provider, "ComfyUI was restarted, or the job was taken off its queue; ask again"
    )


def silent(provider: str, url: str) -> EngineGone:
    """Say that the server went away in the middle of the job."""
    what = f"ComfyUI at {url} stopped answering during the job; see whether it still runs"
    return EngineGone(provider, what, scope="provider")


def _first_line(text: str) -> str:
    return _short(_PATH.sub("", text.splitlines()[0] if text else ""))


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
