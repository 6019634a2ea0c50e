"""Open the graphs of the tiny model on onnxruntime, with the weights that stand beside them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ziggie_image_mcp.provider.onnx_runtime import load_onnx_runtime

WEIGHTS: Mapping[str, tuple[str, str]] = {
    "text_encoder": ("text_encoder/model.safetensors", ""),
    "unet": ("unet/diffusion_pytorch_model.safetensors", ""),
    "vae_encoder": ("vae/diffusion_pytorch_model.safetensors", "encoder."),
    "vae_decoder": ("vae/diffusion_pytorch_model.safetensors", "decoder."),
}
"""The file of each graph's weights, and how their names begin there and in the graph."""


TINY_THREADS = 1
"""A step takes 16 ms: a second thread takes a tenth of that away, and half as much again of the
processor (2026-11-28)."""


class Session:
    """One graph, ready to run."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def run(self, **inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the output."""
        output: NDArray[np.float32] = self._inner.run(None, inputs)[0]
        return output


def session_options(threads: int) -> Any:
    """Settings of a session that shares its machine: threads sleep where they have nothing to do.

    Threads that spin starve each other where other processes are busy (README, benchmarks/busy.py).
    """
    options = load_onnx_runtime().SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_graph(folder: Path, name: str, *, seamless: bool) -> Session:
    """Open one graph of a model's folder; `seamless` ones wrap at the picture's edges."""
    runtime = load_onnx_runtime()
    safetensors = importlib.import_module("safetensors.numpy")
    suffix = "-seamless" if seamless and name != "text_encoder" else ""
    file, prefix = WEIGHTS[name]
    weights = {
        key: value.astype(np.float32)
        for key, value in safetensors.load_file(folder / file).items()
        if key.startswith(prefix)
    }
    values = [runtime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    settings = session_options(TINY_THREADS)
    settings.add_external_initializers(list(weights), values)
    graph = (folder / "graphs" / f"{name}{suffix}.onnx").read_bytes()
    return Session(runtime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"]))
