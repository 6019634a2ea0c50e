"""Stand-ins for ComfyUI-seamless-tiling: convolutions that go round the edges."""

import copy
from typing import Any

import torch

Inputs = dict[str, dict[str, Any]]
TILING = (["enable", "x_only", "y_only", "disable"],)
COPY = (["Make a copy", "Modify in place"],)


def go_round(module: torch.nn.Module, tiling: str) -> None:
    """Let the convolutions of a module wrap in x, in y, in both or not at all."""
    wrap_x, wrap_y = tiling in ("enable", "x_only"), tiling in ("enable", "y_only")
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer._conv_forward = _wrapped(layer, wrap_x, wrap_y)  # type: ignore[method-assign]


def go_straight(module: torch.nn.Module) -> None:
    """Undo that."""
    for layer in module.modules():
        layer.__dict__.pop("_conv_forward", None)


def _wrapped(layer: torch.nn.Conv2d, wrap_x: bool, wrap_y: bool) -> Any:
    left, right, top, bottom = layer._reversed_padding_repeated_twice

    def forward(picture: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
        pad = torch.nn.functional.pad
        picture = pad(picture, (left, right, 0, 0), mode="circular" if wrap_x else "constant")
        picture = pad(picture, (0, 0, top, bottom), mode="circular" if wrap_y else "constant")
        conv = torch.nn.functional.conv2d
        return conv(picture, weight, bias, layer.stride, 0, layer.dilation, layer.groups)

    return forward


class SeamlessTile:
    """The model of a picture without seams."""

    CATEGORY = "conditioning"
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"model": ("MODEL",), "tiling": TILING, "copy_model": COPY}}

    def execute(self, model: Any, copy_model: str, tiling: str) -> tuple[Any]:
        if copy_model == "Modify in place":
            go_round(model.model, tiling)
            return (model,)
        model = model.clone()  # It shares the weights, and ComfyUI 0.33 cannot copy them deeply.

        def apply(run: Any, args: dict[str, Any]) -> Any:
            inner = model.model
            go_round(inner, tiling)
            try:
                return run(args["input"], args["timestep"], **args["c"])
            finally:
                go_straight(inner)

        model.set_model_unet_function_wrapper(apply)
        return (model,)


class MakeCircularVAE:
    """Its VAE."""

    CATEGORY = "latent"
    RETURN_TYPES = ("VAE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"vae": ("VAE",), "tiling": TILING, "copy_vae": COPY}}

    def execute(self, vae: Any, tiling: str, copy_vae: str) -> tuple[Any]:
        if copy_vae == "Make a copy":
            vae = copy.copy(vae)
            vae.first_stage_model = copy.deepcopy(vae.first_stage_model)
            vae.patcher = vae.patcher.clone()
            vae.patcher.model = vae.first_stage_model
        go_round(vae.first_stage_model, tiling)
        return (vae,)
