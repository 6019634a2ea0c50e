"""Recommend models for a machine: which ones, why, and the commands that get them.

The one place that makes the advice for machines with only the demo;
`recommended_models.json` gives source and date of each figure.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ziggie_image_mcp.errors import InvalidRequest, duration, suggestion
from ziggie_image_mcp.inventory import model_facts
from ziggie_image_mcp.inventory.hardware_probe import UNIFIED_SHARE
from ziggie_image_mcp.inventory.licences import condition_of
from ziggie_image_mcp.inventory.model_facts import data_beside, plain
from ziggie_image_mcp.inventory.types import Gpu, Hardware
from ziggie_image_mcp.provider.installing import (
    CURRENT_ENVIRONMENT,
    PythonEnvironment,
    install_command,
)

CUDA_INDEX = "https://download.pytorch.org/whl/cu130"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LOCAL = "ziggie-image-mcp[local]"
_PACKAGES = ("torch", "diffusers", "transformers")

LicenseWish = Literal["commercial", "any"]
"""What the pictures, and the weights, are wanted for."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """A model that fits a machine, and how to get it."""

    name: str
    """As `models pull` takes it."""
    title: str
    repo: str
    license: str
    condition: str
    """Of the licence; empty where it has none that is known."""
    gated: bool
    """Its terms must be accepted on its page first."""
    disk_gb: float
    seconds: tuple[float, float | None] | None
    """For a picture, from and to; None where nobody says."""
    pace: str
    """What a picture takes and who says so."""
    why: str
    """Why it fits."""
    commands: tuple[str, ...]
    """In this order."""


@dataclass(frozen=True, kw_only=True)
class Unsuitable:
    """A model of the catalogue that this machine, or this licence wish, leaves out."""

    name: str
    title: str
    why_not: str


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What there is on a machine beside its hardware."""

    environment: PythonEnvironment = CURRENT_ENVIRONMENT
    packages: bool = False
    """torch, diffusers and transformers are installed."""
    vendors: bool = True
    """The user lets prompts leave the machine, and may pay."""


def current_setup(*, vendors: bool) -> Setup:
    """What is installed where this runs; nothing is imported."""
    installed = all(importlib.util.find_spec(name) is not None for name in _PACKAGES)
    return Setup(
        packages=installed,
        vendors=vendors,
    )


def recommend(machine: Hardware, setup: Setup) -> Recommendation | None:
    """The best model that fits, may be used commercially and needs no account; or None."""
    chosen = _choose(machine, setup)
    return None if chosen is None else _recommendation(chosen, machine, setup)


def suitable(machine: Hardware, setup: Setup, wish: LicenseWish) -> list[Recommendation]:
    """All models of the catalogue that fit, the best first."""
    return [
        _recommendation(model, machine, setup)
        for model in _file()["models"]
        if not _why_not(model, machine, setup, wish)
    ]


def unsuitable(machine: Hardware, setup: Setup, wish: LicenseWish) -> list[Unsuitable]:
    """The other models of the catalogue, each with the first reason."""
    return [
        Unsuitable(name=model["id"], title=model["title"], why_not=why_not)
        for model in _file()["models"]
        if (why_not := _why_not(model, machine, setup, wish))
    ]


def repository_of(name: str) -> str:
    """The repository that a name of the catalogue stands for; owner/repo[@revision] as it is.

    Raises:
        InvalidRequest: It is neither.
    """
    if "/" in name:
        return name
    word, at, revision = name.partition("@")
    rows = _file()["models"]
    for row in rows:
        if plain(word) in (plain(row["id"]), plain(row["title"])):
            return f"{row['repo']}{at}{revision}"
    ids = [row["id"] for row in rows]
    known = f"give owner/repo, or one of {', '.join(ids)}"
    raise InvalidRequest("name", name, f"{known}.{suggestion(word, ids)}")


def pull_command(name: str) -> str:
    """What gets a model with all its stages, by any name that people use; empty: not known."""
    entry = model_facts.recognise(name)
    title = entry.title if entry else model_facts.title_of(name)
    repos = {one.hub_id for one in model_facts.entries() if one.title == title}
    row = next((row for row in _file()["models"] if row["repo"] in repos), None)
    return " && ".join(_pulls(row)) if row else ""


def license_facts(repo: str) -> str:
    """What the catalogue knows of a repository's licence; empty where it knows nothing."""
    row = next((row for row in _file()["models"] if row["repo"].lower() == repo.lower()), None)
    if row is None:
        return ""
    source = _file()["sources"][row["from"]["license"]]
    use = "commercial use allowed" if row["commercial"] else "no commercial use"
    facts = "; ".join(filter(None, (row["license"], use, _condition(row))))
    return f"{facts} ({source['what']}, {source['date']}, no legal advice)"


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
    return install_command("torch", index=CUDA_INDEX, again=True, environment=setup.environment)


def hub_install(setup: Setup) -> str:
    """Installs the Hub's client, which `models pull` downloads with."""
    return install_command("ziggie-image-mcp[hub]", environment=setup.environment)


def _facts(best: Recommendation) -> str:
    return f"{best.title} ({best.license}, {best.disk_gb:g} GB on disk, {best.pace})"


def _without_model(machine: Hardware, setup: Setup) -> str:
    larger_disk = _choose(replace(machine, disk_free=None), setup)
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


