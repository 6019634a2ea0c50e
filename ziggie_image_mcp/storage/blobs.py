"""Keep files where all who need them can reach them: a folder, or a URL that fsspec knows.

A file is there whole or not at all, and a second one of the same name takes its place.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_mcp.provider.redaction import hidden
from ziggie_image_mcp.provider.systems import replace

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Entry(NamedTuple):
    """A file that is there."""

    path: str
    bytes: int
    changed: float = 0.0
    """When, in seconds since 1970; 0 where that is not told."""


class Files(Protocol):
    """Files in folders of one level. Every method raises StorageError where it cannot do it."""

    far: bool
    """Each question is a round trip over a network: names are computed, not looked for."""

    def check_writable(self) -> None:
        """Find out whether files can be kept."""
        ...

    def write(self, folder: str, name: str, data: bytes) -> str:
        """Write one file; its path."""
        ...

    def find(self, folder: str, part: str) -> list[Entry]:
        """The files in whose names this part stands."""
        ...

    def get(self, folder: str, name: str) -> bytes | None:
        """The bytes of the file of this name; None where there is none."""
        ...

    def path(self, folder: str, name: str) -> str:
        """Where the file of this name is, or would be."""
        ...

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """Take files away, those that are there."""
        ...

    def days(self) -> list[str]:
        """The folders that are called after a day, as 2026-11-24."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names in a folder; none where there is no such folder."""
        ...

    def changed(self, folder: str) -> int | None:
        """Another number when a name came to a folder or left it; None where that is not told."""
        ...


def at(root: Path | str) -> Files:
    """The files below a folder or a URL. Nothing is opened yet."""
    return _Folder(root) if isinstance(root, Path) else _Remote(root)


ROOM_BYTES = 2 * 1024 * 1024
"""What a picture may need on the disk."""


