"""Tables of the ledger, the same for SQLite and Postgres.

Imports SQLAlchemy, so `ledger` imports this module only when it is first used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ziggie_image_mcp.billing.types import QUESTION, QUESTION_TIME, Hold, HoldState
from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.storage.engine import moment, stamp

VERSION = 1
"""Of the tables. A change of them raises it, and teaches `prepare` the way up."""

_CREATION_LOCK = 0x7A69_6767_6965
"""Postgres' advisory lock while the tables are made: CREATE TABLE IF NOT EXISTS races there."""

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

_disputes = sa.Table(
    "disputes",
    _metadata,
    sa.Column("hold", sa.Text, primary_key=True),
    sa.Column("claim", sa.Text, nullable=False),
)
"""What vendors claim and nobody believes. Programs that do not know this table need not."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What one provider cost in one day, and in the month of that day."""

    provider: str
    spent_day: int
    held_day: int
    spent_month: int
    held_month: int


class Tables:
    """The table of holds, inside one transaction. It decides nothing."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def last(self) -> int:
        """The number of the newest hold, which only grows. Of SQLite."""
        return self._connection.exec_driver_sql("SELECT max(rowid) FROM holds").scalar() or 0

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

    def disputes(self) -> dict[str, str]:
        """What is claimed of which holds."""
        rows = self._connection.execute(sa.select(_disputes.c.hold, _disputes.c.claim))
        return {row[0]: row[1] for row in rows}

    def dispute(self, hold_id: str, claim: str) -> None:
        """Keep what a vendor claims."""
        self.end_dispute(hold_id)
        self._connection.execute(_disputes.insert().values(hold=hold_id, claim=claim))

    def end_dispute(self, hold_id: str) -> None:
        """It is settled for good."""
        self._connection.execute(_disputes.delete().where(_disputes.c.hold == hold_id))

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
        expired = _holds.c.id.startswith(QUESTION, autoescape=True) & (
            _holds.c.created < stamp(moment - QUESTION_TIME)
        )
        held = sa.case(
            (state.in_(("reserved", "submitted")) & ~((state == "reserved") & expired), estimate),
            else_=0,
        )
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


def lock_for_writing(connection: sa.Connection) -> None:
    """Wait until no other process writes, and keep the others out until the transaction ends.

    On SQLite, BEGIN IMMEDIATE has already done so, and FOR UPDATE is left out of the statement.
    """
    version = connection.execute(sa.select(_meta.c.version).with_for_update()).scalar_one()
    if version != VERSION:
        raise StorageError(
            f"The ledger's tables are of version {version}, and this program knows {VERSION}. "
            "Update ziggie-image-mcp, and restart the servers that still run."
        )


def prepare(connection: sa.Connection) -> None:
    """Make the tables where there are none.

    Raises:
        StorageError: They were made by a newer version of this program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
    _metadata.create_all(connection)
    if connection.execute(sa.select(_meta.c.version)).first() is None:
        connection.execute(_meta.insert().values(version=VERSION))
    lock_for_writing(connection)
