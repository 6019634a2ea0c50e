"""Tell what kind of model a file is, and how ComfyUI's own templates run that kind."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from ziggie_image_mcp.provider import FreeSize, Option, Task, TaskCapability
from ziggie_image_providers.comfyui.settings import Family

Folder = Literal["checkpoints", "diffusion_models"]

_ALL: frozenset[Option] = frozenset(
    {
        "negative_prompt",
        "seed",
        "steps",
        "guidance_scale",
        "sampler",
        "scheduler",
    }
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How models of one kind are run."""

    family: Family
    sampler: str
    scheduler: str
    steps: int
    guidance: float | None
    """The default; None where the model takes none, and the negative prompt then counts for
    nothing (ComfyUI leaves it out at cfg 1)."""
    options: frozenset[Option]
    side: int
    """Native width and height, pixels."""
    max_side: int
    multiple_of: int
    distilled: bool = False


SD1 = Kind(
    family="sd1",
    sampler="euler",
    scheduler="normal",
    steps=20,
    guidance=7.0,
    options=_ALL,
    side=512,
    max_side=2048,
    multiple_of=8,
)
SDXL = replace(
    SD1,
    family="sdxl",
    sampler="dpmpp_2m",
    scheduler="karras",
    steps=25,
    side=1024,
    max_side=4096,
)
FLUX1_DEV = Kind(
    family="flux1",
    sampler="euler",
    scheduler="simple",
    steps=20,
    guidance=3.5,
    options=_ALL - {"negative_prompt"},
    side=1024,
    max_side=4096,
    multiple_of=16,
)
FLUX1_SCHNELL = replace(
    FLUX1_DEV,
    steps=4,
    guidance=None,
    options=FLUX1_DEV.options - {"guidance_scale"},
    distilled=True,
)
MIN_SIDE = 64
"""The smallest picture that was seen to come out of each kind, pixels."""
MAX_IMAGES = 16
"""Of one request; each is a prompt of its own."""


