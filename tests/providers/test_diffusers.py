"""The diffusers provider with its real worker, on pipelines with random weights."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
import pytest_asyncio
from PIL import Image, ImageChops, ImageStat

from ziggie_image_mcp.provider import (
    FREE,
    ContentRefused,
    DependencyMissing,
    EngineCrashed,
    Generation,
    ImageError,
    InvalidOutput,
    Model,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    Progress,
    ProviderContext,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RequestRejected,
    Run,
    options_of,
    peak_bytes,
)
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.ladder import held_bytes, notes
from ziggie_image_providers.diffusers.process import WORKER
from ziggie_image_providers.diffusers.scan import find
from ziggie_image_providers.diffusers.settings import Settings

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")),
        reason='needs pip install "ziggie-image-mcp[local]"',
    ),
]

BUILDER = Path(__file__).parents[1] / "support" / "random_models.py"
BUILDER_MODULE = "tests.support.random_models"
STAND_IN = Path(__file__).parents[1] / "support" / "stand_in"
"""On the path, it lets the worker have an engine that needs no torch."""
SMALL_MEMORY = Path(__file__).parents[1] / "support" / "small_memory"
"""On the path, it lets the worker have a card with little memory."""
ENDLESS = {"steps": 500, "num_images": 16}

needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="waits for a process that is not its own to reap"
)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with random models, built by a program so that torch stays out of this process."""
    folder = tmp_path_factory.mktemp("zoo")
    subprocess.run(
        [sys.executable, "-m", BUILDER_MODULE, str(folder)],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(zoo: Path) -> AsyncGenerator[Diffusers]:
    """One provider for most tests: its worker takes seconds to import torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        one = build(zoo)
        yield one
        await one.aclose()


def build(zoo: Path, *, context: dict[str, Any] | None = None, **settings: Any) -> Diffusers:
    return Diffusers(
        "diffusers",
        Settings.model_validate({"modelDirs": [str(zoo)], "useHubCache": False, **settings}),
        replace(ProviderContext(data_dir=zoo / "data"), **(context or {})),
    )


def named(id: str) -> Model:
    return Model(id=id, provider="diffusers", where="this_machine", tasks={}, prices=FREE)


async def generate(
    provider: Diffusers, request: ProviderRequest, model: Model, progress: Progress
) -> Generation:
    generation = await provider.submit(request, model, Run(key="k", progress=progress))
    assert isinstance(generation, Generation)
    return generation


async def model(provider: Diffusers, id: str) -> Model:
    return next(one for one in await provider.list_models() if one.id == id)


def job(**changes: Any) -> ProviderRequest:
    values: dict[str, Any] = {
        "prompt": "a red fox",
        "negative_prompt": "",
        "width": 64,
        "height": 64,
        "num_images": 1,
        "seed": 7,
        "steps": 3,
        "guidance_scale": None,
    }
    return ProviderRequest(**{**values, **changes})


async def silence(share: float, text: str) -> None:
    """Take progress and do nothing."""


async def pictures(provider: Diffusers, id: str, **changes: Any) -> list[bytes]:
    result = await generate(provider, job(**changes), await model(provider, id), silence)
    return [image.data for image in result.images]


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def workers() -> list[psutil.Process]:
    processes: list[psutil.Process] = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if WORKER in child.cmdline():
                processes.append(child)
    return processes


async def end_of(pid: int) -> None:
    """Wait until a process is gone, without reaping it."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        loop.add_reader(handle, gone.set)
        try:
            async with asyncio.timeout(20):
                await gone.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)


def at_first_step(act: Callable[[], object]) -> Callable[[float, str], Awaitable[None]]:
    async def progress(share: float, text: str) -> None:
        if "step 1 " in text:
            act()

    return progress


@pytest.mark.parametrize(("id", "width", "height"), [("sd1", 64, 128), ("flux", 64, 64)])
async def test_a_picture_has_the_size_asked_for(
    provider: Diffusers, id: str, width: int, height: int
) -> None:
    [png] = await pictures(provider, id, width=width, height=height)

    assert size(png) == (width, height)


BARE = """
import sys
import diffusers, torch
path, out = sys.argv[1:]
pipe = diffusers.DiffusionPipeline.from_pretrained(path, torch_dtype=torch.float32)
pipe(
    prompt="a red fox",
    width=64,
    height=64,
    num_inference_steps=3,
    guidance_scale=4.0,
    generator=torch.Generator("cpu").manual_seed(7),
).images[0].save(out)
"""


