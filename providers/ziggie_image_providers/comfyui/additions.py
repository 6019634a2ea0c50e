"""Tell what LoRAs and control nets are for, by what their files say and are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ziggie_image_mcp.provider.addition_kinds import CONTROL_PATTERNS, base_family, control_kinds
from ziggie_image_providers.comfyui import names
from ziggie_image_providers.comfyui.kinds import data


def lora_family(file: str, metadata: Mapping[str, object]) -> str | None:
    """The family that a LoRA was trained for; None where neither file nor name tells."""
    plain = re.sub(r"(?i)(?<![a-z])(lora|lycoris|loha|lokr)(?![a-z])", "", file)
    return base_family(metadata) or _family(plain)


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
        kinds = frozenset(known or CONTROL_PATTERNS)
        told = bool(known) and not re.search(r"pro[-_. ]?2", plain)
        return ControlNet(file=file, family=family, kinds=kinds, union=told, patch=patch)
    kinds = control_kinds(plain)
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
