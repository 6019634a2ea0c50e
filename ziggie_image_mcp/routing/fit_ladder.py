"""Choose where a model runs on this machine, and how it is held there. No I/O.

Of the ways of holding a model (`Memory.rungs`, the fastest first) the first that fits any device
wins, and of the devices on which it fits the one with the most room. What a way needs is told by
the picture's size where the provider tells it so (`Rung.peaks`); the pictures of one request do not
add up, for the provider makes as many at once as there is room for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ziggie_image_mcp.inventory.hardware_probe import NEED_MARGIN, torch_device, usable_memory
from ziggie_image_mcp.inventory.types import Hardware, Reason
from ziggie_image_mcp.provider.nouns import ANY_DEVICE, Held, Model, Rung, peak_bytes
from ziggie_image_mcp.provider.sizes import Size, nearest_size

CPU = "cpu"

SIDE_STEP = 64
"""Pixels by which smaller sizes are tried, to find one that fits."""


class Room(NamedTuple):
    """What a model could have on one GPU now, bytes."""

    device: str
    name: str
    vram: int
    ram: int | None
    """Main memory; None where it could not be told."""
    total: int | None
    unified: bool


class Miss(NamedTuple):
    """How far one way of holding a model is from fitting one GPU."""

    lacking: float
    """Bytes."""
    rung: Rung
    vram: int
    """Bytes that it needs."""
    room: Room
    of_ram: bool


def place(model: Model, hardware: Hardware, size: Size | None = None) -> Model:
    """The model with the device that is to run it and the rung to hold it by.

    Unchanged where its provider takes no such choice, where no GPU tells its memory (the engine
    then finds out by itself), and where nothing fits.

    Args:
        model: As its provider lists it.
        hardware: As it is now.
        size: Of the picture; None for the model's native one.
    """
    if not model.memory.rungs or model.device == CPU:
        return model
    rooms = tuple(_rooms(model, hardware))
    resident = _resident(model, rooms, size)
    if resident is not None:
        return resident
    for rung in possible(model.memory.rungs) if rooms else ():
        fitting = [room for room in rooms if _miss(rung, room, size) is None]
        if fitting:
            return _on(max(fitting, key=lambda room: room.vram), rung, model, size)
    if rooms and _all_told(hardware) and _may_use_cpu(model) and _fits_ram(model, hardware, size):
        return replace(model, device=CPU, rung=CPU, device_memory=0)
    return model


def _resident(model: Model, rooms: Sequence[Room], size: Size | None) -> Model | None:
    """The model where it is in memory, as long as no other program has taken what it needs.

    It needs no margin to stay: it was measured when it came in.
    """
    for held in model.memory.held:
        for room in rooms:
            for rung in model.memory.rungs:
                if (held.device, held.rung) == (room.device, rung.name):
                    misses = _miss(rung, room, size, margin=1.0)
                    return None if misses else _on(room, rung, model, size)
    return None


def possible(rungs: Iterable[Rung]) -> Iterator[Rung]:
    """Those for which nothing has to be installed."""
    return (rung for rung in rungs if not rung.fix)


def _on(room: Room, rung: Rung, model: Model, size: Size | None) -> Model:
    """The model on that rung, and of its other rungs those left that may be taken after it."""
    memory = room.vram if room.total is None or room.unified else room.total
    after = model.memory.rungs[model.memory.rungs.index(rung) + 1 :]
    rungs = (rung, *(other for other in possible(after) if _miss(other, room, size) is None))
    return replace(
        model,
        device=room.device,
        rung=rung.name,
        device_memory=memory,
        slowdown=model.slowdown * rung.slowdown,
        memory=replace(model.memory, rungs=rungs),
    )


def lower(model: Model) -> Model | None:
    """The model that `place` gave on its next rung that needs less, for when memory ran out."""
    rungs = model.memory.rungs
    if not rungs or rungs[0].name != model.rung:
        return None
    for place, rung in enumerate(rungs[1:], 1):
        if rung.vram_bytes < rungs[0].vram_bytes:
            return replace(
                model,
                rung=rung.name,
                slowdown=max(1.0, model.slowdown / rungs[0].slowdown * rung.slowdown),
                memory=replace(model.memory, rungs=rungs[place:]),
            )
    return None


def unfit(model: Model, hardware: Hardware, size: Size | None = None) -> Reason | None:
    """Why nothing fits a model that `place` left as it was, by the rung that came nearest."""
    memory = model.memory
    if model.rung or not memory.rungs or memory.managed or model.where != "this_machine":
        return None
    rooms = () if model.device == CPU else tuple(_rooms(model, hardware))
    ram_bytes, ram = _ram_bytes(model, size), hardware.ram_available
    if not rooms:
        if _fits_ram(model, hardware, size) or ram_bytes is None or ram is None:
            return None
        return _reason(f"{_gb(ram)} RAM free", f"{_gb(ram_bytes)} RAM", model, hardware, size)
    if not _all_told(hardware) and model.device in ANY_DEVICE:
        return None
    misses = [
        miss
        for rung in possible(memory.rungs)
        for room in rooms
        if (miss := _miss(rung, room, size))
    ]
    if not misses:
        return None
    nearest = min(misses, key=lambda miss: miss.lacking)
    room, rung = nearest.room, nearest.rung
    have = f"{_gb(room.vram)} free on {room.name} ({room.device})"
    need = f"{_gb(nearest.vram * NEED_MARGIN)} there for {rung.name}"
    if rung.ram_bytes and not room.unified:
        have += f" and {_gb(room.ram)} RAM free"
        need += f" and {_gb(rung.ram_bytes)} RAM"
    need += f", {_gb(nearest.lacking)} more{' RAM' if nearest.of_ram else ''}"
    if _may_use_cpu(model) and ram_bytes is not None and not _fits_ram(model, hardware, size):
        need += f"; or {_gb(ram_bytes)} RAM"
        have += "" if rung.ram_bytes and not room.unified else f" and {_gb(ram)} RAM free"
    fixes = [
        f"{rung.fix} (then it fits: {rung.name})"
        for rung in memory.rungs
        if rung.fix and not all(_miss(rung, room, size) for room in rooms)
    ]
    if fixes:
        return Reason(code="MEMORY_INSUFFICIENT", have=have, need=need, fix=fixes[0])
    return _reason(have, need, model, hardware, size)


def _reason(have: str, need: str, model: Model, hardware: Hardware, size: Size | None) -> Reason:
    smaller = None if size is None else _smaller(model, hardware, size)
    fix = "close other programs, or use a smaller one"
    if smaller is not None:
        fix = f"ask for {smaller}, which fits, or close other programs"
    return Reason(code="MEMORY_INSUFFICIENT", have=have, need=need, fix=fix)


def _smaller(model: Model, hardware: Hardware, size: Size) -> Size | None:
    """The largest size of about this shape that fits; None where none does."""
    capability = model.tasks.get("text_to_image")
    if capability is None:
        return None

    def fits(steps: int) -> Size | None:
        scale = steps * SIDE_STEP / max(size)
        smaller = nearest_size(capability.sizes, size.width * scale, size.height * scale)
        if smaller.width * smaller.height >= size.width * size.height:
            return None
        placed = place(model, hardware, smaller)
        return smaller if placed.rung or _fits_ram(model, hardware, smaller) else None

    fitting, too_many = 1, -(-max(size) // SIDE_STEP)
    best = fits(fitting)
    while best is not None and too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        if (found := fits(middle)) is None:
            too_many = middle
        else:
            fitting, best = middle, found
    return best


def _rooms(model: Model, hardware: Hardware) -> Iterator[Room]:
    """The GPUs that may run the model and tell their memory."""
    for gpu in hardware.gpus:
        device, free = torch_device(gpu, hardware), usable_memory(gpu, hardware)
        if not device or free is None or not _is_meant(device, model.device):
            continue
        held, ram = _held(model, device), hardware.ram_available
        vram = free + held.vram_bytes
        yield Room(
            device=device,
            name=gpu.name,
            vram=vram if gpu.vram_total is None else min(vram, gpu.vram_total),
            ram=None if ram is None else ram + held.ram_bytes,
            total=gpu.vram_total,
            unified=gpu.unified_memory,
        )


def _is_meant(device: str, wanted: str) -> bool:
    """Whether a device is the one that is set, as `cuda:1`, or of the kind that is, as `cuda`."""
    return wanted in ANY_DEVICE or wanted in (device, device.partition(":")[0])


def _held(model: Model, device: str) -> Held:
    """What the provider's own worker has there, and gives up for another model."""
    nothing = Held(device=device, vram_bytes=0, ram_bytes=0)
    return next((one for one in model.memory.held if one.device == device), nothing)


