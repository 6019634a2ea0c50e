"""What makes pictures faster, by the real worker: what is used is said, what cannot be is too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.diffusers_calls import build_models, generation, picture, worker_for
from ziggie_image_mcp.provider import DependencyMissing, ProviderUnavailable
from ziggie_image_providers.diffusers import attention, compiling, wire
from ziggie_image_providers.diffusers.measured import stamp
from ziggie_image_providers.diffusers.measured_speed import MeasuredSpeed, Speed

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")),
        reason='needs pip install "ziggie-image-mcp[local]"',
    ),
]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_models("tests.support.random_models", tmp_path_factory.mktemp("zoo"))


async def test_another_attention_makes_other_bits_and_says_so(zoo: Path) -> None:
    async with worker_for(zoo, dtype="bfloat16") as usual:
        before = await generation(usual, "flux", steps=4)
    async with worker_for(zoo, dtype="bfloat16", attention="native") as named:
        same = await generation(named, "flux", steps=4)
    async with worker_for(zoo, dtype="bfloat16", attention="_native_math") as other:
        changed = await generation(other, "flux", steps=4)

    assert (before.notes, same.notes) == ((), ())
    assert before.images[0].data == same.images[0].data != changed.images[0].data
    assert changed.notes == (
        "attention by _native_math: pictures differ slightly from those of torch's own choice",
    )


async def test_a_model_that_leaves_its_attention_to_torch_says_that_the_setting_is_not_used(
    zoo: Path,
) -> None:
    async with worker_for(zoo, attention="_native_math") as provider:
        result = await generation(provider, "sd1")

    assert result.notes == (
        "attention by _native_math was not used: UNet2DConditionModel leaves it to torch",
    )


@pytest.mark.skipif(
    importlib.util.find_spec("sageattention") is not None, reason="this machine has it"
)
async def test_attention_that_is_not_installed_is_said_before_a_worker_starts(zoo: Path) -> None:
    async with worker_for(zoo, attention="sage") as provider:
        with pytest.raises(DependencyMissing, match=r"attention is 'sage'.*pip install sageatt"):
            await generation(provider, "flux")

        assert (await provider.probe()).loaded_model == ""


async def test_attention_for_a_card_is_refused_on_a_processor(zoo: Path) -> None:
    async with worker_for(zoo, attention="_native_cudnn", device="cpu") as provider:
        with pytest.raises(ProviderUnavailable, match=r"_native_cudnn.*NVIDIA.*Set attention"):
            await generation(provider, "flux")


async def test_a_step_cache_is_used_where_it_works_and_leaves_no_trace(zoo: Path) -> None:
    async with worker_for(zoo) as usual:
        before = await picture(usual, "flux", steps=8)
    async with worker_for(zoo, stepCache="taylorseer") as provider:
        cached = await generation(provider, "flux", steps=8)
        again = await picture(provider, "flux", steps=8)
        unable = await generation(provider, "sd1")

    assert cached.images[0].data == again != before
    assert cached.notes == ("steps cached by taylorseer: pictures differ from those of all steps",)
    assert unable.notes == (
        "stepCache taylorseer was not used: it does not work with diffusers' "
        "StableDiffusionPipeline",
    )


async def test_what_compiling_lacks_is_said_before_a_model_is_read(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    async with worker_for(zoo, compile="on", device="cpu") as provider:
        with pytest.raises(DependencyMissing, match=r"no compiler no-such-compiler: .*compile to"):
            await generation(provider, "flux")

        assert (await provider.probe()).loaded_model == ""


async def test_what_was_measured_to_pay_is_taken_where_the_settings_leave_it(zoo: Path) -> None:
    usual = Speed(device="cpu", seconds=4.0, first_seconds=4.0)
    other = Speed(device="cpu", attention="_native_math", seconds=3.0, first_seconds=3.0)
    file = zoo / "data" / "diffusers" / "speed.sqlite3"
    path = zoo / "flux"
    MeasuredSpeed(file).keep(str(path), stamp(path), [usual, other])
    try:
        async with worker_for(zoo, device="cpu") as left:
            followed = await generation(left, "flux")
            unmeasured = await generation(left, "sd1")
        async with worker_for(zoo, device="cpu", attention="native") as named:
            kept = await generation(named, "flux")
    finally:
        file.unlink()

    assert followed.notes == (attention.note("_native_math"),)
    assert (unmeasured.notes, kept.notes) == ((), ())


PIP = f'"{sys.executable}" -m pip install'


@pytest.mark.parametrize(
    ("device", "programs", "packages", "headers", "why"),
    [
        ("cpu", {"g++"}, set[str](), True, ""),
        ("cuda:0", {"g++"}, {"triton"}, True, ""),
        ("cuda:0", {"g++"}, set[str](), True, "Triton is not installed: PIP triton"),
        ("cuda", set[str](), {"triton"}, True, "there is no compiler g++: apt install g++"),
        ("cpu", {"g++"}, set[str](), False, "apt install python3-dev"),
        ("mps", {"g++"}, set[str](), True, "nobody has tried it on mps"),
    ],
)
async def test_a_device_tells_what_it_lacks_to_compile(
    device: str,
    programs: set[str],
    packages: set[str],
    headers: bool,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    if headers:
        (tmp_path / "Python.h").touch()
    answer = compiling.why_not_on(
        device,
        find_program=lambda name: name if name in programs else None,
        is_installed=packages.__contains__,
        headers=tmp_path,
    )

    assert why.replace("PIP", PIP) in answer
    assert bool(why) == bool(answer)


@pytest.mark.parametrize(
    ("rung", "changes", "why"),
    [
        ("cpu", {}, ""),
        ("full", {}, ""),
        ("model offload", {}, ""),
        ("group offload", {}, "it is held by group offload"),
        ("4 bit", {}, "it is held by 4 bit"),
        ("cpu", {"loras": (wire.LoraFile(path="x", weight=1.0),)}, "compiled anew"),
        ("cpu", {"ip_adapter": wire.IpAdapter(path="x", encoder="y")}, "compiled anew"),
    ],
)
async def test_what_cannot_go_together_with_compiling_is_said(
    rung: str, changes: dict[str, Any], why: str
) -> None:
    request = wire.WorkerRequest.model_validate(
        {"path": "m", "pipeline": "FluxPipeline", "prompt": "a fox", "negative_prompt": None}
        | {"width": 64, "height": 64, "num_images": 1, "seed": 7, "steps": 2, "guidance": None}
        | changes
    )
    answer = compiling.why_not_used(request, rung, cached=False, blocks=True)

    assert why in answer
    assert bool(why) == bool(answer)
    assert compiling.why_not_used(request, rung, cached=False, blocks=False)
    assert compiling.why_not_used(request, rung, cached=True, blocks=True)


@pytest.mark.parametrize(
    ("name", "version", "why"),
    [
        ("native", None, ""),
        ("flash", "2.6.3", ""),
        ("flash", "2.10.0+cu128", ""),
        ("flash", "2.6.2", 'flash-attn 2.6.2 is older than 2.6.3: PIP "flash-attn>=2.6.3"'),
        ("xformers", None, "xformers is not installed: PIP xformers"),
    ],
)
async def test_a_backend_tells_what_it_lacks(name: str, version: str | None, why: str) -> None:
    assert attention.why_not_installed(name, lambda _: version) == why.replace("PIP", PIP)


@pytest.mark.parametrize(
    ("name", "device", "half", "why"),
    [
        ("native", "cpu", False, ""),
        ("flash", "cuda:1", True, ""),
        ("flash", "cuda", False, "it takes half precision only: set dtype to auto"),
        ("xformers", "cuda", False, ""),
        ("sage", "mps", True, "it runs on NVIDIA cards only, and the device is mps"),
    ],
)
async def test_a_backend_tells_where_it_does_not_run(
    name: str, device: str, half: bool, why: str
) -> None:
    assert attention.why_not_on(name, device, half) == why
