"""Download one file: resumed after a kill, checked, and only then in place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ziggie_image_mcp.inventory.pipeline_files import RepoFile
from ziggie_image_mcp.inventory.pull_errors import DiskFull, PullFailed, WrongChecksum

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_BYTES = 1 << 20

Told = Callable[[str, int], None]
"""Is told of a file's path and how many of its bytes are here."""

Read = Callable[[BinaryIO, int], None]
"""Writes a file's bytes from an offset on."""


class _Counted(io.BufferedWriter):
    """A file that tells how much of it is written."""

    def __init__(self, path: Path, start: int, tell_size: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "r+b" if start else "wb"))
        self.seek(start)
        self._tell_size = tell_size

    def write(self, data: object) -> int:
        count = super().write(data)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self._tell_size(self.tell())
        return count


def bytes_here(file: RepoFile, whole: Path) -> int:
    """How many bytes of a file need not be downloaded.

    Args:
        file: The file.
        whole: Where it will be when it is whole.
    """
    if whole.is_file():
        return file.size
    part = _partial(whole)
    return min(part.stat().st_size, file.size) if part.is_file() else 0


def download(file: RepoFile, whole: Path, read: Read, told: Told, *, source: str) -> None:
    """Bring one file to its place.

    Args:
        file: The file, with its checksum.
        whole: Where it is put when it is whole and checked.
        read: Asks for its bytes.
        told: Is told how far it is.
        source: Whose checksum it is, as the Hub.

    Raises:
        WrongChecksum: It is not what the source says. It was removed.
        DiskFull: There is no room. What is here stays, for the next try.
        PullFailed: It cannot be downloaded; see its other children.
    """
    part, start = _partial(whole), bytes_here(file, whole)
    told(file.path, start)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with _Counted(part, start, lambda size: told(file.path, size)) as to:
            read(to, start)
        _check(part, file, source)
        part.replace(whole)
    except OSError as e:
        if e.errno in NO_ROOM:
            raise full(e, file, part) from e
        raise PullFailed(f"{file.path} cannot be written to {part.parent}: {e}") from e
    finally:
        _remove_empty(part)


def _remove_empty(part: Path) -> None:
    """Leave nothing of a download that was refused before its first byte."""
    with contextlib.suppress(OSError):
        if part.stat().st_size == 0:
            part.unlink()


def full(error: OSError, file: RepoFile, part: Path) -> DiskFull:
    """The error where a disk has no room for a file."""
    here = part.stat().st_size if part.is_file() else 0
    return DiskFull(
        f"No room for {file.path} in {part.parent} ({error.strerror}): {here / 1e9:.3g} of "
        f"{file.size / 1e9:.3g} GB are written and kept. Make room, or set HF_HUB_CACHE to a "
        "larger disk, and run the command again: it goes on where it ended"
    )


def _partial(whole: Path) -> Path:
    return whole.with_name(f"{whole.name}.ziggie.incomplete")


def _check(part: Path, file: RepoFile, source: str) -> None:
    size = part.stat().st_size
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(usedforsecurity=False)
    if not file.sha256:
        digest.update(f"blob {size}\0".encode())  # git's id of a blob
    with part.open("rb") as data:
        while piece := data.read(_READ_BYTES):
            digest.update(piece)
    if digest.hexdigest() == (file.sha256 or file.git_oid):
        return
    part.unlink()
    raise WrongChecksum(
        f"{file.path} arrived with other content than {source} says (checksum "
        f"{digest.hexdigest()[:12]}..., not {(file.sha256 or file.git_oid or '')[:12]}...). It was "
        "removed: run the command again, and if it stays so, look at HF_ENDPOINT or a proxy"
    )
