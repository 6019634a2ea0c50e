"""Remember over restarts what models took in memory, and when memory ran out.

All of it may be lost: where the file cannot be used, nothing is read and nothing is kept.
"""

from __future__ import annotations

import functools
import importlib
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from ziggie_image_mcp.provider import Memory, Peak, Rung, peak_bytes
from ziggie_image_providers.diffusers import torch_build, wire
from ziggie_image_providers.diffusers.ladder import (
    MODEL_OFFLOAD,
    RUNTIME_CPU,
    RUNTIME_GPU,
    Quantization,
    Way,
    parse,
    peaks,
    rungs,
)
from ziggie_image_providers.diffusers.model_stamp import model_stamp
from ziggie_image_providers.diffusers.weights import Need

CPU = "cpu"

RETRY_SECONDS = 24 * 3600.0
"""After so long, what ran out of memory is tried again: other programs may have had it."""

ALIKE = 0.02
"""By so much of it a peak may differ from the one before without being written again."""

MORE = 1.01
"""Times the room that did not suffice is what is needed at least."""

KEPT_SIZES = 32
"""Of how many sizes of pictures something is remembered, of one model held in one way."""

DAMAGED = (sqlite3.Error, ValueError, TypeError, KeyError)
"""What a damaged file raises: its words are no UTF-8, or its columns are called otherwise."""

_TABLE = """
CREATE TABLE IF NOT EXISTS measured_1 (
    model TEXT, rung TEXT, device TEXT, pixels INTEGER, batch INTEGER, width INTEGER,
    stamp TEXT NOT NULL, at REAL NOT NULL, peak INTEGER, room INTEGER,
    PRIMARY KEY (model, rung, device, pixels, batch, width)
)
"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of pictures that were made, or not, in one process; bytes."""

    rung: str
    """How the model was held: a rung's name, or cpu."""
    device: str
    pixels: int
    """Of each picture."""
    batch: int = 1
    """How many were made at once."""
    width: int = 2
    """Of a number in the weights, where they are not quantised."""
    peak: int | None = None
    """The most that was in use; None where memory ran out."""
    room: int | None = None
    """What there was for the process when memory ran out; None where nobody knows."""
    at: float
    """Seconds since 1970."""


class MeasuredMemory:
    """What was measured on this machine, in a file that several servers may share.

    Args:
        file: An SQLite file; its folder is made when something is kept.
        patience: Seconds to wait while other processes write.
    """

    def __init__(self, file: Path, patience: float = 1.0) -> None:
        self._file = file
        self._patience = patience
        self._written: dict[tuple[object, ...], int] = {}
        """The peaks that this process wrote last, which need not be written again."""

    def read(self, model: str, stamp: str) -> tuple[Measured, ...]:
        """What is known of a model, as long as it is the one that was measured."""
        return self.read_all().get((model, stamp), ())

    def read_all(self) -> dict[tuple[str, str], tuple[Measured, ...]]:
        """All that is known, by model and stamp."""
        if not self._file.exists():
            return {}
        found: dict[tuple[str, str], tuple[Measured, ...]] = {}
        try:
            with self._opened() as rows:
                rows.row_factory = sqlite3.Row
                for row in rows.execute("SELECT * FROM measured_1"):
                    values: dict[str, Any] = dict(row)
                    key = values.pop("model"), values.pop("stamp")
                    found[key] = (*found.get(key, ()), Measured(**values))
        except DAMAGED:
            return {}
        return found

    def keep(self, model: str, stamp: str, one: Measured) -> None:
        """Remember it, in place of what was known of such pictures and of other files."""
        values = (model, one.rung, one.device, one.pixels, one.batch, one.width)
        before = self._written.pop((*values, stamp), None)
        if one.peak is not None and before is not None and abs(one.peak - before) < ALIKE * before:
            self._written[*values, stamp] = before
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._opened() as rows, rows:
                rows.execute("DELETE FROM measured_1 WHERE model=? AND stamp<>?", (model, stamp))
                rows.execute(
                    "INSERT OR REPLACE INTO measured_1 VALUES (?,?,?,?,?,?,?,?,?,?)",
                    (*values, stamp, one.at, one.peak, one.room),
                )
                rows.execute(
                    "DELETE FROM measured_1 WHERE rowid IN (SELECT rowid FROM measured_1 "
                    "WHERE model=? AND rung=? ORDER BY at DESC LIMIT -1 OFFSET ?)",
                    (model, one.rung, KEPT_SIZES),
                )
            if one.peak is not None:
                self._written[*values, stamp] = one.peak
        except (*DAMAGED, OSError):
            return  # it is measured again

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=self._patience)) as rows:
            rows.execute("PRAGMA synchronous=OFF")
            rows.execute(_TABLE)
            yield rows


def is_recent(one: Measured, now: float) -> bool:
    """Whether it still says something: a peak does, a lack of memory for a while."""
    return one.peak is not None or 0 <= now - one.at < RETRY_SECONDS


def is_left_out(rung: str, known: Iterable[Measured], now: float) -> bool:
    """Whether memory ran out that way lately, and nobody knows how much there was."""
    return any(
        one.rung == rung and one.peak is None and one.room is None and is_recent(one, now)
        for one in known
    )


