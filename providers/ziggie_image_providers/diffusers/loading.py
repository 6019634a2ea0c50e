"""Bring a pipeline into memory, on the device and by the rung that were chosen. Imports torch.

The paths for CUDA, MPS and XPU follow the documentation; no GPU has run them yet.
"""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import acceleration, cpu_share, wire
from ziggie_image_providers.diffusers.batches import MARGIN, at_once
from ziggie_image_providers.diffusers.families import FIRST_STAGE, LATER_STAGES
from ziggie_image_providers.diffusers.faults import Problem, first_line, is_out_of_memory
from ziggie_image_providers.diffusers.if_safety_checker import complete_checker
from ziggie_image_providers.diffusers.ladder import (
    FULL,
    GROUP_OFFLOAD,
    MODEL_OFFLOAD,
    SMALL_TILE,
    parse,
)
from ziggie_image_providers.diffusers.light_imports import import_libraries
from ziggie_image_providers.diffusers.model_folder import INDEX, components, read_json
from ziggie_image_providers.diffusers.model_stamp import model_stamp
from ziggie_image_providers.diffusers.peak import (
    CONTEXT_BYTES,
    current_room,
    peak_bytes,
    restart_peak,
    total_memory,
)
from ziggie_image_providers.diffusers.processors import do_without_torchvision

torch, diffusers, transformers = import_libraries()

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
        self.tiled = False
        """Its VAE works in small tiles, whatever the picture's size."""
        self.dtype: Any = torch.float16
        """Of the numbers that it computes with."""
        self.batch = 1
        """How many pictures were made at once at most, since the last request came."""
        self.edits: dict[str, Any] = {}
        """The same parts in the pipelines that work from pictures."""
        self.stages: dict[str, tuple[str, Any]] = {}
        """Of the later stages of a cascade by their folders: as `model_stamp` has it, and the
        pipeline."""
        self.embeddings: dict[str, Any] = {}
        """What its text encoders made of prompts, the last used at the end."""
        self.unfit: dict[str, str] = {}
        """Why what `auto` chose to make it faster does not work; as `acceleration.check` has it."""

    def drop(self) -> None:
        """Free the memory."""
        self.key = self.pipe = self.scheduler = None
        self.edits, self.embeddings, self.unfit, self.stages = {}, {}, {}, {}
        free_memory()


def free_memory() -> None:
    """Give back what is no longer used."""
    gc.collect()
    for name in ("cuda", "xpu", "mps"):
        backend = getattr(torch, name, None)
        if backend is not None and backend.is_available():
            backend.empty_cache()


held = Held()


def load(request: wire.WorkerRequest) -> bool:
    """Bring the request's model into memory with all its stages, in place of the one before.

    Returns:
        Whether any of it was read: it was not in memory, or not as it is wanted now.

    Raises:
        Problem: Its device is not here, or a later stage of it cannot be read.
    """
    device = choose_device(request.device)
    dtype = choose_dtype(request, device)
    unfit = acceleration.check(request, device, dtype)
    if device == "cpu":
        cpu_share.be_nice()
        threads = cpu_share.thread_count(request.weight_bytes, os.environ)
        if threads is not None:
            torch.set_num_threads(threads)
    key = (request.path, _stamp(request), device, dtype, request.must_offload, request.rung)
    held.batch = 1
    is_new = held.key != key
    if is_new:
        held.drop()
        _hold(request, device, dtype)
        held.key = key
    try:
        is_new |= _hold_stages(request)
    except Exception:
        held.drop()  # as far as the provider knows, nothing is in memory where loading failed
        raise
    held.unfit |= unfit
    restart_peak(held.device)
    return is_new


def _hold(request: wire.WorkerRequest, device: str, dtype: Any) -> None:
    """Read the model, and hold it by its rung."""
    pipe = _read(request, dtype)
    held.device = device
    held.rung = _choose_rung(request, device)
    held.dtype = dtype
    held.tiled = parse(held.rung).tiled
    _place(pipe)
    held.pipe, held.scheduler = pipe, getattr(pipe, "scheduler", None)