@pytest.mark.parametrize("id", ["sd1", pytest.param("flux", marks=pytest.mark.soak)])
async def test_a_picture_is_the_one_that_bare_diffusers_makes(
    id: str, zoo: Path, provider: Diffusers, tmp_path: Path
) -> None:
    out = tmp_path / "bare.png"
    command = [sys.executable, "-c", BARE, str(zoo / id), str(out)]
    subprocess.run(command, check=True, capture_output=True)
    (ours,) = await pictures(provider, id, negative_prompt=None, guidance_scale=4.0)

    with Image.open(out) as bare, Image.open(io.BytesIO(ours)) as made:
        assert made.tobytes() == bare.convert(made.mode).tobytes()


UNUSED = (
    "peft.utils",
    "torch._dynamo.convert_frame",
    "torch._inductor",
    "torch.distributed.tensor",
    "boto3.session",
    "onnxruntime.capi",
    "diffusers.models.transformers.transformer_flux",
)

LIGHT = f"""
import sys
from ziggie_image_providers.diffusers.light_imports import import_libraries
torch, diffusers, transformers = import_libraries()
pipe = diffusers.DiffusionPipeline.from_pretrained(sys.argv[1])
pipe("a fox", width=64, height=64, num_inference_steps=2)
print([name for name in {UNUSED} if name in sys.modules])
read = transformers.utils.import_utils.create_import_structure_from_path.__wrapped__
print(read.cache_info().hits > 0, vars(diffusers.utils.import_utils._package_map))
import torch._dynamo
print(torch._dynamo.__class__.__name__, torch._dynamo.config.__name__)
print("torch._dynamo.convert_frame" in sys.modules)
"""


async def test_a_worker_imports_no_compiler_until_it_is_used(zoo: Path) -> None:
    command = [sys.executable, "-c", LIGHT, str(zoo / "sd1")]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    assert lines == ["[]", "True {}", "_StandIn torch._dynamo.config", "True"]


@pytest.mark.soak
async def test_a_prompt_that_was_read_lately_is_not_read_again(zoo: Path) -> None:
    command = [sys.executable, "-m", "tests.support.prompt_encodings", str(zoo)]
    root = Path(__file__).parents[2]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout
    drawn: dict[str, dict[str, tuple[int, str]]] = json.loads(output)

    runs = {id: {name: count for name, (count, _) in one.items()} for id, one in drawn.items()}
    once = {"first": 2, "again": 0, "other": 2, "other seed": 0, "forgotten": 2, "pushed out": 2}
    bounds = {"kept": 8, "dropped": 0}
    assert runs["flux"] == {**once, **bounds}
    assert runs["sd1"] == {**once, **bounds, "other negative": 2}
    assert runs["sdxl"] == {**{name: 2 * count for name, count in once.items()}, **bounds} | {
        "other negative": 4
    }
    for one in drawn.values():
        hashes = {name: hash for name, (_, hash) in one.items() if hash}
        same = {hashes.pop(name) for name in ("first", "again", "forgotten", "pushed out")}
        assert len(same) == 1
        assert len({*hashes.values(), *same}) == len(hashes) + 1


async def test_the_same_seed_gives_identical_bytes_and_another_seed_others(
    provider: Diffusers,
) -> None:
    [first] = await pictures(provider, "sd1")
    [again] = await pictures(provider, "sd1")
    [other] = await pictures(provider, "sd1", seed=8)

    assert first == again
    assert first != other


async def test_picture_i_of_a_batch_is_the_one_of_seed_plus_i(provider: Diffusers) -> None:
    sd1 = await model(provider, "sd1")

    batch = await generate(provider, job(num_images=2, seed=2**32 - 1), sd1, silence)

    assert [image.seed for image in batch.images] == [2**32 - 1, 0]
    assert [batch.images[1].data] == await pictures(provider, "sd1", seed=0)


@pytest.mark.parametrize("id", ["sd1", "sdxl", "flux"])
async def test_pictures_made_at_once_are_those_made_alone(zoo: Path, id: str) -> None:
    """Within rounding: a sum over more rows may be added up otherwise."""
    alone, together = build(zoo), build(zoo, batchSize=2)
    texts: list[str] = []

    async def progress(share: float, text: str) -> None:
        texts.append(text)

    one = await model(alone, id)
    expected = await generate(alone, job(num_images=3, seed=5), one, silence)
    await alone.aclose()
    made = await generate(together, job(num_images=3, seed=5), one, progress)
    await together.aclose()

    assert [image.seed for image in made.images] == [5, 6, 7]
    assert "pictures 1 to 2 of 3, step 3 of 3" in texts
    assert texts[-2] == "picture 3 of 3, step 3 of 3"
    for image, other in zip(made.images, expected.images, strict=True):
        with Image.open(io.BytesIO(image.data)) as a, Image.open(io.BytesIO(other.data)) as b:
            extrema: Any = ImageChops.difference(a, b).getextrema()
        assert max(high for _, high in extrema) <= 1


