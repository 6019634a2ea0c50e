"""Keep files where all who need them can reach them: a folder, or a URL that fsspec knows.

A file is there whole or not at all, and a second one of the same name takes its place.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ziggie_image_mcp.errors import StorageError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Files(Protocol):
    """Files in folders of one level. Every method raises StorageError where it cannot do it."""

    def check_writable(self) -> None:
        """Find out whether files can be kept."""
        ...

    def write(self, folder: str, name: str, data: bytes) -> str:
        """Write one file; its path."""
        ...

    def find(self, folder: str, part: str) -> list[str]:
        """The paths of the files in whose names this part stands."""
        ...

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        ...

    def delete(self, path: str) -> None:
        """Take one file away, if it is there."""
        ...

    def days(self) -> list[str]:
        """The folders that are called after a day, as 2026-11-24."""
        ...


def at(root: Path | str) -> Files:
    """The files below a folder or a URL. Nothing is opened yet."""
    return _Folder(root) if isinstance(root, Path) else _Remote(root)


class _Folder:
    """Files below a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def check_writable(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._root):
                pass
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
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        return str(path)

    def find(self, folder: str, part: str) -> list[str]:
        with _storage_errors(f"{self._root} cannot be read"):
            return sorted(str(path) for path in (self._root / folder).glob(f"*{part}*"))

    def read(self, path: str) -> bytes:
        with _storage_errors(f"{path} cannot be read"):
            return Path(path).read_bytes()

    def delete(self, path: str) -> None:
        with _storage_errors(f"{path} cannot be deleted"):
            Path(path).unlink(missing_ok=True)

    def days(self) -> list[str]:
        with _storage_errors(f"{self._root} cannot be read"):
            paths = self._root.iterdir() if self._root.is_dir() else ()
            return sorted(path.name for path in paths if _DAY.fullmatch(path.name))


class _Remote:
    """Files below a URL, as s3://bucket/prefix. Credentials come from the environment."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._scheme = urlsplit(url).scheme
        self._opened: tuple[Any, str] | None = None

    def check_writable(self) -> None:
        self.delete(self.write("", ".writable", b""))

    def write(self, folder: str, name: str, data: bytes) -> str:
        with _storage_errors(f"{self._url} cannot be written"):
            system, root = self._system()
            place = "/".join(filter(None, (root, folder, name)))
            if self._scheme in ("file", "memory"):
                system.makedirs(place.rpartition("/")[0], exist_ok=True)
            system.pipe_file(place, data)
            return f"{self._scheme}://{place}"

    def find(self, folder: str, part: str) -> list[str]:
        with _storage_errors(f"{self._url} cannot be read"):
            system, root = self._system()
            try:
                there = system.ls(f"{root}/{folder}", detail=False, refresh=True)
            except FileNotFoundError:
                return []
            return sorted(f"{self._scheme}://{p}" for p in there if part in p.rpartition("/")[2])

    def read(self, path: str) -> bytes:
        with _storage_errors(f"{path} cannot be read"):
            paths: bytes = self._system()[0].cat_file(path)
            return paths

    def delete(self, path: str) -> None:
        with _storage_errors(f"{path} cannot be deleted"):
            system, _ = self._system()
            if system.exists(path):
                system.rm_file(path)

    def days(self) -> list[str]:
        with _storage_errors(f"{self._url} cannot be read"):
            system, root = self._system()
            try:
                names = [p.rstrip("/").rpartition("/")[2] for p in system.ls(root, detail=False)]
            except FileNotFoundError:
                return []
            return sorted(name for name in names if _DAY.fullmatch(name))

    def _system(self) -> tuple[Any, str]:
        if self._opened is None:
            import fsspec

            library: Any = fsspec  # it has no types
            system, root = library.url_to_fs(self._url, use_listings_cache=False)
            self._opened = system, str(root).rstrip("/")
        return self._opened


@contextmanager
def _storage_errors(what: str) -> Generator[None]:
    """Turn whatever a file system or its client raises into StorageError."""
    try:
        yield
    except StorageError:
        raise
    except ImportError as e:
        extra = 'pip install "ziggie-image-mcp[s3]"'
        raise StorageError(f"{what}: a package is missing ({e}). For s3:// it is {extra}.") from e
    except OSError as e:
        raise StorageError(f"{what}: {e.strerror or e}.") from e
    except Exception as e:  # each fsspec backend has errors of its own
        raise StorageError(f"{what}: {type(e).__name__}: {e}") from e
