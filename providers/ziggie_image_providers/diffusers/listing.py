"""Describe a model on disk in the server's words."""

from __future__ import annotations

from collections.abc import Sequence

from ziggie_image_mcp.provider.types import Model
from ziggie_image_providers.diffusers.families import LICENSES, VARIANTS, Family, Variant, features
from ziggie_image_providers.diffusers.faults import EXTRA
from ziggie_image_providers.diffusers.scan import TINY_ID, Found
from ziggie_image_providers.diffusers.weights import need

NAMELESS_NATIVE = 1024
DISTILLED_STEPS = 4

TINY_SECONDS = 2.0
"""What 20 steps take with the model loaded, measured on two CPU cores of a shared machine."""


def describe(
    found: Found, *, provider: str, missing: Sequence[str], frugal: bool, loaded: bool
) -> Model:
    """Say what the model is.

    Args:
        found: The model on disk.
        provider: The provider's name.
        missing: Python packages that are not installed.
        frugal: Parts that do not run now may wait in main memory.
        loaded: The worker holds it.
    """
    if found.id == TINY_ID:
        return tiny(found, provider=provider, missing=missing, loaded=loaded)
    known = found.known
    variant = _variant(found)
    native = found.native or (variant.native if variant else None) or _native(known)
    steps, guidance = _defaults(found, known, variant)
    memory = need(found.parts, known, native, native)
    license, commercial = LICENSES.get(found.id, ("", None))
    name = found.path.stem if found.single_file else found.id.rsplit("/", 1)[-1]
    return Model(
        id=found.id,
        provider=provider,
        local=True,
        family=found.family,
        title=name,
        aliases=tuple(dict.fromkeys(a for a in (name, str(found.path)) if a != found.id)),
        features=features(known, guided=guidance is not None and guidance > 1),
        installed=not missing and found.trouble is None,
        how_to_install=_how_to_install(found, missing),
        loaded=loaded,
        native_width=native,
        native_height=native,
        min_side=min(native, max(64, native // 4)),
        max_side=native * 2,
        multiple_of=known.multiple_of if known else 16,
        default_steps=steps,
        default_guidance=guidance,
        distilled=_is_distilled(found, known, variant),
        vram_bytes=(memory.vram_offload if frugal else memory.vram_full) if memory else None,
        ram_bytes=memory.ram if memory else None,
        license=license,
        commercial_use=commercial,
    )


def tiny(found: Found, *, provider: str, missing: Sequence[str], loaded: bool) -> Model:
    """Describe the built-in model: it always runs on the CPU."""
    memory = need(found.parts, found.known, 64, 64)
    return Model(
        id=TINY_ID,
        provider=provider,
        local=True,
        family="tiny",
        title="Built-in tiny demo model",
        features=features(found.known, guided=True),
        installed=not missing and found.trouble is None,
        how_to_install=_how_to_install(found, missing),
        demo=True,
        loaded=loaded,
        native_width=64,
        native_height=64,
        min_side=64,
        max_side=64,
        multiple_of=8,
        default_steps=20,
        default_guidance=4.0,
        vram_bytes=0,
        ram_bytes=memory.ram if memory else None,
        seconds=TINY_SECONDS,
        quality=1.0,
        license="MIT",
        commercial_use=True,
    )


def _how_to_install(found: Found, missing: Sequence[str]) -> str:
    if missing:
        return packages_missing(missing)
    return found.trouble.text if found.trouble else ""


def packages_missing(missing: Sequence[str]) -> str:
    """Say which packages are missing, and how to get them."""
    return f"Not installed here: {', '.join(missing)}. Run: {EXTRA}"


def _native(known: Family | None) -> int:
    return known.native if known else NAMELESS_NATIVE


def _variant(found: Found) -> Variant | None:
    name = found.path.stem if found.single_file else found.id
    plain = name.lower().replace("_", "-").replace(" ", "-")
    return next((v for v in VARIANTS if v.family == found.family and v.needle in plain), None)


def _is_distilled(found: Found, known: Family | None, variant: Variant | None) -> bool:
    if variant is not None:
        return variant.distilled
    return found.distilled or (known is not None and known.distilled)


def _defaults(
    found: Found, known: Family | None, variant: Variant | None
) -> tuple[int | None, float | None]:
    if variant is not None:
        return variant.steps, variant.guidance
    if known is None:
        return None, None
    if found.distilled:
        return DISTILLED_STEPS, 1.0 if known.name == "flux2" else 0.0
    return known.steps, known.guidance