def growth(need: Need, rung: str, known: Iterable[Measured], now: float) -> float:
    """What comes on top of the weights, measured by estimated: the largest that was seen.

    Where memory ran out, all the room that there was did not suffice: so it counts as more than
    that, and the way is taken again where there is more room.

    Args:
        need: What the model's memory depends on.
        rung: How it is held: a rung's name, or cpu.
        known: What was measured of the model.
        now: Seconds since 1970.
    """
    seen = [
        _ratio(need, one)
        for one in known
        if one.rung == rung and one.batch == 1 and is_recent(one, now)
        if one.peak is not None or one.room is not None
    ]
    if not any(one.peak is not None and one.rung == rung for one in known):
        seen.append(1.0)  # as estimated, or more
    return max(seen, default=1.0)


def stages(need: Need, rung: str, growth: float = 1.0, width: int = 2) -> Sequence[Peak]:
    """What the stages of making a picture take, where the numbers in the weights are so wide."""
    if rung != CPU:
        return peaks(need, parse(rung), growth=growth, runtime=RUNTIME_GPU)
    if width == 2:
        return peaks(need, Way(), growth=growth, runtime=RUNTIME_CPU)
    runtime = RUNTIME_CPU * 2 // width
    return [
        Peak(
            bytes=one.bytes * width // 2,
            bytes_per_pixel=one.bytes_per_pixel * width / 2,
            most_pixels=one.most_pixels,
        )
        for one in peaks(need, Way(), growth=growth, runtime=runtime)
    ]


def measured_of(
    request: wire.WorkerRequest, in_use: wire.InUse | None, room: int | None, now: float
) -> Measured | None:
    """What a request teaches of the model alone; None where it teaches nothing.

    Args:
        request: That was run.
        in_use: What its worker says; None where memory ran out.
        room: What there was then, where anybody knows.
        now: Seconds since 1970.
    """
    pixels = request.width * request.height
    if in_use is None:
        rung = request.rung or (CPU if request.device == CPU else "")
        room = None if room is None else max(0, room - request.extras_bytes)
        return Measured(rung=rung, device=request.device, pixels=pixels, room=room, at=now)
    if in_use.peak_bytes is None or (in_use.device == CPU) != (in_use.rung == CPU):
        return None  # parts that wait in main memory teach nothing where they do not leave it
    extras = request.extras_bytes
    if in_use.rung == CPU:
        extras = extras * in_use.number_bytes // 2
    return Measured(
        rung=in_use.rung,
        device=in_use.device,
        pixels=pixels,
        batch=in_use.batch,
        width=in_use.number_bytes,
        peak=max(0, in_use.peak_bytes - extras),
        at=now,
    )


class KnownMemory(NamedTuple):
    """What is known of one model by now."""

    measured: tuple[Measured, ...] = ()
    now: float = 0.0
    """Seconds since 1970."""


NOTHING_KNOWN = KnownMemory()


def model_memory(
    need: Need | None, frugal: bool, quantization: Quantization, known: KnownMemory
) -> Memory:
    """What a model needs, and the ways of holding it: as estimated, corrected by what it took.

    The two numbers for native size stay as estimated: by them a stored picture is found again.
    """
    if need is None:
        return Memory()
    ladder = rungs(need, frugal=frugal, quantization=quantization)
    by_name = {rung.name: rung for rung in ladder}
    least = by_name.get(MODEL_OFFLOAD, ladder[0])
    on_cpu = stages(need, CPU)
    left = tuple(
        _corrected(rung, need, known) for rung in ladder if not is_left_out(rung.name, *known)
    )
    return Memory(
        vram_bytes=least.vram_bytes,
        ram_bytes=peak_bytes(on_cpu, need.native_pixels),
        ram_peaks=tuple(stages(need, CPU, growth(need, CPU, *known))),
        rungs=left or ladder[-1:],
    )


def _corrected(rung: Rung, need: Need, known: KnownMemory) -> Rung:
    by = growth(need, rung.name, *known)
    if by == 1.0:
        return rung
    peaks = tuple(stages(need, rung.name, by))
    return replace(rung, peaks=peaks, vram_bytes=peak_bytes(peaks, need.native_pixels))


def _ratio(need: Need, one: Measured) -> float:
    """What its peak came to on top of the weights, by what was estimated."""
    taken = one.peak if one.peak is not None else (one.room or 0) * MORE
    held = stages(need, one.rung, 0.0, one.width)
    whole = stages(need, one.rung, 1.0, one.width)
    ratios = [
        (taken - least.bytes) / (peak_bytes([most], one.pixels) - least.bytes)
        for least, most in zip(held, whole, strict=True)
    ]
    return max(0.0, min(ratios))  # the first stage that comes to it


def stamp(path: Path, *stages: Path) -> str:
    """What a measurement holds for: these very files, these libraries, this driver.

    Args:
        path: The model.
        stages: The folders of the later stages of a cascade.
    """
    try:
        return "/".join([*map(model_stamp, (path, *stages)), _software()])
    except OSError:
        return ""


@functools.cache
def _software() -> str:
    versions: list[str] = []
    for name in ("torch", "diffusers", "transformers"):
        try:
            versions.append(metadata.version(name))
        except metadata.PackageNotFoundError:
            versions.append("")
    return "/".join([*versions, _driver()])


def _driver() -> str:
    """The version of NVIDIA's driver; empty without one, or where it does not tell."""
    if not torch_build.uses_gpus():
        return ""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        try:
            return str(nvml.nvmlSystemGetDriverVersion())
        finally:
            nvml.nvmlShutdown()
    except Exception:  # whatever a driver's library raises, it tells no version
        return ""
