"""Say the experience in SQL, the same for SQLite and Postgres.

Imports SQLAlchemy, so `experience` imports this module only when it is first used.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ziggie_image_mcp.database_engine import hold_lock, moment, stamp
from ziggie_image_mcp.types import Breaker, Latency, Snapshot

_GATE = 0x7A69_6767_6978
"""Postgres' advisory lock of the one that writes. On SQLite, BEGIN IMMEDIATE does its work."""

_metadata = sa.MetaData()

# The number is the version: a change of the columns raises it, begins anew in tables of its own,
# and leaves a server of an older version to the tables that it knows.

_breakers = sa.Table(
    "experience_1_breakers",
    _metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("opens", sa.Integer, nullable=False),
    sa.Column("open_until", sa.BigInteger),  # microseconds since 1970, UTC
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

_latencies = sa.Table(
    "experience_1_latencies",
    _metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("bucket", sa.Text, primary_key=True),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("samples", sa.Integer, nullable=False),
)

_results = sa.Table(
    "experience_1_results",
    _metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("image_ids", sa.Text, nullable=False),  # with blanks between
    sa.Column("made", sa.BigInteger, nullable=False, index=True),
)


class Tables:
    """What was learnt, inside one transaction. It decides nothing."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def snapshot(self) -> Snapshot:
        """All breakers and latencies."""
        breakers = [_breaker(row) for row in self._rows(sa.select(_breakers))]
        latencies = [Latency(**row) for row in self._rows(sa.select(_latencies))]
        return Snapshot(
            breakers={(b.provider, b.model): b for b in breakers},
            latencies={(x.provider, x.model, x.bucket): x for x in latencies},
        )

    def breaker(self, provider: str, model: str) -> Breaker | None:
        """The breaker of one model."""
        where = _breakers.c.provider == _text(provider), _breakers.c.model == _text(model)
        return next(map(_breaker, self._rows(sa.select(_breakers).where(*where))), None)

    def latency(self, provider: str, model: str, bucket: str) -> Latency | None:
        """What pictures of this kind took."""
        where = (
            _latencies.c.provider == _text(provider),
            _latencies.c.model == _text(model),
            _latencies.c.bucket == _text(bucket),
        )
        rows = self._rows(sa.select(_latencies).where(*where))
        return next((Latency(**row) for row in rows), None)

    def result(self, key: str) -> tuple[str, ...] | None:
        """The ids of the pictures that this key led to."""
        query = sa.select(_results.c.image_ids).where(_results.c.key == _text(key))
        found: str | None = self._connection.execute(query).scalar()
        return tuple(found.split()) if found else None

    def put_breaker(self, breaker: Breaker) -> None:
        """Add a breaker, or change it."""
        until = None if breaker.open_until is None else stamp(breaker.open_until)
        self._put(
            _breakers,
            {"provider": breaker.provider, "model": breaker.model},
            failures=breaker.failures,
            opens=breaker.opens,
            open_until=until,
            code=_text(breaker.code),
            reason=_text(breaker.reason),
        )

    def put_latency(self, latency: Latency) -> None:
        """Add a latency, or change it."""
        self._put(
            _latencies,
            {"provider": latency.provider, "model": latency.model, "bucket": latency.bucket},
            seconds=latency.seconds,
            samples=latency.samples,
        )

    def put_result(self, key: str, image_ids: tuple[str, ...], made: int) -> None:
        """Add a result, or change it."""
        self._put(_results, {"key": key}, image_ids=_text(" ".join(image_ids)), made=made)

    def drop_breakers(self, provider: str | None, model: str | None = None) -> None:
        """Forget the breakers of one model, one provider, or all."""
        statement = _breakers.delete()
        if provider is not None:
            statement = statement.where(_breakers.c.provider == _text(provider))
        if model is not None:
            statement = statement.where(_breakers.c.model == _text(model))
        self._connection.execute(statement)

    def drop_result(self, key: str) -> None:
        """Forget one result."""
        self._connection.execute(_results.delete().where(_results.c.key == _text(key)))

    def drop_results_before(self, made: int) -> None:
        """Forget the results that are older than that."""
        self._connection.execute(_results.delete().where(_results.c.made < made))

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        found = self._connection.execute(query).mappings()
        return [{str(key): value for key, value in row.items()} for row in found]

    def _put(self, table: sa.Table, key: dict[str, str], **values: Any) -> None:
        """Take the row out and put it in again: nobody else writes in the meantime."""
        clean = {name: _text(value) for name, value in key.items()}
        where = [table.c[name] == value for name, value in clean.items()]
        self._connection.execute(table.delete().where(*where))
        self._connection.execute(table.insert().values(**clean, **values))


def prepare(connection: sa.Connection) -> None:
    """Make the tables where there are none."""
    pass_gate(connection)
    _metadata.create_all(connection)


def pass_gate(connection: sa.Connection) -> None:
    """Wait until no other process writes, and keep the others out until the transaction ends."""
    hold_lock(connection, _GATE)


def _breaker(row: dict[str, Any]) -> Breaker:
    if row["open_until"] is not None:
        row["open_until"] = moment(row["open_until"])
    return Breaker(**row)


def _text(text: str) -> str:
    """What both databases take: file names and messages may hold NUL or half a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
