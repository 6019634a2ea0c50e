"""How a picture was made is read out of several programs' files; hostile ones end in words."""

from __future__ import annotations

import io
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from tests.providers.test_comfyui_graphs import CASES, job
from tests.storage.test_artifact_store import recipe
from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_mcp.storage.image_codec import decoded, encode
from ziggie_image_mcp.storage.recipe_reading import read_recipe
from ziggie_image_mcp.storage.types import FileRecipe, NoRecipe, Recipe
from ziggie_image_providers.comfyui.compose import LoraFile, compose
from ziggie_image_providers.comfyui.kinds import kind

# As AUTOMATIC1111 1.10 and Forge write it: modules/processing.py, create_infotext.
A1111 = """a fox in the snow, <lora:add-detail:0.6>, (sharp:1.2)
second line, with a comma
Negative prompt: blurry, low quality
Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 3141592653, \
Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, VAE hash: 735e4c3a44, \
VAE: vae-ft-mse-840000-ema-pruned.safetensors, Denoising strength: 0.4, Clip skip: 2, \
Hires upscale: 2, Hires steps: 10, Hires upscaler: R-ESRGAN 4x+, \
ControlNet 0: "Module: canny, Model: control_v11p_sd15_canny [d14c016b], Weight: 1.0", \
Lora hashes: "add-detail: 7c6bad76eb54", Version: v1.10.1"""
FORGE_FLUX = """a fox
Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, \
Seed: 42, Size: 896x1152, Model hash: c161224931, Model: flux1-dev-bnb-nf4, \
Version: f2.0.1v1.10.1-previous-659-gc055f2d4, Module 1: ae"""
INVOKEAI = {
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a fox",
    "negative_prompt": "dogs",
    "width": 832,
    "height": 1216,
    "seed": 11,
    "cfg_scale": 5.5,
    "steps": 30,
    "scheduler": "dpmpp_2m_k",
    "model": {"key": "1b", "hash": "blake3:x", "name": "juggernaut", "base": "sdxl"},
    "loras": [{"model": {"key": "2c", "name": "ink"}, "weight": 0.75}],
    "app_version": "5.4.0",
}
SWARMUI = {
    "sui_image_params": {
        "prompt": "a fox",
        "negativeprompt": "dogs",
        "model": "OfficialStableDiffusion/sd_xl_base_1.0",
        "seed": 12,
        "steps": 20,
        "cfgscale": 7.0,
        "width": 1024,
        "height": 768,
        "sampler": "euler",
        "scheduler": "normal",
        "loras": ["ink", "oil"],
        "loraweights": ["0.5", "1"],
    }
}
FOOOCUS = {
    "prompt": "a fox",
    "negative_prompt": "",
    "styles": "['Fooocus V2']",
    "performance": "Speed",
    "steps": 30,
    "resolution": "(1152, 896)",
    "guidance_scale": 4,
    "base_model": "juggernautXL_v8Rundiffusion",
    "refiner_model": "None",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "913",
    "lora_combined_1": "sd_xl_offset_example-lora_1.0 : 0.1",
    "version": "Fooocus v2.5.5",
}


