"""Recommend a real model for a machine that has only the demo: which one, and the commands.

The one place that makes this text; `recommended_models.json` gives source and date of each figure.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ziggie_image_mcp.errors import duration
from ziggie_image_mcp.inventory.hardware_probe import UNIFIED_SHARE
from ziggie_image_mcp.inventory.model_facts import data_beside
from ziggie_image_mcp.inventory.types import Gpu, Hardware

CUDA_INDEX = "https://download.pytorch.org/whl/cu130"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_PACKAGES = ("torch", "diffusers", "transformers")


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """A model that fits a machine, and how to get it."""

    title: str
    repo: str
    license: str
    disk_gb: float
    pace: str
    """What a picture takes and who says so."""
    commands: tuple[str, ...]
    """In this order."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What there is on a machine beside its hardware."""

    python: str = sys.executable
    pip: bool = True
    """False in environments that uv made, which have no pip of their own."""
    hf: str = "hf"
    """How the download command is called here."""
    packages: bool = False
    """torch, diffusers and transformers are installed."""
    vendors: bool = True
    """The user lets prompts leave the machine, and may pay."""


def current_setup(*, vendors: bool) -> Setup:
    """What is installed where this runs; nothing is imported."""
    installed = all(importlib.util.find_spec(name) is not None for name in _PACKAGES)
    beside = Path(sys.executable).with_name("hf.exe" if sys.platform == "win32" else "hf")
    on_path = shutil.which("hf")
    is_reached = on_path is not None and Path(on_path).parent == beside.parent
    return Setup(
        pip=importlib.util.find_spec("pip") is not None,
        hf="hf" if is_reached else f'"{beside}"',
        packages=installed,
        vendors=vendors,
    )


def recommend(machine: Hardware, setup: Setup) -> Recommendation | None:
    """The best model that fits the machine's GPU, or else its CPU; None where none does."""
    chosen = _choose(machine, setup, machine.disk_free)
    return None if chosen is None else _recommendation(chosen, machine, setup)


def advice(machine: Hardware, setup: Setup) -> str:
    """How to get a real model for this machine, in a sentence or two and with the commands."""
    best = recommend(machine, setup)
    if best is None:
        return _without_model(machine, setup)
    commands = " && ".join(best.commands)
    return f"A real model for this machine: {_facts(best)}. Get it by: {commands}"


def advice_lines(machine: Hardware, setup: Setup) -> list[str]:
    """The same for a terminal: a command on each line."""
    best = recommend(machine, setup)
    if best is None:
        return [_without_model(machine, setup)]
    return [f"a real model for this machine: {_facts(best)}", *best.commands]


def cuda_install(setup: Setup) -> str:
    """Installs torch for an NVIDIA card."""
    again = "--force-reinstall" if setup.pip else "--reinstall"
    return f"{_pip(setup)} {again} torch --index-url {CUDA_INDEX}"


def _pip(setup: Setup) -> str:
    return (
        f'"{setup.python}" -m pip install' if setup.pip else f'uv pip install -p "{setup.python}"'
    )


def _facts(best: Recommendation) -> str:
    return f"{best.title} ({best.license}, {best.disk_gb:g} GB on disk, {best.pace})"


def _without_model(machine: Hardware, setup: Setup) -> str:
    larger_disk = _choose(machine, setup, None)
    if larger_disk is not None:
        need, free = _disk_gb(larger_disk, machine, setup), (machine.disk_free or 0) / 1e9
        what = f"{larger_disk['title']} would fit this machine, but needs {need:.1f} GB of disk"
        start = f"{what}, and {free:.1f} GB are free: make room, or"
    else:
        ram = "unknown" if machine.ram_total is None else f"{machine.ram_total / 1e9:.1f} GB of"
        start = f"No local model fits this machine ({ram} memory, {_card(machine)}):"
    ways = "run ComfyUI on a machine with a GPU and set providers.comfyui.baseUrl to it"
    if setup.vendors:
        ways += ", or use a paid vendor: ziggie-image-mcp keys set openai"
    return f"{start} {ways}"


