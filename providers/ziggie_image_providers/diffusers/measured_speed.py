"""Remember over restarts how fast a model ran by which means, and say which of them pay.

As with `measured`, all of it may be lost: where the file cannot be used, nothing is known.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers.measured import DAMAGED

GAIN = 0.05
"""A way pays that saves at least this share of the seconds: less is lost in the machine's drift."""

ANY_DEVICE = ("", "auto", "gpu")
"""The names that leave the choice among the cards."""

_TABLE = """
CREATE TABLE IF NOT EXISTS speed_1 (
    model TEXT, stamp TEXT NOT NULL, device TEXT, attention TEXT, compile INTEGER,
    seconds REAL NOT NULL, first_seconds REAL NOT NULL,
    difference REAL NOT NULL,
    PRIMARY KEY (model, device, attention, compile)
)
"""

_READ = (
    "SELECT device, attention, compile, seconds, first_seconds, difference FROM speed_1 "
    "WHERE model=? AND stamp=?"
)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What one way of running a model came to."""

    device: str
    """As torch names it."""
    attention: str = ""
    """The backend; empty: torch's own."""
    compile: bool = False
    seconds: float
    """Of a picture after the first: the median."""
    first_seconds: float
    """Of the first picture, without loading the model."""
    difference: float = 0.0
    """Mean over pixels and colours of how far its picture is from the usual one, of 255."""

    @property
    def is_usual(self) -> bool:
        """Whether it is what is done where nothing is set."""
        return not (self.attention or self.compile)


class MeasuredSpeed:
    """What was measured on this machine, in a file that several servers may share.

    Args:
        file: An SQLite file; its folder is made when something is kept.
        patience: Seconds to wait while other processes write.
    """

    def __init__(self, file: Path, patience: float = 1.0) -> None:
        self._file = file
        self._patience = patience

    def read(self, model: str, stamp: str) -> tuple[Speed, ...]:
        """What is known of a model, by the versions and the driver that were measured."""
        if not self._file.exists():
            return ()
        try:
            with self._opened() as rows:
                rows.row_factory = sqlite3.Row
                found: list[Any] = rows.execute(_READ, (model, stamp)).fetchall()
            return tuple(map(_speed, found))
        except DAMAGED:
            return ()

    def keep(self, model: str, stamp: str, speeds: Sequence[Speed]) -> None:
        """Remember these, in place of all that was known of the model on their device.

        Raises:
            OSError: The file cannot be written.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._opened() as rows, rows:
                for device in {one.device for one in speeds}:
                    rows.execute("DELETE FROM speed_1 WHERE model=? AND device=?", (model, device))
                rows.execute("DELETE FROM speed_1 WHERE model=? AND stamp<>?", (model, stamp))
                rows.executemany(
                    "INSERT INTO speed_1 VALUES (?,?,?,?,?,?,?,?)",
                    [(model, stamp, *_columns(one)) for one in speeds],
                )
        except sqlite3.Error as e:
            raise OSError(f"{self._file}: {e}") from e

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=self._patience)) as rows:
            rows.execute(_TABLE)
            yield rows


def _speed(row: Any) -> Speed:
    """By the columns of `_READ`."""
    return Speed(
        device=row["device"],
        attention=row["attention"],
        compile=bool(row["compile"]),
        seconds=row["seconds"],
        first_seconds=row["first_seconds"],
        difference=row["difference"],
    )


def _columns(one: Speed) -> tuple[object, ...]:
    ways = one.device, one.attention, int(one.compile)
    return (*ways, one.seconds, one.first_seconds, one.difference)


def pays(one: Speed, usual: Speed) -> bool:
    """Whether a way saves enough of each picture after the first."""
    return not one.is_usual and one.seconds <= usual.seconds * (1 - GAIN)


def pays_from(one: Speed, usual: Speed) -> int | None:
    """From how many pictures in one process on a way has saved time; None where it never does."""
    saved = usual.seconds - one.seconds
    if not pays(one, usual):
        return None
    return max(1, 1 + math.ceil((one.first_seconds - usual.first_seconds) / saved))


def best(
    speeds: Iterable[Speed], device: str, *, attention: bool, compile: bool, pictures: int
) -> Speed | None:
    """The fastest way that pays on a device; None where none does, or nothing is known.

    Compiled is taken where so many pictures are asked for, or were asked for since the model was
    loaded, as make up for its first one over the fastest of the other ways.

    Args:
        speeds: What was measured of the model.
        device: That was chosen, or a name that leaves the choice.
        attention: Another attention may be taken.
        compile: The model may be compiled.
        pictures: Of this model in this process, with those that are asked for.
    """
    here = [one for one in speeds if _is_on(one.device, device)]
    usual = next((one for one in here if one.is_usual), None)
    if usual is None:
        return None
    paying = [one for one in here if pays(one, usual) and (attention or not one.attention)]
    at_once = [one for one in paying if not one.compile]
    other = min(at_once, key=_seconds, default=usual)
    compiled = [
        one
        for one in paying
        if compile and one.compile and pictures >= (pays_from(one, other) or math.inf)
    ]
    one = min(compiled, key=_seconds, default=other)
    return None if one.is_usual else one


def _seconds(one: Speed) -> float:
    return one.seconds


def _is_on(measured: str, wanted: str) -> bool:
    if wanted in ANY_DEVICE:
        return measured != "cpu"
    return measured == wanted or measured.partition(":")[0] == wanted
