"""DeepFloyd IF beside diffusers alone, with its checker, and however it is held: a worker each."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.support.diffusers_calls import (
    build_models,
    generation,
    model_named,
    picture,
    replaced_file,
    worker_for,
)
from ziggie_image_mcp.provider import (
    ContentRefused,
    Generation,
    ModelUnusable,
    ProviderRequest,
    Run,
)
from ziggie_image_providers.diffusers.ladder import notes
from ziggie_image_providers.diffusers.scan import find

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers", "peft")),
        reason='needs pip install "ziggie-image-mcp[local]"',
    ),
]

BARE = """
import json, sys
import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.deepfloyd_if import fast27_timesteps
folder, out = sys.argv[1:]
first = DiffusionPipeline.from_pretrained(f"{folder}/if-1")
second = DiffusionPipeline.from_pretrained(f"{folder}/if-2", text_encoder=None)
third = DiffusionPipeline.from_pretrained(
    f"{folder}/if-3",
    safety_checker=None, feature_extractor=None, watermarker=first.watermarker,
)
noise = torch.Generator("cpu").manual_seed(7)
prompt, negative = first.encode_prompt("a red fox", negative_prompt="dark")
text = {"prompt_embeds": prompt, "negative_prompt_embeds": negative}
more = {"generator": noise, "output_type": "pt", **text}
image = first(timesteps=fast27_timesteps, guidance_scale=5.0, **more).images
image = second(image=image, num_inference_steps=14, **more).images
image = third(
    prompt="a red fox", negative_prompt="dark", image=image, noise_level=100, generator=noise,
    num_inference_steps=21,
).images[0]
image.save(out)
parts = [first.text_encoder, first.unet, second.unet, third.text_encoder, third.unet, third.vae]
print(json.dumps(2 * sum(p.numel() for part in parts for p in part.parameters())))
"""
"""As the documentation of diffusers runs the three stages."""

HELD = """
import shutil, sys
from pathlib import Path
from tests.support.cascades import asked_of_worker
from ziggie_image_providers.diffusers import loading
from ziggie_image_providers.diffusers.faults import Problem
folder = Path(sys.argv[1])
def held(request):
    try:
        loading.load(request)
    except Problem as e:
        print(e.fault, e, end="; ")
    print(*(Path(path).name for path in loading.held.stages))
