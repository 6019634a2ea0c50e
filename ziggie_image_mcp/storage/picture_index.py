"""Find stored pictures by prompt, model and day without opening their files.

The index is an SQLite file that may be deleted: it is built again from the sidecars. It asks each
day's folder whether names came or went, so that what other processes save and delete is seen too.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import Protocol, TypeVar

from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.storage import thumbnails
from ziggie_image_mcp.storage.blobs import Files
from ziggie_image_mcp.storage.newest import PictureName, picture_named
from ziggie_image_mcp.storage.picture_ids import PICTURE_ID, day_of, owner_of
from ziggie_image_mcp.storage.picture_search import (
    IndexedPicture,
    ModelCount,
    Page,
    Search,
    conditions,
)
from ziggie_image_mcp.storage.sidecars import facts_in

T = TypeVar("T")

MOST_READ, MOST_FETCHED = 2_000, 100
"""Sidecars that one look may read: of this machine's disk, and over a network."""
MOST_MODELS = 200
VERSION = 2
"""Of the tables. A file of another version is built again."""

LOCK_SECONDS = 5.0
_SETTLED_NS = 2_000_000_000
"""A folder that changed so lately may change again within the clock's tick: it is read again."""

_TABLES = (
    """CREATE TABLE pictures (
        number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL,
        day TEXT NOT NULL, made TEXT NOT NULL, name TEXT NOT NULL, sidecar TEXT NOT NULL,
        prompt TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, words TEXT NOT NULL)""",
    "CREATE INDEX by_time ON pictures (made DESC, id DESC)",
    "CREATE INDEX by_owner ON pictures (owner, made DESC, id DESC)",
    "CREATE INDEX by_model ON pictures (provider, model, made DESC, id DESC)",
    "CREATE INDEX by_day ON pictures (day)",
    "CREATE TABLE days (day TEXT PRIMARY KEY, changed INTEGER)",
)
_FIELDS = "id, day, made, name, sidecar, prompt, provider, model"


class Store(Protocol):
    """Where the pictures are kept."""

    @property
    def root(self) -> Path | str:
        """Their folder or URL."""
        ...

    @property
    def files(self) -> Files:
        """Their files."""
        ...


