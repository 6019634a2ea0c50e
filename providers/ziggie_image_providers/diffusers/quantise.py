"""Hold the weights of a pipeline in fewer bits. Imports torch; only the worker process uses it."""

from __future__ import annotations

import importlib
from typing import Any

from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_providers.diffusers.faults import Problem
from ziggie_image_providers.diffusers.ladder import FP8, INT8, LIBRARY, is_quantised
from ziggie_image_providers.diffusers.light_imports import import_libraries, import_quantiser
from ziggie_image_providers.diffusers.weights import KEPT

torch, diffusers, _ = import_libraries()


def quantise(pipe: Any, precision: str, dtype: Any) -> None:
    """Quantise the denoiser, and where that is possible the text encoders, one after the other.

    Args:
        pipe: In main memory, its weights as they are.
        precision: As `ladder` names it.
        dtype: In which it computes.

    Raises:
        Problem: The library that does it is not installed.
    """
    for name, part in pipe.components.items():
        if not isinstance(part, torch.nn.Module) or not is_quantised(name, precision):
            continue
        if precision == FP8:
            hooks = importlib.import_module("diffusers.hooks")
            hooks.apply_layerwise_casting(
                part, torch.float8_e4m3fn, dtype, skip_modules_pattern=(KEPT.pattern,)
            )
        elif precision == INT8:
            _to_int8(part)
        else:
            _to_nf4(part, dtype)


def _to_int8(part: Any) -> None:
    """By torchao: each row of a linear layer's weights gets a scale."""
    torchao = _library(INT8, "torchao.quantization")

    def is_linear(module: Any, name: str) -> bool:
        return isinstance(module, torch.nn.Linear) and not KEPT.search(name)

    torchao.quantize_(part, torchao.Int8WeightOnlyConfig(), is_linear)


def _to_nf4(part: Any, dtype: Any) -> None:
    """By bitsandbytes: 64 weights of a linear layer have one scale."""
    bitsandbytes = _library("4 bit", "bitsandbytes")
    linear = [
        (name, module)
        for name, module in part.named_modules()
        if type(module) is torch.nn.Linear and not KEPT.search(name)
    ]
    for name, module in linear:
        small = bitsandbytes.nn.Linear4bit(
            module.in_features,
            module.out_features,
            bias=module.bias is not None,
            compute_dtype=dtype,
            compress_statistics=False,
            quant_type="nf4",
            device="meta",
        )
        small.weight = bitsandbytes.nn.Params4bit(
            module.weight.data,
            requires_grad=False,
            compress_statistics=False,
            quant_type="nf4",
            module=small,
        )
        small.bias = module.bias
        small.to("cpu")  # where it is quantised
        owner, _, last = name.rpartition(".")
        setattr(part.get_submodule(owner), last, small)


def _library(precision: str, module: str) -> Any:
    try:
        return import_quantiser(module)
    except ImportError as e:
        library = LIBRARY[precision]
        install = install_command(library)
        text = f"{library} holds weights in {precision}, and cannot be used: {install}"
        raise Problem("dependency_missing", text) from e
