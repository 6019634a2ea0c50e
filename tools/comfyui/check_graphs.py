"""The graphs of `check.py`: every model with the nodes that its family takes."""

from typing import Any

Graph = dict[str, Any]
SIDE = 128


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {
        "class_type": kind,
        "inputs": {
            name: [value, 0] if isinstance(value, str) and value in LINKS else value
            for name, value in inputs.items()
        },
    }


LINKS = {
    "model",
    "clip",
    "vae",
    "positive",
    "negative",
    "latent",
    "samples",
    "picture",
    "mask",
    "lora",
    "pixels",
    "image",
    "net",
}
LINKS |= {"tile", "tokens", "noise", "guider", "sampler", "sigmas", "patched", "hint", "adapter"}


def checkpoint(file: str, text: str = "a cat", **changes: Any) -> Graph:
    graph = {
        "model": node("CheckpointLoaderSimple", ckpt_name=file),
        "positive": node("CLIPTextEncode", text=text, clip=["model", 1]),
        "negative": node("CLIPTextEncode", text="bad", clip=["model", 1]),
        "latent": node("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=1),
    }
    return finish(graph, vae=["model", 2], prefix=file, **changes)


def split(
    file: str,
    clips: list[str],
    kind: str | None,
    vae: str,
    latent: str = "EmptySD3LatentImage",
    **changes: Any,
) -> Graph:
    loader = {
        1: "CLIPLoader",
        2: "DualCLIPLoader",
        3: "TripleCLIPLoader",
        4: "QuadrupleCLIPLoader",
    }[len(clips)]
    names = {
        "clip_name" + (str(index) if len(clips) > 1 else ""): clip
        for index, clip in enumerate(clips, 1)
    }
    graph = {
        "model": node("UNETLoader", unet_name=file, weight_dtype="default"),
        "clip": node(loader, **names, **({"type": kind} if kind else {})),
        "vae": node("VAELoader", vae_name=vae),
        "positive": node("CLIPTextEncode", text="a cat", clip="clip"),
        "negative": node("ConditioningZeroOut", conditioning="positive"),
        "latent": node(latent, width=SIDE, height=SIDE, batch_size=1),
    }
    return finish(graph, vae="vae", prefix=file, **{"cfg": 1.0, "scheduler": "simple", **changes})


def finish(
    graph: Graph, *, vae: Any, prefix: str, nodes: Graph | None = None, **settings: Any
) -> Graph:
    """Add sampler, decoder and file; then what the case wants different."""
    sampling = {
        "seed": 1,
        "steps": 2,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    links = {
        "model": "model",
        "positive": "positive",
        "negative": "negative",
        "latent_image": "latent",
    }
    graph["samples"] = node("KSampler", **{**sampling, **links, **settings})
    graph["image"] = node("VAEDecode", samples="samples", vae=vae)
    graph["save"] = node(
        "SaveImage", images="image", filename_prefix=f"check/{prefix.split('.')[0]}"
    )
    return graph | (nodes or {})


FLUX1 = (["clip_l.safetensors", "t5xxl_fp16.safetensors"], "flux", "ae.safetensors")
QWEN = (["qwen_2.5_vl_7b.safetensors"], "qwen_image", "qwen_image_vae.safetensors")
PICTURE = {
    "picture": node("LoadImage", image="check.png"),
    "mask": node("LoadImageMask", image="check-mask.png", channel="red"),
}


def controlled(net: str, vae: Any = None, kind: str | None = None) -> Graph:
    inputs = {
        "positive": "positive",
        "negative": "negative",
        "control_net": "net",
        "image": "picture",
    }
    nodes = PICTURE | {
        "net": node("ControlNetLoader", control_net_name=net),
        "hint": node(
            "ControlNetApplyAdvanced", **inputs, strength=1.0, start_percent=0.0, end_percent=1.0
        ),
    }
    if vae:
        nodes["hint"]["inputs"]["vae"] = vae
    if kind:
        nodes["union"] = node("SetUnionControlNetType", control_net="net", type=kind)
        nodes["hint"]["inputs"]["control_net"] = ["union", 0]
    return nodes


def inpainted(vae: Any) -> Graph:
    inputs = {
        "positive": "positive",
        "negative": "negative",
        "pixels": "picture",
        "mask": "mask",
        "vae": vae,
    }
    return PICTURE | {"hint": node("InpaintModelConditioning", **inputs, noise_mask=True)}


HINT = {"positive": ["hint", 0], "negative": ["hint", 1]}
SD1, SDXL, FLUX = (
    "random-sd15.safetensors",
    "random-sdxl.safetensors",
    "flux1-dev-random.safetensors",
)


def with_lora(file: str) -> dict[str, Any]:
    inputs = {
        "model": "model",
        "clip": ["model", 1],
        "lora_name": file,
        "strength_model": 1.0,
        "strength_clip": 1.0,
    }
    nodes = {
        "lora": node("LoraLoader", **inputs),
        "positive": node("CLIPTextEncode", text="a cat", clip=["lora", 1]),
    }
    return {"model": "lora", "nodes": nodes}


ENCODED = PICTURE | {"latent": node("VAEEncode", pixels="picture", vae=["model", 2])}
ENLARGED = PICTURE | {
    "model": node("UpscaleModelLoader", model_name="2x_random.safetensors"),
    "image": node("ImageUpscaleWithModel", upscale_model="model", image="picture"),
    "save": node("SaveImage", images="image", filename_prefix="check/2x"),
}
FLUX_LORA = {
    "lora": node(
        "LoraLoaderModelOnly",
        model="model",
        lora_name="random-flux1-lora.safetensors",
        strength_model=1.0,
    )
}
REFERENCE = PICTURE | {
    "latent": node("VAEEncode", pixels="picture", vae="vae"),
    "hint": node("ReferenceLatent", conditioning="positive", latent="latent"),
}

SEAMLESS = {
    "tile": node("SeamlessTile", model="model", tiling="enable", copy_model="Make a copy"),
    "tile_vae": node("MakeCircularVAE", vae=["model", 2], tiling="enable", copy_vae="Make a copy"),
    "image": node("VAEDecode", samples="samples", vae=["tile_vae", 0]),
}
ADAPTED = PICTURE | {
    "loader": node("IPAdapterUnifiedLoader", model="model", preset="PLUS (high strength)"),
    "adapter": node(
        "IPAdapter",
        model=["loader", 0],
        ipadapter=["loader", 1],
        image="picture",
        weight=1.0,
        start_at=0.0,
        end_at=1.0,
        weight_type="standard",
    ),
}


def mapped(kind: str) -> Graph:
    nodes = controlled("control_v11f1p_sd15_depth_random.safetensors")
    nodes["map"] = node(kind, image="picture", resolution=SIDE)
    nodes["hint"]["inputs"]["image"] = ["map", 0]
    nodes["seen"] = node("SaveImage", images=["map", 0], filename_prefix=f"check/{kind}")
    return nodes


CASES: dict[str, Graph] = {
    "sd1": checkpoint(SD1),
    "sd1-other-prompt": checkpoint(SD1, "the red house"),
    "sd1-embedding": checkpoint(SD1, "a cat, embedding:random-embedding"),
    "sd1-picture": checkpoint(SD1, nodes=ENCODED, denoise=0.5),
    "sd1-inpaint": checkpoint(
        "random-sd15-inpainting.safetensors",
        nodes=inpainted(["model", 2]),
        **HINT,
        latent_image=["hint", 2],
    ),
    "sd1-lora": checkpoint(SD1, **with_lora("random-sd15-lora.safetensors")),
    "sd1-canny": checkpoint(
        SD1, nodes=controlled("control_v11p_sd15_canny_random.safetensors"), **HINT
    ),
    "sd1-depth": checkpoint(
        SD1, nodes=controlled("control_v11f1p_sd15_depth_random.safetensors"), **HINT
    ),
    "sd2": checkpoint("v2-1_512-random.safetensors"),
    "sdxl": checkpoint(SDXL),
    "sdxl-lora": checkpoint(SDXL, **with_lora("random-sdxl-lora.safetensors")),
    "sdxl-control": checkpoint(
        SDXL,
        nodes=controlled("controlnet-union-sdxl-1.0-promax-random.safetensors", kind="depth"),
        **HINT,
    ),
    "sdxl-refiner": checkpoint("sd_xl_refiner_random.safetensors"),
    "sdxl-turbo": checkpoint("sd_xl_turbo_random.safetensors", steps=1, cfg=1.0),
    "playground": checkpoint("playground-v2.5-random.safetensors"),
    "flux1": split(FLUX, *FLUX1),
    "flux1-lora": split(FLUX, *FLUX1, nodes=FLUX_LORA, model="lora"),
    "flux1-control": split(
        FLUX,
        *FLUX1,
        nodes=controlled(
            "flux1-dev-controlnet-union-pro-random.safetensors", vae=["vae", 0], kind="depth"
        ),
        **HINT,
    ),
    "flux1-schnell": split("flux1-schnell-random.safetensors", *FLUX1),
    "flux1-fill": split(
        "flux1-fill-dev-random.safetensors",
        *FLUX1,
        nodes=inpainted("vae"),
        **HINT,
        latent_image=["hint", 2],
    ),
    "flux1-kontext": split(
        "flux1-kontext-dev-random.safetensors", *FLUX1, nodes=REFERENCE, positive="hint"
    ),
    "upscale": ENLARGED,
    "sd3-parts": checkpoint(
        "sd3.5_medium_random.safetensors",
        nodes={
            "clip": node(
                "TripleCLIPLoader",
                clip_name1="clip_l.safetensors",
                clip_name2="clip_g.safetensors",
                clip_name3="t5xxl_fp16.safetensors",
            ),
            "positive": node("CLIPTextEncode", text="a cat", clip="clip"),
            "negative": node("CLIPTextEncode", text="bad", clip="clip"),
            "latent": node("EmptySD3LatentImage", width=SIDE, height=SIDE, batch_size=1),
        },
    ),
    "sd3": checkpoint(
        "sd3.5_medium_incl_clips_random.safetensors",
        nodes={"latent": node("EmptySD3LatentImage", width=SIDE, height=SIDE, batch_size=1)},
    ),
    "flux2": split(
        "flux2-dev-random.safetensors",
        ["mistral_3_small_flux2.safetensors"],
        "flux2",
        "flux2-vae.safetensors",
        "EmptyFlux2LatentImage",
    ),
    "flux2-klein": split(
        "flux-2-klein-4b-random.safetensors",
        ["qwen_3_4b.safetensors"],
        "flux2",
        "flux2-vae.safetensors",
        "EmptyFlux2LatentImage",
    ),
    "z-image": split(
        "z_image_turbo_random.safetensors", ["qwen_3_4b.safetensors"], "lumina2", "ae.safetensors"
    ),
    "chroma": split(
        "chroma1-hd-random.safetensors", ["t5xxl_fp16.safetensors"], "chroma", "ae.safetensors"
    ),
    "lumina": split(
        "lumina2-random.safetensors", ["gemma_2_2b.safetensors"], "lumina2", "ae.safetensors"
    ),
    "pixart": split(
        "pixart_sigma_random.safetensors",
        ["t5xxl_fp16.safetensors"],
        "pixart",
        "sdxl_vae.safetensors",
        nodes={
            "latent": node("EmptyLatentImage", width=320, height=320, batch_size=1)
        },  # It fails below.
    ),
    "qwen-image": split("qwen_image_random.safetensors", *QWEN),
    "qwen-image-edit": split(
        "qwen_image_edit_2511_random.safetensors",
        *QWEN,
        nodes=PICTURE
        | {
            "positive": node(
                "TextEncodeQwenImageEditPlus",
                clip="clip",
                prompt="a cat",
                vae="vae",
                image1="picture",
            ),
            "negative": node(
                "TextEncodeQwenImageEditPlus", clip="clip", prompt="", vae="vae", image1="picture"
            ),
        },
    ),
    "hidream": split(
        "hidream_i1_full_random.safetensors",
        [
            "clip_l.safetensors",
            "clip_g.safetensors",
            "t5xxl_fp16.safetensors",
            "llama_3.1_8b_instruct.safetensors",
        ],
        None,
        "ae.safetensors",
    ),
    "nodes-depth": checkpoint(SD1, nodes=mapped("DepthAnythingV2Preprocessor"), **HINT),
    "nodes-pose": checkpoint(SD1, nodes=mapped("OpenposePreprocessor"), **HINT),
    "nodes-seamless": checkpoint(SD1, nodes=SEAMLESS, model="tile"),
    "nodes-adapter": checkpoint(SD1, nodes=ADAPTED, model="adapter"),
}
