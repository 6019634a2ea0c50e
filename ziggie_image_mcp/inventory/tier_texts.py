"""Say what a machine of a class is good for, out of what the catalogue's models need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ziggie_image_mcp.errors import duration
from ziggie_image_mcp.inventory.cards import class_speed
from ziggie_image_mcp.inventory.catalogue import from_text
from ziggie_image_mcp.inventory.hardware_probe import NEED_MARGIN, UNIFIED_SHARE
from ziggie_image_mcp.inventory.model_facts import Entry
from ziggie_image_mcp.inventory.pace import entry_seconds
from ziggie_image_mcp.inventory.types import Hardware, Tier

NAMED = 3
"""Models of a kind that a text names, the best first."""

_CLASSES: Mapping[Tier, str] = {
    "below_minimum": "GPU under 8 GB",
    "budget": "8 GB class",
    "recommended": "12-16 GB class",
    "professional": "24 GB class or more",
}


def tier_text(tier: Tier, machine: Hardware) -> str:
    """What the machine can be used for, when nothing else runs there.

    Args:
        tier: Of the machine.
        machine: Whose largest GPU counts.
    """
    ram = machine.ram_total
    if tier == "cpu":
        return f"no GPU found: {_on_processor(ram)}"
    sizes = [gpu.vram_total for gpu in machine.gpus if gpu.vram_total and not gpu.unified_memory]
    unified = any(gpu.unified_memory for gpu in machine.gpus)
    memory = max([*sizes, (ram or 0) * UNIFIED_SHARE if unified else 0])
    whole = [e for e in from_text() if _fits(e, "full", memory)]
    parked = [
        e
        for e in from_text()
        if not unified and e not in whole and _fits(e, "offload", memory) and _waits(e, ram)
    ]
    said = [f"{_best(whole)} whole" if whole else "", f"{_best(parked)} in parts" if parked else ""]
    what = "; ".join(filter(None, said)) or "layer by layer only, or quantised files"
    return f"{_CLASSES[tier]}: {what}"


def _on_processor(ram: int | None) -> str:
    fitting = [e for e in from_text() if ram is None or e.vram_bytes["full"] <= ram]
    timed = sorted((entry_seconds(e, class_speed("cpu")), e.title) for e in fitting)
    if not timed:
        return "there is too little RAM for a real model"
    named = [f"{duration(seconds)} ({title})" for seconds, title in timed[:NAMED]]
    return f"a picture takes about {', '.join(named)} or longer"


def _fits(entry: Entry, way: str, memory: float) -> bool:
    return entry.vram_bytes[way] * NEED_MARGIN <= memory


def _waits(entry: Entry, ram: int | None) -> bool:
    """Whether main memory holds the parts that do not run at the moment."""
    return ram is None or entry.weights_bytes <= ram


def _best(models: Iterable[Entry]) -> str:
    """The best of them by name, and how many more."""
    ranked = sorted(models, key=lambda e: -(e.quality or 0))
    named, more = [e.title for e in ranked[:NAMED]], len(ranked) - NAMED
    *first, last = [*named, f"{more} more"] if more > 0 else named
    return f"{', '.join(first)} and {last}" if first else last