held(asked_of_worker(folder))
shutil.copytree(folder / "if-2", folder / "if-9")
held(asked_of_worker(folder))
shutil.rmtree(folder / "if-3")
held(both := asked_of_worker(folder))
shutil.rmtree(folder / "if-9")
held(both)
shutil.rmtree(folder / "if-2")
held(asked_of_worker(folder))
"""
"""Which stages lie in memory, as their folders come and go."""

ASKED: dict[str, Any] = {"width": 256, "height": 256, "negative_prompt": "dark"}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("families") / "all"
    return build_models("tests.support.random_families", folder)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_models("tests.support.cascades", tmp_path_factory.mktemp("checked"))


def difference(one: bytes, other: bytes) -> float:
    """Mean difference of two pictures, of 255."""
    first, second = (Image.open(io.BytesIO(png)).convert("RGB") for png in (one, other))
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3


@pytest.mark.timeout(300)
async def test_three_stages_draw_what_diffusers_alone_draws_and_take_what_is_foretold(
    zoo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bare.png"
    command = [sys.executable, "-W", "ignore", "-c", BARE, str(zoo), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    foretold = find([zoo], None)["if-1"].all_parts

    async with worker_for(zoo, dtype="float32") as provider:
        drawn = await picture(provider, "if-1", **ASKED, steps=27, guidance_scale=5.0)
        other = await picture(provider, "if-1", **ASKED, steps=28, guidance_scale=5.0)

    actual = json.loads(done.stdout.splitlines()[-1])
    without = {name: part for name, part in foretold.items() if name != "watermarker"}
    assert difference(drawn, out.read_bytes()) < 0.1  # of 255: numbers are rounded twice
    assert difference(other, out.read_bytes()) > 5
    assert sum(part.bytes for part in without.values()) == pytest.approx(actual, rel=0.02)


@pytest.mark.timeout(300)
async def test_a_picture_is_the_same_however_the_stages_are_held(zoo: Path) -> None:
    async def silence(share: float, text: str) -> None:
        """Take progress and do nothing."""

    request = ProviderRequest(prompt="a red fox", seed=7, steps=4, **ASKED)
    drawn: dict[str, Generation] = {}
    async with worker_for(zoo, dtype="float32", quantization="auto") as provider:
        one = await model_named(provider, "if-1")
        names = ["cpu", *(rung.name for rung in one.memory.rungs[1:] if not rung.fix)]
        for rung in names:
            placed = replace(one, device="cpu", rung=rung)
            made = await provider.submit(request, placed, Run(key="k", progress=silence))
            assert isinstance(made, Generation)
            drawn[rung] = made

    whole = drawn["cpu"].images[0].data
    apart = {rung: difference(whole, made.images[0].data) for rung, made in drawn.items()}
    assert {"model offload", "group offload", "fp8, model offload"} <= apart.keys()
    assert apart["model offload"] < 0.1
    assert apart["group offload"] < 0.1
    assert max(apart.values()) < 40
    for rung, answer in drawn.items():
        assert set(notes(rung)) <= set(answer.notes)


@pytest.mark.timeout(300)
async def test_a_stage_that_cannot_be_read_is_a_typed_error_and_the_next_picture_is_as_before(
    zoo: Path,
) -> None:
    config = zoo / "if-2" / "unet" / "config.json"
    wrong = config.read_text("utf-8").replace('"SimpleCrossAttnUpBlock2D"', '"UpBlock2D"')
    async with worker_for(zoo) as provider:
        before = await picture(provider, "if-1", **ASKED)
        with (
            replaced_file(config, wrong.encode()),
            pytest.raises(ModelUnusable, match="if-2, a later stage of if-1, cannot be read"),
        ):
            await picture(provider, "if-1", **ASKED)

        assert await picture(provider, "if-1", **ASKED) == before


@pytest.mark.timeout(300)
def test_only_the_stages_of_a_request_lie_in_memory(zoo: Path, tmp_path: Path) -> None:
    for name in ("if-1", "if-2", "if-3"):
        shutil.copytree(zoo / name, tmp_path / name)

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HELD, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    both, larger, alone, gone, none = done.stdout.splitlines()
    assert (both, larger, alone, none) == ("if-2 if-3", "if-3 if-9", "if-9", "")
    assert gone.startswith("model_missing if-9, a later stage of if-1, cannot be read (")
    assert gone.endswith("Get it again.; ")


@pytest.mark.timeout(300)
async def test_stages_are_as_large_as_what_is_here(zoo: Path, tmp_path: Path) -> None:
    (tmp_path / "if-1").symlink_to(zoo / "if-1")
    async with worker_for(tmp_path) as provider:
        small = await generation(provider, "if-1", width=16, height=24)
        least = await generation(provider, "if-1", width=16, height=16)
    (tmp_path / "if-2").symlink_to(zoo / "if-2")
    async with worker_for(tmp_path) as provider:
        large = await generation(provider, "if-1", width=64, height=96)

    sizes = [Image.open(io.BytesIO(one.images[0].data)).size for one in (least, small, large)]
    assert sizes == [(16, 16), (16, 24), (64, 96)]
    assert ["watermark" in " ".join(one.notes) for one in (least, small)] == [False, True]


@pytest.mark.timeout(300)
async def test_what_the_models_own_checker_sees_is_refused(checked: Path) -> None:
    async with worker_for(checked / "alone") as provider:
        assert await picture(provider, "lenient", width=32, height=32)
        with pytest.raises(ContentRefused, match="own safety checker refused"):
            await picture(provider, "prude", width=32, height=32)


@pytest.mark.timeout(300)
async def test_three_stages_draw_from_the_files_that_a_pull_brings(checked: Path) -> None:
    async with worker_for(checked / "pulled") as provider:
        drawn = await generation(provider, "if-1", **ASKED)

    assert find([checked / "pulled"], None)["if-1"].variant == "fp16"
    assert Image.open(io.BytesIO(drawn.images[0].data)).size == (256, 256)
    assert drawn.notes[0].startswith("drawn in stages")


@pytest.mark.timeout(300)
def test_the_listing_tells_which_stages_are_missing_and_what_gets_them(
    zoo: Path, tmp_path: Path
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "if-1").symlink_to(zoo / "if-1")
    config = tmp_path / "config.json"
    config.write_text('{"providers": {"diffusers": {"useHubCache": false}}}', encoding="utf-8")
    command = [sys.executable, "-m", "ziggie_image_mcp", "models", "scan", str(tmp_path / "dir")]

    done = subprocess.run(
        [*command, "--json", "--config", str(config)], check=True, capture_output=True, text=True
    )

    (row,) = json.loads(done.stdout)["models"]
    assert row["usable"]
    assert row["native_size"] == "16x16"
    assert row["how_to_install"].startswith("if-1 draws 16 px without its second stage and third")
