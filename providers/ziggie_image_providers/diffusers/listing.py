"""Describe a model on disk in the server's words."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ziggie_image_mcp.provider import FREE, Defaults, FreeSize, Held, Model, State
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_providers.diffusers import cascade
from ziggie_image_providers.diffusers.additions import Addition
from ziggie_image_providers.diffusers.capabilities import tasks
from ziggie_image_providers.diffusers.families import (
    SCHNELL_TOKENS,
    VARIANTS,
    Family,
    Variant,
)
from ziggie_image_providers.diffusers.faults import EXTRA
from ziggie_image_providers.diffusers.folder_settings import needs_sentencepiece
from ziggie_image_providers.diffusers.ladder import Quantization
from ziggie_image_providers.diffusers.licences import license_of
from ziggie_image_providers.diffusers.measured import NOTHING_KNOWN, KnownMemory, model_memory
from ziggie_image_providers.diffusers.scan import GGUF, DiskModel
from ziggie_image_providers.diffusers.weights import Need, need

NAMELESS_NATIVE = 1024
LEAST_SIDE = 64
"""Of a picture, pixels, where a model's own is not below it."""
DISTILLED_STEPS = 4
GGUF_PACKAGE = "gguf"
PACKAGES = ("torch", "diffusers", "transformers")


def memory_need(on_disk: DiskModel) -> Need | None:
    """What a model's memory depends on; None where its weights are not known."""
    return need(on_disk.all_parts, on_disk.known, native_side(on_disk))


def describe(
    on_disk: DiskModel,
    *,
    provider: str,
    missing: Sequence[str],
    frugal: bool,
    loaded: bool,
    held: Sequence[Held] = (),
    quantization: Quantization = "never",
    known_memory: KnownMemory = NOTHING_KNOWN,
    additions: Sequence[Addition] = (),
) -> Model:
    """Say what the model is.

    Args:
        on_disk: The model.
        provider: The provider's name.
        missing: Python packages that are not installed.
        frugal: Parts that do not run now may wait in main memory.
        loaded: A worker holds it.
        held: What the workers have in memory.
        quantization: Whether its weights may be held in fewer bits.
        known_memory: What it took before.
        additions: The LoRAs and ControlNets that are here.
    """
    known = on_disk.known
    variant = variant_of(on_disk)
    native = native_side(on_disk)
    steps, guidance = _defaults(on_disk, known, variant)
    license, commercial = license_of(on_disk)
    name = on_disk.path.stem if on_disk.single_file else on_disk.id.rsplit("/", 1)[-1]
    distilled = _is_distilled(on_disk, known, variant)
    sizes = FreeSize(
        native_width=native,
        native_height=native,
        min_side=_least_side(native, on_disk.multiple_of),
        max_side=native * 2,
        multiple_of=on_disk.multiple_of,
    )
    return Model(
        id=on_disk.id,
        provider=provider,
        where="this_machine",
        tasks=tasks(
            known,
            sizes,
            name=on_disk.family,
            additions=additions,
            guided=guidance is not None and guidance > 1,
            prompt_tokens=_prompt_tokens(known, distilled=distilled),
        )
        if on_disk.pipeline
        else {},
        prices=FREE,
        family=on_disk.family,
        title=name,
        aliases=tuple(dict.fromkeys(a for a in (name, str(on_disk.path)) if a != on_disk.id)),
        license=license,
        commercial_use=commercial,
        state=_state(on_disk, (*missing, *_lacking(on_disk)), loaded=loaded),
        fix=_fix(on_disk, missing),
        memory=replace(
            model_memory(memory_need(on_disk), frugal, quantization, known_memory),
            held=tuple(held),
        ),
        defaults=Defaults(steps=steps, guidance_scale=guidance),
        distilled=distilled,
        quality=cascade.quality(on_disk),
        work=cascade.work(on_disk),
        note=on_disk.assumed or cascade.note(on_disk),
    )


def describe_addition(on_disk: DiskModel, *, provider: str) -> Model:
    """Say what a LoRA or a control model is, which requests ask for by name."""
    path = on_disk.path
    name = path.stem if on_disk.single_file else on_disk.id.rsplit("/", 1)[-1]
    return Model(
        id=on_disk.id,
        provider=provider,
        where="this_machine",
        tasks={},
        prices=FREE,
        role=on_disk.role,
        family=on_disk.family,
        title=name,
        aliases=tuple(dict.fromkeys(a for a in (name, str(path)) if a != on_disk.id)),
        state=on_disk.trouble.kind if on_disk.trouble else "ready",
        fix=on_disk.trouble.text if on_disk.trouble else "",
    )


