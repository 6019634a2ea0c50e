"""What the diffusers provider and its worker say to each other, and what errors are called."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.model_folders import pipeline
from ziggie_image_mcp.provider import ProviderContext, ProviderRequest, RequestRejected
from ziggie_image_providers.diffusers import cpu_share, torch_build, wire
from ziggie_image_providers.diffusers.device import changed_rung
from ziggie_image_providers.diffusers.faults import Problem, Stopped, failed
from ziggie_image_providers.diffusers.listing import describe
from ziggie_image_providers.diffusers.process import environment
from ziggie_image_providers.diffusers.samplers import choose
from ziggie_image_providers.diffusers.scan import DiskModel
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.weights import Part
from ziggie_image_providers.diffusers.worker import not_too_often
from ziggie_image_providers.diffusers.worker_request import worker_request


@pytest.fixture(autouse=True)
def torch_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is installed here is not."""
    monkeypatch.setattr(torch_build, "uses_gpus", lambda: True)


class OutOfMemoryError(RuntimeError):
    """Named as the one of torch."""


@pytest.mark.parametrize(
    ("error", "stage", "fault"),
    [
        (MemoryError(), "run", "out_of_memory"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "run", "out_of_memory"),
        (RuntimeError("MPS backend out of memory"), "run", "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "load", "out_of_memory"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), "run", "out_of_memory"),
        (ImportError("requires the sentencepiece library"), "load", "dependency_missing"),
        (OSError("Error no file named model.safetensors found"), "load", "model_missing"),
        (ValueError("x is neither a valid local path nor a repo id"), "load", "model_missing"),
        (FileNotFoundError("x"), "load", "model_missing"),
        (OSError("x is not a valid JSON file"), "load", "model_unusable"),
        (KeyError("x"), "load", "model_unusable"),
        (ValueError("`height` has to be divisible by 8"), "run", "rejected"),
        (RuntimeWarning("invalid value encountered in cast"), "run", "invalid_output"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "run", "crashed"),
        (Problem("refused", "no"), "run", "refused"),
        (Stopped("stop"), "run", "cancelled"),
    ],
)
def test_an_exception_gets_its_name(
    error: BaseException, stage: Literal["load", "run"], fault: wire.Fault
) -> None:
    assert failed(error, stage).fault == fault


def test_a_message_is_one_line_without_numbers_out_of_tensors() -> None:
    error = RuntimeError("bad value tensor([[0.1, 0.2]])\nat line 3\n" + "x" * 1000)

    assert failed(error, "run").message == "RuntimeError: bad value."


def test_a_long_message_is_cut() -> None:
    assert len(failed(RuntimeError("x" * 1000), "run").message) < 300


def test_a_frame_says_how_long_it_is() -> None:
    frame = wire.encode(wire.Picture(seed=3), b"png")

    header, payload = wire.LENGTHS.unpack_from(frame)
    start = wire.LENGTHS.size
    assert wire.decode(frame[start : start + header]) == wire.Picture(seed=3)
    assert frame[start + header :] == b"png"
    assert payload == 3


@pytest.mark.parametrize("lengths", [(2**20 + 1, 0), (2, 100 * 2**20 + 1)])
def test_a_frame_that_is_longer_than_any_answer_is_not_read(lengths: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a frame of"):
        wire.check_lengths(wire.LENGTHS.pack(*lengths))


@pytest.mark.parametrize("header", [b"", b"[]", b'{"kind":"dance"}', b'{"kind":"done","x":1}'])
def test_what_is_no_message_is_a_value_error(header: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        wire.decode(header)


@pytest.mark.parametrize("name", cpu_share.WAITING)
def test_threads_that_wait_sleep_unless_the_user_has_said_how(name: str) -> None:
    assert cpu_share.WAITING.items() <= environment({"PATH": "/bin"}).items()
    assert cpu_share.WAITING.keys() & environment({name: "active"}).keys() == {name}


@pytest.mark.parametrize(
    ("weight_bytes", "own", "count"),
    [
        (17 * 10**6, {}, 1),
        (17 * 10**6, {"OMP_NUM_THREADS": "4"}, None),
        (None, {"MKL_NUM_THREADS": "4"}, None),
    ],
)
def test_a_small_model_gets_one_thread_unless_the_user_has_said_so(
    weight_bytes: int | None, own: dict[str, str], count: int | None
) -> None:
    assert cpu_share.thread_count(weight_bytes, own) == count


@pytest.mark.parametrize(
    ("limit", "most"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("", None)]
)
def test_no_more_threads_than_a_container_allows(
    limit: str, most: int | None, tmp_path: Path
) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(limit, encoding="ascii")
    free = cpu_share.thread_count(None, {}, quota=tmp_path / "missing")

    assert free is not None
    assert 1 <= free <= (os.cpu_count() or 1)
    assert cpu_share.thread_count(None, {}, quota=quota) == (most or free)


@pytest.mark.skipif(not hasattr(os, "nice"), reason="this system knows no niceness")
@pytest.mark.parametrize(("own", "expected"), [(0, cpu_share.NICENESS), (7, 7)])
def test_others_go_first_unless_the_user_has_said_how_far(own: int, expected: int) -> None:
    nice = "from ziggie_image_providers.diffusers.cpu_share import be_nice; be_nice(); be_nice()"
    code = f"import os; os.nice({own} - os.nice(0)); {nice}; print(os.nice(0))"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert int(told.stdout) == expected


def test_of_quick_steps_not_each_is_told_but_the_first_and_the_last() -> None:
    now, told = [0.0], list[int]()
    tell = not_too_often(lambda step, _: told.append(step), lambda: now[0])

    for step in range(1, 51):
        now[0] += 0.02
        tell(step, 50)

    assert told[0] == 1
    assert told[-1] == 50
    assert len(told) in (10, 11)


def test_the_worker_may_not_use_the_network() -> None:
    assert environment({"PATH": "/bin"})["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("sampler", "scheduler", "names"),
    [
        ("euler", None, ("euler", None)),
        ("Euler a", None, ("euler_a", None)),
        ("euler_ancestral", None, ("euler_a", None)),
        ("k_euler_ancestral", None, ("euler_a", None)),
        ("DPM++ 2M Karras", None, ("dpmpp_2m", "karras")),
        ("dpmpp_2m_karras", None, ("dpmpp_2m", "karras")),
        ("DPM++ 2M SDE Karras", None, ("dpmpp_2m_sde", "karras")),
        ("DPM++ SDE", "karras", ("dpmpp_sde", "karras")),
        ("DPM++ 2M", "SGM Uniform", ("dpmpp_2m", "sgm_uniform")),
        ("DPMSolverMultistepScheduler", None, ("dpmpp_2m", None)),
        ("uni-pc", None, ("unipc", None)),
        ("UniPC", None, ("unipc", None)),
        ("PLMS", None, ("pndm", None)),
        ("DPM2 a", None, ("dpm2_a", None)),
        (None, "Karras", (None, "karras")),
        (None, None, (None, None)),
    ],
)
def test_samplers_are_known_by_their_usual_spellings(
    sampler: str | None, scheduler: str | None, names: tuple[str | None, str | None]
) -> None:
    assert choose(sampler, scheduler) == names


@pytest.mark.parametrize(
    ("sampler", "scheduler", "words"),
    [
        ("eulr", None, "no sampler 'eulr'; nearest: euler"),
        ("euler", "karas", "no scheduler 'karas'; nearest: karras"),
        ("ddim", "karras", "ddim takes no scheduler karras"),
        ("DPM++ SDE", "sgm_uniform", "dpmpp_sde takes no scheduler sgm_uniform"),
    ],
)
def test_what_is_no_sampler_or_does_not_go_together_is_said(
    sampler: str, scheduler: str | None, words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        choose(sampler, scheduler)


@pytest.mark.parametrize(("sampler", "scheduler"), [("lms", None), ("euler", "beta")])
def test_a_package_that_a_sampler_needs_is_named(
    monkeypatch: pytest.MonkeyPatch, sampler: str, scheduler: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)

    with pytest.raises(ValueError, match="pip install scipy"):
        choose(sampler, scheduler)


def say(pipeline: str, settings: Settings | None = None, gpu: str = "auto", **changes: Any) -> Any:
    """Say a job to a model of this class, as the worker would read it."""
    part = Part(parameters=10**9, bytes=2 * 10**9)
    on_disk = DiskModel(
        id="m", path=Path("/m"), pipeline=pipeline, family="f", parts={"transformer": part}
    )
    values: dict[str, Any] = {
        "prompt": "a fox",
        "negative_prompt": "",
        "width": 1024,
        "height": 512,
        "num_images": 2,
        "seed": 5,
        "steps": None,
        "guidance_scale": None,
    }
    message = worker_request(
        ProviderRequest(**{**values, **changes}),
        describe(on_disk, provider="diffusers", missing=(), frugal=True, loaded=False),
        on_disk,
        settings=settings or Settings(),
        context=ProviderContext(data_dir=Path("/data"), gpu=gpu),
    )
    return json.loads(message.model_dump_json())


def test_a_worker_request_says_everything() -> None:
    assert say("FluxPipeline") == {
        "kind": "request",
        "path": "/m",
        "pipeline": "FluxPipeline",
        "single_file": False,
        "config_folder": None,
        "scheduler_changes": {},
        "stages": [],
        "variant": None,
        "device": "auto",
        "dtype": "auto",
        "half_precision": "bfloat16",
        "weight_bytes": 2_000_000_000,
        "vram_bytes": 3_805_306_368,
        "may_offload": True,
        "must_offload": False,
        "need_bytes": None,
        "extras_bytes": 0,
        "picture_bytes": None,
        "batch_size": None,
        "rung": "",
        "prompt": "a fox",
        "negative_prompt": None,
        "width": 1024,
        "height": 512,
        "num_images": 2,
        "seed": 5,
        "steps": 28,
        "guidance": 3.5,
        "guidance_argument": "guidance_scale",
        "sampler": None,
        "scheduler": None,
        "strength": None,
        "run_as": "",
        "by_reference": False,
        "transparent": False,
        "image_bytes": 0,
        "mask_bytes": 0,
        "reference_bytes": [],
        "loras": [],
        "nets": [],
        "ip_adapter": None,
        "seamless": False,
        "first": None,
        "second_as": "",
        "refiner": None,
        "attention": "",
        "compile": False,
        "compile_cache": "/data/diffusers/compiled",
        "by_auto": [],
        "step_cache": "",
    }


def test_qwen_needs_a_negative_prompt_for_any_guidance() -> None:
    message = say("QwenImagePipeline")

    assert (message["guidance_argument"], message["guidance"]) == ("true_cfg_scale", 4.0)
    assert message["negative_prompt"] == " "


def test_an_unknown_class_is_told_only_what_was_asked() -> None:
    message = say("BrandNewPipeline")

    assert (message["steps"], message["guidance"], message["negative_prompt"]) == (None, None, None)


@pytest.mark.parametrize(
    ("own", "gpu", "device"),
    [
        ("auto", "auto", "auto"),
        ("auto", "auto-detect", "auto"),
        ("auto", "cuda:1", "cuda:1"),
        ("cpu", "cuda:1", "cpu"),
    ],
)
def test_the_providers_device_goes_before_the_servers(own: str, gpu: str, device: str) -> None:
    assert say("FluxPipeline", Settings(device=own), gpu)["device"] == device


@pytest.mark.parametrize(
    ("planned", "actual", "notes"),
    [("", "full", 0), ("full", "full", 0), ("cpu", "cpu", 0), ("full", "model offload", 1)],
)
def test_another_way_of_holding_a_model_than_planned_is_said(
    planned: str, actual: str, notes: int
) -> None:
    sentences = changed_rung(planned, actual)

    assert len(sentences) == notes
    assert all(planned in one and actual in one for one in sentences)


def test_a_size_that_the_class_would_change_in_silence_is_refused() -> None:
    with pytest.raises(RequestRejected, match="multiples of 16"):
        say("FluxPipeline", width=1000)


SECOND_TIME = """
import sys
import psutil
from ziggie_image_providers.diffusers import loading, wire

class Memory:
    available = 10_000_000_000

psutil.virtual_memory = lambda: Memory
request = wire.WorkerRequest(
    path=sys.argv[1], pipeline="P", device="cpu", weight_bytes=4_000_000_000, prompt="",
    negative_prompt=None, width=64, height=64, num_images=1, seed=1, steps=1, guidance=None,
)
first = loading.choose_dtype(request, "cpu")
loading.held.key, loading.held.dtype = (request.path, loading._stamp(request), "cpu"), first
Memory.available -= 2 * request.weight_bytes
print(first, loading.choose_dtype(request, "cpu"))
with open(f"{request.path}/unet/model.safetensors", "ab") as file:
    file.write(b"another")
print(loading.choose_dtype(request, "cpu"))
"""


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")),
    reason='needs pip install "ziggie-image-mcp[local]"',
)
def test_a_model_in_main_memory_is_not_read_anew_but_where_a_weight_file_is_another(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", SECOND_TIME, str(pipeline(tmp_path / "model"))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert done.stdout.split() == ["torch.float32", "torch.float32", "torch.bfloat16"]
