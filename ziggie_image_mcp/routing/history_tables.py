"""Tables of the routing history, the same for SQLite and Postgres.

Imports SQLAlchemy, so `history` imports this module only when it is first used.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from typing import Any

import sqlalchemy as sa

from ziggie_image_mcp.billing.usage_report import PictureCount
from ziggie_image_mcp.routing.types import CircuitBreaker, HistorySnapshot, Latency
from ziggie_image_mcp.storage.engine import (
    LockedSchema,
    TableRows,
    moment,
    stamp,
    storable,
)

_GATE = 0x7A69_6767_6978
"""Postgres' advisory lock of the one that writes. On SQLite, BEGIN IMMEDIATE does its work."""

_metadata = sa.MetaData()

_KIND = ("day", "provider", "model", "where", "task", "width", "height")

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


def _seconds(name: str) -> sa.Table:
    """A table of what runs took that are alike."""
    return sa.Table(
        name,
        _metadata,
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("bucket", sa.Text, primary_key=True),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("samples", sa.Integer, nullable=False),
    )


_latencies = _seconds("experience_1_latencies")
_loads = _seconds("experience_2_loads")
"""What runs took that had to load their model: a table that version 1 does not look at."""


_pictures = sa.Table(
    "usage_1_attempts",
    _metadata,
    sa.Column("attempt", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, nullable=False, index=True),  # 2026-11-23, UTC
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("where", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("pictures", sa.Integer, nullable=False),
    sa.Column("timed", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
)
"""A row per attempt that gave pictures, so that what is counted again after a crash counts once."""


class Tables(TableRows):
    """What was learnt, inside one transaction. It decides nothing."""

    def snapshot(self) -> HistorySnapshot:
        """All breakers, latencies and loads."""
        breakers = [_breaker(row) for row in self._rows(sa.select(_breakers))]
        latencies = [Latency(**row) for row in self._rows(sa.select(_latencies))]
        loads = [Latency(**row) for row in self._rows(sa.select(_loads))]
        return HistorySnapshot(
            breakers={(b.provider, b.model): b for b in breakers},
            latencies={(x.provider, x.model, x.bucket): x for x in latencies},
            loads={(x.provider, x.model, x.bucket): x for x in loads},
        )

    def breaker(self, provider: str, model: str) -> CircuitBreaker | None:
        """The breaker of one model."""
        where = _breakers.c.provider == storable(provider), _breakers.c.model == storable(model)
        return next(map(_breaker, self._rows(sa.select(_breakers).where(*where))), None)

    def latency(
        self, provider: str, model: str, bucket: str, *, cold: bool = False
    ) -> Latency | None:
        """What pictures of this kind took, in runs that had to load the model or in the others."""
        table = _loads if cold else _latencies
        where = (
            table.c.provider == storable(provider),
            table.c.model == storable(model),
            table.c.bucket == storable(bucket),
        )
        rows = self._rows(sa.select(table).where(*where))
        return next((Latency(**row) for row in rows), None)

    def put_breaker(self, breaker: CircuitBreaker) -> None:
        """Add a breaker, or change it."""
        until = None if breaker.open_until is None else stamp(breaker.open_until)
        self._put(
            _breakers,
            {"provider": breaker.provider, "model": breaker.model},
            failures=breaker.failures,
            opens=breaker.opens,
            open_until=until,
            code=storable(breaker.code),
            reason=storable(breaker.reason),
        )

    def put_pictures(self, attempt: str, count: PictureCount) -> None:
        """Count the pictures of an attempt."""
        values = {field.name: getattr(count, field.name) for field in fields(count)}
        values |= {name: storable(values[name]) for name in ("provider", "model")}
        self._put(_pictures, {"attempt": attempt}, **values | {"day": count.day.isoformat()})

    def pictures(self, since: date) -> list[PictureCount]:
        """What was counted from that day on, by day, route and kind of picture."""
        kind = [_pictures.c[name] for name in _KIND]
        sums = [sa.func.sum(_pictures.c[name]).label(name) for name in ("pictures", "timed")]
        seconds = sa.func.sum(_pictures.c.seconds).label("seconds")
        query = (
            sa.select(*kind, *sums, seconds)
            .where(_pictures.c.day >= since.isoformat())
            .group_by(*kind)
            .order_by(*kind)
        )
        return [
            PictureCount(day=date.fromisoformat(row.pop("day")), **row) for row in self._rows(query)
        ]

    def first_day(self) -> date | None:
        """The day on which counting began."""
        day = self._connection.execute(sa.select(sa.func.min(_pictures.c.day))).scalar()
        return None if day is None else date.fromisoformat(day)

    def put_latency(self, latency: Latency, *, cold: bool = False) -> None:
        """Add a latency, or change it."""
        self._put(
            _loads if cold else _latencies,
            {"provider": latency.provider, "model": latency.model, "bucket": latency.bucket},
            seconds=latency.seconds,
            samples=latency.samples,
        )

    def drop_breakers(self, provider: str | None, model: str | None = None) -> None:
        """Forget the breakers of one model, one provider, or all."""
        statement = _breakers.delete()
        if provider is not None:
            statement = statement.where(_breakers.c.provider == storable(provider))
        if model is not None:
            statement = statement.where(_breakers.c.model == storable(model))
        self._connection.execute(statement)


SCHEMA = LockedSchema(_metadata, _GATE, Tables)


def _breaker(row: dict[str, Any]) -> CircuitBreaker:
    if row["open_until"] is not None:
        row["open_until"] = moment(row["open_until"])
    return CircuitBreaker(**row)
