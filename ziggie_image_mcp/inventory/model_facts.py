"""What is known about models by name: aliases, licence, quality, speed, defaults."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from ziggie_image_mcp.provider.nouns import Model

USUAL_MULTIPLE = 16
"""Of what the sides of pictures must be multiples, where a row of models.json says nothing else."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of models.json, which gives source and date of each figure."""

    id: str
    title: str
    family: str
    aliases: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]
    license: str
    commercial_use: bool
    default_steps: int
    default_guidance: float
    native_px: int
    multiple_of: int
    """Of what its sides must be multiples, pixels."""
    distilled: bool
    vram_bytes: dict[str, int]
    """That its weights and a picture of native size need: `full` at once, `offload` in turn."""
    weights_bytes: int
    """In half precision."""
    denoiser_b: float
    """10^9 parameters of what runs at each step."""
    passes: int
    """Runs of it a step: two where guidance compares with a picture that no prompt guides."""
    hub_id: str
    quality: float | None
    seconds: dict[str, float]


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All rows, in the file's order."""
    return tuple(_entry(row) for row in _file()["models"])


def family(name: str) -> str:
    """The architecture that a name stands for, as `sdxl`; empty where it stands for none."""
    return _families().get(plain(name), "")


def title_of(name: str) -> str:
    """What a name that people use stands for: a model, or the first of a family; else empty."""
    entry = recognise(name)
    if entry is None:
        spelling = _bare(name)
        named = (e for e in entries() for a in (e.id, e.title, *e.aliases) if _bare(a) == spelling)
        kin = (e for e in entries() if e.family == family(name))
        entry = next(named, None) or next(kin, None)
    return "" if entry is None else entry.title


def _bare(name: str) -> str:
    return plain(name).replace("-", "")


@functools.cache
def _families() -> dict[str, str]:
    return {plain(n): parsed for parsed, names in _file()["families"].items() for n in names}


def _file() -> dict[str, Any]:
    return data_beside("models.json")


@functools.cache
def data_beside(name: str) -> dict[str, Any]:
    """The data of a JSON file of this package, read once."""
    text = (resources.files("ziggie_image_mcp.inventory") / name).read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        id=row["id"],
        title=row["title"],
        family=row["family"],
        aliases=tuple(row["aliases"]),
        patterns=tuple(re.compile(p) for p in row["patterns"]),
        license=row["license"],
        commercial_use=row["commercial_use"],
        default_steps=row["default_steps"],
        default_guidance=row["default_guidance"],
        native_px=row["native_px"],
        multiple_of=row.get("multiple_of", USUAL_MULTIPLE),
        distilled=row["distilled"],
        vram_bytes={way: round(gb * 1e9) for way, gb in row["vram_gb"].items()},
        weights_bytes=round(row["weights_gb"] * 1e9),
        denoiser_b=row["denoiser_b"],
        passes=row["passes"],
        hub_id=row["hub_id"],
        quality=row["quality"],
        seconds=row["seconds"],
    )


@functools.lru_cache(maxsize=20_000)
def plain(name: str) -> str:
    """A name without case, extension and punctuation, so that spellings meet.

    >>> plain("FLUX.1-schnell"), plain("flux schnell"), plain("sd_xl_base_1.0.safetensors")
    ('flux-1-schnell', 'flux-schnell', 'sd-xl-base-1-0')
    """
    stem = re.sub(r"\.(safetensors|ckpt|gguf|pt|pth)$", "", name.strip().lower())
    return re.sub(r"[^a-z0-9]+", "-", stem).strip("-")


@functools.lru_cache(maxsize=20_000)
def recognise(model_id: str) -> Entry | None:
    """The row that a file name, folder or Hub id belongs to, or None."""
    name = plain(re.split(r"[\\/]", model_id.rstrip("/\\"))[-1])
    return next((e for e in entries() if any(p.search(name) for p in e.patterns)), None)


def enrich(model: Model) -> Model:
    """Fill in what the provider left open with what is known of a model of this name."""
    entry = recognise(model.id)
    if entry is None or model.demo:
        return model
    defaults = model.defaults
    guided = any("guidance_scale" in able.options for able in model.tasks.values())
    return replace(
        model,
        title=model.title or entry.title,
        aliases=tuple(dict.fromkeys((*model.aliases, entry.id, *entry.aliases))),
        family=model.family or entry.family,
        license=model.license or entry.license,
        commercial_use=(
            entry.commercial_use if model.commercial_use is None else model.commercial_use
        ),
        quality=entry.quality if model.quality is None else model.quality,
        defaults=replace(
            defaults,
            steps=entry.default_steps if defaults.steps is None else defaults.steps,
            guidance_scale=(
                entry.default_guidance
                if defaults.guidance_scale is None and guided
                else defaults.guidance_scale
            ),
        ),
        distilled=model.distilled or entry.distilled,
    )
