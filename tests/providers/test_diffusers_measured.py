"""What a model took in memory, and when memory ran out, are remembered and change the decision."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_folders import pipeline
from ziggie_image_mcp.provider import Memory, peak_bytes
from ziggie_image_providers.diffusers.families import PIPELINES
from ziggie_image_providers.diffusers.ladder import FULL, GROUP_OFFLOAD, MODEL_OFFLOAD
from ziggie_image_providers.diffusers.measured import (
    CPU,
    KEPT_SIZES,
    RETRY_SECONDS,
    KnownMemory,
    Measured,
    MeasuredMemory,
    measured_of,
    model_memory,
    stages,
    stamp,
)
from ziggie_image_providers.diffusers.weights import Need, Part, need
from ziggie_image_providers.diffusers.wire import InUse, WorkerRequest

NOW = 1_000_000.0
MP, GB = 1024 * 1024, 10**9
MODEL, STAMP = "/models/sdxl", "1/2/3"


def sdxl() -> Need:
    sizes = {"unet": 2567, "text_encoder": 123, "text_encoder_2": 695, "vae": 84}
    parts = {
        name: Part(parameters=size * 10**6, bytes=size * 2 * 10**6) for name, size in sizes.items()
    }
    found = need(parts, PIPELINES["StableDiffusionXLPipeline"], 1024)
    assert found is not None
    return found


def memory(*measured: Measured, now: float = NOW) -> Memory:
    return model_memory(sdxl(), True, "never", KnownMemory(measured, now))


def at(rung: str = FULL, pixels: int = MP, **changes: object) -> Measured:
    values = {"rung": rung, "device": "cuda:0", "pixels": pixels, "at": NOW}
    return Measured(**{**values, **changes})  # type: ignore[arg-type]


def vram(found: Memory, rung: str = FULL, pixels: int = MP) -> int:
    [one] = [r for r in found.rungs if r.name == rung]
    return peak_bytes(one.peaks, pixels)


@pytest.mark.parametrize("peak", [8_500_000_000, 14_000_000_000])
def test_a_measured_peak_takes_the_place_of_the_estimate(peak: int) -> None:
    found = memory(at(peak=peak))

    assert vram(found) == pytest.approx(peak, rel=1e-6)
    assert vram(found, MODEL_OFFLOAD) == vram(memory(), MODEL_OFFLOAD)


def test_what_comes_on_top_of_the_weights_grows_as_it_was_measured() -> None:
    estimated, found = memory(), memory(at(peak=9_000_000_000))

    weights = sdxl().weights
    by = (9_000_000_000 - weights) / (vram(estimated) - weights)
    half = MP // 4
    assert vram(found, pixels=half) - weights == pytest.approx(
        by * (vram(estimated, pixels=half) - weights), rel=1e-6
    )


def test_no_measurement_makes_a_need_smaller_than_the_weights() -> None:
    assert vram(memory(at(peak=1_000_000))) == sdxl().weights


def test_the_largest_of_several_measurements_counts() -> None:
    small, large = at(pixels=MP // 4, peak=8_000_000_000), at(peak=9_000_000_000)

    assert vram(memory(small, large)) == max(vram(memory(small)), vram(memory(large)))


def test_where_memory_ran_out_more_is_needed_than_there_was() -> None:
    found = memory(at(room=15_000_000_000))

    assert vram(found) > 15_000_000_000 > vram(memory())
    assert vram(found, GROUP_OFFLOAD) == vram(memory(), GROUP_OFFLOAD)


def test_where_memory_ran_out_in_little_room_the_estimate_stays() -> None:
    assert vram(memory(at(room=1_000_000_000))) == vram(memory())


def test_memory_that_ran_out_in_a_room_that_nobody_knows_leaves_the_rung_out_for_a_while() -> None:
    one = at()

    assert [r.name for r in memory(one).rungs] == [r.name for r in memory().rungs[1:]]
    assert memory(one, now=NOW + RETRY_SECONDS).rungs == memory().rungs


def test_a_lack_of_memory_is_forgotten_after_a_while_and_a_peak_is_not() -> None:
    later = NOW + RETRY_SECONDS

    assert vram(memory(at(room=15_000_000_000), now=later)) == vram(memory())
    assert vram(memory(at(peak=9_000_000_000), now=later)) != vram(memory())


def test_the_processors_need_is_corrected_in_either_width_of_numbers() -> None:
    weights, cpu = sdxl().weights, memory()
    assert cpu.ram_bytes is not None
    narrow = memory(at(CPU, device="cpu", peak=cpu.ram_bytes + 10**9))
    wide = memory(at(CPU, device="cpu", width=4, peak=2 * weights + 10**9))

    assert peak_bytes(narrow.ram_peaks, MP) == pytest.approx(cpu.ram_bytes + 10**9, rel=1e-6)
    assert weights < peak_bytes(wide.ram_peaks, MP) < cpu.ram_bytes
    assert narrow.ram_bytes == wide.ram_bytes == cpu.ram_bytes


def test_single_precision_takes_twice_as_much_of_all_but_the_libraries() -> None:
    half, single = (peak_bytes(stages(sdxl(), CPU, width=width), MP) for width in (2, 4))

    assert single == pytest.approx(2 * half - 600_000_000, rel=1e-6)


@pytest.mark.parametrize(
    ("in_use", "peak"),
    [
        ({"device": "cuda:0", "rung": FULL}, 7 * GB),
        ({"device": "cpu", "rung": CPU, "number_bytes": 2}, 7 * GB),
        ({"device": "cpu", "rung": CPU, "number_bytes": 4}, 6 * GB),
    ],
)
def test_what_was_laid_over_the_model_is_not_learnt_as_its_own(
    in_use: dict[str, Any], peak: int
) -> None:
    request = asked(extras_bytes=GB)
    said = InUse(vram_bytes=0, ram_bytes=0, peak_bytes=8 * GB, **in_use)

    learnt, failure = measured_of(request, said, None, NOW), measured_of(request, None, GB, NOW)

    assert learnt is not None
    assert failure is not None
    assert learnt.peak == peak
    assert failure.room == 0


def asked(**changes: Any) -> WorkerRequest:
    """For one picture, on a GPU."""
    return WorkerRequest(
        path=MODEL,
        pipeline="x",
        device="cuda:0",
        prompt="",
        **changes,
        negative_prompt=None,
        width=1024,
        height=1024,
        num_images=1,
        seed=0,
        steps=None,
        guidance=None,
    )


def test_batches_say_nothing_of_one_picture() -> None:
    assert memory(at(batch=4, peak=20_000_000_000)) == memory()


def test_what_was_measured_outlives_the_process(tmp_path: Path) -> None:
    file, first, second = tmp_path / "d" / "memory.sqlite3", at(peak=9), at(pixels=5, room=7)

    MeasuredMemory(file).keep(MODEL, STAMP, first)
    MeasuredMemory(file).keep(MODEL, STAMP, second)

    assert set(MeasuredMemory(file).read(MODEL, STAMP)) == {first, second}


def test_the_newest_of_like_pictures_counts(tmp_path: Path) -> None:
    kept = MeasuredMemory(tmp_path / "memory.sqlite3")

    kept.keep(MODEL, STAMP, at())
    kept.keep(MODEL, STAMP, at(peak=9))

    assert kept.read(MODEL, STAMP) == (at(peak=9),)


def test_a_peak_that_hardly_changed_is_not_written_again(tmp_path: Path) -> None:
    kept = MeasuredMemory(tmp_path / "memory.sqlite3")

    for peak in (1000, 1010, 1100, 1090):
        kept.keep(MODEL, STAMP, at(peak=peak))
    before = kept.read(MODEL, STAMP)
    kept.keep(MODEL, STAMP, at(room=5))
    kept.keep(MODEL, STAMP, at(peak=1090))

    assert before == (at(peak=1100),)
    assert kept.read(MODEL, STAMP) == (at(peak=1090),)


def test_another_file_or_driver_forgets_what_was_measured(tmp_path: Path) -> None:
    kept = MeasuredMemory(tmp_path / "memory.sqlite3")
    kept.keep(MODEL, STAMP, at(peak=9))
    kept.keep("/models/other", STAMP, at(peak=5))

    assert kept.read(MODEL, "4/5/6") == ()
    kept.keep(MODEL, "4/5/6", at(pixels=5, peak=8))
    assert kept.read(MODEL, STAMP) == ()
    assert kept.read("/models/other", STAMP) == (at(peak=5),)


def test_no_more_sizes_are_kept_than_matter(tmp_path: Path) -> None:
    kept = MeasuredMemory(tmp_path / "memory.sqlite3")
    for number in range(KEPT_SIZES + 3):
        kept.keep(MODEL, STAMP, at(pixels=number + 1, peak=9, at=NOW + number))

    found = kept.read(MODEL, STAMP)

    assert {one.pixels for one in found} == set(range(4, KEPT_SIZES + 4))


def test_a_file_that_cannot_be_used_is_as_if_nothing_was_known(tmp_path: Path) -> None:
    file = tmp_path / "memory.sqlite3"
    file.write_bytes(b"no database" * 100)
    kept = MeasuredMemory(file)

    kept.keep(MODEL, STAMP, at(peak=9))

    assert kept.read(MODEL, STAMP) == ()


@pytest.mark.parametrize("word", [b"rung", b"stamp", STAMP.encode(), b"batch"])
@pytest.mark.parametrize("damage", [b"\xad", b"Q"])
def test_a_damaged_file_is_as_if_nothing_was_known(
    tmp_path: Path, word: bytes, damage: bytes
) -> None:
    file = tmp_path / "memory.sqlite3"
    MeasuredMemory(file).keep(MODEL, STAMP, at(peak=9_000_000_000))
    file.write_bytes(file.read_bytes().replace(word, damage + word[1:]))
    damaged = MeasuredMemory(file)

    assert damaged.read(MODEL, STAMP) == ()
    damaged.keep(MODEL, STAMP, at(peak=9_000_000_000))


def test_a_locked_file_is_as_if_nothing_was_known(tmp_path: Path) -> None:
    kept = MeasuredMemory(tmp_path / "memory.sqlite3", patience=0.01)
    kept.keep(MODEL, STAMP, at(peak=9))
    other = sqlite3.connect(tmp_path / "memory.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    kept.keep(MODEL, STAMP, at(peak=10))
    locked = kept.read(MODEL, STAMP)
    other.close()

    assert locked == ()
    assert kept.read(MODEL, STAMP) == (at(peak=9),)


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "unet/model.safetensors",
        "unet/config.json",
        "vae/model.safetensors",
        "vae/more.bin",
    ],
)
def test_a_model_of_which_a_file_is_another_has_another_stamp(tmp_path: Path, file: str) -> None:
    folder = pipeline(tmp_path / "model")
    before = stamp(folder), stamp(folder)
    replaced = folder / file
    replaced.write_bytes(replaced.read_bytes() + b" " if replaced.exists() else b"0")
    after = stamp(folder)

    assert before[0] == before[1]
    assert after != before[0]


def test_what_is_no_part_of_a_model_changes_no_stamp(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "model")
    before = stamp(folder)
    (folder / "README.md").write_text("# A model", encoding="utf-8")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "download.json").write_text("{}", encoding="utf-8")

    assert stamp(folder) == before
    assert stamp(tmp_path / "gone") == ""


def test_a_file_of_the_same_size_that_takes_anothers_place_has_another_stamp(
    tmp_path: Path,
) -> None:
    file = pipeline(tmp_path / "model") / "unet" / "model.safetensors"
    before = stamp(tmp_path / "model"), stamp(file)
    os.utime(file, ns=(0, 0))

    assert stamp(tmp_path / "model") != before[0]
    assert stamp(file) != before[1]


def test_a_measurement_changes_no_number_by_which_a_stored_picture_is_known() -> None:
    before, after = memory(), memory(at(MODEL_OFFLOAD, peak=12_000_000_000))

    assert (after.vram_bytes, after.ram_bytes) == (before.vram_bytes, before.ram_bytes)
    assert replace(after, rungs=()) == replace(before, rungs=())
