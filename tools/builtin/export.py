"""Write the built-in model's graphs for onnxruntime, without its weights.

    python tools/builtin/export.py FOLDER

FOLDER is a StableDiffusionPipeline directory; the graphs go into FOLDER/graphs. Their weights are
named as in the folder's safetensors files and left out, so that they stand once. `*-seamless.onnx`
are the same graphs with every convolution padded circularly. Needs torch, diffusers, transformers
and onnx (`pip install onnx`).
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
import torch
from diffusers import StableDiffusionPipeline
from onnx import TensorProto, helper

OPSET = 19
"""The first whose Pad wraps."""

BATCH = "batch"


class TextEncoder(torch.nn.Module):
    """Token ids (batch, 32) -> hidden states (batch, 32, channels)."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.inner(ids).last_hidden_state


class Unet(torch.nn.Module):
    """Latents (batch, 4, 16, 16), a time step (1,), hidden states -> the prediction."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self, latents: torch.Tensor, timestep: torch.Tensor, hidden: torch.Tensor
    ) -> torch.Tensor:
        return self.inner(latents, timestep, hidden).sample


class Encoder(torch.nn.Module):
    """Pixels (batch, 3, 64, 64) in -1..1 -> latents."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.inner.encode(pixels).latents


class Decoder(torch.nn.Module):
    """Latents -> pixels (batch, 3, 64, 64) in -1..1."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.inner.decode(latents).sample


def export(
    module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], names: Sequence[str], fixed: str = ""
) -> onnx.ModelProto:
    """Trace a module; the first axis of its inputs is free, but that of `fixed`."""
    sink = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            inputs,
            sink,
            input_names=list(names),
            output_names=["output"],
            dynamic_axes={n: {0: BATCH} for n in (*names, "output") if n != fixed},
            opset_version=OPSET,
            do_constant_folding=False,  # else weights are transposed, and lose their names
            dynamo=False,
        )
    return onnx.load_from_string(sink.getvalue())


def without_weights(model: onnx.ModelProto, names: set[str]) -> onnx.ModelProto:
    """Say of each weight that it stands elsewhere, under its name in the safetensors file."""
    graph = model.graph
    short = {w.name: w.name.removeprefix("inner.") for w in graph.initializer}
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = short.get(name, name)
    for weight in graph.initializer:
        weight.name = short[weight.name]
        if weight.name not in names:
            raise SystemExit(f"{weight.name} is no weight of the safetensors file")
        if weight.data_type != TensorProto.FLOAT:
            raise SystemExit(f"{weight.name} is no float32")
        weight.ClearField("raw_data")
        weight.ClearField("float_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="weights")
    del graph.value_info[:]
    for node in graph.node:
        node.ClearField("doc_string")
        node.ClearField("name")
    return model


def circular(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with wrapped padding in every convolution that pads."""
    wrapped = onnx.ModelProto()
    wrapped.CopyFrom(model)
    nodes = list(_circular_nodes(wrapped.graph.node))
    del wrapped.graph.node[:]
    wrapped.graph.node.extend(nodes)
    return wrapped


def _circular_nodes(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for i, node in enumerate(nodes):
        pads = next((a for a in node.attribute if a.name == "pads"), None)
        if node.op_type == "Conv" and pads is not None and any(pads.ints):
            top, left, bottom, right = pads.ints
            amounts, padded = f"pads_{i}", f"padded_{i}"
            value = helper.make_tensor(
                amounts, TensorProto.INT64, [8], [0, 0, top, left, 0, 0, bottom, right]
            )
            yield helper.make_node("Constant", [], [amounts], value=value)
            yield helper.make_node("Pad", [node.input[0], amounts], [padded], mode="wrap")
            node.input[0] = padded
            pads.ints[:] = [0, 0, 0, 0]
        yield node


def main() -> None:
    folder = Path(sys.argv[1])
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    )
    latents = torch.zeros(2, 4, 16, 16)
    ids = torch.zeros(2, 32, dtype=torch.long)
    hidden = torch.zeros(2, 32, pipeline.text_encoder.config.hidden_size)
    step, pixels = torch.zeros(1, dtype=torch.long), torch.zeros(2, 3, 64, 64)
    text, unet, vae = pipeline.text_encoder, pipeline.unet, pipeline.vae
    graphs = {
        "text_encoder": (text, export(TextEncoder(text), (ids,), ["ids"])),
        "unet": (
            unet,
            export(
                Unet(unet), (latents, step, hidden), ["latents", "timestep", "hidden"], "timestep"
            ),
        ),
        "vae_encoder": (vae, export(Encoder(vae), (pixels,), ["pixels"])),
        "vae_decoder": (vae, export(Decoder(vae), (latents,), ["latents"])),
    }
    out = folder / "graphs"
    out.mkdir(exist_ok=True)
    for name, (module, model) in graphs.items():
        model = without_weights(model, set(module.state_dict()))
        (out / f"{name}.onnx").write_bytes(model.SerializeToString())
        if name != "text_encoder":
            (out / f"{name}-seamless.onnx").write_bytes(circular(model).SerializeToString())


if __name__ == "__main__":
    main()
