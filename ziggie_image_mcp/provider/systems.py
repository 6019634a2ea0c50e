"""What is done otherwise on Windows: children, files that somebody has open, names of devices."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any
from urllib.parse import unquote

PATIENCE = 2.0
"""Seconds for which a file that another process has open is waited for, on Windows."""

_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])", re.IGNORECASE)
_NEW_PROCESS_GROUP = 0x00000200
_NO_WINDOW = 0x08000000
_DETACHED = 0x00000008


def own_group(*, detached: bool = False, system: str = sys.platform) -> dict[str, Any]:
    """The arguments of Popen for a child whose end we decide: Ctrl-C in a terminal is for us.

    Args:
        detached: It outlives us, and the terminal.
        system: As `sys.platform` has it.
    """
    if system != "win32":
        return {"start_new_session": True}
    # Without one of the two a server that a client started, without a console, opens a window.
    return {"creationflags": _NEW_PROCESS_GROUP | (_DETACHED if detached else _NO_WINDOW)}


def replace(
    new: Path,
    file: Path,
    *,
    system: str = sys.platform,
    rename: Callable[[Path, Path], object] = os.replace,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Put one file in another's place at once. Windows refuses while somebody has that one open.

    A reader, a virus scanner or an indexer lets go of it within moments.

    Raises:
        OSError: It cannot be done, or not within PATIENCE.
    """
    pause = 0.01
    waited = 0.0
    while True:
        try:
            rename(new, file)
        except PermissionError:
            if system != "win32" or waited >= PATIENCE:
                raise
            wait(pause)
            waited += pause
            pause = min(2 * pause, 0.25)
        else:
            return


def put_in_place(file: Path, data: bytes, mode: int) -> None:
    """Write a file that takes the place of another at once, or not at all.

    Args:
        file: Where. One that is there keeps its rights.
        data: What.
        mode: The rights of a new one, less what this process masks.

    Raises:
        OSError: It cannot be written; the other one stands as it was.
    """
    kept = stat.S_IMODE(file.stat().st_mode) if file.exists() else None
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(
        beside,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0),
        mode if kept is None else kept,
    )
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        replace(beside, file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if kept is not None:
        file.chmod(kept)  # the mask of this process is not that of who made it


def why_no_file(path: PurePath) -> str:
    """Why a path cannot be that of a plain file of this machine; empty where it may be one.

    Going by its letters alone: on Windows asking for a file of another machine logs in there, and a
    path may be that of a device.
    """
    if not isinstance(path, PureWindowsPath):
        return ""
    if path.drive.startswith(("\\\\.\\", "\\\\?\\", "//./", "//?/")):
        return "it is no plain path, but one of a device"
    if path.drive.startswith("\\\\"):
        return "it is on another machine"
    for part in path.parts[1:] if path.drive else path.parts:
        stem = part.partition(".")[0].partition(":")[0].rstrip(" ")
        if _DEVICE.fullmatch(stem):
            return f"{part} is the name of a device on Windows"
        if ":" in part:
            return f"{part} is no name of a file on Windows"
    return ""


def path_of_url(path: str, system: str = sys.platform) -> str:
    """The path of this machine that the path of a file:// URL means."""
    plain = unquote(path)
    if system != "win32":
        return plain
    drive = re.match(r"/+(?=[A-Za-z]:)", plain)
    return (plain[drive.end() :] if drive else plain).replace("/", "\\")
