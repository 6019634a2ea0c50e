"""A fork server of servers that tests kill: a program that does runs, one after another.

A run goes in as one line of JSON, and its outcome comes out as one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


class PeerProcess:
    """The fork server, from the side of a test."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, line: str, timeout: float) -> str:
        """The line that answers this one; an AssertionError after `timeout` seconds."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        watchdog = threading.Timer(timeout, self._kill)
        watchdog.start()
        try:
            print(line, file=stdin, flush=True)
            answer = stdout.readline()
        finally:
            watchdog.cancel()
        assert answer, "the fork server died or took too long"
        return answer

    def _kill(self) -> None:
        """With its forks: they have the other end of the pipe, too."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._process.communicate(timeout=30)  # it ends when its stdin does
        finally:
            self._kill()
