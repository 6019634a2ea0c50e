"""The built-in engine on its real weights: the tiny model, and the upscaler behind the contract."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import pytest_asyncio
from PIL import Image, ImageChops, ImageDraw

from tests.support.comfyui_answers import silence
from ziggie_image_mcp.provider import (
    DependencyMissing,
    Generation,
    Model,
    ModelMissing,
    Provider,
    ProviderContext,
    ProviderRequest,
    RequestRejected,
    Run,
    SameAsInput,
    Task,
    TaskCapability,
)
from ziggie_image_mcp.provider.pictures import to_png
from ziggie_image_mcp.provider.seams import seam
from ziggie_image_mcp.provider.testing.conformance import NAME, ProviderConformance
from ziggie_image_mcp.provider.testing.rig import Rig
from ziggie_image_providers.builtin import Builtin
from ziggie_image_providers.builtin.models import FOLDER
from ziggie_image_providers.builtin.settings import Settings
from ziggie_image_providers.builtin.tokenizer import Tokenizer
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.settings import Settings as DiffusersSettings

needs_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")),
    reason='needs pip install "ziggie-image-mcp[local]"',
)

CIRCLE = "a big blue circle on a yellow background"


def build(**settings: Any) -> Builtin:
    context = ProviderContext(data_dir=Path("/nowhere"))
    return Builtin(NAME, Settings.model_validate(settings), context)


async def generate(
    provider: Provider, request: ProviderRequest, model: str, progress: Any = silence
) -> Generation:
    described = next(m for m in await provider.list_models() if m.id == model)
    generation = await provider.submit(request, described, Run(key="k", progress=progress))
    assert isinstance(generation, Generation)
    return generation


def ask(**changes: Any) -> ProviderRequest:
    values: dict[str, Any] = {"prompt": CIRCLE, "width": 64, "height": 64, "steps": 20, "seed": 1}
    return ProviderRequest(**(values | changes))


def opened(generation: Generation, number: int = 0) -> Image.Image:
    with Image.open(io.BytesIO(generation.images[number].data)) as image:
        image.load()
        return image


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    values = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).tobytes()
    return sum(values) / len(values)


@pytest.fixture
async def provider() -> AsyncGenerator[Builtin]:
    one = build()
    yield one
    await one.aclose()


# The same pictures as by torch


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def torch_engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Diffusers]:
    """The diffusers provider on the same folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        settings = DiffusersSettings(model_dirs=(FOLDER,), use_hub_cache=False)
        context = ProviderContext(data_dir=tmp_path_factory.mktemp("torch"))
        one = Diffusers("diffusers", settings, context)
        yield one
        await one.aclose()


def scene() -> bytes:
    image = Image.new("RGB", (64, 64), (40, 80, 220))
    ImageDraw.Draw(image).ellipse((8, 12, 40, 50), fill=(250, 220, 40))
    return to_png(image)


def left_half() -> bytes:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 30, 64))
    return to_png(mask)


@needs_torch
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seed": 2**32 - 1, "steps": 7, "negative_prompt": "a red star, blurred"},
        {"guidance_scale": 1.0, "steps": 30, "seed": 5},
        {"prompt": "Two RED stars; on\u00a0a wall!", "steps": 3},
        {"num_images": 2, "seed": 2**32 - 1, "steps": 4},
        {"task": "image_to_image", "image": scene(), "strength": 0.3},
        {"task": "image_to_image", "image": scene(), "strength": 1.0, "steps": 6},
        {"task": "image_to_image", "image": scene(), "strength": 0.01, "steps": 4},
        {"task": "inpaint", "image": scene(), "mask": left_half()},
        {"task": "inpaint", "image": scene(), "mask": left_half(), "strength": 0.5},
    ],
    ids=str,
)
async def test_pictures_are_those_of_diffusers(
    torch_engine: Diffusers, changes: dict[str, Any]
) -> None:
    request = ask(**({"guidance_scale": 4.0} | changes))
    one = build()

    ours = await generate(one, request, "tiny")
    theirs = await generate(torch_engine, request, FOLDER.name)
    await one.aclose()

    assert len(ours.images) == len(theirs.images)
    for number, picture in enumerate(theirs.images):
        assert ours.images[number].seed == picture.seed
        assert mean_difference(opened(ours, number), opened(theirs, number)) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        CIRCLE,
        "A Big BLUE circle, on--a yellow\tbackground!!",
        "ein großer ÄPFEL … «rot» 日本語、円 \u2028 red\x1fstar \u0130stanbul",
        "dragon's lair's (red:1.2) [green|blue] a_b",
        " ".join(["red"] * 40),
        "\u00a0\u3000",
    ],
)
def test_a_prompt_is_read_as_by_the_tokenizers_library(text: str) -> None:
    tokenizers: Any = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer" / "tokenizer.json"))
    theirs.enable_truncation(32)
    theirs.enable_padding(length=32, pad_token="<pad>")

    ours = Tokenizer(FOLDER / "tokenizer").read(text)

    assert list(ours.ids) == theirs.encode(text).ids


