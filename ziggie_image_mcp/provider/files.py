"""Read files that somebody named: regular ones only, and no more than is expected of them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path) -> BinaryIO:
    """Open a file that has an end. A pipe or a device would hold its reader for ever.

    Raises:
        OSError: It is none, or cannot be opened; `strerror` says why.
    """
    try:
        _check(path.stat())
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        opened = os.fdopen(os.open(path, flags), "rb")
    except (ValueError, RuntimeError) as e:  # a NUL, half a character, a circle of links
        raise OSError(errno.EINVAL, f"it is no path ({e})") from e
    try:
        _check(os.fstat(opened.fileno()))  # it may have been put there since
    except OSError:
        opened.close()
        raise
    return opened


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a file that has an end, `most` of them at most.

    Raises:
        OSError: It is none, it is larger, or it cannot be read; `strerror` says why.
    """
    with open_regular(path) as opened:
        return read_bounded(opened, most)


def read_bounded(opened: BinaryIO, most: int) -> bytes:
    """All that an open file has.

    Raises:
        OSError: That is more than `most` bytes, or it cannot be read; `strerror` says why.
    """
    data = opened.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most >> 20} MB")
    return data


def _check(facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = next(
            (name for is_kind, name in _KINDS if is_kind(facts.st_mode)), "of no known kind"
        )
        raise OSError(errno.EINVAL, f"it is {kind}, and no file")