def _choose(machine: Hardware, setup: Setup) -> dict[str, Any] | None:
    fitting: Iterator[dict[str, Any]] = (
        model
        for model in _file()["models"]
        if not model["gated"] and not _why_not(model, machine, setup, "commercial")
    )
    return next(fitting, None)


def _why_not(model: dict[str, Any], machine: Hardware, setup: Setup, wish: LicenseWish) -> str:
    if wish == "commercial" and not model["commercial"]:
        return f"not for commercial use ({model['license']})"
    if not _fits_gpu(model, machine) and not _fits_cpu(model, machine):
        return _memory_sentence(model, machine)
    need = _disk_gb(model, machine, setup)
    if machine.disk_free is not None and need > machine.disk_free / 1e9:
        return f"needs {need:.1f} GB of disk, and {machine.disk_free / 1e9:.1f} GB are free"
    return ""


def _memory_sentence(model: dict[str, Any], machine: Hardware) -> str:
    gpu, ram = _usable_gpu(machine), (machine.ram_total or 0) / 1e9
    margin = _file()["margin"]
    if gpu is None:
        need = f"{model['cpu_ram_gb']:g} GB of memory" if model["cpu"] else "a GPU"
        return f"needs {need}; here: {ram:.1f} GB of memory, {_card(machine)}"
    if gpu.unified_memory:
        need = model["vram_full_gb"] * margin
        return f"needs {need:.1f} GB, and {ram * UNIFIED_SHARE:.1f} GB of memory are for the GPU"
    need, vram = model["vram_offload_gb"] * margin, (gpu.vram_total or 0) / 1e9
    if need > vram:
        return f"needs {need:.1f} GB on the GPU even in parts, and {gpu.name} has {vram:.1f} GB"
    return f"needs {model['ram_gb']:g} GB of memory while it is loaded, and {ram:.1f} GB are here"


def _why(model: dict[str, Any], gpu: Gpu | None, machine: Hardware) -> str:
    margin, ram = _file()["margin"], (machine.ram_total or 0) / 1e9
    if gpu is None:
        return f"runs on the CPU in {model['cpu_ram_gb']:g} of {ram:.1f} GB of memory"
    whole, parts = model["vram_full_gb"] * margin, model["vram_offload_gb"] * margin
    if gpu.unified_memory:
        return f"fits the {ram * UNIFIED_SHARE:.1f} GB that {gpu.name} shares: needs {whole:.1f} GB"
    vram = (gpu.vram_total or 0) / 1e9
    if whole <= vram:
        return f"fits whole on {gpu.name}: {whole:.1f} of {vram:.1f} GB"
    return f"fits {gpu.name} with its parts moved in turn: {parts:.1f} of {vram:.1f} GB"


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


def _condition(model: dict[str, Any]) -> str:
    """What its licence asks, and what it asks beside."""
    return "; ".join(filter(None, (condition_of(model["license"]), model.get("condition"))))


def _recommendation(model: dict[str, Any], machine: Hardware, setup: Setup) -> Recommendation:
    on_gpu = _fits_gpu(model, machine)
    gpu = _usable_gpu(machine) if on_gpu else None
    return Recommendation(
        name=model["id"],
        title=model["title"],
        repo=model["repo"],
        license=model["license"],
        condition=_condition(model),
        gated=model["gated"],
        disk_gb=model["disk_gb"],
        seconds=_seconds(model, gpu, on_gpu=on_gpu),
        pace=_pace(model, gpu, on_gpu=on_gpu),
        why=_why(model, gpu, machine),
        commands=(
            *_install(machine, gpu, setup),
            *_pulls(model),
        ),
    )


def _pulls(model: dict[str, Any]) -> list[str]:
    """A command for each repository that it comes in."""
    return [f"ziggie-image-mcp models pull {one}" for one in (model["id"], *model.get("more", ()))]


def _seconds(
    model: dict[str, Any], gpu: Gpu | None, *, on_gpu: bool
) -> tuple[float, float | None] | None:
    key = "gpu_seconds" if on_gpu else "cpu_seconds"
    if model.get(key) is None or (gpu is not None and gpu.vendor == "apple"):
        return None
    low, high = model[key]
    return low, high


def _pace(model: dict[str, Any], gpu: Gpu | None, *, on_gpu: bool) -> str:
    if gpu is not None and gpu.vendor == "apple":
        return "seconds a picture not known for Apple chips"
    seconds = _seconds(model, gpu, on_gpu=on_gpu)
    if seconds is None:
        return "seconds a picture not known"
    low, high = seconds
    source = _file()["sources"][model["from"]["gpu_seconds" if on_gpu else "cpu_seconds"]]
    span = f"from {duration(low)}" + (f" to {duration(high)}" if high is not None else "")
    return f"{span} a picture by {source['what']}, {source['date']}, unverified"


def _install(machine: Hardware, gpu: Gpu | None, setup: Setup) -> list[str]:
    if setup.packages:
        return []
    index = ""
    if gpu is not None and gpu.vendor == "nvidia":
        index = CUDA_INDEX
    elif machine.os == "Linux":  # elsewhere the index's own torch is the right one
        index = CPU_INDEX
    where = setup.environment
    if where.kind == "uvx":  # each command makes the environment anew
        return [install_command(LOCAL, index=index, environment=where)]
    local = install_command(LOCAL, environment=where)
    if not index:
        return [local]
    again = index == CUDA_INDEX
    return [install_command("torch", index=index, again=again, environment=where), local]


def _file() -> dict[str, Any]:
    return data_beside("recommended_models.json")