# What it makes


@pytest.mark.parametrize("side", [64, 128, 256])
async def test_pictures_have_the_size_that_was_asked(provider: Builtin, side: int) -> None:
    made = await generate(provider, ask(width=side, height=side), "tiny")

    image = opened(made)
    assert image.size == (side, side)
    assert image.getpixel((side // 2, side // 2)) != image.getpixel((2, 2))
    small = opened(await generate(provider, ask(), "tiny"))
    assert mean_difference(image.resize((64, 64), Image.Resampling.BOX), small) < 4


async def test_a_seamless_picture_tiles_and_another_need_not(provider: Builtin) -> None:
    prompt = "a pattern of blue waves"

    tiles = await generate(
        provider, ask(prompt=prompt, seamless=True, width=256, height=256), "tiny"
    )
    plain = await generate(provider, ask(prompt=prompt, width=256, height=256), "tiny")

    assert seam(opened(tiles)).tiles
    assert not seam(opened(plain)).tiles


async def test_it_says_what_it_is_and_which_words_it_did_not_read(provider: Builtin) -> None:
    made = await generate(
        provider, ask(prompt="a red dragon " + "star " * 27 + "teapot", steps=1), "tiny"
    )

    assert "demo model" in made.notes[0]
    assert any("dragon" in note and "does not know" in note for note in made.notes)
    assert any('not read: "teapot"' in note for note in made.notes)


async def test_transparent_parts_of_a_changed_picture_are_said_to_be_white(
    provider: Builtin,
) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    request = ask(task="image_to_image", image=to_png(image), strength=0.5)

    made = await generate(provider, request, "tiny")

    assert any("laid on white" in note for note in made.notes)


async def test_what_has_no_effect_without_guidance_is_said(provider: Builtin) -> None:
    made = await generate(
        provider, ask(steps=1, guidance_scale=0.5, negative_prompt="a red star"), "tiny"
    )

    assert any("negative prompt has no effect" in note for note in made.notes)
    assert any("guidance_scale 0.5 is as 1" in note for note in made.notes)


# How it runs


async def test_every_step_is_told_and_a_cancel_is_heard_at_the_next(provider: Builtin) -> None:
    steps: list[str] = []
    seen = anyio.Event()

    async def progress(fraction: float, message: str) -> None:
        assert 0 <= fraction <= 1
        steps.append(message)
        if "step 3 of" in message:
            seen.set()

    await generate(provider, ask(steps=4), "tiny", progress)
    four = [s for s in steps if "step" in s]
    assert four == [f"picture 1 of 1, step {i} of 4" for i in (1, 2, 3, 4)]

    seen, steps = anyio.Event(), []
    endless = ask(steps=500, num_images=16)
    task = asyncio.ensure_future(generate(provider, endless, "tiny", progress))
    await seen.wait()
    before = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert asyncio.get_running_loop().time() - before < 2
    assert len(opened(await generate(provider, ask(steps=1), "tiny")).getbands()) == 3


async def test_an_upscale_is_cancelled_between_its_tiles(provider: Builtin) -> None:
    first = anyio.Event()

    async def progress(fraction: float, message: str) -> None:
        if message.startswith("tile 1 of"):
            first.set()

    image = to_png(Image.linear_gradient("L").resize((1024, 1024)))
    request = ask(task="upscale", image=image, factor=4, width=1024, height=1024)
    task = asyncio.ensure_future(generate(provider, request, "realesrgan-x4", progress))
    await first.wait()
    before = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert asyncio.get_running_loop().time() - before < 2


async def test_two_requests_at_once_are_made_one_after_another(provider: Builtin) -> None:
    one, other = await asyncio.gather(
        generate(provider, ask(steps=3), "tiny"), generate(provider, ask(steps=3), "tiny")
    )

    assert one.images == other.images


async def test_after_idle_time_the_weights_leave_the_memory() -> None:
    one = build(idleSeconds=0)

    await generate(one, ask(steps=1), "tiny")
    for _ in range(3):
        await asyncio.sleep(0)
    states = {m.id: m.state for m in await one.list_models()}
    again = await generate(one, ask(steps=1), "tiny")
    await one.aclose()

    assert set(states.values()) == {"ready"}
    assert again.images


async def test_what_is_in_memory_is_said(provider: Builtin) -> None:
    await generate(provider, ask(steps=1), "tiny")

    states = {m.id: m.state for m in await provider.list_models()}
    assert states == {"tiny": "loaded", "realesrgan-x4": "ready", "realesrgan-x2": "ready"}
    assert (await provider.probe()).loaded_model == "tiny"


def test_nothing_heavy_is_imported_before_the_first_picture() -> None:
    program = """
import asyncio, sys
from pathlib import Path
from ziggie_image_mcp.provider import ProviderContext
from ziggie_image_providers.builtin import Builtin
from ziggie_image_providers.builtin.settings import Settings
one = Builtin("builtin", Settings(), ProviderContext(data_dir=Path("x")))
asyncio.run(one.probe())
asyncio.run(one.list_models())
print(sorted({"numpy", "onnxruntime", "safetensors", "PIL.Image"} & set(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


async def test_a_missing_package_is_said_with_its_fix(
    provider: Builtin, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec

    def without_runtime(name: str) -> Any:
        return None if name == "onnxruntime" else real(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_runtime)

    models = await provider.list_models()
    with pytest.raises(DependencyMissing, match="pip install onnxruntime"):
        await generate(provider, ask(), "tiny")

    assert {m.state for m in models} == {"missing"}
    assert all("pip install onnxruntime" in m.fix for m in models)


async def test_what_it_does_not_have_is_a_typed_error(provider: Builtin) -> None:
    (tiny, *_), run = await provider.list_models(), Run(key="k", progress=silence)
    named = Model(id="sdxl", provider=NAME, where="this_machine", tasks={}, prices=tiny.prices)

    with pytest.raises(ModelMissing, match="sdxl"):
        await provider.submit(ask(), named, run)
    with pytest.raises(RequestRejected, match="needs a picture"):
        await generate(provider, ask(), "realesrgan-x2")


# The upscaler behind the contract (its pixels: test_builtin_upscaler)


@pytest.mark.parametrize(
    ("mode", "colour"), [("L", 90), ("RGB", (9, 90, 9)), ("RGBA", (9, 90, 9, 70))]
)
@pytest.mark.parametrize("factor", [2, 4])
async def test_an_upscaled_picture_keeps_its_channels(
    provider: Builtin, mode: str, colour: Any, factor: int
) -> None:
    image = Image.new(mode, (24, 40), colour)
    request = ask(task="upscale", image=to_png(image), factor=factor, width=24, height=40)

    made = opened(await generate(provider, request, f"realesrgan-x{factor}"))

    assert made.mode == mode
    assert made.size == (24 * factor, 40 * factor)


async def test_a_tile_is_enlarged_to_a_tile_and_said_to_be_one(provider: Builtin) -> None:
    image = Image.new("RGB", (96, 96), (40, 165, 60))
    pen = ImageDraw.Draw(image)
    for x, y in ((0, 0), (96, 0), (0, 96), (96, 96), (48, 48)):
        pen.ellipse((x - 14, y - 14, x + 13, y + 13), fill=(220, 35, 35))
    request = ask(task="upscale", image=to_png(image), factor=4, width=96, height=96)

    made = await generate(provider, request, "realesrgan-x4")

    assert seam(opened(made)).tiles
    assert any("tiles" in note for note in made.notes)


def _bounded(able: TaskCapability) -> TaskCapability:
    if not isinstance(able.sizes, SameAsInput):
        return replace(able, max_images=3)
    small = replace(able.sizes.accepts, native_width=32, native_height=32, max_side=64)
    return replace(able, sizes=SameAsInput(accepts=small))


class TestBuiltin(ProviderConformance):
    provider_type = Builtin
    speaks_http = False

    def rig(
        self, *, timeout: float | None = None, **section: Any
    ) -> AbstractAsyncContextManager[Rig]:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[Rig]:
        provider = build()
        try:
            yield Rig(provider=provider)
        finally:
            await provider.aclose()

    async def models(self, provider: Provider) -> Sequence[Model]:
        """The models with bounds that a test can reach: 16 million pixels take a minute."""
        return [
            replace(m, tasks={t: _bounded(able) for t, able in m.tasks.items()})
            for m in await provider.list_models()
        ]

    def request(self, model: Model, task: Task, **changes: Any) -> ProviderRequest:
        steps = {"steps": 2} if "steps" in model.tasks[task].options else {}
        return super().request(model, task, **(steps | changes))

    async def observed(self, rig: Rig, request: ProviderRequest, model: Model) -> object:
        generation = await self.make(rig, request, model)
        return [image.data for image in generation.images]

    async def observed_mask(self, rig: Rig, request: ProviderRequest, model: Model) -> bytes | None:
        """White where the picture is not what it was."""
        made = opened(await self.make(rig, request, model))
        assert request.image is not None
        before = Image.open(io.BytesIO(request.image)).convert("RGB")
        change = ImageChops.difference(made.convert("RGB"), before).convert("L")
        return to_png(change.point([255 if value > 24 else 0 for value in range(256)]))
