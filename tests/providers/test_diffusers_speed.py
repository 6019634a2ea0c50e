"""Which ways of running a model pay, by what was measured: by figures and an injected clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.diffusers_calls import plain
from ziggie_image_mcp.provider import (
    FREE,
    GeneratedImage,
    Generation,
    Model,
    OutOfMemory,
    ProviderRequest,
    Run,
)
from ziggie_image_providers.diffusers import compiling, measuring
from ziggie_image_providers.diffusers.measured_speed import (
    MeasuredSpeed,
    Speed,
    best,
    pays,
    pays_from,
)

REQUEST = ProviderRequest(prompt="a fox", width=64, height=64, steps=4)
MODEL = Model(id="m", provider="diffusers", where="this_machine", tasks={}, prices=FREE)
USUAL = Speed(device="cuda:0", seconds=4.0, first_seconds=5.0)
SAGE = Speed(device="cuda:0", attention="sage", seconds=3.0, first_seconds=4.0, difference=2.5)
COMPILED = Speed(device="cuda:0", compile=True, seconds=2.5, first_seconds=95.0, difference=0.5)


@pytest.mark.parametrize(
    ("seconds", "first", "whether", "picture"),
    [
        (4.0, 5.0, False, None),
        (3.9, 4.0, False, None),  # within the drift of a machine
        (3.8, 5.0, True, 1),
        (3.0, 5.0, True, 1),
        (3.0, 5.5, True, 2),
        (2.5, 95.0, True, 61),
        (2.0, 1.0, True, 1),
    ],
)
def test_a_way_pays_where_it_saves_time_and_from_the_picture_that_has_made_up_for_the_first(
    seconds: float, first: float, whether: bool, picture: int | None
) -> None:
    one = Speed(device="cuda:0", compile=True, seconds=seconds, first_seconds=first)

    assert pays(one, USUAL) == whether
    assert pays_from(one, USUAL) == picture


@pytest.mark.parametrize(
    ("device", "may", "expected"),
    [
        ("cuda:0", {"attention": True, "compile": True}, COMPILED),
        ("cuda", {"attention": True, "compile": False}, SAGE),
        ("auto", {"attention": False, "compile": True}, COMPILED),
        ("cuda:0", {"attention": False, "compile": False}, None),
        ("cuda:1", {"attention": True, "compile": True}, None),
        ("cpu", {"attention": True, "compile": True}, None),
    ],
)
def test_the_fastest_way_that_is_allowed_is_taken_on_the_device_that_was_measured(
    device: str, may: dict[str, bool], expected: Speed | None
) -> None:
    assert best([USUAL, SAGE, COMPILED], device, **may, pictures=1000) == expected


@pytest.mark.parametrize(
    ("attention", "pictures", "expected"),
    [
        (False, 1, None),
        (False, 60, None),
        (False, 61, COMPILED),
        (True, 61, SAGE),  # which costs nothing at the first picture
        (True, 182, SAGE),
        (True, 183, COMPILED),
    ],
)
def test_compiled_is_taken_from_as_many_pictures_as_make_up_for_the_first(
    attention: bool, pictures: int, expected: Speed | None
) -> None:
    speeds = [USUAL, SAGE, COMPILED]

    assert best(speeds, "cuda", attention=attention, compile=True, pictures=pictures) == expected


def test_nothing_is_taken_without_the_usual_way_to_compare_with() -> None:
    assert best([SAGE, COMPILED], "cuda:0", attention=True, compile=True, pictures=999) is None


def test_what_was_measured_is_kept_for_this_very_file_and_these_libraries(tmp_path: Path) -> None:
    file = tmp_path / "diffusers" / "speed.sqlite3"
    MeasuredSpeed(file).keep("m", "torch 1", [USUAL, SAGE])
    on_cpu = Speed(device="cpu", seconds=90.0, first_seconds=90.0)
    MeasuredSpeed(file).keep("m", "torch 1", [on_cpu])
    MeasuredSpeed(file).keep("m", "torch 1", [USUAL, COMPILED])
    kept = MeasuredSpeed(file)

    assert set(kept.read("m", "torch 1")) == {USUAL, COMPILED, on_cpu}
    assert kept.read("m", "torch 2") == kept.read("other", "torch 1") == ()


def test_a_damaged_file_is_as_if_nothing_were_measured(tmp_path: Path) -> None:
    file = tmp_path / "speed.sqlite3"
    file.write_bytes(b"no database" * 100)

    assert MeasuredSpeed(file).read("m", "s") == ()
    with pytest.raises(OSError, match=r"speed\.sqlite3"):
        MeasuredSpeed(file).keep("m", "s", [USUAL])


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Engine:
    """Takes as long as it is told, and says what ours says."""

    def __init__(self, clock: Clock, settings: Mapping[str, str], closed: list[str]) -> None:
        self._clock = clock
        self._compiled = settings["compile"] == "on"
        self._attention = settings["attention"]
        self._closed = closed
        self._made = 0

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Generation:
        if self._attention == "sage":
            raise OutOfMemory("diffusers", "CUDA out of memory.")
        self._made += 1
        await run.progress(0.5, "step 2 of 4")
        first = 90.0 if self._compiled else 5.0
        self._clock.now += 10.0 + first if self._made == 1 else 2.0 if self._compiled else 4.0
        note = compiling.NOTE if self._compiled else "attention by flash was not used: a UNet"
        colour = "#020406" if self._compiled else "black"
        return Generation(
            images=(GeneratedImage(data=plain(colour), seed=0),),
            notes=(note,) if self._compiled or self._attention == "flash" else (),
            load_seconds=10.0 if self._made == 1 else 0.0,
        )

    def device_in_use(self) -> str:
        return "cuda:0"

    async def aclose(self) -> None:
        self._closed.append(self._attention)


def look(way: measuring.Way, device: str) -> str:
    assert device == "cuda:0"
    usable = way.compile or way.attention in ("flash", "sage")
    return "" if usable else f"{way.attention} is not installed"


async def test_each_way_runs_in_a_worker_of_its_own_and_is_compared_with_the_usual_one() -> None:
    clock, closed, told = Clock(), list[str](), list[tuple[float, str]]()
    kept: list[list[Speed]] = []

    async def progress(share: float, way: str) -> None:
        told.append((share, way))

    async def keep(speeds: Sequence[Speed]) -> None:
        kept.append(list(speeds))

    rows = await measuring.measure(
        lambda settings: Engine(clock, settings, closed),
        REQUEST,
        MODEL,
        pictures=3,
        progress=progress,
        keep=keep,
        clock=clock,
        look=look,
    )

    by_name: dict[str, Any] = {row.name: row for row in rows}
    usual, compiled = by_name["as usual"], by_name["compiled"]
    assert list(by_name) == list(dict.fromkeys(way.partition(":")[0] for _, way in told))
    assert told[:3] == [
        (0.0, "as usual"),
        (pytest.approx(0.5 / 4 / len(measuring.WAYS)), "as usual: picture 1 of 4: step 2 of 4"),
        (pytest.approx(1.5 / 4 / len(measuring.WAYS)), "as usual: picture 2 of 4: step 2 of 4"),
    ]
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert (usual.seconds, usual.first_seconds, usual.difference, usual.pays) == (4, 5, 0, False)
    assert (compiled.seconds, compiled.first_seconds, compiled.difference) == (2.0, 90.0, 4.0)
    assert (compiled.pays, compiled.pays_from) == (True, 44)
    assert by_name["attention by flash"].why_not == "attention by flash was not used: a UNet"
    assert "out of memory" in by_name["attention by sage"].why_not
    assert by_name["attention by xformers"].why_not == "xformers is not installed"
    assert [[(one.attention, one.compile) for one in speeds] for speeds in kept] == [
        [("", False)],
        [("", False), ("", True)],
    ]
    assert "sage" in closed, "its worker was left behind"


async def test_where_the_usual_way_fails_nothing_is_measured() -> None:
    class Broken(Engine):
        async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Generation:
            raise OutOfMemory("diffusers", "CUDA out of memory.")

    async def silence(share: float, way: str) -> None:
        """Take progress and do nothing."""

    async def keep(speeds: Sequence[Speed]) -> None:
        raise AssertionError("nothing was measured")

    clock, closed = Clock(), list[str]()
    with pytest.raises(OutOfMemory):
        await measuring.measure(
            lambda settings: Broken(clock, settings, closed),
            REQUEST,
            MODEL,
            pictures=1,
            progress=silence,
            keep=keep,
        )

    assert closed == ["native"]


@pytest.mark.parametrize(
    ("way", "device", "why"),
    [
        (measuring.Way("x", attention="_native_cudnn"), "cpu", "NVIDIA cards only"),
        (measuring.Way("x", attention="sage"), "cpu", "NVIDIA cards only"),
        (measuring.Way("x", attention="_native_cudnn"), "cuda:0", ""),
        (measuring.Way("x", compile=True), "mps", "nobody has tried it on mps"),
    ],
)
def test_what_a_way_lacks_is_found_without_trying(
    way: measuring.Way, device: str, why: str
) -> None:
    answer = measuring.lacking(way, device)

    assert why in answer
    assert bool(why) == bool(answer)


@pytest.mark.parametrize(
    ("one", "half", "why"),
    [
        (Speed(device="cpu", seconds=1.0, first_seconds=1.0), False, ""),
        (SAGE, False, "it takes half precision only"),
        (replace(SAGE, attention="_native_cudnn", device="cpu"), True, "NVIDIA cards only"),
        (replace(SAGE, attention="_native_cudnn"), True, ""),
        (replace(COMPILED, device="mps"), True, "nobody has tried it on mps"),
    ],
)
def test_what_was_measured_is_looked_at_again_before_it_is_taken(
    one: Speed, half: bool, why: str
) -> None:
    answer = measuring.why_not_again(one, half=half)

    assert why in answer
    assert bool(why) == bool(answer)
