"""Look at one folder of diffusers: a pipeline, or one component with its config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ziggie_image_providers.diffusers.disk_model import DiskModel, Trouble, useless
from ziggie_image_providers.diffusers.families import (
    FIRST_STAGE,
    LATER_STAGES,
    PIPELINES,
    REFINER,
    UNET_TEXT_WIDTHS,
    Family,
    makes_pictures_from_text,
)
from ziggie_image_providers.diffusers.folder_settings import (
    damaged_index,
    damaged_settings,
    has_weights,
    is_file,
    is_whole,
    missing_settings,
)
from ziggie_image_providers.diffusers.unoffered import REASONS
from ziggie_image_providers.diffusers.weights import Damaged, Part, add_up, weight_files

INDEX = "model_index.json"
CONFIG = "config.json"

_DENOISERS = ("unet", "transformer")

_OF_LATER_STAGE = ("unet", "scheduler", "image_noising_scheduler")
"""What is loaded of the second stage of DeepFloyd IF."""

_CONTROL_FAMILIES = {
    "FluxControlNetModel": "flux1",
    "SD3ControlNetModel": "sd3",
    "QwenImageControlNetModel": "qwen-image",
    "SanaControlNetModel": "sana",
    "ZImageControlNetModel": "z-image",
    "ChromaControlNetModel": "chroma",
}


def folder(
    path: Path, id: str, *, always: bool = False, repo: str = "", without: str = ""
) -> DiskModel | None:
    """Look at one diffusers folder; None when it is none, or not for pictures from text.

    Args:
        path: The folder.
        id: What to call it.
        always: Describe it also then, with the trouble.
        repo: The Hub's repository whose copy it is.
        without: A component whose weights are not wanted of it.
    """
    if always and is_file(path / INDEX) and not is_whole(path / INDEX):
        again = _again(repo, path)
        return useless(path, id, f"{repo or path.name}: {INDEX} is cut off, or no JSON: {again}.")
    index = read_json(path / INDEX)
    pipeline = str(index.get("_class_name", ""))
    if not makes_pictures_from_text(pipeline):
        what = (
            f"is a {pipeline}, and makes" if pipeline else f"has no {INDEX} of diffusers: it makes"
        )
        text = f"{repo or path.name} {what} no pictures from a text alone."
        if pipeline in REASONS:
            text = f"{repo or path.name} is a {pipeline}, not offered: {REASONS[pipeline]}."
        return useless(path, id, text) if always else None
    if pipeline == LATER_STAGES[0]:  # which is given the text and checked by the first stage
        index = {name: value for name, value in index.items() if name in _OF_LATER_STAGE}
    known = PIPELINES.get(pipeline)
    parts: dict[str, Part] = {}
    variant: str | None = None
    missing = missing_settings(path, components(index))
    damaged = damaged_settings(path, components(index))
    if known is not None and not {*_DENOISERS} & dict(components(index)).keys():
        missing.append(f"a {' or '.join(_DENOISERS)} in {INDEX}")
    for name in weighted_components(index):
        if name == without:
            continue
        files, its_variant = weight_files(path / name)
        variant = variant or its_variant
        try:
            parts[name] = add_up(files)
        except (Damaged, OSError) as e:
            damaged = damaged or f"The weights of {name} cannot be read ({e})"
            continue
        if not files:
            why = damaged_index(path / name)
            missing.append(f"complete weights for {name}" + (f" ({name}/{why})" if why else ""))
        elif not (path / name / CONFIG).is_file():
            missing.append(f"{name}/{CONFIG}")
    return DiskModel(
        id=id,
        path=path,
        pipeline=pipeline,
        family=_family(path, index, known),
        parts=parts,
        variant=variant,
        native=_native(path, known),
        distilled=is_distilled(path, index, pipeline),
        steps=_scheduled_steps(index),
        trouble=_trouble(path, missing, damaged, repo),
    )


def component(path: Path, id: str) -> DiskModel | None:
    """Look at a folder that is one component by its config.json; None when it is none."""
    config = read_json(path / CONFIG)
    kind = str(config.get("_class_name", ""))
    if kind.endswith("ControlNetModel"):
        return _control(path, id, kind, config)
    if not kind and not isinstance(config.get("architectures"), list):
        return None
    what = kind or ", ".join(map(str, config["architectures"]))
    text = (
        f"{path.name} is one component ({what}) and makes no picture alone: name the folder that "
        f"holds {INDEX}."
    )
    return useless(path, id, text)


def weighted_components(index: Mapping[str, Any]) -> list[str]:
    """Name the components of a model_index.json that have weights."""
    return [name for name, kind in components(index) if has_weights(kind)]


def components(index: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and class of each component of a model_index.json; one that is null is left out."""
    named: list[tuple[str, str]] = []
    for name, value in index.items():
        pair = cast("list[object]", value) if isinstance(value, list) else []
        if len(pair) == 2 and isinstance(pair[1], str):
            named.append((name, pair[1]))
    return named


