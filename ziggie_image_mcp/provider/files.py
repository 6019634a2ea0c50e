"""Read files that somebody named: regular ones only, and no more than is expected of them.

What people write for a path, and how their editors save text, is understood here too.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath, PureWindowsPath
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as that of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_REFERENCE = re.compile(r"\$\{(\w+)\}|\$([A-Za-z_]\w*)|%([A-Za-z_]\w*)%")


def with_variables(text: str, env: Mapping[str, str] = os.environ) -> str:
    """A path in which `~`, `$HOME`, `${HOME}` and `%USERPROFILE%` are what they stand for.

    Raises:
        ValueError: There is no such variable, or no such user; the message says which.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        if name in ("HOME", "USERPROFILE"):  # each system sets one of them
            return env.get(name) or str(Path.home())
        if not env.get(name):
            raise ValueError(f"{text} needs the variable {name}, which is not set here")
        return env[name]

    text = _REFERENCE.sub(value, text.strip())
    try:
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError as e:
        raise ValueError(f"{text} names the folder of a user that is not there") from e


def whole_path(text: str, beside: PurePath | None = None) -> str:
    """The path that a user means in a setting: whole, for clients start servers anywhere.

    Args:
        text: As it was written.
        beside: The folder that a relative one may have meant; unset: the current one.

    Raises:
        ValueError: It is relative, of another system, or names what is not there.
    """
    found = with_variables(text)
    if Path(found).is_absolute():
        return found
    if sys.platform != "win32" and PureWindowsPath(found).is_absolute():
        raise ValueError(f"{text} is a path of Windows, and this is another system")
    meant = (Path.cwd() if beside is None else beside) / found
    raise ValueError(
        f"{text!r} is no whole path, and MCP clients start servers in any folder; "
        f"write it whole, as {meant}"
    )


def decode_text(data: bytes) -> str:
    """Text as editors save it: UTF-8, UTF-16 or UTF-32, with or without a mark at its beginning.

    Raises:
        ValueError: It is in another encoding; the message says where, and what to do.
    """
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as e:
        number = data[: e.start].count(b"\n") + 1
        known = "is no UTF-8" if encoding.startswith("utf-8") else f"looks like {encoding}"
        raise ValueError(
            f"{known} (byte 0x{data[e.start]:02X} in line {number}), as a file saved in an "
            "older encoding, Latin-1 or Windows-1252; save it as UTF-8"
        ) from e


def encode_like(text: str, data: bytes) -> bytes:
    """Text in the encoding, and with the mark, of what was decoded before; UTF-8 of nothing."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return mark + text.encode(encoding)
    return text.encode(json.detect_encoding(data))


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
