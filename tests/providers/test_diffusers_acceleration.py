"""What makes pictures faster, by the real worker: what is used is said, what cannot be is too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.diffusers_calls import build_models, generation, picture, worker_for
from ziggie_image_mcp.provider import DependencyMissing, EngineCrashed, ProviderUnavailable
from ziggie_image_providers.diffusers import acceleration, attention, compiling, wire
from ziggie_image_providers.diffusers.faults import Problem
from ziggie_image_providers.diffusers.measured import stamp
from ziggie_image_providers.diffusers.measured_speed import MeasuredSpeed, Speed

AUTO = "ziggie_image_providers.diffusers.auto_acceleration.why_not_again"

STAND_IN = Path(__file__).parents[1] / "support" / "stand_in"
"""On the path, it lets the worker have an engine that needs no torch."""

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


async def test_a_picture_is_made_without_what_auto_chose_where_that_does_not_fit_the_device(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(one: Speed, *, half: bool) -> str:
        return ""

    monkeypatch.setattr(AUTO, nothing)
    usual = Speed(device="cpu", seconds=4.0, first_seconds=4.0)
    other = Speed(device="cpu", attention="_native_cudnn", seconds=3.0, first_seconds=3.0)
    file = zoo / "data" / "diffusers" / "speed.sqlite3"
    MeasuredSpeed(file).keep(str(zoo / "flux"), stamp(zoo / "flux"), [usual, other])
    try:
        async with worker_for(zoo, device="cpu") as provider:
            result = await generation(provider, "flux")
    finally:
        file.unlink()

    assert result.notes == (
        "attention by _native_cudnn, which auto chose, was not used: "
        "it runs on NVIDIA cards only, and the device is cpu",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a process is ended by a signal")
async def test_a_worker_that_crashes_by_what_auto_chose_loses_no_picture(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(one: Speed, *, half: bool) -> str:
        return ""

    monkeypatch.setattr(AUTO, nothing)
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    monkeypatch.setenv("STAND_IN_CRASH", "1")
    usual = Speed(device="cpu", seconds=4.0, first_seconds=4.0)
    compiled = Speed(device="cpu", compile=True, seconds=3.0, first_seconds=3.0)
    file = zoo / "data" / "diffusers" / "speed.sqlite3"
    MeasuredSpeed(file).keep(str(zoo / "flux"), stamp(zoo / "flux"), [usual, compiled])
    try:
        async with worker_for(zoo, device="cpu", compile="auto") as left:
            results = [await generation(left, "flux") for _ in range(2)]
        async with worker_for(zoo, device="cpu", compile="on") as named:
            with pytest.raises(EngineCrashed, match="was ended by SIGABRT"):
                await generation(named, "flux")
    finally:
        file.unlink()

    assert [len(one.images) for one in results] == [1, 1]
    assert results[0].compile_seconds > 0 == results[1].compile_seconds
    for one in results:
        assert one.notes[-1].startswith(
            "compile, which auto chose, was left out: a worker that used it crashed (The worker"
        )


@pytest.mark.skipif(sys.platform == "win32", reason="a compiler that always fails")
async def test_a_compiler_that_fails_loses_no_picture_where_auto_chose_it(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Speed(device="cpu", seconds=4.0, first_seconds=4.0)
    compiled = Speed(device="cpu", compile=True, seconds=3.0, first_seconds=5.0)
    file = zoo / "data" / "diffusers" / "speed.sqlite3"
    MeasuredSpeed(file).keep(str(zoo / "flux"), stamp(zoo / "flux"), [usual, compiled])
    monkeypatch.setenv("CXX", "false")
    try:
        async with worker_for(zoo, device="cpu", compile="auto") as left:
            before = await generation(left, "flux")
            result = await generation(left, "flux")
            again = await generation(left, "flux")
        async with worker_for(zoo, device="cpu", compile="on") as named:
            with pytest.raises(EngineCrashed, match=r"could not be compiled.*set compile to off"):
                await generation(named, "flux")
    finally:
        file.unlink()

    assert before.notes == (), "one picture does not make up for the first"
    assert before.images[0].data == result.images[0].data == again.images[0].data
    assert result.notes == again.notes
    assert result.notes[0].startswith("compile, which auto chose, was not used: it failed (")


class Part:
    """A denoiser of one block, as torch's `Module.compile` leaves it."""

    def __init__(self) -> None:
        self._compiled_call_impl = "compiled"
        setattr(self, acceleration.COMPILED, True)

    def modules(self) -> list[Part]:
        return [self]


async def test_after_a_failed_compilation_the_blocks_are_as_they_were() -> None:
    part = Part()

    acceleration.uncompile(part)
    acceleration.uncompile(part)

    assert vars(part) == {acceleration.COMPILED: False}


REQUEST = wire.WorkerRequest.model_validate(
    {"path": "m", "pipeline": "FluxPipeline", "prompt": "a fox", "negative_prompt": None}
    | {"width": 64, "height": 64, "num_images": 1, "seed": 7, "steps": 2, "guidance": None}
)


class FailingAttention:
    """Makes pictures, and fails with what it is given while a request has attention."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.attention: list[str] = []

    def __call__(self, request: wire.WorkerRequest) -> list[bytes]:
        self.attention.append(request.attention)
        if request.attention:
            raise self.error
        return [b"picture"]


MASK = ValueError("`attn_mask` is not supported for sage attention.")
BLANK = Problem("invalid_output", "The picture is of one colour.")


@pytest.mark.parametrize("error", [MASK, BLANK, RuntimeError("sage is not usable")])
async def test_what_auto_chose_is_left_out_once_it_has_failed(error: Exception) -> None:
    request = REQUEST.model_copy(update={"attention": "sage", "by_auto": ("attention",)})
    make, unfit = FailingAttention(error), dict[str, str]()

    assert acceleration.attempt(make, request, unfit) == [b"picture"]
    assert acceleration.attempt(make, request, unfit) == [b"picture"]
    assert make.attention == ["sage", "", ""]
    assert unfit == {"sage": f"it failed ({error})"}


@pytest.mark.parametrize(
    ("error", "by_auto", "attempts"),
    [
        (MASK, (), 1),
        (Problem("refused", "The safety checker refused it."), ("attention",), 1),
    ],
)
async def test_what_the_settings_name_and_what_the_request_is_to_blame_for_is_not_tried_again(
    error: Exception, by_auto: tuple[str, ...], attempts: int
) -> None:
    request = REQUEST.model_copy(update={"attention": "sage", "by_auto": by_auto})
    make, unfit = FailingAttention(error), dict[str, str]()

    with pytest.raises(type(error)):
        acceleration.attempt(make, request, unfit)
    assert (len(make.attention), unfit) == (attempts, {})


async def test_what_fails_without_auto_too_is_not_held_against_it() -> None:
    def fail(request: wire.WorkerRequest) -> list[bytes]:
        raise ValueError(request.attention or "by itself")

    request = REQUEST.model_copy(update={"attention": "sage", "by_auto": ("attention",)})
    unfit: dict[str, str] = {}

    with pytest.raises(ValueError, match="by itself"):
        acceleration.attempt(fail, request, unfit)
    assert unfit == {}


PIP = f"{sys.executable} -m pip install"


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
