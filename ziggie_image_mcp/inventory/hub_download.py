"""Download a file into the Hub's cache: resumed after a kill, checked, and only then in place."""

from __future__ import annotations

import errno
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

from ziggie_image_mcp.inventory.hub import Hub, Repository
from ziggie_image_mcp.inventory.pipeline_files import RepoFile
from ziggie_image_mcp.inventory.pull_errors import DiskFull, PullFailed, WrongChecksum

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_BYTES = 1 << 20

Told = Callable[[str, int], None]
"""Is told of a file's path and how many of its bytes are here."""


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


def linked(hub: Hub, repository: Repository, file: RepoFile) -> Path:
    """Where a whole file shows under its name."""
    return hub.folder(repository) / "snapshots" / repository.commit / file.path


def content(hub: Hub, repository: Repository, file: RepoFile) -> Path:
    """Where the cache keeps the content of a file: by its checksum.

    Raises:
        PullFailed: The Hub told no checksum.
    """
    etag = file.sha256 or file.git_oid
    if not etag:
        raise PullFailed(f"The Hub tells no checksum of {file.path}, so it is not downloaded")
    return hub.folder(repository) / "blobs" / etag


def bytes_here(hub: Hub, repository: Repository, file: RepoFile) -> int:
    """How many bytes of a file need not be downloaded."""
    if _is_here(hub, repository, file):
        return file.size
    part = _partial(content(hub, repository, file))
    return min(part.stat().st_size, file.size) if part.is_file() else 0


def download(hub: Hub, repository: Repository, file: RepoFile, told: Told) -> None:
    """Bring the content of one file into the cache.

    Raises:
        WrongChecksum: It is not what the Hub says. It was removed.
        DiskFull: There is no room. What is here stays, for the next try.
        PullFailed: It cannot be downloaded; see its other children.
    """
    whole = content(hub, repository, file)
    start = bytes_here(hub, repository, file)
    told(file.path, start)
    if _is_here(hub, repository, file):
        return
    part = _partial(whole)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with _Counted(part, start, lambda size: told(file.path, size)) as to:
            hub.read(repository, file, to, start)
        _check(part, file, repository)
        part.replace(whole)
    except OSError as e:
        if e.errno in _NO_ROOM:
            raise _full(e, file, part) from e
        raise PullFailed(f"{file.path} cannot be written to {part.parent}: {e}") from e


def link(hub: Hub, repository: Repository, file: RepoFile) -> Path:
    """Show a file, whose content is here, under its name. Its path.

    Raises:
        PullFailed: The Hub cannot be asked; see its children.
        DiskFull: It had to be copied, for want of symbolic links, and there is no room.
    """
    whole = content(hub, repository, file)
    try:
        path = hub.link(repository, file)
        if not path.is_symlink():  # a system without them: the client copied it
            whole.unlink(missing_ok=True)
    except OSError as e:
        if e.errno in _NO_ROOM:
            raise _full(e, file, whole) from e
        raise PullFailed(f"{file.path} cannot be written to {hub.folder(repository)}: {e}") from e
    return path


def _is_here(hub: Hub, repository: Repository, file: RepoFile) -> bool:
    """Whether all of a file is in the cache, checked: by its checksum, or copied under its name."""
    return content(hub, repository, file).is_file() or linked(hub, repository, file).is_file()


def _partial(whole: Path) -> Path:
    return whole.with_name(f"{whole.name}.ziggie.incomplete")


def _check(part: Path, file: RepoFile, repository: Repository) -> None:
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
        f"{file.path} of {repository.name} arrived with other content than the Hub says (checksum "
        f"{digest.hexdigest()[:12]}..., not {(file.sha256 or file.git_oid or '')[:12]}...). It was "
        "removed: run the command again, and if it stays so, look at HF_ENDPOINT or a proxy"
    )


def _full(error: OSError, file: RepoFile, part: Path) -> DiskFull:
    here = part.stat().st_size if part.is_file() else 0
    return DiskFull(
        f"No room for {file.path} in {part.parent} ({error.strerror}): {here / 1e9:.3g} of "
        f"{file.size / 1e9:.3g} GB are written and kept. Make room, or set HF_HUB_CACHE to a "
        "larger disk, and run the command again: it goes on where it ended"
    )
