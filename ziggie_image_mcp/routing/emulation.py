"""Plan how an option that a model lacks is had all the same: alpha by keying, edges by repainting.

Only of what a prompt alone makes. A route with an emulated option is planned with its own request,
and `jobs.emulated` does the rest once the pictures are there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ziggie_image_mcp.assets.ground_colour import (
    COMMON_GROUNDS,
    GROUNDS,
    Ground,
    choose_ground,
    on_ground,
)
from ziggie_image_mcp.assets.keying import BEYOND
from ziggie_image_mcp.provider.capabilities import Option
from ziggie_image_mcp.provider.nouns import Model, options_of
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.provider.sizes import Size, problem
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.prompt_words import without_wish
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import NO_EMULATION, Emulation

EMULATED: frozenset[Option] = frozenset(("transparent", "seamless"))

KEYED_POINTS = 1.0
"""Points of quality that a route loses whose alpha is keyed: hair and glass are beyond that."""

INPAINTED_POINTS, FADED_POINTS = 0.5, 2.0
"""The same for edges that are painted anew, and for edges that fade into each other: what lies in
the strips is seen twice then. Judgements."""


def emulated_options(model: Model, ctx: RoutingContext) -> frozenset[Option]:
    """Which of the options that are asked for the model lacks, and are had without it."""
    asked = EMULATED & ctx.options
    if not asked or ctx.task != "text_to_image" or "text_to_image" not in model.tasks:
        return frozenset()
    return asked - options_of(model, "text_to_image")


def plan_emulation(model: Model, ctx: RoutingContext) -> Emulation:
    """What is to be done in place of the options that a model lacks; its size is not looked at."""
    missing = emulated_options(model, ctx)
    if not missing:
        return NO_EMULATION
    return Emulation(
        ground=_ground(model, ctx.request).hex if "transparent" in missing else "",
        seam=_seam(model, ctx.request) if "seamless" in missing else "",
    )


def for_size(emulation: Emulation, model: Model, size: Size) -> Emulation:
    """The same where the model may paint no picture of this size anew."""
    if emulation.seam != "inpaint" or not problem(model.tasks["inpaint"].sizes, size):
        return emulation
    return replace(emulation, seam="fade")


def sent_prompt(model: Model, ctx: RoutingContext) -> str:
    """The prompt as the model gets it."""
    prompt = ctx.request.prompt
    if "transparent" not in emulated_options(model, ctx):
        return prompt
    subject = without_wish(prompt, "transparent")
    return on_ground(subject, _ground(model, ctx.request), exact=not model.demo)


def emulation_notes(emulation: Emulation, model: Model) -> list[str]:
    """What a caller must know of it, before and after. A sentence each."""
    notes: list[str] = []
    if emulation.ground:
        note = (
            f"{model.id} gives no alpha: it is asked for the subject on a flat ground "
            f"({emulation.ground}), which is keyed here; {BEYOND}"
        )
        cut_out = emulation.cut_out
        if cut_out is not None:
            note += f"; what cannot be keyed is cut out by {cut_out.provider} {cut_out.id}"
        notes.append(note)
    if emulation.seam == "inpaint":
        notes.append(f"{model.id} makes no tiles: a cross over its edges is painted anew by it")
    if emulation.seam == "fade":
        notes.append(f"{model.id} makes no tiles: its edges are faded into each other here")
    return notes


def lost_points(emulation: Emulation) -> float:
    """Points of quality that a route loses by it."""
    seams = {"": 0.0, "inpaint": INPAINTED_POINTS, "fade": FADED_POINTS}
    return (KEYED_POINTS if emulation.ground else 0.0) + seams[emulation.seam]


def describe_emulation(emulation: Emulation) -> str:
    """In a few words, as why a route was chosen has it."""
    words = ["alpha by keying"] if emulation.ground else []
    if emulation.seam:
        words.append({"inpaint": "edges painted anew", "fade": "edges faded"}[emulation.seam])
    return "".join(f", {word}" for word in words)


def _ground(model: Model, request: ImageRequest) -> Ground:
    subject = without_wish(request.prompt, "transparent")
    return choose_ground(subject, COMMON_GROUNDS if model.demo else GROUNDS)


def _seam(model: Model, request: ImageRequest) -> Literal["inpaint", "fade"]:
    """A second call costs nothing, and knows all that the first one was guided by."""
    capability = model.tasks.get("inpaint")
    able = capability is not None and capability.mask is not None and is_free(model.prices)
    if request.transparent and "transparent" in options_of(model, "text_to_image"):
        return "fade"  # what is painted anew has no alpha
    guided = request.control or request.references or request.style
    adapted = bool(request.loras) and (capability is None or capability.loras is None)
    return "inpaint" if able and not guided and not adapted else "fade"