@functools.cache
def tasks(kind: Kind) -> Mapping[Task, TaskCapability]:
    """What models of one kind do; the same object for all of them."""
    sizes = FreeSize(
        native_width=kind.side,
        native_height=kind.side,
        min_side=MIN_SIDE,
        max_side=kind.max_side,
        multiple_of=kind.multiple_of,
    )
    capability = TaskCapability(sizes=sizes, options=kind.options, max_images=MAX_IMAGES)
    return {"text_to_image": capability}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a file was taken for."""

    kind: Kind | None = None
    """None when we cannot run it."""
    family: str | None = None
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class Companions:
    """The files that a FLUX.1 model alone needs beside it."""

    clip_l: str
    t5xxl: str
    vae: str


def judge(
    file: str,
    folder: Folder,
    overrides: Mapping[str, Family],
    architecture: str = "",
    size: int | None = None,
) -> Verdict:
    """Tell what kind of model a file is.

    Args:
        file: Its name, as ComfyUI lists it.
        folder: Where ComfyUI lists it.
        overrides: The user's patterns; they win over all else.
        architecture: `modelspec.architecture` of its metadata, where it has one.
        size: Its bytes, the last resort for a checkpoint whose name says nothing.
    """
    name = file.replace("\\", "/").lower()
    family: str | None = next(
        (f for pattern, f in overrides.items() if _matches(name, pattern.lower())), None
    )
    if family is None:
        purpose = _PURPOSE.search(name) or _PURPOSE.search(architecture.lower())
        if purpose:
            why = f"it is a model for another purpose ({purpose[0]}), not for pictures from text"
            return Verdict(why_not=why)
        family = _by_architecture(architecture) or _by_name(name) or architecture or None
    if family is None and folder == "checkpoints" and size is not None:
        family = _by_size(size)
    if family is None:
        return Verdict(
            why_not="its family could not be told from its metadata or name;"
            f' set it under the provider\'s `families`, as {{"{file}": "sdxl"}}'
        )
    kind = _kind(family, name)
    if kind is None:
        return Verdict(family=family, why_not=f"{family} models are not supported here yet")
    if folder == "diffusion_models" and kind.family != "flux1":
        why = f"a {family} model alone is not supported; use a whole checkpoint of it"
        return Verdict(family=family, why_not=why)
    return Verdict(kind=kind, family=family)


def companions(
    encoders: Sequence[str], vaes: Sequence[str]
) -> tuple[Companions | None, tuple[str, ...]]:
    """Pick the files that a FLUX.1 model alone needs, or name those that are missing."""
    clip_l = _pick(encoders, (r"clip[-_]?l(?![a-z])",))
    t5xxl = _pick(encoders, (r"t5[-_]?xxl.*fp16", r"t5[-_]?xxl.*scaled", r"t5[-_]?xxl"))
    vae = _pick(vaes, (r"^ae(?![a-z])", r"flux(?![-_. ]?[23]).*(vae|ae)(?![a-z])"))
    if clip_l and t5xxl and vae:
        return Companions(clip_l=clip_l, t5xxl=t5xxl, vae=vae), ()
    absent = {
        "clip_l.safetensors into ComfyUI/models/text_encoders": clip_l,
        "t5xxl_fp16.safetensors (or t5xxl_fp8_e4m3fn.safetensors) into"
        " ComfyUI/models/text_encoders": t5xxl,
        "ae.safetensors into ComfyUI/models/vae": vae,
    }
    return None, tuple(sentence for sentence, file in absent.items() if file is None)


def _pick(files: Sequence[str], patterns: Sequence[str]) -> str | None:
    base = {f: f.replace("\\", "/").rsplit("/", 1)[-1].lower() for f in files}
    return next((f for p in patterns for f in files if re.search(p, base[f])), None)


def _matches(name: str, pattern: str) -> bool:
    pattern = pattern.replace("\\", "/")
    return fnmatchcase(name, pattern) or fnmatchcase(name.rsplit("/", 1)[-1], pattern)


def _kind(family: str, name: str) -> Kind | None:
    few = _FEW.search(name)
    number = re.search(r"(\d+)[-_ ]?steps?", name)
    steps = int(number[1]) if number and 1 <= int(number[1]) <= 16 else None
    if family == "flux1":
        if "schnell" in name:
            return FLUX1_SCHNELL
        return replace(FLUX1_DEV, steps=steps or 8, distilled=True) if few else FLUX1_DEV
    kind = {"sd1": SD1, "sdxl": SDXL}.get(family)
    if kind is None or few is None:
        return kind
    official_turbo = family == "sdxl" and re.search(r"sd_?xl_?turbo", name)
    return replace(
        kind,
        sampler="lcm" if few[0] == "lcm" else "euler_ancestral" if official_turbo else "euler",
        scheduler="sgm_uniform",
        steps=steps or (4 if few[0] == "lightning" or official_turbo else 8),
        guidance=None,
        options=kind.options - {"negative_prompt", "guidance_scale"},
        side=512 if official_turbo else kind.side,
        distilled=True,
    )


def _by_architecture(architecture: str) -> str | None:
    plain = architecture.lower().replace(".", "-").replace("_", "-")
    beginnings = {
        "stable-diffusion-xl": "sdxl",
        "stable-diffusion-v1": "sd1",
        "stable-diffusion-v2": "sd2",
        "stable-diffusion-3": "sd3",
        "flux-1": "flux1",
        "flux-2": "flux2",
    }
    return next((f for start, f in beginnings.items() if plain.startswith(start)), None)


def _by_name(name: str) -> str | None:
    base = name.rsplit("/", 1)[-1]
    return next((family for pattern, family in _NAMES if pattern.search(base)), None)


def _by_size(size: int) -> str | None:
    """Go by the sizes in which whole SD 1.5 and SDXL checkpoints are published, half and full."""
    gigabytes = size / 1e9
    if 1.9 <= gigabytes <= 2.2 or 4.2 <= gigabytes <= 4.35:
        return "sd1"
    if 6.4 <= gigabytes <= 7.2:
        return "sdxl"
    return None


_FEW = re.compile(r"turbo|lightning|(?<![a-z])lcm(?![a-z])|hyper[-_ ]?(?=sd|flux)")
_PURPOSE = re.compile(
    r"(?<![a-z])(inpaint(ing)?|outpaint(ing)?|fill|kontext|canny|depth|redux|refiner|edit"
    r"|instruct[-_]?pix2pix|ip2p|pix2pix|control[-_]?net|lora|textual-inversion|upscaler?)(?![a-z])"
)
_NAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (r"flux[-_. ]?2|klein", "flux2"),
        (r"flux[-_. ]?3", "flux3"),
        (r"chroma", "chroma"),
        (r"flux", "flux1"),
        (r"qwen", "qwen-image"),
        (r"z[-_]?image", "z-image"),
        (r"hidream", "hidream"),
        (r"pixart", "pixart"),
        (r"lumina|neta", "lumina"),
        (r"kolors", "kolors"),
        (r"(?<![a-z])(wan|hunyuan|ltx[a-z]*|mochi|cosmos|svd)(?![a-z])", "video"),
        (r"cascade", "cascade"),
        (r"sd[-_ ]?3|stable[-_]diffusion[-_]3", "sd3"),
        (r"sd[-_]?turbo|sd[-_ ]?v?2|v2[-_][01]|768-v-ema|512-base-ema", "sd2"),
        (r"(?<!x)xl(?![a-uw-z])|illustrious|noobai", "sdxl"),
        (r"sd[-_. ]?v?1([-_. ]?[45])?(?!\d)|v1[-_.][45]|stable[-_]diffusion[-_]v?1", "sd1"),
    )
)
