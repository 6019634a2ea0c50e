"""Compiling and step caches by the real libraries: they reach the model, and leave no trace."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.diffusers_calls import build_models, generation, picture, worker_for
from ziggie_image_mcp.provider import Lora

pytestmark = [
    pytest.mark.soak,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")),
        reason='needs pip install "ziggie-image-mcp[local]"',
    ),
    pytest.mark.filterwarnings("ignore"),
]

COUNTED = """
from tests.support import random_models
from ziggie_image_providers.diffusers import acceleration, wire
import diffusers, torch
request = wire.WorkerRequest.model_validate(
    {"path": "m", "pipeline": "FluxPipeline", "prompt": "a fox", "negative_prompt": None}
    | {"width": 64, "height": 64, "num_images": 1, "seed": 7, "steps": 2, "guidance": None}
    | {"step_cache": "first-block"}
)
pipe = random_models.flux()
net = type(pipe.transformer)
pipe.transformer = net.from_config(pipe.transformer.config, num_layers=3).eval()
pipe.text_encoder_2.eval()
first = pipe.transformer.transformer_blocks[0]
for norm in (first.norm1, first.norm1_context):  # what it does no longer depends on the step
    torch.nn.init.zeros_(norm.linear.weight)
    torch.nn.init.ones_(norm.linear.bias)
calls = []
pipe.set_progress_bar_config(disable=True)
block = pipe.transformer.transformer_blocks[1]
block.norm2.register_forward_hook(lambda *_: calls.append(1))
def counted():
    calls.clear()
    seed = torch.Generator("cpu").manual_seed(7)
    pipe("a fox", width=64, height=64, num_inference_steps=60, generator=seed)
    return len(calls)
before = counted()
with acceleration.accelerated(pipe, request, "cpu"):
    cached = counted()
print(before, cached, counted())
"""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_models("tests.support.random_families", tmp_path_factory.mktemp("zoo"))


async def test_the_first_block_cache_leaves_out_blocks_and_is_gone_after_the_call() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-c", COUNTED]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout

    before, cached, after = map(int, output.split())
    assert cached < before == after == 60


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles by g++ here")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("id", ["flux", "sd1"])
async def test_a_compiled_model_makes_its_picture_and_steps_aside_for_what_it_cannot_do(
    zoo: Path, id: str
) -> None:
    async with worker_for(zoo) as usual:
        before = await picture(usual, id)
    async with worker_for(zoo, compile="on", hires="never") as provider:
        began = time.monotonic()
        compiled = await generation(provider, id)
        first_seconds = time.monotonic() - began
        began = time.monotonic()
        again = await generation(provider, id)
        seconds = time.monotonic() - began
        wider = await generation(provider, id, width=128)
    kept = list((zoo / "data" / "diffusers" / "compiled").rglob("*.so"))

    assert (
        compiled.notes
        == wider.notes
        == (
            "the model was compiled: pictures differ slightly, and the first of a size took longer",
        )
    )
    assert compiled.images == again.images
    assert len(before) > 0
    assert compiled.load_seconds is not None
    unexplained = first_seconds - seconds - compiled.load_seconds - compiled.compile_seconds
    assert abs(unexplained) < compiled.compile_seconds / 3
    assert again.compile_seconds == 0
    assert wider.compile_seconds > 0
    assert kept, "nothing was compiled"


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles by g++ here")
@pytest.mark.timeout(600)
async def test_a_compiled_model_with_a_lora_runs_as_if_it_were_not_compiled(zoo: Path) -> None:
    lora = {"loras": (Lora(id="one", weight=0.8),)}
    async with worker_for(zoo) as usual:
        before = await picture(usual, "sd1", **lora)
    async with worker_for(zoo, compile="on") as provider:
        compiled = await picture(provider, "sd1")
        result = await generation(provider, "sd1", **lora)
        after = await picture(provider, "sd1")

    assert result.images[0].data == before
    assert result.notes == (
        "the model was not compiled: what is laid over it would be compiled anew for each request",
    )
    assert after == compiled


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles by g++ here")
async def test_a_model_without_blocks_that_repeat_is_not_compiled_and_says_so(zoo: Path) -> None:
    async with worker_for(zoo) as usual:
        before = await picture(usual, "pixart")
    async with worker_for(zoo, compile="on") as provider:
        result = await generation(provider, "pixart")

    assert result.images[0].data == before
    assert result.notes == (
        "the model was not compiled: diffusers names no blocks of it that repeat",
    )
