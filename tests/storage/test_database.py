"""Databases: transactions that see each other, and a database of what may be lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import CompileError

from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.storage.database import REST_SECONDS, Database, LossyDatabase
from ziggie_image_mcp.storage.engine import hold_lock

LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM words").fetchone()[0])
connection.close()
"""

NOTHING: list[str] = []


class Words:
    """A schema of one table."""

    def __init__(self) -> None:
        self._metadata = sa.MetaData()
        self.table = sa.Table("words", self._metadata, sa.Column("word", sa.Text))

    def prepare(self, connection: sa.Connection) -> None:
        hold_lock(connection, 1)
        self._metadata.create_all(connection)

    def lock_for_writing(self, connection: sa.Connection) -> None:
        hold_lock(connection, 1)

    def Tables(self, connection: sa.Connection) -> WordTables:
        return WordTables(self.table, connection)


class WordTables:
    def __init__(self, table: sa.Table, connection: sa.Connection) -> None:
        self._table = table
        self._connection = connection

    def add(self, word: str) -> int:
        self._connection.execute(self._table.insert().values(word=word))
        return len(self.all())

    def add_to_a_column_that_is_not_there(self, word: str) -> int:
        self._connection.execute(self._table.insert().values(wrod=word))
        return 0

    def all(self) -> list[str]:
        return list(self._connection.execute(sa.select(self._table.c.word)).scalars())


def database(file: Path) -> Database[WordTables]:
    schema = Words()
    return Database(file, lambda: schema, "list of words")


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def lossy(file: Path, clock: Clock) -> AsyncGenerator[LossyDatabase[WordTables]]:
    rows = LossyDatabase(database(file), "Words are not kept just now", clock)
    yield rows
    await rows.aclose()


async def test_what_one_database_writes_another_of_the_same_file_reads(tmp_path: Path) -> None:
    one, other = database(tmp_path / "words.sqlite3"), database(tmp_path / "words.sqlite3")

    await one.write(lambda tables: tables.add("cat"))
    words = await other.read(lambda tables: tables.all())
    await one.aclose()
    await other.aclose()

    assert words == ["cat"]


async def test_another_process_that_leaves_takes_nothing_of_this_ones_away(tmp_path: Path) -> None:
    """SQLite's last process to leave removes the log: it must see that this one is still there."""
    file = tmp_path / "words.sqlite3"
    one, other = database(file), database(file)
    await one.write(lambda tables: tables.add("cat"))
    await other.write(lambda tables: tables.add("dog"))

    command = [sys.executable, "-c", LOOK, str(file)]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    log_is_there = file.with_name("words.sqlite3-wal").exists()
    await one.write(lambda tables: tables.add("bird"))
    words = await other.read(lambda tables: tables.all())
    await one.aclose()
    await other.aclose()

    assert seen == "2\n"
    assert log_is_there
    assert words == ["cat", "dog", "bird"]


async def test_a_new_database_is_its_users_alone(tmp_path: Path) -> None:
    rows = database(tmp_path / "words.sqlite3")

    await rows.write(lambda tables: tables.add("cat"))
    modes = {oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
    await rows.aclose()

    assert modes == {"0o600"}


async def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "words.sqlite3"
    file.write_bytes(b"this is no database, and it is long enough to be seen as none" * 9)
    rows = database(file)

    with pytest.raises(StorageError, match=r"list of words .*words\.sqlite3 cannot be used"):
        await rows.read(lambda tables: tables.all())


async def test_a_lossy_database_with_a_broken_file_reads_as_empty_and_says_why(
    tmp_path: Path,
) -> None:
    file = tmp_path / "words.sqlite3"
    file.write_bytes(b"this is no database, and it is long enough to be seen as none" * 9)
    async with lossy(file, Clock()) as rows:
        words = await rows.read(lambda tables: tables.all(), NOTHING)
        count = await rows.write(lambda tables: tables.add("cat"), -1)
        trouble = rows.trouble

    assert (words, count) == ([], -1)
    assert trouble is not None
    assert trouble.startswith("Words are not kept just now: The list of words ")
    assert str(file) in trouble


async def test_a_lossy_database_recovers_after_its_rest(tmp_path: Path) -> None:
    file, clock = tmp_path / "words.sqlite3", Clock()
    file.write_bytes(b"this is no database, and it is long enough to be seen as none" * 9)
    async with lossy(file, clock) as rows:
        await rows.read(lambda tables: tables.all(), NOTHING)
        file.unlink()
        resting = await rows.write(lambda tables: tables.add("cat"), -1)
        trouble_while_resting = rows.trouble
        clock.now += REST_SECONDS
        kept = await rows.write(lambda tables: tables.add("dog"), -1)
        words = await rows.read(lambda tables: tables.all(), NOTHING)
        trouble = rows.trouble

    assert resting == -1
    assert trouble_while_resting is not None
    assert (kept, words) == (1, ["dog"])
    assert trouble is None


async def test_a_lossy_database_does_not_hide_a_bug(tmp_path: Path) -> None:
    def work(tables: WordTables) -> list[str]:
        raise KeyError("no such word")

    async with lossy(tmp_path / "words.sqlite3", Clock()) as rows:
        with pytest.raises(KeyError):
            await rows.read(work, NOTHING)


async def test_a_lossy_database_does_not_hide_a_wrong_statement(tmp_path: Path) -> None:
    """A column that is not there is our bug: swallowed, nothing would ever be kept."""
    async with lossy(tmp_path / "words.sqlite3", Clock()) as rows:
        with pytest.raises(CompileError):
            await rows.write(lambda tables: tables.add_to_a_column_that_is_not_there("cat"), -1)


async def test_a_lossy_database_in_a_folder_that_cannot_be_made_reads_as_empty(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    async with lossy(tmp_path / "file" / "words.sqlite3", Clock()) as rows:
        words = await rows.read(lambda tables: tables.all(), ["none"])

    assert words == ["none"]
    assert rows.trouble is not None


async def test_a_lossy_database_that_is_locked_is_not_waited_for_again_and_again(
    tmp_path: Path,
) -> None:
    file = tmp_path / "words.sqlite3"
    schema = Words()
    quick = Database(file, lambda: schema, "list of words", lock_timeout=0.1)
    rows = LossyDatabase(quick, "Words are not kept just now", Clock())
    await rows.write(lambda tables: tables.add("cat"), -1)
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        first = await rows.write(lambda tables: tables.add("dog"), -1)
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    second = await rows.write(lambda tables: tables.add("bird"), -1)
    await rows.aclose()

    assert (first, second) == (-1, -1)
    assert rows.trouble is not None
    assert "Another process holds it" in rows.trouble