async def test_the_prompt_and_the_negative_prompt_reach_the_model(provider: Diffusers) -> None:
    [plain] = await pictures(provider, "sd1")
    [prompted] = await pictures(provider, "sd1", prompt="something else entirely")
    [avoiding] = await pictures(provider, "sd1", negative_prompt="dogs")

    assert len({plain, prompted, avoiding}) == 3


async def test_guidance_and_steps_left_open_are_those_of_the_model(provider: Diffusers) -> None:
    left_open = await pictures(provider, "sd1", steps=None)
    asked = await pictures(provider, "sd1", steps=30, guidance_scale=7.5)

    assert left_open == asked


def plain(colour: str, mode: str = "RGB", box: tuple[int, int, int, int] | None = None) -> bytes:
    picture = Image.new(mode, (64, 64), "black" if box else colour)
    if box:
        picture.paste(colour, box)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("id", ["sd1", "sdxl", "flux"])
async def test_a_picture_is_worked_from(provider: Diffusers, id: str) -> None:
    assert "strength" in options_of(await model(provider, id), "image_to_image")
    edit = {"image_id": "i", "image": plain("red")}
    [text] = await pictures(provider, id)
    [much] = await pictures(provider, id, **edit, strength=0.9)
    [again] = await pictures(provider, id, **edit, strength=0.9)
    [little] = await pictures(provider, id, **edit, strength=0.4)
    [other] = await pictures(provider, id, image_id="i", image=plain("blue"), strength=0.4)
    [after] = await pictures(provider, id)

    assert size(much) == (64, 64)
    assert much == again
    assert len({text, much, little, other}) == 4
    assert after == text, "work from a picture leaves no trace"


@pytest.mark.parametrize("id", ["sd1", "sdxl", "flux"])
async def test_a_mask_says_where_it_is_painted_anew(provider: Diffusers, id: str) -> None:
    assert (await model(provider, id)).tasks["inpaint"].mask == "white"
    edit = {"task": "inpaint", "image_id": "i", "image": plain("red"), "mask_id": "m"}
    left, right = plain("white", "L", (0, 0, 32, 64)), plain("white", "L", (32, 0, 64, 64))

    [on_the_left] = await pictures(provider, id, **edit, mask=left)
    [again] = await pictures(provider, id, **edit, mask=left)
    [on_the_right] = await pictures(provider, id, **edit, mask=right)

    assert size(on_the_left) == (64, 64)
    assert on_the_left == again
    assert on_the_left != on_the_right


async def test_even_a_weak_change_in_few_steps_is_a_step(provider: Diffusers) -> None:
    [png] = await pictures(
        provider, "sd1", image_id="i", image=plain("red"), strength=0.05, steps=1
    )

    assert size(png) == (64, 64)


async def test_transparent_parts_are_laid_on_white_and_that_is_said(provider: Diffusers) -> None:
    hollow = Image.new("RGBA", (64, 64))
    out = io.BytesIO()
    hollow.save(out, "PNG")
    sd1 = await model(provider, "sd1")

    clear = await generate(provider, job(image_id="i", image=out.getvalue()), sd1, silence)
    white = await generate(provider, job(image_id="i", image=plain("white")), sd1, silence)

    assert clear.images[0].data == white.images[0].data
    assert any("laid on white" in note for note in clear.notes)
    assert not white.notes


LONG = " ".join(["fox"] * 30)  # these vocabularies have no words: a letter is a token
"""More than 77 tokens, and less than 300."""


@pytest.mark.parametrize("id", ["sd1", "sdxl"])
async def test_what_is_not_read_of_a_prompt_is_said_and_changes_nothing(
    provider: Diffusers, id: str
) -> None:
    beginning = "red" * 25  # 75 tokens, which is all that is read
    one = await generate(
        provider, job(prompt=beginning + "cat"), await model(provider, id), silence
    )
    other = await generate(
        provider, job(prompt=beginning + "dog"), await model(provider, id), silence
    )
    short = await generate(provider, job(prompt=beginning), await model(provider, id), silence)

    assert one.images == other.images
    assert one.notes == ('the model reads 77 tokens of a prompt; not read: "cat"',)
    assert other.notes == ('the model reads 77 tokens of a prompt; not read: "dog"',)
    assert short.notes == ()