class PictureIndex:
    """The index of one store. Each call opens the file anew, so that any thread may make it.

    Args:
        folder: Where the index' file stands.
        store: The pictures, wherever they are kept at the moment.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store

    @property
    def file(self) -> Path:
        """The SQLite file, one for each place of pictures."""
        mark = hashlib.sha256(str(self._store.root).encode()).hexdigest()[:8]
        return self._folder / f"pictures-{mark}.sqlite3"

    def catch_up(self) -> int:
        """Take in what was saved and deleted since; how many pictures are left for the next call.

        While another process does it, nothing is done.

        Raises:
            StorageError: The place of the pictures, or the index, cannot be read.
        """
        files, root = self._store.files, self._store.root
        if isinstance(root, Path) and root.exists() and not root.is_dir():
            raise StorageError(
                f"The picture folder {root} is a file. Move it away, or set output.directory in "
                "config.json to a folder."
            )
        return self._run(lambda connection: _catch_up(connection, files))

    def take_in(self, image_id: str) -> None:
        """Take in this one picture, where it is there, however many others were not read yet.

        Raises:
            StorageError: The place of the pictures, or the index, cannot be read.
        """
        if PICTURE_ID.fullmatch(image_id) is None:
            return
        files, day = self._store.files, day_of(image_id)
        names = files.names(day)
        for name in names:
            picture = picture_named(name, far=files.far)
            if picture is not None and picture.id == image_id and picture.sidecar in names:
                break
        else:
            return
        facts = _facts(files, day, picture.sidecar)
        self._run(lambda connection: _insert(connection, files, day, name, picture, facts))

    def search(self, search: Search, *, most: int, skip: int = 0) -> Page:
        """`most` pictures, newest first, without the first `skip` ones.

        Raises:
            StorageError: The index cannot be read.
        """
        where, values = conditions(search)

        def work(connection: sqlite3.Connection) -> Page:
            counting = f"SELECT count(*) FROM pictures{where}"  # noqa: S608
            (total,) = connection.execute(counting, values).fetchone()
            order = "ORDER BY made DESC, id DESC LIMIT ? OFFSET ?"
            listing = f"SELECT {_FIELDS} FROM pictures{where} {order}"  # noqa: S608
            rows = connection.execute(listing, (*values, most, skip))
            return Page(pictures=tuple(map(_picture, rows)), total=total)

        return self._run(work)

    def find(self, image_id: str) -> IndexedPicture | None:
        """The picture of this id; None where none is known.

        Raises:
            StorageError: The index cannot be read.
        """

        def work(connection: sqlite3.Connection) -> IndexedPicture | None:
            query = f"SELECT {_FIELDS} FROM pictures WHERE id = ?"  # noqa: S608
            row = connection.execute(query, (image_id,)).fetchone()
            return None if row is None else _picture(row)

        return self._run(work)

    def models(self, owner: str | None = None) -> tuple[ModelCount, ...]:
        """The models with the most pictures, of all or of one owner.

        Raises:
            StorageError: The index cannot be read.
        """
        where, values = conditions(Search(owner=owner))
        query = (
            f"SELECT provider, model, count(*) FROM pictures{where} "  # noqa: S608
            "GROUP BY provider, model ORDER BY count(*) DESC, provider, model LIMIT ?"
        )

        def work(connection: sqlite3.Connection) -> tuple[ModelCount, ...]:
            rows = connection.execute(query, (*values, MOST_MODELS)).fetchall()
            return tuple(ModelCount(provider=p, model=m, pictures=n) for p, m, n in rows)

        return self._run(work)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do this; a damaged file is built again, once."""
        try:
            return self._open_and(work)
        except StorageError as e:
            cause = e.__cause__
            if isinstance(cause, sqlite3.OperationalError) or not isinstance(
                cause, sqlite3.DatabaseError
            ):
                raise
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                self.file.with_name(self.file.name + suffix).unlink()
        return self._open_and(work)

    def _open_and(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with _storage_errors(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            opened = sqlite3.connect(self.file, timeout=LOCK_SECONDS, isolation_level=None)
            with closing(opened) as connection:
                _prepare(connection)
                return work(connection)


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables where there are none of this version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    connection.execute("PRAGMA journal_mode = WAL")
    with _transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == VERSION:  # another process was quicker
            return
        for table in ("pictures", "days"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _catch_up(connection: sqlite3.Connection, files: Files) -> int:
    days = files.days()
    allowed, left = MOST_FETCHED if files.far else MOST_READ, 0
    try:
        with _transaction(connection):
            known = dict(connection.execute("SELECT day, changed FROM days").fetchall())
            indexed = {day for (day,) in connection.execute("SELECT DISTINCT day FROM pictures")}
            for day in (known.keys() | indexed) - set(days):
                _forget(connection, files, day, _names_of(connection, day))
                connection.execute("DELETE FROM days WHERE day = ?", (day,))
            for day in reversed(days):
                changed = files.changed(day)
                if not _is_read(day, known, changed):
                    read, unread = _read_day(connection, files, day, allowed)
                    allowed, left = allowed - read, left + unread
                    mark = None if unread else _mark(changed)
                    connection.execute("INSERT OR REPLACE INTO days VALUES (?, ?)", (day, mark))
    except sqlite3.OperationalError as e:
        if "locked" not in str(e):
            raise
    return left


def _is_read(day: str, known: Mapping[str, int | None], changed: int | None) -> bool:
    """Whether nothing can have changed; far folders do not tell it, but old days rest."""
    if known.get(day) is None:
        return False
    lately = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    return known[day] == changed if changed is not None else day < lately


def _mark(changed: int | None) -> int | None:
    """What is remembered of a folder that is read to its end; None: it is read again."""
    if changed is None:
        return 0
    return changed if time.time_ns() - changed > _SETTLED_NS else None


def _read_day(connection: sqlite3.Connection, files: Files, day: str, most: int) -> tuple[int, int]:
    """Take in one folder; how many sidecars were read, and how many are left."""
    names = set(files.names(day))
    there: dict[str, tuple[str, PictureName]] = {}
    for name in sorted(names):
        picture = picture_named(name, far=files.far)
        is_here = picture is not None and picture.id.startswith(day.replace("-", ""))
        if picture is not None and is_here and picture.sidecar in names:
            there[picture.id] = name, picture
    indexed = _names_of(connection, day)
    gone = {i: n for i, n in indexed.items() if i not in there or there[i][0] != n}
    _forget(connection, files, day, gone)
    new = sorted(there.keys() - (indexed.keys() - gone.keys()), reverse=True)
    for image_id in new[:most]:
        name, picture = there[image_id]
        facts = _facts(files, day, picture.sidecar)
        _insert(connection, files, day, name, picture, facts)
    return len(new[:most]), len(new[most:])


def _names_of(connection: sqlite3.Connection, day: str) -> dict[str, str]:
    return dict(connection.execute("SELECT id, name FROM pictures WHERE day = ?", (day,)))


def _forget(
    connection: sqlite3.Connection, files: Files, day: str, pictures: Mapping[str, str]
) -> None:
    ids = [(image_id,) for image_id in pictures]
    connection.executemany("DELETE FROM pictures WHERE id = ?", ids)
    if pictures:
        with suppress(StorageError):  # a place that may only be read keeps them
            files.delete(thumbnails.paths(files, day, pictures))


def _facts(files: Files, day: str, sidecar: str) -> dict[str, object]:
    """What stands beside a picture; nothing where that is damaged or cannot be read."""
    try:
        return facts_in(files.get(day, sidecar))
    except StorageError:
        return {}


def _insert(
    connection: sqlite3.Connection,
    files: Files,
    day: str,
    name: str,
    picture: PictureName,
    facts: Mapping[str, object],
) -> None:
    from ziggie_image_mcp.storage.engine import storable

    prompt, provider, model = (
        storable(value) if isinstance(value := facts.get(key), str) else ""
        for key in ("prompt", "provider", "model")
    )
    row = (
        picture.id,
        owner_of(picture.id),
        day,
        _made(facts, files, day, name),
        storable(name),
        storable(picture.sidecar),
        prompt,
        provider,
        model,
        f"{prompt}\n{picture.id}".casefold(),
    )
    fields = "id, owner, day, made, name, sidecar, prompt, provider, model, words"
    query = f"INSERT OR REPLACE INTO pictures ({fields}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608
    connection.execute(query, row)


def _made(facts: Mapping[str, object], files: Files, day: str, name: str) -> str:
    """When a picture was made, as its sidecar tells it, else its folder.

    What is told of the future would be the newest for ever: then it is when its file was written.
    """
    latest = datetime.now(UTC) + timedelta(days=1)
    made = _moment(str(facts.get("made"))) or _moment(f"{day}T00:00:00+00:00")
    if made is None or made > latest:
        with suppress(StorageError, ValueError, OverflowError, OSError):
            paths = {PurePath(entry.path).name: entry.changed for entry in files.find(day, name)}
            made = datetime.fromtimestamp(paths.get(name, 0.0), UTC)
    if made is None or made > latest:
        made = datetime.fromtimestamp(0, UTC)
    return made.isoformat(timespec="milliseconds")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _picture(row: tuple[str, ...]) -> IndexedPicture:
    image_id, day, made, name, sidecar, prompt, provider, model = row
    return IndexedPicture(
        id=image_id,
        day=day,
        made=made,
        name=name,
        sidecar=sidecar,
        prompt=prompt,
        provider=provider,
        model=model,
    )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _storage_errors(file: Path) -> Generator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as e:
        raise StorageError(
            f"The index of pictures {file} cannot be used: {e}. It may be deleted; it is made anew."
        ) from e
