"""Show how far a download is: a bar at a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ziggie_image_mcp.cli.console import err

LINE_SECONDS = 10.0
"""Between two lines where no bar can be drawn."""


class Transfer:
    """The progress of a few files, on stderr."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Draw nothing yet.

        Args:
            sizes: The bytes of each file, by path.
        """
        self._here = dict.fromkeys(sizes, 0)
        self._total = sum(sizes.values())
        self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal,
        )
        self._task = self._bar.add_task("", total=self._total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.stop()

    def told(self, path: str, size: int) -> None:
        """Say how many bytes of a file are here."""
        self._here[path] = size
        here = sum(self._here.values())
        self._bar.update(self._task, completed=here, description=path)
        now = time.monotonic()
        if not err.is_terminal and now - self._printed >= LINE_SECONDS:
            self._printed = now
            err.print(f"{here / 1e9:.2f} of {self._total / 1e9:.2f} GB: {path}", markup=False)