def png(**texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_itxt(keyword, text)
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def graph_file(graph: object) -> bytes:
    return png(prompt=json.dumps(graph))


def test_the_text_of_a1111_is_read_to_its_last_fact() -> None:
    read = read_recipe(png(parameters=A1111))

    assert read == FileRecipe(
        source="AUTOMATIC1111",
        prompt="a fox in the snow, <lora:add-detail:0.6>, (sharp:1.2)\nsecond line, with a comma",
        negative_prompt="blurry, low quality",
        seed=3141592653,
        steps=25,
        guidance_scale=6.5,
        sampler="DPM++ 2M",
        scheduler="Karras",
        width=512,
        height=768,
        model="v1-5-pruned-emaonly",
        unread=(
            "VAE vae-ft-mse-840000-ema-pruned.safetensors",
            "Denoising strength 0.4",
            "Clip skip 2",
            "Hires upscale 2",
            "Hires steps 10",
            "Hires upscaler R-ESRGAN 4x+",
            "ControlNet 0",
        ),
    )


def test_of_forge_the_guidance_that_the_model_is_told_is_read() -> None:
    read = read_recipe(png(parameters=FORGE_FLUX))

    assert (read.guidance_scale, read.scheduler, read.unread) == (3.5, "Simple", ("Module 1 ae",))


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_exif_is_read_in_either_order_of_its_bytes(format: str, order: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.encode(order)
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, format, exif=exif)

    assert read_recipe(out.getvalue()) == read_recipe(png(parameters=A1111))


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
def test_our_own_files_tell_all_of_their_recipe(format: Any) -> None:
    own = Recipe(
        prompt="a fox,\nNegative prompt: none",
        negative_prompt="dogs",
        provider="builtin",
        model="tiny, second",
        seed=7,
        steps=4,
        guidance_scale=2.5,
        width=64,
        height=96,
        extra={
            "Sampler": "euler",
            "Schedule type": "karras",
            "Loras": "<lora:ink:0.8> <lora:oil:-1>",
            "References": "20261129-0123456789abcdef",
            "Control": "canny:20261129-0123456789abcdef:0.7",
            "Seamless": "yes",
            "Image": "20261129-00112233445566ff",
            "Process": "palette=#000000,#ffffff",
        },
    )
    prompt = own.prompt if format == "png" else "a fox,"
    data = encode(decoded(picture(), "x"), format, own)

    read = read_recipe(data)

    assert read == FileRecipe(
        source="ziggie-image-mcp",
        prompt=prompt,
        negative_prompt="dogs" if format == "png" else "none\nNegative prompt: dogs",
        seed=7,
        steps=4,
        guidance_scale=2.5,
        sampler="euler",
        scheduler="karras",
        width=64,
        height=96,
        model="tiny, second",
        provider="builtin",
        loras=(Lora(id="ink", weight=0.8), Lora(id="oil", weight=-1)),
        references=("20261129-0123456789abcdef",),
        control="canny:20261129-0123456789abcdef:0.7",
        seamless=True,
        unread=read.unread,
    )
    assert [what.split()[0] for what in read.unread] == ["Image", "Process"]


def test_a_recipe_of_ours_with_hardly_a_fact_is_read_all_the_same() -> None:
    bare = recipe(steps=None, seed=None, guidance_scale=None)

    read = read_recipe(encode(decoded(picture(), "x"), "jpeg", bare))

    assert (read.source, read.model, read.seed) == ("ziggie-image-mcp", bare.model, None)


@pytest.mark.parametrize(
    ("keyword", "facts", "source", "size", "sampler", "loras"),
    [
        ("invokeai_metadata", INVOKEAI, "InvokeAI", (832, 1216), ("dpmpp_2m_k", ""), {"ink": 0.75}),
        (
            *("parameters", SWARMUI, "SwarmUI", (1024, 768), ("euler", "normal")),
            {"ink": 0.5, "oil": 1.0},
        ),
        (
            *("parameters", FOOOCUS, "Fooocus", (1152, 896), ("dpmpp_2m_sde_gpu", "karras")),
            {"sd_xl_offset_example-lora_1.0": 0.1},
        ),
    ],
)
def test_the_json_of_other_programs_is_read(
    keyword: str,
    facts: dict[str, Any],
    source: str,
    size: tuple[int, int],
    sampler: tuple[str, str],
    loras: dict[str, float],
) -> None:
    read = read_recipe(png(**{keyword: json.dumps(facts)}))

    assert (read.source, read.prompt) == (source, "a fox")
    assert (read.width, read.height) == size
    assert (read.sampler, read.scheduler) == sampler
    assert {lora.id: lora.weight for lora in read.loras} == loras
    assert None not in (read.seed, read.steps, read.guidance_scale)
    assert read.model


FROM_A_TEXT = [
    (family, variant)
    for family, variant in CASES
    if (how := kind(family, variant)) and "text_to_image" in how.tasks
]


@pytest.mark.parametrize(("family", "variant"), FROM_A_TEXT)
def test_the_graphs_of_all_families_are_read(family: str, variant: str) -> None:
    how = kind(family, variant)
    assert how
    loras = [LoraFile(file="a.safetensors", weight=0.8), LoraFile(file="b.safetensors", weight=-1)]
    asked = replace(job(how).request, seed=77, steps=9, sampler="euler", prompt="a red fox")
    graph = compose(job(how, loras=loras, request=asked, seeds=(77,)))

    read = read_recipe(graph_file(graph))

    assert read.source == "ComfyUI"
    assert (read.prompt, read.seed, read.steps, read.sampler) == ("a red fox", 77, 9, "euler")
    assert (read.width, read.height) == (how.side, how.side)
    assert read.model == "model.safetensors"
    assert read.loras == (Lora(id="a.safetensors", weight=0.8), Lora(id="b.safetensors", weight=-1))


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


HIRES = {  # the second pass works on what the first one made; a primitive holds the seed
    "1": node("CheckpointLoaderSimple", ckpt_name="SDXL\\base.safetensors"),
    "2": node("PrimitiveInt", value=5),
    "3": node("CLIPTextEncode", text=["12", 0], clip=["1", 1]),
    "12": node("PrimitiveString", value="a fox"),
    "4": node("CLIPTextEncode", text="dogs", clip=["1", 1]),
    "5": node("EmptyLatentImage", width=832, height=1216, batch_size=1),
    "6": node(
        "KSamplerAdvanced",
        **{"model": ["1", 0], "positive": ["3", 0], "negative": ["4", 0], "cfg": 6.5},
        **{"latent_image": ["5", 0], "noise_seed": ["2", 0], "steps": 24},
        **{"sampler_name": "dpmpp_2m", "scheduler": "karras"},
    ),
    "7": node("LatentUpscaleBy", samples=["6", 0], scale_by=1.5),
    "8": node(
        "KSampler",
        **{"model": ["1", 0], "positive": ["3", 0], "negative": ["4", 0], "cfg": 6.5},
        **{"latent_image": ["7", 0], "seed": 99, "steps": 10, "denoise": 0.4},
        **{"sampler_name": "euler", "scheduler": "normal"},
    ),
    "9": node("VAEDecode", samples=["8", 0], vae=["1", 2]),
    "10": node("SaveImage", images=["9", 0], filename_prefix="x"),
}


def test_of_two_passes_the_first_is_read_and_the_second_told() -> None:
    read = read_recipe(graph_file(HIRES))

    assert read == FileRecipe(
        source="ComfyUI",
        prompt="a fox",
        negative_prompt="dogs",
        seed=5,
        steps=24,
        guidance_scale=6.5,
        sampler="dpmpp_2m",
        scheduler="karras",
        width=832,
        height=1216,
        model="SDXL\\base.safetensors",
        unread=("1 further sampling passes",),
    )


def test_that_a_graph_worked_on_a_picture_is_told() -> None:
    graph = {**HIRES, "5": node("VAEEncode", pixels=["11", 0]), "11": node("LoadImage", image="a")}

    read = read_recipe(graph_file(graph))

    assert (read.width, read.height) == (None, None)
    assert any(one.startswith("the picture that it was made from") for one in read.unread)


def circle(size: int) -> dict[str, Any]:
    """Nodes that hang on one another in a circle, samplers and values among them."""
    nodes: dict[str, Any] = {}
    for i in range(size):
        after = [str((i + 1) % size), 0]
        nodes[str(i)] = node(
            ("KSampler", "LoraLoader", "CLIPTextEncode", "SaveImage")[i % 4 if i < 40 else 1],
            **dict.fromkeys(("model", "positive", "latent_image", "text", "seed", "images"), after),
        )
    return nodes


def zipped_bomb() -> bytes:
    """A PNG with a compressed text of 300 MB."""
    body = b"parameters\0\0" + zlib.compress(b"a" * 300_000_000, 9)
    plain = png()
    chunk = b"zTXt" + body
    whole = len(body).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return plain[:33] + whole + plain[33:]


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "0 bytes that are no PNG"),
    "no picture": (lambda: b"GIF89a" + b"x" * 100, "no PNG, JPEG or WebP"),
    "no recipe": (png, "it does not tell how it was made"),
    "a workflow alone": (lambda: png(workflow="{}"), "not the graph that was run"),
    "half a file": (lambda: png(parameters=A1111)[:60], "damaged, or its texts are too large"),
    "a zipped bomb": (zipped_bomb, "damaged, or its texts are too large"),
    "a huge text": (lambda: png(prompt="x" * (9 << 20)), "larger than 8 MB"),
    "broken JSON": (lambda: png(prompt='{"1": {'), "the JSON in it is damaged"),
    "deep JSON": (lambda: png(prompt="[" * 100_000), "the JSON in it is damaged"),
    "a huge number": (lambda: png(prompt="1" * 5000), "the JSON in it is damaged"),
    "no graph": (lambda: png(prompt="[1, 2]"), "is none"),
    "nodes that are none": (lambda: graph_file({"1": 7, "2": {"inputs": []}}), "no KSampler"),
    "10,000 nodes": (lambda: graph_file(circle(10_000)), "10000 nodes, more than 2000"),
    "many inputs": (
        lambda: graph_file({"1": node("KSampler", **{str(i): i for i in range(30_000)})}),
        "30000 inputs, more than 20000",
    ),
    "a hundred samplers": (
        lambda: graph_file({str(i): node("KSampler", latent_image=["0", 0]) for i in range(100)}),
        "samples 100 times",
    ),
    "two thousand samplers in a circle": (
        lambda: graph_file(
            {
                str(i): node(
                    "KSampler",
                    latent_image=[str((i + 1) % 1900), 0],
                    **{f"k{j}": [str((i * 7 + j * 13) % 1900), 0] for j in range(6)},
                )
                for i in range(1900)
            }
        ),
        "samples 1900 times",
    ),
    "few facts": (lambda: png(parameters="a fox\nSteps: 20, Seed: 7"), "it does not tell"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_in_words(name: str) -> None:
    make, message = HOSTILE[name]
    data = make()

    with pytest.raises(NoRecipe) as error:
        read_recipe(data)

    assert message in str(error.value)


HARMLESS: dict[str, Callable[[], bytes]] = {
    "a circle": lambda: graph_file(circle(1600)),
    "a circle of one": lambda: graph_file(
        {"1": node("KSampler", model=["1", 0], latent_image=["1", 0])}
    ),
    "many words": lambda: png(parameters="a" * 1_000_000 + "\nSteps: 1, Seed: 2, Size: 8x8"),
    "blanks": lambda: png(parameters="x\n" + " " * 190_000 + "Steps: 1, Seed: 2, Size: 8x8"),
    "one long key": lambda: png(
        parameters="x\n" + "a" * 190_000 + ", Steps: 1, Seed: 2, Size: 8x8"
    ),
    "open quotes": lambda: png(
        parameters="x\n" + 'a: "\\"' * 30_000 + ", Steps: 1, Seed: 2, Size: 8x8"
    ),
    "a huge weight": lambda: graph_file(
        {
            "1": node("KSampler", model=["2", 0], latent_image=["3", 0], cfg=10**400),
            "2": node("Loader", model=["1", 0], a={"on": True, "lora": "x", "strength": 10**400}),
        }
    ),
    "a huge guidance": lambda: png(
        invokeai_metadata=json.dumps({"positive_prompt": "x", "cfg_scale": 10**400})
    ),
    "odd numbers": lambda: png(parameters="x\nSteps: 1e99, Seed: -1, Size: 0x0, CFG scale: nan"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_an_odd_file_is_read_within_seconds(name: str) -> None:
    data = HARMLESS[name]()
    began = time.process_time()

    read = read_recipe(data)

    assert isinstance(read, FileRecipe)
    assert time.process_time() - began < 5