async def test_a_long_end_is_quoted_in_part_and_the_negative_prompt_counts_too(
    provider: Diffusers,
) -> None:
    request = job(negative_prompt="x" * 500)

    generation = await generate(provider, request, await model(provider, "sd1"), silence)

    [note] = generation.notes
    assert note.startswith("the model reads 77 tokens of a negative prompt; not read: ")
    assert len(note) < 160


@pytest.mark.parametrize("id", ["flux", "pixart"])
async def test_a_prompt_is_read_when_the_longest_reading_encoder_reads_it(
    provider: Diffusers, id: str
) -> None:
    longer = await generate(provider, job(prompt=LONG), await model(provider, id), silence)
    longest = await generate(provider, job(prompt=LONG * 10), await model(provider, id), silence)

    assert longer.notes == ()
    assert "tokens of a prompt; not read: " in longest.notes[0]


@pytest.mark.parametrize("id", ["sd1", "pixart"])
async def test_progress_only_grows_and_ends_at_one(provider: Diffusers, id: str) -> None:
    heard: list[tuple[float, str]] = []

    async def progress(share: float, text: str) -> None:
        heard.append((share, text))

    await generate(provider, job(num_images=2), await model(provider, id), progress)

    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    assert heard[-1] == (1.0, "done")
    steps = [text for _, text in heard if "step" in text]
    every = [f"picture {p} of 2, step {s} of 3" for p in (1, 2) for s in (1, 2, 3)]
    assert [step for step in every if step in steps] == steps
    assert {every[at] for at in (0, 2, 3, 5)} <= {*steps}  # of quick ones not each is told


async def test_a_sampler_changes_one_picture_and_not_the_next(provider: Diffusers) -> None:
    before = await pictures(provider, "sd1")
    names = ["euler_a", "DPM++ 2M", "dpmpp_2m_karras", "heun", "uni_pc", "lcm"]
    names += ["DPM++ 2M SDE Karras", "DPM++ SDE", "tcd", "plms", "deis", "DPM2 a", "ddpm"]

    drawn = [(await pictures(provider, "sd1", sampler=name))[0] for name in names]

    assert len({*before, *drawn}) == 1 + len(names)
    assert await pictures(provider, "sd1") == before


