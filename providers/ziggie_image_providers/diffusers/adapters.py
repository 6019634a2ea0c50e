"""Lay LoRAs over the model in memory, and take them off again. Imports torch, and peft then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.faults import Problem, first_line
from ziggie_image_providers.diffusers.light_imports import show_peft
from ziggie_image_providers.diffusers.loading import held


class _Laid:
    """The LoRAs in memory: the names of their adapters by file."""

    def __init__(self) -> None:
        self.pipe: Any = None
        self.names: dict[tuple[str, int], str] = {}
        self.count = 0


_laid = _Laid()


def lay(loras: tuple[wire.LoraFile, ...]) -> tuple[str, ...]:
    """Have these LoRAs over the model and no others; what is there already is not loaded again.

    Returns:
        What the caller should know, a sentence each.

    Raises:
        Problem: One does not fit the model, which is as before then, or cannot be read.
    """
    if _laid.pipe is not held.pipe:
        _laid.pipe, _laid.names = held.pipe, {}
    wanted = {_key(lora): lora.weight for lora in loras}
    gone = [key for key in _laid.names if key not in wanted]
    new = [lora for lora in loras if _key(lora) not in _laid.names]
    if gone or new:
        held.edits = {}  # their hooks know the layers as they were
    if gone and len(gone) == len(_laid.names):
        held.pipe.unload_lora_weights()
    elif gone:
        held.pipe.delete_adapters([_laid.names[key] for key in gone])
    for key in gone:
        del _laid.names[key]
    notes = [note for lora in new for note in _load(lora)]
    if wanted:
        names = [_laid.names[key] for key in wanted]
        held.pipe.set_adapters(names, list(wanted.values()))
    return tuple(notes)


def state(loras: tuple[wire.LoraFile, ...]) -> tuple[object, ...]:
    """What tells these LoRAs over the model from others: files, their times, weights."""
    return tuple((*_key(lora), lora.weight) for lora in loras)


def _key(lora: wire.LoraFile) -> tuple[str, int]:
    return lora.path, Path(lora.path).stat().st_mtime_ns


def _load(lora: wire.LoraFile) -> list[str]:
    show_peft()
    path = Path(lora.path)
    _laid.count += 1
    name = f"lora{_laid.count}"
    try:
        held.pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name)
    except (MemoryError, ImportError):
        _take_off(name)
        raise
    except Exception as e:  # each family's loader has errors of its own
        _take_off(name)
        if type(e).__name__ == "OutOfMemoryError":
            raise
        raise Problem(
            "rejected",
            f"The LoRA {path.name} does not fit this model ({first_line(e)}). Leave it out, or use "
            "one that was trained for it.",
        ) from e
    layers = _count_layers(name)
    if not layers:  # diffusers only logs it
        _take_off(name)
        raise Problem(
            "rejected",
            f"The LoRA {path.name} holds nothing for this model: it was trained for another. Leave "
            "it out.",
        )
    _laid.names[_key(lora)] = name
    return []


def _take_off(name: str) -> None:
    """Leave the model as it was before a LoRA that failed."""
    if _laid.names:
        if any(name in names for names in held.pipe.get_list_adapters().values()):
            held.pipe.delete_adapters(name)
    else:
        held.pipe.unload_lora_weights()


def _count_layers(name: str) -> int:
    """How many layers of the model an adapter changes."""
    parts = [part for part in held.pipe.components.values() if hasattr(part, "named_modules")]
    return sum(
        name in getattr(module, attribute, {})
        for part in parts
        for module in part.modules()
        for attribute in ("lora_A", "lokr_w1", "hada_w1_a")
    )
