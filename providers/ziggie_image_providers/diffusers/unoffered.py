"""Why classes of diffusers 0.42.1 that edit are not offered, where their family is."""

from __future__ import annotations

from collections.abc import Mapping

_CONTROL_IN_MODEL = (
    "its transformer itself draws by a map, and has no other task: use FLUX.1-dev with a ControlNet"
)
_PAG = "perturbed-attention guidance is another way to the same pictures, slower by half"
_IF_EDITS = (
    "it looks at a picture in 64 px and draws all that is finer anew: SDXL or FLUX.1 Kontext edit"
)
_INVERTS = "it needs a picture's inverted latents and words for what is there, which no request has"
_T2I_ADAPTER = "T2I-Adapters are read by no task here: use a ControlNet for the same kind of map"
_XS = "ControlNet-XS holds its weights in the UNet: use a ControlNet for the same kind of map"
_PIX2PIX = "it asks for a second guidance, of the picture, which no request has: FLUX.2 klein edits"

REASONS: Mapping[str, str] = {
    "Flux2KleinKVPipeline": "it caches references for the distilled 9B alone, and takes no mask",
    "FluxControlImg2ImgPipeline": _CONTROL_IN_MODEL,
    "FluxControlInpaintPipeline": _CONTROL_IN_MODEL,
    "FluxControlPipeline": _CONTROL_IN_MODEL,
    "FluxPriorReduxPipeline": (
        "it makes no picture, but words out of one: FLUX.1 Kontext and FLUX.2 look at references"
    ),
    "IFImg2ImgPipeline": _IF_EDITS,
    "IFImg2ImgSuperResolutionPipeline": _IF_EDITS,
    "IFInpaintingPipeline": _IF_EDITS,
    "IFInpaintingSuperResolutionPipeline": _IF_EDITS,
    "QwenImageControlNetInpaintPipeline": (
        "its nets are for masks, not for maps; Qwen-Image paints anew without one"
    ),
    "QwenImageLayeredPipeline": (
        "it takes a picture apart into layers, which is none of the tasks here"
    ),
    "StableDiffusion3ControlNetInpaintingPipeline": (
        "its nets are for masks, not for maps; SD 3 paints anew without one"
    ),
    "StableDiffusion3PAGImg2ImgPipeline": _PAG,
    "StableDiffusionAdapterPipeline": _T2I_ADAPTER,
    "StableDiffusionControlNetPAGInpaintPipeline": _PAG,
    "StableDiffusionControlNetPAGPipeline": _PAG,
    "StableDiffusionControlNetXSPipeline": _XS,
    "StableDiffusionDiffEditPipeline": _INVERTS,
    "StableDiffusionInstructPix2PixPipeline": _PIX2PIX,
    "StableDiffusionModelEditingPipeline": "it changes the model itself, not a picture",
    "StableDiffusionPAGImg2ImgPipeline": _PAG,
    "StableDiffusionPAGInpaintPipeline": _PAG,
    "StableDiffusionPix2PixZeroPipeline": _INVERTS,
    "StableDiffusionXLAdapterPipeline": _T2I_ADAPTER,
    "StableDiffusionXLControlNetPAGImg2ImgPipeline": _PAG,
    "StableDiffusionXLControlNetPAGPipeline": _PAG,
    "StableDiffusionXLControlNetXSPipeline": _XS,
    "StableDiffusionXLInstructPix2PixPipeline": _PIX2PIX,
    "StableDiffusionXLPAGImg2ImgPipeline": _PAG,
    "StableDiffusionXLPAGInpaintPipeline": _PAG,
    "ZImageControlNetInpaintPipeline": (
        "it takes no strength, and its nets are for masks and maps at once; Z-Image paints anew "
        "without one"
    ),
    "ZImageOmniPipeline": "its pictures go through a SigLIP that was not tried here: text alone",
}
"""The class -> why not, and what does the same."""
