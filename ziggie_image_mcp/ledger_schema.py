"""Say the ledger in SQL, the same for SQLite and Postgres.

Imports SQLAlchemy, so `ledger` imports this module only when it is first used.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from ziggie_image_mcp.errors import ConfigError, StorageError
from ziggie_image_mcp.types import Hold, HoldState

VERSION = 1
"""Of the tables. A change of them raises it, and teaches `_prepare` the way up."""

_CREATION_LOCK = 0x7A69_6767_6965
"""Postgres' advisory lock while the tables are made: CREATE TABLE IF NOT EXISTS races there."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_metadata = sa.MetaData()

_meta = sa.Table(
    "meta",
    _metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)
"""One row. It is also the gate: who holds its lock is the only one that writes."""

_holds = sa.Table(
    "holds",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("images", sa.Integer, nullable=False),
    sa.Column("estimate", sa.BigInteger, nullable=False),
    sa.Column("actual", sa.BigInteger),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("remote_id", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),  # microseconds since 1970, UTC
    sa.Column("day", sa.Text, nullable=False),  # 2026-11-23, UTC
    sa.Column("month", sa.Text, nullable=False, index=True),  # 2026-11
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What one provider cost in one day, and in the month of that day."""

    provider: str
    spent_day: int
    held_day: int
    spent_month: int
    held_month: int


class Holds:
    """The table of holds, inside one transaction. It decides nothing."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def find(self, hold_id: str) -> Hold | None:
        """The hold with this id."""
        query = sa.select(_holds).where(_holds.c.id == hold_id)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else _hold(row)

    def select(self, since: datetime | None, states: Collection[HoldState] | None) -> list[Hold]:
        """The holds made at or after `since` and in one of `states`, newest first."""
        query = sa.select(_holds).order_by(_holds.c.created.desc(), _holds.c.id.desc())
        if since is not None:
            query = query.where(_holds.c.created >= stamp(since))
        if states is not None:
            query = query.where(_holds.c.state.in_(states))
        return [_hold(row) for row in self._connection.execute(query).mappings()]

    def count(self, state: HoldState) -> int:
        """How many holds are in this state."""
        query = sa.select(sa.func.count()).where(_holds.c.state == state)
        return self._connection.execute(query).scalar_one()

    def total(self, prefix: str) -> int:
        """What the holds whose ids begin so cost, or may yet cost."""
        counted = sa.func.sum(sa.func.coalesce(_holds.c.actual, _holds.c.estimate))
        query = sa.select(counted).where(
            _holds.c.id.startswith(prefix, autoescape=True), _holds.c.state != "released"
        )
        return int(self._connection.execute(query).scalar() or 0)

    def insert(self, hold: Hold) -> Hold:
        """Add a hold."""
        self._connection.execute(_holds.insert().values(**_row(hold)))
        return hold

    def claim(self, hold: Hold, owner: str) -> bool:
        """Make a reserved hold a submitted one of `owner`; False when it is not reserved."""
        claimed = self._connection.execute(
            _holds.update()
            .where(_holds.c.id == hold.id, _holds.c.state == "reserved")
            .values(state="submitted", owner=owner)
        )
        return claimed.rowcount == 1

    def rename(self, hold_id: str, new_id: str, owner: str) -> bool:
        """Give a reserved hold another id and owner; False when no reserved hold has this id."""
        renamed = self._connection.execute(
            _holds.update()
            .where(_holds.c.id == hold_id, _holds.c.state == "reserved")
            .values(id=new_id, owner=owner)
        )
        return renamed.rowcount == 1

    def change(self, hold: Hold, **values: Any) -> Hold:
        """Set some columns of a hold."""
        self._connection.execute(_holds.update().where(_holds.c.id == hold.id).values(**values))
        return replace(hold, **values)

    def sums(self, moment: datetime, without: Collection[str] = ()) -> list[Sums]:
        """What each provider cost, these holds left out. A hold counts on the day it was made."""
        state, estimate = _holds.c.state, _holds.c.estimate
        spent = sa.case(
            (state == "settled", _holds.c.actual), (state == "unknown", estimate), else_=0
        )
        held = sa.case((state.in_(("reserved", "submitted")), estimate), else_=0)
        today = _holds.c.day == f"{moment:%Y-%m-%d}"
        query = (
            sa.select(
                _holds.c.provider,
                sa.func.sum(sa.case((today, spent), else_=0)),
                sa.func.sum(sa.case((today, held), else_=0)),
                sa.func.sum(spent),
                sa.func.sum(held),
            )
            .where(_holds.c.month == f"{moment:%Y-%m}", _holds.c.id.not_in(without))
            .group_by(_holds.c.provider)
        )
        return [
            Sums(
                provider=row[0],
                spent_day=int(row[1]),  # Postgres adds bigints up to a Decimal
                held_day=int(row[2]),
                spent_month=int(row[3]),
                held_month=int(row[4]),
            )
            for row in self._connection.execute(query)
        ]


def _row(hold: Hold) -> dict[str, Any]:
    return {
        "id": hold.id,
        "provider": hold.provider,
        "model": hold.model,
        "images": hold.images,
        "estimate": hold.estimate,
        "actual": hold.actual,
        "state": hold.state,
        "remote_id": hold.remote_id,
        "created": stamp(hold.created),
        "day": f"{hold.created:%Y-%m-%d}",
        "month": f"{hold.created:%Y-%m}",
        "owner": hold.owner,
        "note": hold.note,
    }


def _hold(row: Mapping[Any, Any]) -> Hold:
    values: dict[str, Any] = {str(key): value for key, value in row.items()}
    del values["day"], values["month"]
    values["created"] = moment(values["created"])
    return Hold(**values)


def stamp(moment: datetime) -> int:
    """A moment as the tables hold it: microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(stamp: int) -> datetime:
    """The moment that a table holds, in UTC."""
    return _EPOCH + stamp * _MICROSECOND


def open_engine(database: str | Path, lock_timeout: float) -> sa.Engine:
    """Connect, and make the tables where there are none.

    Raises:
        ConfigError: The URL makes no sense, or its driver is not installed.
        StorageError: The tables were made by a newer version of this program.
    """
    return connect(database, lock_timeout, _prepare)


def connect(
    database: str | Path, lock_timeout: float, prepare: Callable[[sa.Connection], None]
) -> sa.Engine:
    """Connect, and prepare the database in a transaction of its own.

    Raises:
        ConfigError: The URL makes no sense, or its driver is not installed.
    """
    url = parsed(database)
    sqlite = url.drivername == "sqlite"
    engine = _sqlite(Path(str(url.database)), lock_timeout) if sqlite else _postgres(url)
    if not sqlite:
        _set_up_postgres_sessions(engine, lock_timeout)
    try:
        with engine.begin() as connection:
            prepare(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def pass_gate(connection: sa.Connection) -> None:
    """Wait until no other process writes, and keep the others out until the transaction ends.

    On SQLite, BEGIN IMMEDIATE has already done so, and FOR UPDATE is left out of the statement.
    """
    version = connection.execute(sa.select(_meta.c.version).with_for_update()).scalar_one()
    if version != VERSION:
        raise StorageError(
            f"The ledger's tables are of version {version}, and this program knows {VERSION}. "
            "Update ziggie-image-mcp, and restart the servers that still run."
        )


def name(database: str | Path) -> str:
    """The database as messages may show it: no password, no query."""
    url = parsed(database)
    if url.drivername == "sqlite":
        return str(url.database)
    return f"{url.host or url.query.get('host', 'localhost')}/{url.database or ''}"


@contextmanager
def storage_errors(database: str | Path, what: str = "ledger") -> Generator[None]:
    """Turn what a database or a disk can do to us into StorageError.

    `what` is what messages call the thing that the database holds.

    Raises:
        StorageError: Says what happened to which database, and what to do.
    """
    try:
        yield
    except (exc.IntegrityError, exc.DataError):
        raise  # our bug, not the disk's
    except (exc.DBAPIError, exc.TimeoutError, sqlite3.Error, OSError) as e:
        said = str(getattr(e, "orig", None) or e).strip().partition("\n")[0].rstrip(".")
        raise StorageError(
            f"The {what} {name(database)} cannot be used: {said}. {_fix(database, said)}"
        ) from e


def _fix(database: str | Path, said: str) -> str:
    if "locked" in said or "lock timeout" in said:
        return "Another process holds it: try again, and end the one that hangs."
    if "full" in said or "No space" in said:
        return "Free some disk space, then try again."
    if parsed(database).drivername == "sqlite":
        return (
            "See that its folder and file can be written and are undamaged, or set `database` in "
            "config.json to another place."
        )
    return "See that the server runs, and that `database` in config.json names it and its user."


def parsed(database: str | Path) -> sa.URL:
    """The database as SQLAlchemy names it.

    Raises:
        ConfigError: It makes no sense, or is of a kind that cannot be used.
    """
    if isinstance(database, Path):
        return sa.URL.create("sqlite", database=str(database.absolute()))
    try:
        url = sa.make_url(database)
    except exc.ArgumentError as e:
        raise ConfigError(
            "`database` in config.json is no SQLAlchemy URL, as sqlite:////home/me/ledger.sqlite3 "
            "or postgresql://user@host/name."
        ) from e
    kind = url.get_backend_name()
    if kind == "sqlite":
        path = Path(url.database or "").expanduser()
        if not path.is_absolute():
            raise ConfigError(
                f"`database` in config.json must name a file with its whole path, not "
                f"{url.database or 'memory'!r}: every server must see the same ledger."
            )
        return sa.URL.create("sqlite", database=str(path))
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise ConfigError(
        f"`database` in config.json names {kind}, and only sqlite and postgresql can be used."
    )


def _sqlite(path: Path, lock_timeout: float) -> sa.Engine:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives -wal the same mode
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={
            "timeout": lock_timeout,
            "isolation_level": None,  # the driver sends no BEGIN of its own; `begin` does
            "check_same_thread": False,
        },
        pool_size=1,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: object) -> None:
        _switch_to_wal(connection, lock_timeout)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone does not reach the disk

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get("ledger_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _switch_to_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Set the journal mode, again and again: this one pragma does not wait for a lock itself."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as e:
            if "locked" not in str(e) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _postgres(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(
            url,
            # Anything stricter would add up the caps in a snapshot older than the gate.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            pool_size=1,
            max_overflow=0,
            connect_args={} if "connect_timeout" in url.query else {"connect_timeout": 10},
        )
    except ModuleNotFoundError as e:
        raise ConfigError(
            "`database` in config.json names Postgres, and its driver is not installed: "
            'pip install "ziggie-image-mcp[postgres]".'
        ) from e


def _set_up_postgres_sessions(engine: sa.Engine, lock_timeout: float) -> None:
    milliseconds = int(lock_timeout * 1000)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {milliseconds}")
            # A host that vanished inside a transaction must not keep the gate shut.
            cursor.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()


def _prepare(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
    _metadata.create_all(connection)
    if connection.execute(sa.select(_meta.c.version)).first() is None:
        connection.execute(_meta.insert().values(version=VERSION))
    pass_gate(connection)