def is_called(on_disk: DiskModel, name: str) -> bool:
    """Whether a request for this name may mean the model: by its id, file, folder or family."""
    path = on_disk.path
    names = {on_disk.id, on_disk.id.rsplit("/", 1)[-1], path.name, path.stem, str(path)}
    return name.casefold() in {own.casefold() for own in (*names, on_disk.family or "")}


def _state(on_disk: DiskModel, missing: Sequence[str], *, loaded: bool) -> State:
    if on_disk.trouble:
        return on_disk.trouble.kind
    if missing:
        return "missing"
    return "loaded" if loaded else "ready"


def _prompt_tokens(known: Family | None, *, distilled: bool) -> int | None:
    if known is None:
        return None
    return SCHNELL_TOKENS if known.name == "flux1" and distilled else known.prompt_tokens


def _fix(on_disk: DiskModel, missing: Sequence[str]) -> str:
    if on_disk.trouble:
        return on_disk.trouble.text
    lacking = _lacking(on_disk)
    if lacking == (GGUF_PACKAGE,) and not missing:
        return f"{on_disk.path.name} is read by the package gguf: {install_command('gguf')}"
    if lacking and not missing:
        install = install_command(*lacking)
        return f"{on_disk.pipeline} needs more than the extra [local] brings. Run: {install}"
    return packages_missing(missing) if missing else cascade.note(on_disk)


def _lacking(on_disk: DiskModel) -> tuple[str, ...]:
    """The packages that only such models need, and that are not here."""
    needs = on_disk.known.needs if on_disk.known is not None else ()
    needs += (GGUF_PACKAGE,) if on_disk.path.suffix == GGUF else ()
    needs += ("sentencepiece",) if needs_sentencepiece(on_disk.path) else ()
    return _absent(needs)


def _absent(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if importlib.util.find_spec(name) is None)


def missing_packages() -> tuple[str, ...]:
    """Name the packages that the worker would not find, without importing any."""
    return _absent(PACKAGES)


def packages_missing(missing: Sequence[str]) -> str:
    """Say which packages are missing, and how to get them."""
    return f"Not installed here: {', '.join(missing)}. Run: {install_command(EXTRA)}"


def _least_side(native: int, step: int) -> int:
    """A quarter of the side that a model is best at, and a multiple of what its sides must be."""
    least = min(native, max(LEAST_SIDE, native // 4))
    return min(native, math.ceil(least / step) * step)


def native_side(on_disk: DiskModel) -> int:
    """The side of the square that a model is best at, pixels."""
    variant = variant_of(on_disk)
    known = on_disk.known.native if on_disk.known else NAMELESS_NATIVE
    return on_disk.native or (variant.native if variant else None) or known


def variant_of(on_disk: DiskModel) -> Variant | None:
    """What its name tells of how it wants to be run; None where its class tells all."""
    if on_disk.known is not None and on_disk.known.distilled:
        return None
    name = _plain_name(on_disk)
    return next(
        (v for v in VARIANTS if v.family == on_disk.family and re.search(v.pattern, name)), None
    )


def _plain_name(on_disk: DiskModel) -> str:
    name = on_disk.path.stem if on_disk.single_file else on_disk.id
    return name.lower().replace("_", "-").replace(" ", "-")


def _is_distilled(on_disk: DiskModel, known: Family | None, variant: Variant | None) -> bool:
    if variant is not None:
        return variant.distilled
    return on_disk.distilled or (known is not None and known.distilled)


def _defaults(
    on_disk: DiskModel, known: Family | None, variant: Variant | None
) -> tuple[int | None, float | None]:
    if variant is not None:
        told = re.search(r"(?<!\d)(\d{1,2})-?steps?(?![a-z])", _plain_name(on_disk))
        return int(told[1]) if told and variant.distilled else variant.steps, variant.guidance
    if known is None:
        return None, None
    if on_disk.steps is not None:
        return on_disk.steps, known.guidance
    if on_disk.distilled:
        return DISTILLED_STEPS, 1.0 if known.name == "flux2-klein" else 0.0
    return known.steps, known.guidance