def _miss(rung: Rung, room: Room, size: Size | None, margin: float = NEED_MARGIN) -> Miss | None:
    """By how much a rung does not fit; None where it does.

    Nothing is gained by parking weights in the memory that processor and GPU share.
    """
    vram = rung.vram_bytes
    if size is not None and rung.peaks:
        vram = peak_bytes(rung.peaks, size.width * size.height)
    vram += rung.ram_bytes if room.unified else 0
    lacking, ram = vram * margin - room.vram, rung.ram_bytes
    short = 0 if room.unified or room.ram is None else ram - room.ram
    if lacking <= 0 and short <= 0:
        return None
    return Miss(max(lacking, short), rung, vram, room, of_ram=short > lacking)


def _all_told(hardware: Hardware) -> bool:
    """Whether every GPU that torch could use tells its memory."""
    usable = [gpu for gpu in hardware.gpus if torch_device(gpu, hardware)]
    return all(usable_memory(gpu, hardware) is not None for gpu in usable)


def _may_use_cpu(model: Model) -> bool:
    return model.device in ANY_DEVICE


def _fits_ram(model: Model, hardware: Hardware, size: Size | None) -> bool:
    """Whether the processor can run it; False where that is not known."""
    need, ram = _ram_bytes(model, size), hardware.ram_available
    if need is None or ram is None:
        return False
    return need <= ram + _held(model, CPU).ram_bytes


def _ram_bytes(model: Model, size: Size | None) -> int | None:
    """What the processor needs for a picture of this size."""
    if size is None or not model.memory.ram_peaks:
        return model.memory.ram_bytes
    return peak_bytes(model.memory.ram_peaks, size.width * size.height)


def _gb(size: float | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.1f} GB"
