"""A worker that was killed: by Linux for want of memory, or by somebody else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ziggie_image_mcp import __version__
from ziggie_image_mcp.provider import EngineCrashed, OutOfMemory, ProviderError
from ziggie_image_providers.diffusers import process, wire
from ziggie_image_providers.diffusers.device import Device
from ziggie_image_providers.diffusers.oom_kills import count_oom_kills
from ziggie_image_providers.diffusers.process import WORKER

STAND_IN = Path(__file__).parents[1] / "support" / "stand_in"
"""On the path, it lets the worker have an engine that needs no torch."""

needs_signals = pytest.mark.skipif(os.name == "nt", reason="nothing is ended by SIGKILL")


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


V2, V1 = "0::/user.slice/a\n", "4:cpu,cpuacct:/x\n3:memory:/docker/b\n0::/\n"
EVENTS, CONTROL = "oom 9\noom_kill 3\noom_group_kill 0\n", "oom_kill_disable 0\noom_kill 4\n"


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        (V2, {"cgroup/user.slice/a/memory.events": EVENTS, "proc/vmstat": "oom_kill 7\n"}, 3),
        (V2, {"cgroup/memory.events": EVENTS}, 3),
        (V1, {"cgroup/memory/docker/b/memory.oom_control": CONTROL}, 4),
        (V1, {"cgroup/memory/memory.oom_control": CONTROL}, 4),
        (V2, {"proc/vmstat": "nr_free_pages 1\noom_kill 7\nzone_reclaim 0\n"}, 7),
        (V2, {"proc/vmstat": "nr_free_pages 1\n"}, None),
        (V2, {"cgroup/memory.events": "low 0\n", "proc/vmstat": "oom_kill 0\n"}, 0),
        ("", {}, None),
    ],
)
def test_the_narrowest_counter_that_there_is_counts(
    groups: str, files: dict[str, str], count: int | None, tmp_path: Path
) -> None:
    if groups:
        write(tmp_path / "proc" / "self" / "cgroup", groups)
    for name, text in files.items():
        write(tmp_path / name, text)

    assert count_oom_kills(tmp_path / "proc", tmp_path / "cgroup") == count


def build(oom_kills: Callable[[], int | None] = lambda: 0) -> Device:
    return Device(
        "diffusers",
        idle_seconds=60,
        load_seconds=60,
        step_seconds=60,
        total_seconds=None,
        oom_kills=oom_kills,
    )


@needs_signals
@pytest.mark.parametrize(
    ("counts", "error", "sentence"),
    [
        ((5, 6), OutOfMemory, "was ended by SIGKILL: the system's memory ran out"),
        ((5, 5), EngineCrashed, "was ended by SIGKILL, not by Linux for want of memory"),
        ((None, None), EngineCrashed, "was ended by SIGKILL, whether memory ran out is not known"),
        ((None, 6), EngineCrashed, "is not known"),
    ],
)
async def test_only_a_kill_that_linux_counted_is_called_out_of_memory(
    counts: tuple[int | None, int | None],
    error: type[ProviderError],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    counter: Iterator[int | None] = iter(counts)
    others = set(psutil.Process().children())
    device = build(lambda: next(counter))

    async def kill_it(share: float, text: str) -> None:
        if "step 1 " in text:
            for child in set(psutil.Process().children()) - others:
                if WORKER in child.cmdline():
                    child.send_signal(signal.SIGKILL)

    with pytest.raises(ProviderError, match=sentence) as caught:
        await device.run(ENDLESS, kill_it)
    await device.aclose()

    assert type(caught.value) is error


async def test_a_worker_of_another_version_says_so_and_harms_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))
    device = build()

    words = f"It is of ziggie-image-mcp {__version__}, and this server of 0.0.1: start the server"
    with monkeypatch.context() as upgraded:
        upgraded.setattr(process, "__version__", "0.0.1")
        with pytest.raises(EngineCrashed, match=words):
            await device.run(ENDLESS, silence)
    again = await device.run(ENDLESS.model_copy(update={"steps": 1}), silence)
    await device.aclose()

    assert len(again.images) == 1


async def silence(share: float, text: str) -> None:
    """Take progress and do nothing."""


ENDLESS = wire.WorkerRequest(
    path="/m",
    pipeline="StableDiffusionPipeline",
    prompt="a fox",
    negative_prompt="",
    width=64,
    height=64,
    num_images=1,
    seed=1,
    steps=100_000,
    guidance=7.0,
)