def _card(machine: Hardware) -> str:
    gpu = _usable_gpu(machine)
    return "no GPU that torch is known to use" if gpu is None else gpu.name


def _usable_gpu(machine: Hardware) -> Gpu | None:
    """The GPU with the most memory, of the makes on which the engine is known to run."""
    known = [g for g in machine.gpus if g.vendor in ("nvidia", "apple")]
    return max(known, key=lambda g: g.vram_total or 0, default=None)


def _choose(machine: Hardware, setup: Setup, disk_free: int | None) -> dict[str, Any] | None:
    for model in _file()["models"]:
        has_room = disk_free is None or _disk_gb(model, machine, setup) <= disk_free / 1e9
        if has_room and (_fits_gpu(model, machine) or _fits_cpu(model, machine)):
            chosen: dict[str, Any] = model
            return chosen
    return None


def _fits_gpu(model: dict[str, Any], machine: Hardware) -> bool:
    gpu, margin = _usable_gpu(machine), _file()["margin"]
    ram = (machine.ram_total or 0) / 1e9
    if gpu is None:
        return False
    if gpu.unified_memory:  # nothing is gained by moving parts to and fro within one memory
        return bool(model["vram_full_gb"] * margin <= ram * UNIFIED_SHARE)
    vram = (gpu.vram_total or 0) / 1e9
    return bool(model["vram_offload_gb"] * margin <= vram and model["ram_gb"] <= ram)


def _fits_cpu(model: dict[str, Any], machine: Hardware) -> bool:
    ram = (machine.ram_total or 0) / 1e9
    return bool(model["cpu"]) and model["cpu_ram_gb"] <= ram


def _disk_gb(model: dict[str, Any], machine: Hardware, setup: Setup) -> float:
    packages = _file()["packages"]
    cuda = (gpu := _usable_gpu(machine)) is not None and gpu.vendor == "nvidia"
    own = 0.0 if setup.packages else packages["cuda_gb" if cuda else "other_gb"]
    return float(model["disk_gb"] + own)


def _recommendation(model: dict[str, Any], machine: Hardware, setup: Setup) -> Recommendation:
    on_gpu = _fits_gpu(model, machine)
    gpu = _usable_gpu(machine) if on_gpu else None
    return Recommendation(
        title=model["title"],
        repo=model["repo"],
        license=model["license"],
        disk_gb=model["disk_gb"],
        pace=_pace(model, gpu, on_gpu=on_gpu),
        commands=(*_install(machine, gpu, setup), _download(model, setup)),
    )


def _pace(model: dict[str, Any], gpu: Gpu | None, *, on_gpu: bool) -> str:
    if gpu is not None and gpu.vendor == "apple":
        return "seconds a picture not known for Apple chips"
    key = "gpu_seconds" if on_gpu else "cpu_seconds"
    low, high = model[key]
    source = _file()["sources"][model["from"][key]]
    span = f"from {duration(low)}" + (f" to {duration(high)}" if high is not None else "")
    return f"{span} a picture by {source['what']}, {source['date']}, unverified"


def _install(machine: Hardware, gpu: Gpu | None, setup: Setup) -> list[str]:
    if setup.packages:
        return []
    commands: list[str] = []
    if gpu is not None and gpu.vendor == "nvidia":
        commands.append(cuda_install(setup))
    elif machine.os == "Linux":  # elsewhere the index's own torch is the right one
        commands.append(f"{_pip(setup)} torch --index-url {CPU_INDEX}")
    return [*commands, f'{_pip(setup)} "ziggie-image-mcp[local]"']


def _download(model: dict[str, Any], setup: Setup) -> str:
    """Into the Hub's cache, where the diffusers provider looks: `hf` takes a pattern an option."""
    include = "".join(f' --include "{pattern}"' for pattern in model["include"])
    exclude = "".join(f' --exclude "{pattern}"' for pattern in model["exclude"])
    return f"{setup.hf} download {model['repo']}{include}{exclude}"


def _file() -> dict[str, Any]:
    return data_beside("recommended_models.json")
