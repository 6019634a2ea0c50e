"""Tell what LoRAs and control nets are for, by what their files say and are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ziggie_image_providers.comfyui import names
from ziggie_image_providers.comfyui.kinds import data

_BASES = (
    (re.compile(r"sd_?xl|stable-diffusion-xl|pony|illustrious|noob", re.IGNORECASE), "sdxl"),
    (re.compile(r"sd_?v?1|stable-diffusion-v1|sd 1", re.IGNORECASE), "sd1"),
    (re.compile(r"sd_?v?2|stable-diffusion-v2", re.IGNORECASE), "sd2"),
    (re.compile(r"sd_?3|stable-diffusion-(v)?3", re.IGNORECASE), "sd3"),
    (re.compile(r"flux[-_. ]?2.*klein|klein", re.IGNORECASE), "flux2-klein"),
    (re.compile(r"flux[-_. ]?2", re.IGNORECASE), "flux2"),
    (re.compile(r"flux", re.IGNORECASE), "flux1"),
    (re.compile(r"qwen", re.IGNORECASE), "qwen-image"),
    (re.compile(r"z[-_ ]?image", re.IGNORECASE), "z-image"),
    (re.compile(r"hidream", re.IGNORECASE), "hidream"),
    (re.compile(r"lumina", re.IGNORECASE), "lumina"),
    (re.compile(r"chroma", re.IGNORECASE), "chroma"),
)
"""What trainers write as the base model."""

_KINDS = (
    ("canny", r"canny"),
    ("depth", r"depth|zoe|midas"),
    ("pose", r"pose"),
    ("lineart", r"line_?art"),
    ("softedge", r"softedge|(?<![a-z])hed(?![a-z])|pidi"),
    ("scribble", r"scribble|sketch"),
    ("normal", r"normal"),
    ("seg", r"(?<![a-z])seg"),
    ("mlsd", r"mlsd"),
    ("tile", r"(?<![a-z])tile|(?<![a-z])blur"),
)


def lora_family(file: str, metadata: Mapping[str, object]) -> str | None:
    """The family that a LoRA was trained for; None where neither file nor name tells."""
    told = " ".join(
        str(metadata.get(key, ""))
        for key in ("modelspec.architecture", "ss_base_model_version", "ss_sd_model_name")
    ).strip()
    if told:
        found = next((family for pattern, family in _BASES if pattern.search(told)), None)
        if found is not None:
            return found
    return _family(re.sub(r"(?i)(?<![a-z])(lora|lycoris|loha|lokr)(?![a-z])", "", file))


def _family(file: str) -> str | None:
    named = names.read(file.replace("\\", "/"), "diffusion_models").family
    return named if named in data().families else None


@dataclass(frozen=True, kw_only=True)
class ControlNet:
    """A control net of the server."""

    file: str
    family: str
    kinds: frozenset[str]
    union: bool = False
    """Whether it is told which kind of picture it gets."""
    patch: bool = False
    """Whether it is a patch of the model, from the folder `model_patches`."""


def control_net(file: str, *, patch: bool = False) -> ControlNet | None:
    """What a control net is for; None where its name does not tell both family and kind."""
    path = file.replace("\\", "/")
    plain = path.lower()
    family = _net_family(path)
    if family is None:
        return None
    union = bool(re.search(r"union|promax", plain))
    known = data().union_types.get(family, {})
    if union:
        kinds = frozenset(known or (kind for kind, _ in _KINDS))
        told = bool(known) and not re.search(r"pro[-_. ]?2", plain)
        return ControlNet(file=file, family=family, kinds=kinds, union=told, patch=patch)
    kinds = frozenset(kind for kind, pattern in _KINDS if re.search(pattern, plain))
    if not kinds:
        return None
    return ControlNet(file=file, family=family, kinds=kinds, patch=patch)


def _net_family(path: str) -> str | None:
    if re.search(r"control_v11|sd[-_]?15|sd1\.5|control_sd15|t2iadapter_\w+_sd1", path.lower()):
        return "sd1"
    if re.search(r"sd[-_]?21", path.lower()):
        return "sd2"
    plain = re.sub(r"(?i)control[-_ ]?(net|lora)?|t2i[-_]adapter|diffusers", "", path)
    return _family(plain)