def _hold_stages(request: wire.WorkerRequest) -> bool:
    """Hold the later stages of a cascade as its first is held, and no others.

    All before anything is drawn: its rungs count the weights of all stages together, and one that
    cannot be read would be told after hours on a processor.

    Returns:
        Whether one was read.

    Raises:
        Problem: One is gone, or cannot be read.
    """
    stamps = {stage.path: _stage_stamp(stage, request) for stage in request.stages}
    kept = {path: one for path, one in held.stages.items() if stamps.get(path) == one[0]}
    if len(kept) < len(held.stages):
        held.stages = kept
        held.embeddings.clear()  # the encoder of a stage may have been another
        free_memory()
    missing = [stage for stage in request.stages if stage.path not in held.stages]
    for stage in missing:
        read = functools.partial(_read_stage, stage)
        pipe = pipeline_beside(read, _unreadable(stage, request), "Get it again.")
        held.stages[stage.path] = (stamps[stage.path], pipe)
    return bool(missing)


def _stage_stamp(stage: wire.Stage, request: wire.WorkerRequest) -> str:
    try:
        return model_stamp(Path(stage.path))
    except OSError as e:
        text = f"{_unreadable(stage, request)} ({first_line(e)}). Get it again."
        raise Problem("model_missing", text) from e


def _unreadable(stage: wire.Stage, request: wire.WorkerRequest) -> str:
    return f"{Path(stage.path).name}, a later stage of {Path(request.path).name}, cannot be read"


def _read_stage(stage: wire.Stage) -> Any:
    """A later stage without what the first does for it: it reads the text and checks pictures."""
    without = ["safety_checker", "feature_extractor", "watermarker"]
    more: dict[str, Any] = {}
    if stage.pipeline == LATER_STAGES[0]:
        without += ["text_encoder", "tokenizer"]
        more["requires_safety_checker"] = False
    return getattr(diffusers, stage.pipeline).from_pretrained(
        stage.path,
        dtype=held.dtype,
        variant=stage.variant,
        local_files_only=True,
        **more,
        **dict.fromkeys(without),
    )


def _place(pipe: Any) -> None:
    """Hold a pipeline that lies in main memory by the rung."""
    way = parse(held.rung)
    if way.precision:
        importlib.import_module("ziggie_image_providers.diffusers.quantise").quantise(
            pipe, way.precision, held.dtype
        )
    if way.tiled:
        _make_tiles_small(getattr(pipe, "vae", None))
    if way.offload == MODEL_OFFLOAD:
        pipe.enable_model_cpu_offload(device=held.device)
    elif way.offload == GROUP_OFFLOAD:  # layers remember where they belong, in every pipeline
        pipe.enable_group_offload(torch.device(held.device), offload_type="leaf_level")
    else:
        pipe.to(held.device)
    pipe.set_progress_bar_config(disable=True)


def pipeline_beside(read: Callable[[], Any], what: str, fix: str) -> Any:
    """A pipeline that goes on with what the model drew, held as the model is; see `read_beside`.

    Raises:
        Problem: It cannot be read.
    """

    def placed() -> Any:
        pipe = read()
        _place(pipe)
        return pipe

    return _read_or_say(placed, what, fix)


def read_beside(read: Callable[[], Any], what: str, fix: str) -> Any:
    """A part that is laid beside the model, held as the model is.

    Args:
        read: Reads it.
        what: It is, as "The ControlNet depth cannot be used".
        fix: What can be done, a sentence.

    Raises:
        Problem: It cannot be read.
    """
    part = _read_or_say(read, what, fix)
    part.eval()
    offload = parse(held.rung).offload
    if offload == GROUP_OFFLOAD:
        part.enable_group_offload(torch.device(held.device), offload_type="leaf_level")
    elif offload != MODEL_OFFLOAD:
        part.to(held.device)
    return part


