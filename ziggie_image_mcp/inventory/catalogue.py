"""The models of the catalogue as the engine of this program would offer them on a machine."""

from __future__ import annotations

from ziggie_image_mcp.inventory import hardware_probe
from ziggie_image_mcp.inventory.model_facts import Entry, enrich, entries
from ziggie_image_mcp.inventory.types import Hardware, Reason, Rejection, Survey
from ziggie_image_mcp.provider.capabilities import FreeSize, Option, TaskCapability
from ziggie_image_mcp.provider.nouns import Memory, Model
from ziggie_image_mcp.provider.pricing import FREE

PROVIDER = "diffusers"

_OPTIONS: frozenset[Option] = frozenset(("seed", "steps"))
_GUIDED: frozenset[Option] = frozenset(("guidance_scale", "negative_prompt"))
_NOT_FROM_TEXT = ("sdxl-refiner", "flux1-kontext-dev", "qwen-image-edit")
"""What changes pictures: no text becomes a picture by it alone."""


def from_text() -> list[Entry]:
    """The rows that make pictures from text by themselves."""
    return [entry for entry in entries() if entry.id not in _NOT_FROM_TEXT]


def catalogue_survey(machine: Hardware) -> Survey:
    """Every model that makes pictures from text; what that machine cannot hold is left out."""
    models: list[Model] = []
    rejected: list[Rejection] = []
    for entry in from_text():
        reason = _too_large(entry, machine)
        if reason is None:
            models.append(_model(entry, machine))
        else:
            row = Rejection(provider=PROVIDER, model=entry.hub_id, reasons=(reason,))
            rejected.append(row)
    return Survey(models=tuple(models), rejected=tuple(rejected))


def _too_large(entry: Entry, machine: Hardware) -> Reason | None:
    """Why the machine cannot hold a model. A GPU that cannot is not replaced by the CPU."""
    memory = _memory(entry, machine)
    gpu, ram = hardware_probe.gpu_memory(machine), machine.ram_available
    if memory.vram_bytes is None:
        need, have, what = memory.ram_bytes, ram, "RAM"
    else:
        need, have, what = memory.vram_bytes, gpu, "GPU memory"
    if need is None or have is None or need * hardware_probe.NEED_MARGIN <= have:
        return None
    return Reason(
        code="MEMORY_INSUFFICIENT",
        have=f"{have / 1e9:.1f} GB {what}" + (f" and {ram / 1e9:.1f} GB RAM free" if ram else ""),
        need=f"{need * hardware_probe.NEED_MARGIN / 1e9:.1f} GB {what} in half precision",
        fix="a larger card, more RAM for the parts that wait, or a quantised file",
    )


def _model(entry: Entry, machine: Hardware) -> Model:
    native = entry.native_px
    sizes = FreeSize(
        native_width=native,
        native_height=native,
        min_side=max(64, native // 4),
        max_side=native * 2,
        multiple_of=entry.multiple_of,
    )
    guided = entry.passes > 1
    able = TaskCapability(sizes=sizes, options=_OPTIONS | _GUIDED if guided else _OPTIONS)
    model = Model(
        id=entry.hub_id,
        provider=PROVIDER,
        where="this_machine",
        tasks={"text_to_image": able},
        prices=FREE,
        state="loaded",
        memory=_memory(entry, machine),
    )
    return enrich(model)


def _memory(entry: Entry, machine: Hardware) -> Memory:
    """On a GPU all at once, or its parts in turn where main memory holds those that wait."""
    if hardware_probe.gpu_memory(machine) is None:
        return Memory(ram_bytes=entry.vram_bytes["full"])
    unified = any(gpu.unified_memory for gpu in machine.gpus)
    ram = machine.ram_available
    parked = ram is None or entry.weights_bytes <= ram
    way = "offload" if parked and not unified else "full"
    return Memory(vram_bytes=entry.vram_bytes[way])
