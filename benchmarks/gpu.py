"""Measure a GPU: SDXL and FLUX.1 of real size with random weights, bare diffusers against ours.

python -m benchmarks.gpu FOLDER [--check] [MODEL ...]

The models, `sdxl` and `flux`, are made in FOLDER at the first run: their denoisers and VAEs of real
size (5 and 24 GB), with small text encoders. A picture is made by bare diffusers in half precision,
all of the model on the card, and by the provider's worker: on each of its rungs, of which some hold
the weights in fewer bits; compiled; by each attention that is installed; by both; and, told apart,
with each step cache. Printed are the median seconds of three pictures after the first, how many
times as fast that is as bare diffusers (the aim is 1.5 without a step cache), the peak of the
card's memory beside what was predicted, and the mean difference to the picture of bare diffusers,
of 255. Without a GPU it says so; with --check small models run on the processor, to see that the
program works: their figures say nothing.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import random_models
from ziggie_image_mcp.provider import (
    Generation,
    ImageError,
    Model,
    ProviderContext,
    ProviderRequest,
    Run,
    Rung,
    peak_bytes,
)
from ziggie_image_providers.diffusers import Diffusers, attention, measuring
from ziggie_image_providers.diffusers.measured import MeasuredMemory, stamp
from ziggie_image_providers.diffusers.measuring import TRIED
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.step_cache import CONFIGS

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
times = []
for _ in range(4):
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    seed = torch.Generator("cpu").manual_seed(7)
    image = pipe("a red fox", width=int(side), height=int(side), num_inference_steps=int(steps),
                 guidance_scale=float(guidance), generator=seed, **negative).images[0]
    times.append(time.perf_counter() - began)
image.save(out)
print(json.dumps([sorted(times[1:])[1], torch.cuda.max_memory_allocated() if on_card else 0]))
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


class Part(NamedTuple):
    """What makes a picture faster, or smaller in memory."""

    name: str
    rung: Rung
    settings: Mapping[str, str] = {}


def parts(rungs: Sequence[Rung], device: str) -> Iterator[Part]:
    """Each rung as usual, then the whole model by each means alone, then with the caches."""
    for rung in rungs:
        yield Part(rung.name, rung)
    whole = rungs[0]
    installed = [
        name
        for name in TRIED
        if not (attention.why_not_installed(name) or attention.why_not_on(name, device, half=True))
    ]
    yield Part("compiled", whole, {"compile": "on"})
    for name in installed:
        yield Part(f"attention by {name}", whole, {"attention": name})
        yield Part(f"compiled, by {name}", whole, {"attention": name, "compile": "on"})
    for name in CONFIGS:
        yield Part(f"steps cached by {name}", whole, {"stepCache": name})


async def ours(provider: Diffusers, trial: Trial, model: Model) -> tuple[float, Generation]:
    """The median seconds of three pictures after the first, and the last of them."""
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
    seconds: list[float] = []
    result: Any = None
    for _ in range(4):
        began = time.perf_counter()
        result = await provider.submit(request, model, Run(key="k", progress=_silence))
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:]), result


def build_provider(trial: Trial, folder: Path, settings: Mapping[str, str]) -> Diffusers:
    """An engine with a memory of its own, so that nothing is learnt from the part before."""
    values = {"modelDirs": [str(trial.path)], "useHubCache": False, "dtype": trial.dtype}
    return Diffusers(
        "diffusers",
        Settings.model_validate({**values, "hires": "never", **settings}),
        ProviderContext(data_dir=folder),
    )


async def measure(trial: Trial) -> None:
    """Bare diffusers, and each part."""
    with tempfile.TemporaryDirectory() as data_dir:
        folder = Path(data_dir)
        out = folder / "bare.png"
        alone, peak = bare(trial, out)
        print(f"{trial.kind}, {'bare diffusers':32} {alone:7.2f} s  peak {peak / 1e9:6.2f} GB")
        provider = build_provider(trial, folder / "listing", {})
        [listed] = await provider.list_models()
        for number, part in enumerate(parts(listed.memory.rungs, trial.device)):
            line = await measure_part(trial, listed, part, folder / str(number), out, alone)
            print(f"{trial.kind}, {part.name:32} {line}", flush=True)


async def measure_part(
    trial: Trial, listed: Model, part: Part, folder: Path, bare_picture: Path, alone: float
) -> str:
    """What one part came to, beside the seconds of bare diffusers."""
    if part.rung.fix:
        return part.rung.fix
    provider = build_provider(trial, folder, part.settings)
    model = replace(listed, device=trial.device, rung=part.rung.name)
    try:
        seconds, result = await ours(provider, trial, model)
    except ImageError as e:
        return str(e)
    finally:
        await provider.aclose()
    known = MeasuredMemory(folder / "diffusers" / "memory.sqlite3")
    peaks = [m.peak for m in known.read(str(trial.path), stamp(trial.path)) if m.peak is not None]
    predicted = peak_bytes(part.rung.peaks, trial.side**2) / 1e9
    measured = f"{max(peaks) / 1e9:6.2f}" if peaks else "  none"
    left_out = [note for note in result.notes if " was not " in note]
    return (
        f"{seconds:7.2f} s  {alone / seconds:5.2f} times as fast  peak {measured} GB, predicted "
        f"{predicted:6.2f}  differs by {difference(bare_picture, result.images[0].data):.2f}"
        f"{'  ' if left_out else ''}{'; '.join(left_out)}"
    )


def difference(bare_picture: Path, data: bytes) -> float:
    """Mean over pixels and colours, of 255."""
    return measuring.difference(bare_picture.read_bytes(), data)


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
