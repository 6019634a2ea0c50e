"""Measure a GPU: SDXL and FLUX.1 of real size with random weights, bare diffusers against ours.

python -m benchmarks.gpu FOLDER [--check] [MODEL ...]

The models, `sdxl` and `flux`, are made in FOLDER at the first run: their denoisers and VAEs of real
size (5 and 24 GB), with small text encoders. A picture is made by bare diffusers, all of the model
on the card, and by the provider's worker on each of its rungs. Printed are the seconds of the
second picture, the peak of the card's memory beside what was predicted, and the mean difference to
the picture of bare diffusers, of 255. Without a GPU it says so; with --check small models run on
the processor, to see that the program works.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from PIL import Image, ImageChops, ImageStat

from tests.support import random_models
from ziggie_image_mcp.provider import (
    Generation,
    ImageError,
    Model,
    ProviderContext,
    ProviderRequest,
    Run,
    peak_bytes,
)
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.measured import MeasuredMemory, stamp
from ziggie_image_providers.diffusers.settings import Settings

STEPS = {"sdxl": 30, "flux": 4}
GUIDANCE = {"sdxl": 5.0, "flux": 0.0}
HALF = {"sdxl": "float16", "flux": "bfloat16"}

BARE = """
import json, sys, time, torch, diffusers
path, out, device, side, steps, guidance, dtype = sys.argv[1:]
pipe = diffusers.DiffusionPipeline.from_pretrained(path, dtype=getattr(torch, dtype)).to(device)
pipe.set_progress_bar_config(disable=True)
on_card = device != "cpu"
negative = {"negative_prompt": ""} if float(guidance) > 1 else {}
for _ in range(2):
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    seed = torch.Generator("cpu").manual_seed(7)
    image = pipe("a red fox", width=int(side), height=int(side), num_inference_steps=int(steps),
                 guidance_scale=float(guidance), generator=seed, **negative).images[0]
    seconds = time.perf_counter() - began
