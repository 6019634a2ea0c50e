"""Stand-ins for comfyui_controlnet_aux: maps out of a picture's brightness."""

from typing import Any, ClassVar

import torch

Inputs = dict[str, dict[str, Any]]
RESOLUTION = ("INT", {"default": 512, "min": 64, "max": 16384, "step": 64})
SWITCH = (["enable", "disable"], {"default": "enable"})


def brightness(image: torch.Tensor, resolution: int) -> torch.Tensor:
    """Grey values, batch x height x width, the shorter side as long as `resolution`."""
    grey = image[..., :3] @ torch.tensor([0.299, 0.587, 0.114])
    factor = resolution / min(grey.shape[1:])
    size = [max(8, round(side * factor)) for side in grey.shape[1:]]
    return torch.nn.functional.interpolate(grey[:, None], size=size, mode="bilinear")[:, 0]


class Depth:
    """DepthAnythingV2Preprocessor: what is bright is near."""

    CATEGORY = "ControlNet Preprocessors"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    MODELS: ClassVar = ["depth_anything_v2_vitl.pth", "depth_anything_v2_vits.pth"]

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        optional = {"ckpt_name": (cls.MODELS,), "resolution": RESOLUTION}
        return {"required": {"image": ("IMAGE",)}, "optional": optional}

    def execute(
        self, image: torch.Tensor, ckpt_name: str = "", resolution: int = 512
    ) -> tuple[torch.Tensor]:
        grey = brightness(image, resolution)
        low, high = grey.amin(), grey.amax()
        return (((grey - low) / (high - low + 1e-6))[..., None].repeat(1, 1, 1, 3),)


class Pose:
    """OpenposePreprocessor: a stick from the brightest to the darkest point, on black."""

    CATEGORY = "ControlNet Preprocessors"
    RETURN_TYPES = ("IMAGE", "POSE_KEYPOINT")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        parts = {f"detect_{part}": SWITCH for part in ("hand", "body", "face")}
        optional = {**parts, "resolution": RESOLUTION, "scale_stick_for_xinsr_cn": SWITCH}
        return {"required": {"image": ("IMAGE",)}, "optional": optional}

    def execute(
        self, image: torch.Tensor, resolution: int = 512, **switches: str
    ) -> tuple[torch.Tensor, list[Any]]:
        grey = brightness(image, resolution)
        batch, height, width = grey.shape
        canvas = torch.zeros((batch, height, width, 3))
        for index, picture in enumerate(grey):
            start = divmod(int(picture.argmax()), width)
            end = divmod(int(picture.argmin()), width)
            for part in torch.linspace(0, 1, 256):
                y, x = (round(a + (b - a) * float(part)) for a, b in zip(start, end, strict=True))
                colour = torch.tensor([1.0, float(part), 0.0])
                canvas[index, max(0, y - 3) : y + 3, max(0, x - 3) : x + 3] = colour
        return canvas, []
