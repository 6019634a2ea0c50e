"""Stand-ins for ComfyUI_IPAdapter_plus: the colours of a picture shine through the result."""

from typing import Any

import torch

Inputs = dict[str, dict[str, Any]]
PRESETS = [
    "LIGHT - SD1.5 only (low strength)",
    "STANDARD (medium strength)",
    "VIT-G (medium strength)",
    "PLUS (high strength)",
    "PLUS FACE (portraits)",
    "FULL FACE - SD1.5 only (portraits stronger)",
]
KINDS = ["standard", "prompt is more important", "style transfer"]
PART = {"min": 0.0, "max": 1.0, "step": 0.001}


class UnifiedLoader:
    """IPAdapterUnifiedLoader; there is nothing to load."""

    CATEGORY = "ipadapter"
    RETURN_TYPES = ("MODEL", "IPADAPTER")
    RETURN_NAMES = ("model", "ipadapter")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        required = {"model": ("MODEL",), "preset": (PRESETS,)}
        return {"required": required, "optional": {"ipadapter": ("IPADAPTER",)}}

    def execute(self, model: Any, preset: str, ipadapter: Any = None) -> tuple[Any, dict[str, str]]:
        return model, {"preset": preset}


class Adapter:
    """IPAdapter: pull each step's result towards the picture."""

    CATEGORY = "ipadapter"
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        required = {
            "model": ("MODEL",),
            "ipadapter": ("IPADAPTER",),
            "image": ("IMAGE",),
            "weight": ("FLOAT", {"default": 1.0, "min": -1.0, "max": 3.0, "step": 0.05}),
            "start_at": ("FLOAT", {"default": 0.0, **PART}),
            "end_at": ("FLOAT", {"default": 1.0, **PART}),
            "weight_type": (KINDS,),
        }
        return {"required": required, "optional": {"attn_mask": ("MASK",)}}

    def execute(
        self,
        model: Any,
        ipadapter: Any,
        image: torch.Tensor,
        weight: float,
        start_at: float,
        end_at: float,
        weight_type: str,
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[Any]:
        sampling = model.get_model_object("model_sampling")
        first, last = sampling.percent_to_sigma(start_at), sampling.percent_to_sigma(end_at)
        colours = image[:1, ..., :3].movedim(-1, 1) * 4 - 2

        def pull(args: dict[str, Any]) -> torch.Tensor:
            result: torch.Tensor = args["denoised"]
            if not last <= float(args["sigma"].max()) <= first:
                return result
            size = result.shape[-2:]
            target = torch.nn.functional.interpolate(colours.to(result), size=size, mode="area")
            target = target[:, :, None] if result.ndim == 5 else target
            pulled = result.clone()
            pulled[:, :3] += 0.5 * weight * (target - result[:, :3])
            return pulled

        model = model.clone()
        model.set_model_sampler_post_cfg_function(pull)
        return (model,)
