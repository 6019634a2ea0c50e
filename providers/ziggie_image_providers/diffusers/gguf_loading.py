"""Read a transformer in GGUF into the pipeline of its base. Imports torch; for the worker only."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.faults import Problem
from ziggie_image_providers.diffusers.gguf_model import TRANSFORMER
from ziggie_image_providers.diffusers.light_imports import import_libraries
from ziggie_image_providers.diffusers.model_folder import INDEX

torch, diffusers, _ = import_libraries()


def read(request: wire.WorkerRequest, dtype: Any) -> Any:
    """The pipeline, its transformer's weights packed as they are in the file.

    Args:
        request: Its path is the file, its config_folder lends all else.
        dtype: In which it computes.

    Raises:
        Problem: The file lacks tensors of the transformer.
    """
    folder = Path(request.config_folder or "")
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    name = index[TRANSFORMER][1]
    try:
        transformer = getattr(diffusers, name).from_single_file(
            request.path,
            config=str(folder),
            subfolder=TRANSFORMER,
            quantization_config=diffusers.GGUFQuantizationConfig(compute_dtype=dtype),
            dtype=dtype,
            local_files_only=True,
        )
    except NotImplementedError as e:  # what has no numbers cannot be moved
        file = Path(request.path).name
        text = f"{file} lacks tensors of {name}: download it again, or take another file."
        raise Problem("model_unusable", text) from e
    _unpack(transformer, dtype)
    return getattr(diffusers, request.pipeline).from_pretrained(
        str(folder),
        **{TRANSFORMER: transformer},
        dtype=dtype,
        variant=request.variant,
        local_files_only=True,
    )


def _unpack(transformer: Any, dtype: Any) -> None:
    """Unpack what is no weight of a linear layer: no other module of diffusers reads it packed."""
    packed = importlib.import_module("diffusers.quantizers.gguf.utils")
    for module in transformer.modules():
        for name, tensor in list(module.named_parameters(recurse=False)):
            linear = isinstance(module, packed.GGUFLinear) and name == "weight"
            if hasattr(tensor, "quant_type") and not linear:
                plain = packed.dequantize_gguf_tensor(tensor).to(dtype)
                setattr(module, name, torch.nn.Parameter(plain, requires_grad=False))
