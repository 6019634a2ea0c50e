"""Say the lines in SQL, the same for SQLite and Postgres.

Imports SQLAlchemy, so `lines` imports this module only when it is first used.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ziggie_image_mcp.database_engine import hold_lock

_GATE = 0x7A69_6767_696C
"""Postgres' advisory lock of the one that writes. On SQLite, BEGIN IMMEDIATE does its work."""

_metadata = sa.MetaData()

# The number is the version, as that of the experience. Times are microseconds since 1970, UTC.

_turns = sa.Table(
    "lines_1_turns",
    _metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("executor", sa.Text, nullable=False, index=True),
    sa.Column("device", sa.Text, nullable=False, index=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("joined", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("granted", sa.BigInteger, nullable=False),
    sa.Column("cancel", sa.Boolean, nullable=False),
    sa.Column("fraction", sa.Double, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)

_devices = sa.Table(
    "lines_1_devices",
    _metadata,
    sa.Column("device", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("streak", sa.Integer, nullable=False),
)

_executors = sa.Table(
    "lines_1_executors",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("beat", sa.BigInteger, nullable=False),
)

_requests = sa.Table(
    "lines_1_requests",
    _metadata,
    sa.Column("caller", sa.Text, primary_key=True),
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False, index=True),
)


class Tables:
    """Who waits for what, inside one transaction. It decides nothing."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def turns(self, **where: str) -> list[dict[str, Any]]:
        """The rows of which these columns have these values."""
        return self._rows(_turns.select().where(*(_turns.c[k] == v for k, v in where.items())))

    def put_turn(self, job_id: str, **values: Any) -> None:
        """Add a turn, in the place of an earlier one of the same job."""
        self.drop_turn(job_id)
        self._connection.execute(_turns.insert().values(job_id=job_id, **values))

    def change_turn(self, job_id: str, *, owner: str = "", **values: Any) -> bool:
        """Set some columns of a turn; False where there is none, or it is not the owner's."""
        changed = _turns.update().where(*_turn(job_id, owner)).values(**values)
        return self._connection.execute(changed).rowcount == 1

    def drop_turn(self, job_id: str, *, owner: str = "") -> None:
        """Forget a turn, if it is the owner's."""
        self._connection.execute(_turns.delete().where(*_turn(job_id, owner)))

    def devices(self) -> dict[str, tuple[str, int]]:
        """What each device ran last, and how often in a row."""
        return {r["device"]: (r["model"], r["streak"]) for r in self._rows(_devices.select())}

    def put_device(self, device: str, model: str, streak: int) -> None:
        """Write down what a device runs."""
        self._connection.execute(_devices.delete().where(_devices.c.device == device))
        row = {"device": device, "model": model, "streak": streak}
        self._connection.execute(_devices.insert().values(**row))

    def beats(self) -> dict[str, int]:
        """When each process last said that it lives."""
        return {r["id"]: r["beat"] for r in self._rows(_executors.select())}

    def put_beat(self, executor: str, beat: int) -> None:
        """Write down that a process lives."""
        self._connection.execute(_executors.delete().where(_executors.c.id == executor))
        self._connection.execute(_executors.insert().values(id=executor, beat=beat))

    def drop_executor(self, executor: str) -> None:
        """Forget a process and its turns."""
        self._connection.execute(_turns.delete().where(_turns.c.executor == executor))
        self._connection.execute(_executors.delete().where(_executors.c.id == executor))

    def request(self, caller: str, request_id: str) -> tuple[str, str] | None:
        """The job of a request, and the request's fingerprint."""
        mine = _requests.c.caller == caller, _requests.c.request_id == request_id
        rows = self._rows(_requests.select().where(*mine))
        return (rows[0]["job_id"], rows[0]["fingerprint"]) if rows else None

    def put_request(self, **values: Any) -> None:
        """Add a request."""
        self._connection.execute(_requests.insert().values(**values))

    def drop_requests_before(self, made: int) -> int:
        """Forget the requests that are older; how many there were."""
        return self._connection.execute(_requests.delete().where(_requests.c.made < made)).rowcount

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(query).mappings()]


def _turn(job_id: str, owner: str) -> list[sa.ColumnElement[bool]]:
    found = [_turns.c.job_id == job_id]
    return [*found, _turns.c.executor == owner] if owner else found


def prepare(connection: sa.Connection) -> None:
    """Make the tables where there are none."""
    pass_gate(connection)
    _metadata.create_all(connection)


def pass_gate(connection: sa.Connection) -> None:
    """Wait until no other process writes, and keep the others out until the transaction ends."""
    hold_lock(connection, _GATE)
