"""Hold ControlNets beside the model in memory. Imports torch."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.loading import diffusers, held, read_beside
from ziggie_image_providers.diffusers.model_stamp import model_stamp
from ziggie_image_providers.diffusers.sharing import share

MULTI = {
    "Flux": "FluxMultiControlNetModel",
    "StableDiffusion3": "SD3MultiControlNetModel",
}
"""What the name of a pipeline class begins with -> the class that holds several nets for it."""


class _Nets:
    """The ControlNets in memory, by file."""

    def __init__(self) -> None:
        self.pipe: Any = None
        self.nets: dict[tuple[str, str], Any] = {}


_beside = _Nets()


def controlled(name: str, nets: tuple[wire.Net, ...]) -> Any:
    """The pipeline of this class with the model's parts and these nets; others are let go.

    Raises:
        Problem: A net does not fit the model, or cannot be read.
    """
    if _beside.pipe is not held.pipe:
        _beside.pipe, _beside.nets = held.pipe, {}
    keys = [(net.path, model_stamp(Path(net.path))) for net in nets]
    for key in [key for key in _beside.nets if key not in keys]:
        del _beside.nets[key]
        held.edits = {k: v for k, v in held.edits.items() if key[0] not in k}
    for key, net in zip(keys, nets, strict=True):
        if key not in _beside.nets:
            _beside.nets[key] = _read(net)
    models = [_beside.nets[key] for key in keys]
    together: Any = _multi(name)(models) if len(models) > 1 else models.pop()
    return share(name, " ".join(net.path for net in nets), controlnet=together)


def forget() -> None:
    """Let all nets go."""
    _beside.nets = {}
    held.edits = {k: v for k, v in held.edits.items() if "Control" not in k}


def words(nets: tuple[wire.Net, ...], maps: tuple[Any, ...], parameters: Any) -> dict[str, Any]:
    """The maps in the words of a pipeline's call."""
    pictures: list[Any] = list(maps)
    weights, modes = [net.weight for net in nets], [net.mode for net in nets]
    one = len(nets) == 1
    asked: dict[str, Any] = {
        "control_image" if "control_image" in parameters else "image": pictures,
        "controlnet_conditioning_scale": weights,
        "control_mode": modes,
    }
    if None in modes:
        del asked["control_mode"]
    return {name: values[0] if one else values for name, values in asked.items()}


def _multi(name: str) -> Any:
    """The class that holds several nets for a pipeline class."""
    module = importlib.import_module("diffusers.models.controlnets")
    kind = next((kind for start, kind in MULTI.items() if name.startswith(start)), "")
    if not kind:
        kind = "MultiControlNetUnionModel" if "Union" in name else "MultiControlNetModel"
    return getattr(module, kind)


def _read(net: wire.Net) -> Any:
    path = Path(net.path)

    def read() -> Any:
        kind = getattr(diffusers, net.net)
        if path.is_dir():
            return kind.from_pretrained(path, dtype=held.dtype, local_files_only=True)
        return _from_file(kind, path)

    return read_beside(
        read,
        f"The ControlNet {path.name} cannot be used with this model",
        "Get it again, or use one for this family.",
    )


def _from_file(kind: Any, path: Path) -> Any:
    """A net of one file has the shape of the model that it guides: its file tells no other."""
    model = kind.from_unet(held.pipe.unet, load_weights_from_unet=False)
    tensors = importlib.import_module("safetensors.torch").load_file(path)
    if not any("controlnet_cond_embedding" in name for name in tensors):
        single_file = importlib.import_module("diffusers.loaders.single_file_utils")
        tensors = single_file.convert_controlnet_checkpoint(tensors, dict(model.config))
    model.load_state_dict(tensors)
    return model.to(held.dtype)