image.save(out)
print(json.dumps([seconds, torch.cuda.max_memory_allocated() if on_card else 0]))
"""


class Trial(NamedTuple):
    """One model on one device."""

    kind: str
    path: Path
    device: str
    side: int
    dtype: str


def settings_of(part: Any) -> dict[str, Any]:
    """What a component was built with, without the list of what may be ignored as usual."""
    return {name: value for name, value in part.config.items() if name != "_use_default_values"}


def build(kind: str, folder: Path) -> None:
    """Save a pipeline with random weights: its denoiser and VAE of real size."""
    torch: Any = importlib.import_module("torch")
    diffusers: Any = importlib.import_module("diffusers")
    torch.manual_seed(0)
    pipe = random_models.sdxl() if kind == "sdxl" else random_models.flux()
    torch.set_default_dtype(getattr(torch, HALF[kind]))
    with torch.device("cuda"):  # where random numbers take seconds, and not minutes
        pipe.vae = diffusers.AutoencoderKL.from_config(
            settings_of(pipe.vae)
            | {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
            | {"norm_num_groups": 32, "sample_size": 1024}
            | {"latent_channels": 4 if kind == "sdxl" else 16}
        )
        if kind == "sdxl":
            pipe.unet = diffusers.UNet2DConditionModel.from_config(
                settings_of(pipe.unet)
                | {"sample_size": 128, "block_out_channels": (320, 640, 1280)}
                | {"down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2)}
                | {"up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D")}
                | {"transformer_layers_per_block": (1, 2, 10), "layers_per_block": 2}
                | {"attention_head_dim": (5, 10, 20), "use_linear_projection": True}
                | {"norm_num_groups": 32}
            )
        else:
            pipe.transformer = diffusers.FluxTransformer2DModel(
                guidance_embeds=False, joint_attention_dim=32, pooled_projection_dim=32
            )
    pipe.save_pretrained(folder)


def bare(trial: Trial, out: Path) -> tuple[float, int]:
    """Seconds and peak of bare diffusers, whose picture is saved to `out`."""
    kind = trial.kind
    words = (trial.path, out, trial.device, trial.side, STEPS[kind], GUIDANCE[kind], trial.dtype)
    command = [sys.executable, "-W", "ignore", "-c", BARE, *map(str, words)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, peak = json.loads(output.splitlines()[-1])
    return seconds, peak


async def ours(provider: Diffusers, trial: Trial, model: Model) -> tuple[float, bytes]:
    """Seconds of the second picture, and the picture."""
    request = ProviderRequest(
        prompt="a red fox",
        negative_prompt="",
        width=trial.side,
        height=trial.side,
        num_images=1,
        seed=7,
        steps=STEPS[trial.kind],
        guidance_scale=GUIDANCE[trial.kind],
    )
    seconds, data = 0.0, b""
    for _ in range(2):
        began = time.perf_counter()
        result = await provider.submit(request, model, Run(key="k", progress=_silence))
        seconds = time.perf_counter() - began
        assert isinstance(result, Generation)
        data = result.images[0].data
    return seconds, data


async def measure(trial: Trial) -> None:
    """Bare diffusers, and each rung."""
    with tempfile.TemporaryDirectory() as data_dir:
        folder = Path(data_dir)
        settings = Settings(
            model_dirs=(trial.path,), use_hub_cache=False, dtype=cast(Any, trial.dtype)
        )
        provider = Diffusers("diffusers", settings, ProviderContext(data_dir=folder))
        [listed] = await provider.list_models()
        out = folder / "bare.png"
        seconds, peak = bare(trial, out)
        print(f"{trial.kind}, {'bare diffusers':32} {seconds:7.2f} s  peak {peak / 1e9:6.2f} GB")
        for rung in listed.memory.rungs:
            if rung.fix:
                print(f"{trial.kind}, {rung.name:32} {rung.fix}")
                continue
            model = replace(listed, device=trial.device, rung=rung.name)
            try:
                seconds, data = await ours(provider, trial, model)
            except ImageError as e:
                print(f"{trial.kind}, {rung.name:32} {e}")
                continue
            known = MeasuredMemory(folder / "diffusers" / "memory.sqlite3")
            peaks = [
                m.peak
                for m in known.read(str(trial.path), stamp(trial.path))
                if m.rung == rung.name and m.peak is not None
            ]
            predicted = peak_bytes(rung.peaks, trial.side**2) / 1e9
            measured = f"{peaks[0] / 1e9:6.2f}" if peaks else "  none"
            print(
                f"{trial.kind}, {rung.name:32} {seconds:7.2f} s  peak {measured} GB, "
                f"predicted {predicted:6.2f}  differs by {difference(out, data):.2f}"
            )
        await provider.aclose()


def difference(bare: Path, data: bytes) -> float:
    """Mean over pixels and colours, of 255."""
    with Image.open(bare) as one, Image.open(io.BytesIO(data)) as other:
        apart = ImageChops.difference(one.convert("RGB"), other.convert("RGB"))
    return sum(ImageStat.Stat(apart).mean) / 3


async def _silence(share: float, text: str) -> None:
    """Take progress and do nothing."""


def main() -> None:
    folder, *rest = sys.argv[1:]
    check = "--check" in rest
    torch: Any = importlib.import_module("torch")
    if not (check or torch.cuda.is_available()):
        sys.exit("There is no GPU that torch can use here: nothing was measured.")
    if not check:
        print(torch.cuda.get_device_name())
    for kind in [name for name in rest if name in STEPS] or list(STEPS):
        path = Path(folder).resolve() / (f"{kind}-small" if check else kind)
        if not (path / "model_index.json").exists():
            if check:
                small = random_models.sdxl() if kind == "sdxl" else random_models.flux()
                small.save_pretrained(path)
            else:
                build(kind, path)
        side, device = (64, "cpu") if check else (1024, "cuda:0")
        asyncio.run(measure(Trial(kind, path, device, side, "float32" if check else HALF[kind])))


if __name__ == "__main__":
    main()
