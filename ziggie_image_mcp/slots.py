"""Give every process of a host a name of its own, and tell which of them still live.

A process holds the lock of its slot until it ends, however it ends. Beside the lock stands its
name, in a file of its own, because Windows does not let a locked file be read. A name whose lock
is free is that of a dead process; it stays until somebody has taken up what the dead one had.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import uuid
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ziggie_image_mcp.errors import StorageError

if TYPE_CHECKING:
    from filelock import FileLock


class Slot:
    """This process' place among those of its host that share a database."""

    def __init__(self, folder: Path, number: int, lock: FileLock, executor: str) -> None:
        self.executor = executor
        """The name: host, slot and a word that no other process ever had."""
        self._folder = folder
        self._number = number
        self._lock = lock

    @classmethod
    def take(cls, folder: Path) -> Self:
        """Take the first slot that is free.

        Raises:
            StorageError: The folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number in count():
                lock = _acquired(folder, number)
                if lock is None:
                    continue
                name = _name_file(folder, number)
                if name.exists():  # of a dead process that nobody has buried yet
                    lock.release()
                    continue
                executor = f"{host(folder)}/{number}/{secrets.token_hex(8)}"
                name.write_text(executor, encoding="utf-8")
                return cls(folder, number, lock, executor)
        except OSError as e:
            raise StorageError(f"{folder} cannot be written: {e.strerror or e}.") from e
        raise AssertionError("count() has no end")

    def alive(self, executor: str) -> bool | None:
        """Whether that process lives; None where it cannot be told: on another host."""
        if executor == self.executor:
            return True
        where, _, rest = executor.rpartition("/")[0].rpartition("/")
        if where != host(self._folder) or not rest.isdigit():
            return None
        if _read(_name_file(self._folder, int(rest))) != executor:
            return False
        return not _is_free(self._folder, int(rest))

    def release(self, *, name_too: bool = True) -> None:
        """Give the slot back. The name stays where there is something left to be taken up."""
        if name_too:
            _name_file(self._folder, self._number).unlink(missing_ok=True)
        self._lock.release()


def orphans(folder: Path) -> list[str]:
    """The names of the dead that nobody has buried yet."""
    found: list[str] = []
    for file in sorted(folder.glob("slot-*.name")):
        number = file.stem.removeprefix("slot-")
        executor = _read(file)
        if number.isdigit() and executor and _is_free(folder, int(number)):
            found.append(executor)
    return found


def all_orphans(folder: Path) -> list[str]:
    """The orphans of every database that the processes of this machine use."""
    return [executor for one in folder.glob("slots-*") for executor in orphans(one)]


def forget(folder: Path, executor: str) -> None:
    """Take away the name of a dead process, after all that it had was taken up."""
    number = executor.split("/")[-2]
    lock = _acquired(folder, int(number))
    if lock is not None:
        if _read(_name_file(folder, int(number))) == executor:
            _name_file(folder, int(number)).unlink(missing_ok=True)
        lock.release()


def host(folder: Path) -> str:
    """This machine and folder: two containers may share a name, and not their files."""
    where = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:6]
    return f"{socket.gethostname()}-{uuid.getnode():x}-{where}"


def _acquired(folder: Path, number: int) -> FileLock | None:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"slot-{number}.lock", thread_local=False)
    with suppress(Timeout):
        lock.acquire(blocking=False)
        return lock
    return None


def _is_free(folder: Path, number: int) -> bool:
    lock = _acquired(folder, number)
    if lock is None:
        return False
    lock.release()
    return True


def _name_file(folder: Path, number: int) -> Path:
    return folder / f"slot-{number}.name"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:  # gone in the meantime
        return ""