class _Folder:
    """Files below a folder of this machine."""

    far = False

    def __init__(self, root: Path) -> None:
        self._root = root

    def check_writable(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._root) as room:
                room.write(bytes(ROOM_BYTES))
                room.flush()
        except OSError as e:
            raise StorageError(
                f"The picture folder {self._root} cannot be written: {e.strerror or e}. "
                "Make it writable, or set output.directory in config.json to another folder."
            ) from e

    def write(self, folder: str, name: str, data: bytes) -> str:
        path = self._root / folder / name
        with _storage_errors(f"{path} cannot be written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o644)
                replace(Path(temporary), path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        return str(path)

    def find(self, folder: str, part: str) -> list[Entry]:
        with _storage_errors(f"{self._root} cannot be read"):
            found: list[Entry] = []
            for path in sorted((self._root / folder).glob(f"*{part}*")):
                with suppress(FileNotFoundError):  # a link to nothing, or it was deleted just now
                    fact = path.stat()
                    found.append(Entry(str(path), fact.st_size, fact.st_mtime))
            return found

    def get(self, folder: str, name: str) -> bytes | None:
        path = self._root / folder / name
        with _storage_errors(f"{path} cannot be read"):
            return path.read_bytes() if path.is_file() else None

    def path(self, folder: str, name: str) -> str:
        return str(self._root / folder / name)

    def read(self, path: str) -> bytes:
        with _storage_errors(f"{path} cannot be read"):
            return Path(path).read_bytes()

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            with _storage_errors(f"{path} cannot be deleted"):
                Path(path).unlink(missing_ok=True)

    def days(self) -> list[str]:
        with _storage_errors(f"{self._root} cannot be read"):
            paths = self._root.iterdir() if self._root.is_dir() else ()
            return sorted(path.name for path in paths if _DAY.fullmatch(path.name))

    def names(self, folder: str) -> list[str]:
        place = self._root / folder
        with _storage_errors(f"{place} cannot be read"):
            return os.listdir(place) if place.is_dir() else []  # noqa: PTH208  of thousands

    def changed(self, folder: str) -> int | None:
        place = self._root / folder
        with _storage_errors(f"{place} cannot be read"):
            return place.stat().st_mtime_ns if place.is_dir() else 0


class _Remote:
    """Files below a URL, as s3://bucket/prefix. Credentials come from the environment."""

    far = True

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._shown = hidden(self._url)
        self._scheme = urlsplit(url).scheme
        self._opened: tuple[Any, str] | None = None
        self._writable = False
        """The last that was written went well."""

    def check_writable(self) -> None:
        if not self._writable:
            self.delete([self.write("", ".writable", b"")])

    def write(self, folder: str, name: str, data: bytes) -> str:
        self._writable = False
        with _storage_errors(f"{self._shown} cannot be written"):
            system, _ = self._system()
            place = self.path(folder, name).partition("://")[2]
            if self._scheme in ("file", "memory"):
                system.makedirs(place.rpartition("/")[0], exist_ok=True)
            system.pipe_file(place, data)
            self._writable = True
            return f"{self._scheme}://{place}"

    def find(self, folder: str, part: str) -> list[Entry]:
        with _storage_errors(f"{self._shown} cannot be read"):
            system, root = self._system()
            try:
                there = system.ls(f"{root}/{folder}", detail=True, refresh=True)
            except FileNotFoundError:
                return []
            return sorted(
                Entry(f"{self._scheme}://{one['name']}", one["size"], _changed(one))
                for one in there
                if part in one["name"].rpartition("/")[2]
            )

    def get(self, folder: str, name: str) -> bytes | None:
        path = self.path(folder, name)
        with _storage_errors(f"{path} cannot be read"):
            try:
                data: bytes = self._system()[0].cat_file(path)
            except FileNotFoundError:
                return None
            return data

    def path(self, folder: str, name: str) -> str:
        with _storage_errors(f"{self._shown} cannot be read"):
            place = "/".join(filter(None, (self._system()[1], folder, name)))
            return f"{self._scheme}://{place}"

    def read(self, path: str) -> bytes:
        with _storage_errors(f"{hidden(path)} cannot be read"):
            paths: bytes = self._system()[0].cat_file(path)
            return paths

    def delete(self, paths: Sequence[str]) -> None:
        with _storage_errors(f"{', '.join(paths[:1])} cannot be deleted"):
            system, _ = self._system()
            if self._scheme in ("file", "memory"):  # they mind what is gone already
                paths = [path for path in paths if system.exists(path)]
            if paths:
                system.rm(list(paths))

    def days(self) -> list[str]:
        with _storage_errors(f"{self._shown} cannot be read"):
            system, root = self._system()
            try:
                names = [p.rstrip("/").rpartition("/")[2] for p in system.ls(root, detail=False)]
            except FileNotFoundError:
                return []
            return sorted(name for name in names if _DAY.fullmatch(name))

    def names(self, folder: str) -> list[str]:
        return [entry.path.rpartition("/")[2] for entry in self.find(folder, "")]

    def changed(self, folder: str) -> int | None:
        return None

    def _system(self) -> tuple[Any, str]:
        if self._opened is None:
            import fsspec

            library: Any = fsspec  # it has no types
            # In one piece, or s3fs asks for the size of a file before it reads it.
            options: dict[str, int] = {"max_concurrency": 1} if self._scheme == "s3" else {}
            system, root = library.url_to_fs(self._url, use_listings_cache=False, **options)
            self._opened = system, str(root).rstrip("/")
        return self._opened


def _changed(facts: dict[str, Any]) -> float:
    """When a far file changed; each file system has a name of its own for it."""
    for name in ("LastModified", "mtime", "updated", "last_modified", "created"):
        when = facts.get(name)
        if isinstance(when, datetime):
            return when.timestamp()
        if isinstance(when, int | float):
            return float(when)
    return 0.0


@contextmanager
def _storage_errors(what: str) -> Generator[None]:
    """Turn whatever a file system or its client raises into StorageError."""
    try:
        yield
    except StorageError:
        raise
    except ImportError as e:
        extra = install_command("ziggie-image-mcp[s3]")
        raise StorageError(f"{what}: a package is missing ({e}). For s3:// it is {extra}.") from e
    except OSError as e:
        raise StorageError(f"{what}: {e.strerror or e}.") from e
    except Exception as e:  # each fsspec backend has errors of its own
        raise StorageError(f"{what}: {type(e).__name__}: {hidden(str(e))}") from e
