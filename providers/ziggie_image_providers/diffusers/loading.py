"""Bring a pipeline into memory, on the device and by the rung that were chosen. Imports torch.

The paths for CUDA, MPS and XPU follow the documentation; no GPU has run them yet.
"""

from __future__ import annotations

import gc
import importlib
import os
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import cpu_share, wire
from ziggie_image_providers.diffusers.faults import Problem
from ziggie_image_providers.diffusers.ladder import FULL, GROUP_OFFLOAD, MODEL_OFFLOAD
from ziggie_image_providers.diffusers.light_imports import import_libraries

torch, diffusers, transformers = import_libraries()

CONTEXT_BYTES = 400_000_000
"""An assumption: what the driver takes on a GPU for a process, beside torch's own memory."""

MARGIN = 1.15
for library in (diffusers, transformers):
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()


class Held:
    """The one pipeline in memory."""

    def __init__(self) -> None:
        self.key: tuple[object, ...] | None = None
        self.pipe: Any = None
        self.scheduler: Any = None
        self.device = "cpu"
        self.rung = ""
        """How the parts are held."""
        self.edits: dict[str, Any] = {}
        """The same parts in the pipelines that work from pictures."""

    def drop(self) -> None:
        """Free the memory."""
        self.key = self.pipe = self.scheduler = None
        self.edits = {}
        gc.collect()
        for name in ("cuda", "xpu", "mps"):
            backend = getattr(torch, name, None)
            if backend is not None and backend.is_available():
                backend.empty_cache()


held = Held()


def load(request: wire.WorkerRequest) -> None:
    """Bring the request's model into memory, in place of the one before."""
    device = choose_device(request.device)
    dtype = choose_dtype(request, device)
    if device == "cpu":
        cpu_share.be_nice()
        threads = cpu_share.thread_count(request.weight_bytes, os.environ)
        if threads is not None:
            torch.set_num_threads(threads)
    key = (request.path, _stamp(request), device, dtype, request.must_offload, request.rung)
    if held.key == key:
        return
    held.drop()
    pipe = _read(request, dtype)
    held.device = device
    held.rung = _choose_rung(request, device)
    if held.rung == MODEL_OFFLOAD:
        pipe.enable_model_cpu_offload(device=device)
    elif held.rung == GROUP_OFFLOAD:  # layers remember where they belong, in every pipeline
        pipe.enable_group_offload(torch.device(device), offload_type="leaf_level")
    else:
        pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    held.pipe, held.scheduler, held.key = pipe, getattr(pipe, "scheduler", None), key


def in_use() -> wire.InUse:
    """What this process holds, which it frees for another model."""
    kind, _, index = held.device.partition(":")
    vram = 0
    if kind in ("cuda", "xpu"):
        backend = getattr(torch, kind)
        number = int(index) if index else backend.current_device()
        kind, vram = f"{kind}:{number}", backend.memory_reserved(number) + CONTEXT_BYTES
    elif kind == "mps":
        vram = torch.mps.driver_allocated_memory()
    ram = importlib.import_module("psutil").Process().memory_info().rss
    return wire.InUse(device=kind, vram_bytes=vram, ram_bytes=ram, rung=held.rung)


def choose_device(wanted: str) -> str:
    """Find the device to run on.

    Raises:
        Problem: The wanted one is not here.
    """
    here = [
        name
        for name in ("cuda", "mps", "xpu")
        if getattr(torch, name, None) is not None and getattr(torch, name).is_available()
    ]
    if wanted == "auto":
        return here[0] if here else "cpu"
    kind, _, index = wanted.partition(":")
    count = getattr(torch, kind).device_count() if kind in here else 0
    if kind == "cpu" or (kind in here and (not index or int(index) < count)):
        return wanted
    raise Problem(
        "device_missing",
        f"torch sees no device {wanted!r} here, only {', '.join([*here, 'cpu'])}: "
        "set hardware.gpu to one of these, or to auto.",
    )


def choose_dtype(request: wire.WorkerRequest, device: str) -> Any:
    """Find the number format: half precision on a GPU, and on a CPU where nothing else fits."""
    if request.dtype != "auto":
        return getattr(torch, request.dtype)
    if device != "cpu":
        wide = device.startswith("cuda") and not torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        return torch.float16 if wide else getattr(torch, request.half_precision)
    available = importlib.import_module("psutil").virtual_memory().available
    if request.weight_bytes is not None and request.weight_bytes * 2 * MARGIN > available:
        return torch.bfloat16
    return torch.float32


def _stamp(request: wire.WorkerRequest) -> int:
    path = Path(request.path)
    return (path if request.single_file else path / "model_index.json").stat().st_mtime_ns


def _read(request: wire.WorkerRequest, dtype: Any) -> Any:
    if not request.single_file:
        return diffusers.DiffusionPipeline.from_pretrained(
            request.path, dtype=dtype, variant=request.variant, local_files_only=True
        )
    return getattr(diffusers, request.pipeline).from_single_file(
        request.path, config=request.config_folder, torch_dtype=dtype, local_files_only=True
    )


def _choose_rung(request: wire.WorkerRequest, device: str) -> str:
    """How to hold the model: as the decision chose, and in parts where less is free by now."""
    if request.rung in (MODEL_OFFLOAD, GROUP_OFFLOAD):
        return request.rung
    whole = request.rung or ("cpu" if device == "cpu" else FULL)
    if not device.startswith("cuda") or not request.may_offload:
        return whole
    if request.must_offload:
        return MODEL_OFFLOAD
    if request.vram_bytes is None:
        return whole
    free, _ = torch.cuda.mem_get_info(device)
    return MODEL_OFFLOAD if request.vram_bytes * MARGIN > free else whole