def is_distilled(path: Path, index: Mapping[str, Any], pipeline: str) -> bool:
    """Whether the settings of a folder say that it was distilled."""
    if pipeline == "FluxPipeline":
        return read_json(path / "transformer" / CONFIG).get("guidance_embeds") is False
    return index.get("is_distilled") is True


def read_json(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # as good as absent: what was to be read from it stays unknown
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def is_folder(path: Path) -> bool:
    """The same of a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def whole_number(config: Mapping[str, Any], key: str) -> int:
    """A number in a configuration; 0 where there is none, or something else."""
    value: object = config.get(key)
    return value if isinstance(value, int) else 0


def _trouble(path: Path, missing: list[str], damaged: str, repo: str) -> Trouble | None:
    name, again = repo or path.name, _again(repo, path)
    if damaged:
        return Trouble(kind="unusable", text=f"{damaged}: {again}.")
    if missing:
        return Trouble(kind="missing", text=f"{name} lacks {', '.join(missing)}: {again}.")
    return None


def _again(repo: str, path: Path) -> str:
    return f"ziggie-image-mcp models pull {repo}" if repo else f"download {path.name} again"


def _control(path: Path, id: str, kind: str, config: Mapping[str, Any]) -> DiskModel:
    files, variant = weight_files(path)
    trouble: Trouble | None = None
    parts: dict[str, Part] = {}
    try:
        parts["controlnet"] = add_up(files)
    except (Damaged, OSError) as e:
        trouble = Trouble(kind="unusable", text=f"Its weights cannot be read ({e}).")
    if not files:
        text = f"{path.name} has no complete weights: download it again."
        trouble = Trouble(kind="missing", text=text)
    width = whole_number(config, "cross_attention_dim")
    by_width = UNET_TEXT_WIDTHS.get(width)
    family = by_width if kind == "ControlNetModel" else _CONTROL_FAMILIES.get(kind)
    return DiskModel(
        id=id,
        path=path,
        pipeline=kind,
        family=family,
        role="control",
        parts=parts,
        variant=variant,
        trouble=trouble,
    )


def _family(path: Path, index: Mapping[str, Any], known: Family | None) -> str | None:
    if known is None:
        return None
    if known.name == REFINER and index.get("requires_aesthetics_score") is not True:
        return "sdxl"  # saved by the class that works over pictures
    if known.name == "sd1" and read_json(path / "unet" / CONFIG).get("cross_attention_dim") == 1024:
        return "sd2"
    return known.name


def _scheduled_steps(index: Mapping[str, Any]) -> int | None:
    """How many noise levels Qwen-Image-2.1's author set down to be gone through, if any."""
    sigmas: object = index.get("sample_sigmas")
    return len(cast("list[object]", sigmas)) or None if isinstance(sigmas, list) else None


MOST_SIDE = 2**15
"""Pixels of a side that a model could be made for; what says more is damaged."""


def _native(path: Path, known: Family | None) -> int | None:
    """Compute the size that a UNet was made for; other denoisers do not say it plainly."""
    latent: Any = read_json(path / "unet" / CONFIG).get("sample_size")
    if known is PIPELINES[FIRST_STAGE] and isinstance(latent, int) and 0 < latent <= MOST_SIDE:
        return latent
    if known is None or known.name not in ("sd1", "sdxl", REFINER):
        return None
    channels: Any = read_json(path / "vae" / CONFIG).get("block_out_channels")
    if not isinstance(latent, int) or not isinstance(channels, list):
        return None
    halvings = len(cast("list[object]", channels)) - 1
    if not (0 < latent <= MOST_SIDE and 0 <= halvings < MOST_SIDE.bit_length()):
        return None
    return min(MOST_SIDE, latent << halvings)