@pytest.mark.parametrize(
    ("id", "changes"),
    [
        ("sd1", {"sampler": "magic"}),
        ("sd1", {"scheduler": "karras"}),
        ("sd1", {"width": 65}),
        ("flux", {"sampler": "euler"}),
        ("flux", {"negative_prompt": "dogs"}),
        ("flux", {"width": 72}),
    ],
)
async def test_what_a_model_does_not_take_is_refused(
    provider: Diffusers, id: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(RequestRejected):
        await pictures(provider, id, **changes)


async def test_a_single_file_gives_the_same_picture_as_its_folder(provider: Diffusers) -> None:
    folder = await pictures(provider, "wide")

    file = await pictures(provider, "single.safetensors")

    assert file == folder


async def test_a_single_file_that_predicts_velocity_is_run_so(
    tmp_path: Path, zoo: Path, provider: Diffusers
) -> None:
    file, folder = tmp_path / "v.safetensors", tmp_path / "v"
    raw = (zoo / "single.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"]["modelspec.prediction_type"] = "v"
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    shutil.copytree(zoo / "wide", folder)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    settings = json.loads(scheduler.read_text(encoding="utf-8"))
    scheduler.write_text(json.dumps({**settings, "prediction_type": "v_prediction"}), "utf-8")

    by_file = await generate(provider, job(), named(str(file)), silence)
    by_folder = await generate(provider, job(), named(str(folder)), silence)
    noise = await generate(provider, job(), named(str(zoo / "wide")), silence)

    assert by_file.images[0].data == by_folder.images[0].data
    assert by_file.images[0].data != noise.images[0].data


async def test_an_absolute_path_is_a_model_too(zoo: Path, provider: Diffusers) -> None:
    outside = named(str(zoo / "sd1"))

    result = await generate(provider, job(), outside, silence)

    assert [result.images[0].data] == await pictures(provider, "sd1")


@pytest.mark.parametrize(
    ("id", "error", "word"),
    [
        ("nan", InvalidOutput, "weights"),
        ("prude", ContentRefused, "safety checker"),
        ("damaged", ModelUnusable, "unet"),
        ("incomplete", ModelMissing, "vae"),
        ("strange", ModelUnusable, "NoSuchPipeline"),
        ("garbled", ModelUnusable, "config.json"),
    ],
)
async def test_a_bad_model_is_a_typed_error_and_harms_nothing(
    provider: Diffusers, id: str, error: type[ImageError], word: str
) -> None:
    with pytest.raises(error, match=word) as caught:
        await pictures(provider, id)

    assert "\n" not in str(caught.value)
    assert await pictures(provider, "sd1")


@pytest.mark.parametrize(
    ("id", "error"),
    [
        ("nothing", ModelMissing),
        ("org/never-downloaded", ModelMissing),
        ("/nowhere/at/all", ModelMissing),
        (str(BUILDER), ModelUnusable),
        (str(BUILDER.parent), ModelUnusable),
    ],
)
async def test_what_is_no_model_is_a_typed_error(
    provider: Diffusers, id: str, error: type[ImageError]
) -> None:
    with pytest.raises(error):
        await generate(provider, job(), named(id), silence)


async def test_a_device_that_is_not_here_is_named(zoo: Path) -> None:
    provider = build(zoo, context={"gpu": "cuda:99"})
    try:
        with pytest.raises(ProviderUnavailable, match="cuda:99"):
            await pictures(provider, "sd1")
    finally:
        await provider.aclose()


async def test_the_device_that_the_decision_chose_is_the_workers(zoo: Path) -> None:
    provider = build(zoo)
    sd1 = await model(provider, "sd1")

    with pytest.raises(ProviderUnavailable, match="cuda:5"):
        await generate(provider, job(), replace(sd1, device="cuda:5", rung="full"), silence)
    await generate(provider, job(), replace(sd1, device="cpu", rung="cpu"), silence)
    [held] = (await model(provider, "sd1")).memory.held
    await provider.aclose()

    assert (held.device, held.rung, held.vram_bytes) == ("cpu", "cpu", 0)
    assert held.ram_bytes > 50e6
    assert (await model(provider, "sd1")).memory.held == ()


@pytest.mark.parametrize(
    ("id", "off"), [("sd1", 0), ("flux", 0), ("sdxl", 1)], ids=["sd1", "flux", "sdxl"]
)
async def test_a_picture_is_the_same_however_the_model_is_held(
    provider: Diffusers, id: str, off: int
) -> None:
    """To the bit, but that SDXL rounds otherwise where its weights were moved: one of 255."""
    one = await model(provider, id)
    pictures: list[bytes] = []
    held: list[str] = []

    for rung in ("cpu", *(rung.name for rung in one.memory.rungs[1:] if rung.exact)):
        placed = replace(one, device="cpu", rung=rung)
        pictures.append((await generate(provider, job(), placed, silence)).images[0].data)
        held += [h.rung for h in (await model(provider, id)).memory.held]

    assert held == ["cpu", "model offload", "group offload"]
    for png in pictures[1:]:
        with Image.open(io.BytesIO(pictures[0])) as whole, Image.open(io.BytesIO(png)) as parted:
            extrema: Any = ImageChops.difference(whole, parted).getextrema()
        assert max(high for _, high in extrema) <= off


@pytest.mark.parametrize("id", ["sd1", "flux"])
async def test_a_picture_is_nearly_the_same_with_quantised_weights_and_that_is_said(
    provider: Diffusers, id: str
) -> None:
    one = await model(provider, id)
    [whole] = await pictures(provider, id)
    rungs = [r for r in one.memory.rungs if not r.exact and not r.fix]

    assert {"fp8", "fp8, model offload", "group offload, tiled VAE"} <= {r.name for r in rungs}
    for rung in rungs:
        result = await generate(
            provider, job(), replace(one, device="cpu", rung=rung.name), silence
        )
        with Image.open(io.BytesIO(whole)) as a, Image.open(io.BytesIO(result.images[0].data)) as b:
            mean = ImageStat.Stat(ImageChops.difference(a.convert("RGB"), b.convert("RGB"))).mean
        assert result.notes == notes(rung.name) != ()
        assert result.load_seconds, "its weights are read anew for each"
        assert max(mean) < 16, rung.name


async def test_what_a_picture_took_is_remembered(zoo: Path, tmp_path: Path) -> None:
    provider = build(zoo, context={"data_dir": tmp_path})
    before = await model(provider, "sd1")
    await generate(provider, job(), replace(before, device="cpu", rung="cpu"), silence)
    await provider.aclose()

    after = await model(build(zoo, context={"data_dir": tmp_path}), "sd1")

    assert after.memory.ram_peaks != before.memory.ram_peaks
    assert 100e6 < peak_bytes(after.memory.ram_peaks, 64 * 64) < 2e9
    assert after.memory.rungs == before.memory.rungs


async def test_a_picture_is_changed_by_a_model_that_is_held_layer_by_layer(
    provider: Diffusers,
) -> None:
    sd1 = await model(provider, "sd1")
    [drawn] = await pictures(provider, "sd1", seed=3)
    change = job(task="image_to_image", image=drawn, image_id="a", strength=0.8)

    whole, by_layer = [
        await generate(provider, change, replace(sd1, device="cpu", rung=rung), silence)
        for rung in ("cpu", "group offload")
    ]

    assert by_layer.images[0].data == whole.images[0].data


async def test_a_worker_that_was_started_ahead_is_the_one_of_the_request(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    provider, others = build(zoo), workers()
    sd1 = await model(provider, "sd1")

    await provider.start_ahead("sd1")
    started = [one.pid for one in workers() if one not in others]
    await generate(provider, job(), replace(sd1, device="cuda:0", rung="full"), silence)
    await provider.start_ahead(None)
    await provider.stand_down()
    used = [one.pid for one in workers() if one not in others]
    await provider.aclose()

    assert len(started) == 1
    assert used == started  # what is used is not stopped, and nothing is started beside it
    assert workers() == others


async def test_a_worker_that_was_started_ahead_and_is_not_used_ends(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    provider, others, left = build(zoo), workers(), build(zoo, idleSeconds=0.0)

    await provider.start_ahead(None)
    await provider.stand_down()
    stopped = workers()
    await left.start_ahead("sd1")
    for one in (one for one in workers() if one not in others):
        await end_of(one.pid)
    await left.aclose()
    await provider.aclose()

    assert stopped == workers() == others


@pytest.mark.parametrize("name", ["dall-e-3", "incomplete"])
async def test_no_worker_is_started_ahead_for_a_model_that_cannot_run_here(
    zoo: Path, name: str
) -> None:
    provider, others = build(zoo), workers()

    await provider.start_ahead(name)

    assert workers() == others


async def test_each_device_has_a_worker_of_its_own(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    provider, others = build(zoo), workers()
    sd1 = await model(provider, "sd1")
    both = asyncio.Event()
    running: set[str] = set()

    async def use(device: str) -> None:
        async def progress(share: float, text: str) -> None:
            if "step 1 " in text:
                running.add(device)
                if len(running) == 2:
                    both.set()
                await both.wait()  # the one is at work while the other is

        await generate(provider, job(), replace(sd1, device=device, rung="full"), progress)

    await asyncio.gather(use("cuda:0"), use("cuda:1"))
    started = [one for one in workers() if one not in others]
    environments = [one.environ().get("CUDA_DEVICE_ORDER") for one in started]
    await provider.aclose()

    assert environments == ["PCI_BUS_ID", "PCI_BUS_ID"]
    assert workers() == others


@pytest.mark.soak
@pytest.mark.parametrize(
    ("limit", "last"),
    [(400_000, "model offload"), (100_000, "group offload"), (1_000, "")],
)
async def test_where_memory_runs_out_the_next_rung_is_tried_down_to_the_last(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, last: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SMALL_MEMORY))
    monkeypatch.setenv("SMALL_MEMORY", str(limit))
    provider = build(zoo, context={"data_dir": tmp_path})
    known = await model(provider, "sd1")
    left = [rung for rung in known.memory.rungs if not rung.fix]
    tried: list[str] = []

    for rung in left:
        tried.append(rung.name)
        try:
            await generate(provider, job(), replace(known, device="cpu", rung=rung.name), silence)
        except OutOfMemory:
            continue
        break
    if last:
        await provider.aclose()  # after a lack of memory the worker is gone by itself
    monkeypatch.setenv("SMALL_MEMORY", str(10**9))
    [png] = await pictures(provider, "sd1")
    offered = [rung.name for rung in (await model(provider, "sd1")).memory.rungs]
    await provider.aclose()

    assert size(png) == (64, 64)
    assert tried == [r.name for r in left][: len(tried)]
    if last:
        assert tried[-1] == last
        assert not set(tried[:-1]) & set(offered)
    else:
        assert tried == [r.name for r in left]


async def test_a_way_of_holding_a_model_that_ran_out_of_memory_is_offered_no_more(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    monkeypatch.setenv("STAND_IN_LIMIT", "full")
    own = {"data_dir": tmp_path}
    provider = build(zoo, context=own)
    sd1 = await model(provider, "sd1")
    first, second, *others = sd1.memory.rungs

    with pytest.raises(OutOfMemory):
        await generate(provider, job(), replace(sd1, device="cuda:0", rung=first.name), silence)
    left = (await model(provider, "sd1")).memory.rungs
    await generate(provider, job(), replace(sd1, device="cuda:0", rung=second.name), silence)
    await provider.aclose()

    assert left == (second, *others)
    assert (
        await model(build(zoo, context=own), "sd1")
    ).memory.rungs == left  # after a restart, too


async def test_cancelling_the_task_stops_the_worker_which_serves_the_next(
    provider: Diffusers,
) -> None:
    sd1 = await model(provider, "sd1")
    expected = await pictures(provider, "sd1")
    [worker] = workers()
    started = asyncio.Event()
    task = asyncio.create_task(generate(provider, job(**ENDLESS), sd1, at_first_step(started.set)))
    await started.wait()
    clock = time.monotonic()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - clock < 2
    assert await pictures(provider, "sd1") == expected
    assert workers() == [worker]


async def test_cancelling_a_scope_of_anyio_stops_the_worker_which_serves_the_next(
    provider: Diffusers,
) -> None:
    sd1 = await model(provider, "sd1")
    await pictures(provider, "sd1")
    [worker] = workers()

    with anyio.move_on_after(60) as scope:
        await generate(provider, job(**ENDLESS), sd1, at_first_step(scope.cancel))

    assert scope.cancelled_caught
    assert await pictures(provider, "sd1")
    assert workers() == [worker]


async def test_an_error_of_the_listener_stops_the_worker_too(provider: Diffusers) -> None:
    async def progress(share: float, text: str) -> None:
        if "step 1 " in text:
            raise LookupError("the client is gone")

    with pytest.raises(LookupError, match="gone"):
        await generate(provider, job(**ENDLESS), await model(provider, "sd1"), progress)

    assert await pictures(provider, "sd1")


async def test_the_second_caller_waits_and_is_told_so(provider: Diffusers) -> None:
    sd1 = await model(provider, "sd1")
    heard: list[str] = []
    second: list[asyncio.Task[Any]] = []

    async def progress(share: float, text: str) -> None:
        heard.append(text)

    def call_again() -> None:
        second.append(asyncio.create_task(generate(provider, job(seed=1), sd1, progress)))

    await generate(provider, job(num_images=2), sd1, at_first_step(call_again))
    await asyncio.gather(*second)

    assert "waiting for the device" in heard
    assert heard[-1] == "done"


async def test_a_caller_that_gives_up_waiting_leaves_the_first_alone(provider: Diffusers) -> None:
    sd1 = await model(provider, "sd1")
    second: list[asyncio.Task[Any]] = []

    async def impatient(share: float, text: str) -> None:
        asyncio.get_running_loop().call_soon(second[0].cancel)

    def call_again() -> None:
        second.append(asyncio.create_task(generate(provider, job(), sd1, impatient)))

    first = await generate(provider, job(num_images=2), sd1, at_first_step(call_again))

    assert len(first.images) == 2
    with pytest.raises(asyncio.CancelledError):
        await second[0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_killed_worker_is_a_typed_error_and_the_next_call_works(
    provider: Diffusers, number: signal.Signals
) -> None:
    await pictures(provider, "sd1")
    [worker] = workers()

    with pytest.raises(EngineCrashed, match=number.name):
        await generate(
            provider,
            job(**ENDLESS),
            await model(provider, "sd1"),
            at_first_step(lambda: worker.send_signal(number)),
        )

    assert await pictures(provider, "sd1")
    assert workers() != [worker]


@pytest.mark.usefixtures("cold")  # a forked worker would not be the process that is suspended
async def test_a_worker_that_hears_nothing_is_killed_and_the_next_call_works(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    provider, others = build(zoo), workers()
    expected = await pictures(provider, "sd1")
    [worker] = [one for one in workers() if one not in others]
    deaf_worker = asyncio.Event()

    def stop_it() -> None:
        worker.suspend()
        deaf_worker.set()

    task = asyncio.create_task(
        generate(provider, job(**ENDLESS), await model(provider, "sd1"), at_first_step(stop_it))
    )
    await deaf_worker.wait()
    clock = time.monotonic()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - clock < 2
    assert workers() == others
    assert await pictures(provider, "sd1") == expected
    await provider.aclose()


async def test_a_model_in_memory_says_so_until_the_provider_is_closed(provider: Diffusers) -> None:
    await pictures(provider, "sd1")
    loaded, probe = await model(provider, "sd1"), await provider.probe()

    await provider.aclose()
    await provider.aclose()

    assert loaded.state == "loaded"
    assert probe.loaded_model == "sd1"
    assert (await model(provider, "sd1")).state == "ready"
    assert (await provider.probe()).loaded_model == ""
    assert workers() == []


@needs_pidfd
async def test_a_generation_tells_what_loading_took_and_a_dead_worker_holds_nothing(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    provider, others = build(zoo), workers()
    unloaded = await model(provider, "sd1")

    cold, warm = [await generate(provider, job(), unloaded, silence) for _ in range(2)]
    loaded = await model(provider, "sd1")
    [worker] = [one for one in workers() if one not in others]
    worker.kill()
    await end_of(worker.pid)
    while (killed := await model(provider, "sd1")).state == "loaded":
        await asyncio.sleep(0)  # its pipe is read by another task
    again = await generate(provider, job(), killed, silence)
    await provider.aclose()

    assert cold.load_seconds
    assert warm.load_seconds == 0
    assert again.load_seconds
    assert (unloaded.state, loaded.state, killed.state) == ("ready", "loaded", "ready")
    assert unloaded.load_seconds is not None
    assert loaded.load_seconds is not None
    assert unloaded.load_seconds > loaded.load_seconds  # the worker must be started too


@needs_pidfd
async def test_prints_in_the_worker_do_not_break_the_wire_and_an_idle_worker_leaves(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, threading, time\n"
        "def chatter():\n"
        "    while True:\n"
        "        os.write(1, b'native noise\\n')\n"
        "        print('noise', flush=True)\n"
        "        time.sleep(0.02)\n"
        "threading.Thread(target=chatter, daemon=True).start()\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    provider = build(zoo, idleSeconds=0)
    sd1 = await model(provider, "sd1")
    known = {worker.pid for worker in workers()}
    mine: list[int] = []

    result = await generate(
        provider,
        job(),
        sd1,
        at_first_step(lambda: mine.extend(w.pid for w in workers() if w.pid not in known)),
    )
    await end_of(mine[0])
    await provider.aclose()

    assert size(result.images[0].data) == (64, 64)
    assert len(mine) == 1


async def test_silence_past_the_limit_is_a_timeout(zoo: Path) -> None:
    provider = build(zoo, loadSeconds=0.01)

    with pytest.raises(ProviderTimeout, match=r"0\.01 s"):
        await pictures(provider, "sd1")

    await provider.aclose()


async def test_the_servers_own_limit_is_kept(zoo: Path) -> None:
    provider = build(zoo, context={"timeout": 0.01})

    with pytest.raises(ProviderTimeout, match=r"api\.timeout"):
        await pictures(provider, "sd1")

    await provider.aclose()


async def test_a_missing_package_is_named_with_its_extra(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    provider = build(zoo)

    sd1 = await model(provider, "sd1")
    with pytest.raises(DependencyMissing, match=r"torch.*ziggie-image-mcp\[local\]"):
        await generate(provider, job(), sd1, silence)

    assert sd1.state == "missing"
    assert "ziggie-image-mcp[local]" in sd1.fix
    assert "ziggie-image-mcp[local]" in (await provider.probe()).message


@needs_pidfd
async def test_the_parent_imports_nothing_heavy_and_takes_the_worker_with_it(zoo: Path) -> None:
    script = f"""
import asyncio, os, sys
from pathlib import Path
import psutil
from ziggie_image_mcp.provider import ProviderContext, ProviderRequest, Run
from ziggie_image_providers.diffusers import Diffusers

async def main():
    settings = Diffusers.Settings(model_dirs=[{str(zoo)!r}], use_hub_cache=False)
    provider = Diffusers("diffusers", settings, ProviderContext(data_dir=Path("data")))
    [sd1] = [one for one in await provider.list_models() if one.id == "sd1"]
    request = ProviderRequest(prompt="x", negative_prompt="", width=64, height=64, num_images=1,
                              seed=1, steps=2, guidance_scale=None)
    async def progress(share, text):
        if text == "the model is loaded":
            heavy = [name for name in ("torch", "diffusers", "transformers", "PIL", "numpy")
                     if name in sys.modules]
            print(psutil.Process().children()[0].pid, *heavy, flush=True)
            os._exit(0)
    await provider.submit(request, sd1, Run(key="k", progress=progress))

asyncio.run(main())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )

    pid, *heavy = done.stdout.split()
    assert heavy == []
    await end_of(int(pid))


async def test_the_weights_take_what_the_headers_foretell(zoo: Path) -> None:
    ids = ("sd1", "sdxl", "flux")
    parts = {id: find([zoo], None)[id].parts for id in ids}

    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "tests.support.weight_bytes"),
        *(str(zoo / id) for id in ids),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    output, _ = await program.communicate()

    actual = json.loads(output.splitlines()[-1])
    for id in ids:
        by_precision = actual[str(zoo / id)]
        assert list(by_precision)[:2] == ["", "fp8"]
        for precision, sizes in by_precision.items():
            foretold = {name: held_bytes(p, name, precision) for name, p in parts[id].items()}
            assert foretold == pytest.approx(sizes, rel=0.02)
        assert sum(by_precision["fp8"].values()) < sum(by_precision[""].values())
