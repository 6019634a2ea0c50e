"""Describe a model on disk in the server's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ziggie_image_mcp.provider import FREE, Defaults, FreeSize, Held, Model, State
from ziggie_image_providers.diffusers.families import (
    LICENSES,
    SCHNELL_TOKENS,
    VARIANTS,
    Family,
    Variant,
    tasks,
)
from ziggie_image_providers.diffusers.faults import EXTRA
from ziggie_image_providers.diffusers.ladder import Quantization
from ziggie_image_providers.diffusers.measured import NOTHING_KNOWN, KnownMemory, model_memory
from ziggie_image_providers.diffusers.scan import DiskModel
from ziggie_image_providers.diffusers.weights import Need, need

NAMELESS_NATIVE = 1024
DISTILLED_STEPS = 4


def native_side(on_disk: DiskModel) -> int:
    """Side of the pictures that a model was made for, pixels."""
    variant = _variant(on_disk)
    return on_disk.native or (variant.native if variant else None) or _native(on_disk.known)


def memory_need(on_disk: DiskModel) -> Need | None:
    """What a model's memory depends on; None where its weights are not known."""
    return need(on_disk.parts, on_disk.known, native_side(on_disk))


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
    """
    known = on_disk.known
    variant = _variant(on_disk)
    native = native_side(on_disk)
    steps, guidance = _defaults(on_disk, known, variant)
    license, commercial = LICENSES.get(on_disk.id, ("", None))
    name = on_disk.path.stem if on_disk.single_file else on_disk.id.rsplit("/", 1)[-1]
    distilled = _is_distilled(on_disk, known, variant)
    sizes = FreeSize(
        native_width=native,
        native_height=native,
        min_side=min(native, max(64, native // 4)),
        max_side=native * 2,
        multiple_of=known.multiple_of if known else 16,
    )
    return Model(
        id=on_disk.id,
        provider=provider,
        where="this_machine",
        tasks=tasks(
            known,
            sizes,
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
        state=_state(on_disk, missing, loaded=loaded),
        fix=_fix(on_disk, missing),
        memory=replace(
            model_memory(memory_need(on_disk), frugal, quantization, known_memory),
            held=tuple(held),
        ),
        defaults=Defaults(steps=steps, guidance_scale=guidance),
        distilled=distilled,
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
    return packages_missing(missing) if missing else ""


def packages_missing(missing: Sequence[str]) -> str:
    """Say which packages are missing, and how to get them."""
    return f"Not installed here: {', '.join(missing)}. Run: {EXTRA}"


def _native(known: Family | None) -> int:
    return known.native if known else NAMELESS_NATIVE


def _variant(on_disk: DiskModel) -> Variant | None:
    name = on_disk.path.stem if on_disk.single_file else on_disk.id
    plain = name.lower().replace("_", "-").replace(" ", "-")
    return next((v for v in VARIANTS if v.family == on_disk.family and v.needle in plain), None)


def _is_distilled(on_disk: DiskModel, known: Family | None, variant: Variant | None) -> bool:
    if variant is not None:
        return variant.distilled
    return on_disk.distilled or (known is not None and known.distilled)


def _defaults(
    on_disk: DiskModel, known: Family | None, variant: Variant | None
) -> tuple[int | None, float | None]:
    if variant is not None:
        return variant.steps, variant.guidance
    if known is None:
        return None, None
    if on_disk.distilled:
        return DISTILLED_STEPS, 1.0 if known.name == "flux2" else 0.0
    return known.steps, known.guidance
