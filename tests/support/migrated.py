"""New jobs' databases of tests as DBOS's migrations leave them: made once, and copied."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from dbos._sys_db_sqlite import SQLiteSystemDatabase


@contextmanager
def copied(folder: Path) -> Generator[None]:
    """Let the databases that DBOS makes in this process begin as a copy of the first one.

    Its forty migrations are a fifth of what a test with a service takes. They still run, and find
    that nothing is left to do; where there is a database already, nothing is changed.

    Args:
        folder: Where the copy is kept.
    """
    template = folder / "migrated.sqlite3"
    migrate = SQLiteSystemDatabase.run_migrations

    def run_migrations(self: SQLiteSystemDatabase) -> None:
        place = Path(self.engine.url.database or "")
        is_new = not place.exists()
        if is_new and template.exists():
            copy = shutil.copyfile(template, place.with_name(f"{os.getpid()}.{place.name}"))
            with suppress(FileExistsError):  # another process was first
                place.hardlink_to(copy)
            copy.unlink()
        migrate(self)
        if is_new and not template.exists():
            with closing(sqlite3.connect(place)) as here, closing(sqlite3.connect(template)) as to:
                here.backup(to)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLiteSystemDatabase, "run_migrations", run_migrations)
        yield
