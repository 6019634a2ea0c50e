"""Put single files where an engine looks for them: the disk asked first, each file checked."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ziggie_image_mcp.inventory import file_download
from ziggie_image_mcp.inventory.engine_files import Kind
from ziggie_image_mcp.inventory.file_download import Read, Told
from ziggie_image_mcp.inventory.hardware_sources import existing
from ziggie_image_mcp.inventory.pipeline_files import RepoFile
from ziggie_image_mcp.inventory.pull import SPARE_BYTES, gigabytes
from ziggie_image_mcp.inventory.pull_errors import DiskFull, PullFailed


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One file and its place."""

    file: RepoFile
    """With its sha256."""
    kind: Kind
    folder: Path
    read: Read
    source: str
    """Whose file it is, with its address."""

    @property
    def whole(self) -> Path:
        """Where it is put."""
        return self.folder / self.file.path.rpartition("/")[2]

    @property
    def missing(self) -> int:
        """Bytes that are downloaded."""
        return self.file.size - file_download.bytes_here(self.file, self.whole)


def check(placements: Sequence[Placement]) -> None:
    """Refuse what there is no room for, and what would take another file's place.

    Raises:
        DiskFull: A disk has no room.
        PullFailed: Another file of this name is there.
    """
    for placement in placements:
        whole = placement.whole
        if whole.exists() and not _is_same(placement):
            raise PullFailed(
                f"{whole} is there already, with other content: rename it, or give another --folder"
            )
    missing = sum(placement.missing for placement in placements)
    free = min(shutil.disk_usage(existing(p.folder)).free for p in placements)
    if missing and missing + SPARE_BYTES > free:
        places = " and ".join(dict.fromkeys(str(p.folder) for p in placements))
        raise DiskFull(
            f"{gigabytes(missing)} more are needed, and {gigabytes(free)} are free in {places}: "
            "make room, or choose another --folder"
        )


def execute(placements: Sequence[Placement], locks: Path, told: Told) -> None:
    """Download what is missing; each file shows under its name when it is whole and checked.

    Args:
        placements: The files.
        locks: A folder of ours for a lock, since two downloads would write to one file.
        told: Is told how far each is.

    Raises:
        WrongChecksum: A file is not what its source says. It was removed.
        DiskFull: The disk ran full. What is here stays, for the next try.
        PullFailed: It cannot be downloaded; see its other children.
    """
    for placement in placements:
        name = hashlib.sha256(str(placement.whole).encode()).hexdigest()[:16]
        try:
            locks.mkdir(parents=True, exist_ok=True)
            with FileLock(locks / f"{name}.lock", timeout=0):
                _bring(placement, told)
        except Timeout as e:
            message = f"{placement.whole} is being downloaded by another process: wait for it"
            raise PullFailed(message) from e


def _bring(placement: Placement, told: Told) -> None:
    file, whole = placement.file, placement.whole
    if whole.is_file():
        told(file.path, file.size)
        return
    file_download.download(file, whole, placement.read, told, source=placement.source)


def _is_same(placement: Placement) -> bool:
    if not placement.whole.is_file():
        return False
    with placement.whole.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest() == placement.file.sha256
