"""Choose where a model runs on this machine, and how it is held there. No I/O.

Of the ways of holding a model (`Memory.rungs`, the fastest first) the first that fits any device
wins, and of the devices on which it fits the one with the most room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ziggie_image_mcp.inventory.hardware_probe import torch_device, usable_memory
from ziggie_image_mcp.inventory.types import Hardware, Reason
from ziggie_image_mcp.provider.nouns import ANY_DEVICE, Held, Model, Rung

MARGIN = 1.15
"""What a need is multiplied with: estimates leave out fragmentation and work space."""

CPU = "cpu"


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
    room: Room
    of_ram: bool


def place(model: Model, hardware: Hardware) -> Model:
    """The model with the device that is to run it and the rung to hold it by.

    Unchanged where its provider takes no such choice, where no GPU tells its memory (the engine
    then finds out by itself), and where nothing fits.
    """
    if not model.memory.rungs or model.device == CPU:
        return model
    rooms = tuple(_rooms(model, hardware))
    resident = _resident(model, rooms)
    if resident is not None:
        return resident
    for rung in model.memory.rungs if rooms else ():
        fitting = [room for room in rooms if _miss(rung, room) is None]
        if fitting:
            return _on(max(fitting, key=lambda room: room.vram), rung, model)
    if rooms and _all_told(hardware) and _may_use_cpu(model) and _fits_ram(model, hardware):
        return replace(model, device=CPU, rung=CPU, device_memory=0)
    return model


def _resident(model: Model, rooms: Sequence[Room]) -> Model | None:
    """The model where it is in memory, as long as no other program has taken what it needs.

    It needs no margin to stay: it was measured when it came in.
    """
    for held in model.memory.held:
        for room in rooms:
            for rung in model.memory.rungs:
                if (held.device, held.rung) == (room.device, rung.name):
                    return None if _miss(rung, room, margin=1.0) else _on(room, rung, model)
    return None


def _on(room: Room, rung: Rung, model: Model) -> Model:
    memory = room.vram if room.total is None or room.unified else room.total
    slowdown = model.slowdown * rung.slowdown
    return replace(
        model, device=room.device, rung=rung.name, device_memory=memory, slowdown=slowdown
    )


def unfit(model: Model, hardware: Hardware) -> Reason | None:
    """Why nothing fits a model that `place` left as it was, by the rung that came nearest."""
    if model.rung or not model.memory.rungs:
        return None
    rooms = () if model.device == CPU else tuple(_rooms(model, hardware))
    ram_bytes, ram = model.memory.ram_bytes, hardware.ram_available
    if not rooms:
        if _fits_ram(model, hardware) or ram_bytes is None or ram is None:
            return None
        return _reason(f"{_gb(ram)} RAM free", f"{_gb(ram_bytes)} RAM")
    if not _all_told(hardware) and model.device in ANY_DEVICE:
        return None
    misses = [miss for rung in model.memory.rungs for room in rooms if (miss := _miss(rung, room))]
    if not misses:
        return None
    nearest = min(misses, key=lambda miss: miss.lacking)
    room, rung = nearest.room, nearest.rung
    have = f"{_gb(room.vram)} free on {room.name} ({room.device})"
    need = f"{_gb(rung.vram_bytes * MARGIN)} there for {rung.name}"
    if rung.ram_bytes and not room.unified:
        have += f" and {_gb(room.ram)} RAM free"
        need += f" and {_gb(rung.ram_bytes)} RAM"
    need += f", {_gb(nearest.lacking)} more{' RAM' if nearest.of_ram else ''}"
    if _may_use_cpu(model) and ram_bytes is not None and not _fits_ram(model, hardware):
        need += f"; or {_gb(ram_bytes)} RAM"
        have += "" if rung.ram_bytes and not room.unified else f" and {_gb(ram)} RAM free"
    return _reason(have, need)


def _reason(have: str, need: str) -> Reason:
    fix = "close other programs, or use a smaller one"
    return Reason(code="MEMORY_INSUFFICIENT", have=have, need=need, fix=fix)


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


def _miss(rung: Rung, room: Room, margin: float = MARGIN) -> Miss | None:
    """By how much a rung does not fit; None where it does.

    Nothing is gained by parking weights in the memory that processor and GPU share.
    """
    vram = rung.vram_bytes + (rung.ram_bytes if room.unified else 0)
    lacking, ram = vram * margin - room.vram, rung.ram_bytes
    short = 0 if room.unified or room.ram is None else ram - room.ram
    if lacking <= 0 and short <= 0:
        return None
    return Miss(max(lacking, short), rung, room, of_ram=short > lacking)


def _all_told(hardware: Hardware) -> bool:
    """Whether every GPU that torch could use tells its memory."""
    usable = [gpu for gpu in hardware.gpus if torch_device(gpu, hardware)]
    return all(usable_memory(gpu, hardware) is not None for gpu in usable)


def _may_use_cpu(model: Model) -> bool:
    return model.device in ANY_DEVICE


def _fits_ram(model: Model, hardware: Hardware) -> bool:
    """Whether the processor can run it; False where that is not known."""
    need, ram = model.memory.ram_bytes, hardware.ram_available
    if need is None or ram is None:
        return False
    return need <= ram + _held(model, CPU).ram_bytes


def _gb(size: float | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.1f} GB"