def _read_or_say(read: Callable[[], Any], what: str, fix: str) -> Any:
    try:
        return read()
    except (MemoryError, ImportError):
        raise
    except Exception as e:  # diffusers, safetensors and the file system have errors of their own
        if is_out_of_memory(e):
            raise
        raise Problem("model_unusable", f"{what} ({first_line(e)}). {fix}") from e


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
    return wire.InUse(
        device=kind,
        vram_bytes=vram,
        ram_bytes=ram,
        rung=held.rung,
        peak_bytes=peak_bytes(held.device),
        number_bytes=held.dtype.itemsize,
        batch=held.batch,
    )


def room() -> int | None:
    """What the GPU has for this process now, bytes; None where it does not tell."""
    return current_room(held.device)


def most_at_once(request: wire.WorkerRequest) -> int:
    """How many of a request's pictures to make at once."""
    pictures = request.image_bytes or request.reference_bytes
    passes = request.first or request.nets or request.ip_adapter or request.refiner
    in_stages = request.pipeline == FIRST_STAGE
    if pictures or passes or in_stages or "num_images_per_prompt" not in parameters(held.pipe):
        return 1
    return at_once(request, room(), total_memory(held.device))


def parameters(pipe: Any) -> Mapping[str, inspect.Parameter]:
    """What a pipeline takes."""
    return inspect.signature(type(pipe).__call__).parameters


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
    if held.key is not None and held.key[:3] == (request.path, _stamp(request), device):
        return held.dtype  # it fits: what it takes itself is no reason to read it again
    psutil: Any = importlib.import_module("psutil")
    available = psutil.virtual_memory().available
    if held.pipe is not None:  # which goes first
        available += psutil.Process().memory_info().rss
    if request.weight_bytes is not None and request.weight_bytes * 2 * MARGIN > available:
        return torch.bfloat16
    return torch.float32


def _stamp(request: wire.WorkerRequest) -> str:
    """Of the model, and of the folder that lends to a file."""
    paths = (request.path, *([request.config_folder] if request.config_folder else []))
    return " ".join(model_stamp(Path(path)) for path in paths)


def _read(request: wire.WorkerRequest, dtype: Any) -> Any:
    if request.path.endswith(".gguf"):
        read = importlib.import_module("ziggie_image_providers.diffusers.gguf_loading").read
        return read(request, dtype)
    if not request.single_file:
        index = read_json(Path(request.path) / INDEX)
        do_without_torchvision(kind for _, kind in components(index))
        if "IFSafetyChecker" in dict(components(index)).values():
            complete_checker()
        return diffusers.DiffusionPipeline.from_pretrained(
            request.path, dtype=dtype, variant=request.variant, local_files_only=True
        )
    wide = {"num_in_channels": 9} if "Inpaint" in request.pipeline else {}
    pipe = getattr(diffusers, request.pipeline).from_single_file(
        request.path, config=request.config_folder, torch_dtype=dtype, local_files_only=True, **wide
    )
    if request.scheduler_changes:
        lent: Any = pipe.scheduler
        pipe.scheduler = lent.from_config(lent.config, **request.scheduler_changes)
    return pipe


def _make_tiles_small(vae: Any) -> None:
    """Where a VAE's tiles are as large as its model's pictures; those of others are small."""
    blocks = getattr(getattr(vae, "config", None), "block_out_channels", None)
    if blocks is not None and hasattr(vae, "tile_latent_min_size"):
        side = min(SMALL_TILE, int(vae.tile_latent_min_size) * 2 ** (len(blocks) - 1))
        vae.tile_sample_min_size, vae.tile_latent_min_size = side, side // 2 ** (len(blocks) - 1)


def _choose_rung(request: wire.WorkerRequest, device: str) -> str:
    """How to hold the model: as the decision chose, and in parts where less is free by now."""
    if request.rung not in ("", "cpu", FULL):
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
