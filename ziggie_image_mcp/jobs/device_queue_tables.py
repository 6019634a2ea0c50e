"""Tables of the device queue, the same for SQLite and Postgres.

Imports SQLAlchemy, so `device_queue` imports this module only when it is first used.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from ziggie_image_mcp.storage.engine import LockedSchema, TableRows, storable

_GATE = 0x7A69_6767_696C
"""Postgres' advisory lock of the one that writes. On SQLite, BEGIN IMMEDIATE does its work."""

_metadata = sa.MetaData()

# The names are those of version 1, whose processes may share the tables: a change of columns makes
# tables of a new number. Times are microseconds since 1970, UTC.

_entries = sa.Table(
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

_translations = sa.Table(
    "jobs_2_translations",
    _metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("due", sa.BigInteger, nullable=False),  # milliseconds since 1970, UTC; 0: at once
)

_recoveries = sa.Table(
    "jobs_2_recoveries",
    _metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)


_remote_jobs = sa.Table(
    "jobs_3_remote_jobs",
    _metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("job_id", sa.Text, nullable=False, index=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("remote_id", sa.Text, nullable=False),
)

_cancels = sa.Table(
    "jobs_3_cancels",
    _metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
)
"""The jobs that somebody asked to stop: unlike an entry's flag it outlives who runs them."""


class Tables(TableRows):
    """Who waits for what, inside one transaction. It decides nothing."""

    def entries(self, **where: str) -> list[dict[str, Any]]:
        """The rows of which these columns have these values."""
        return self._rows(_entries.select().where(*(_entries.c[k] == v for k, v in where.items())))

    def put_entry(self, job_id: str, **values: Any) -> None:
        """Add an entry, in the place of an earlier one of the same job."""
        self.drop_entry(job_id)
        self._connection.execute(_entries.insert().values(job_id=job_id, **values))

    def change_entry(self, job_id: str, *, owner: str = "", **values: Any) -> bool:
        """Set some columns of an entry; False where there is none, or it is not the owner's."""
        changed = _entries.update().where(*_entry(job_id, owner)).values(**values)
        return self._connection.execute(changed).rowcount == 1

    def drop_entry(self, job_id: str, *, owner: str = "") -> None:
        """Forget an entry, if it is the owner's."""
        self._connection.execute(_entries.delete().where(*_entry(job_id, owner)))

    def devices(self) -> dict[str, tuple[str, int]]:
        """What each device ran last, and how often in a row."""
        return {r["device"]: (r["model"], r["streak"]) for r in self._rows(_devices.select())}

    def put_device(self, device: str, model: str, streak: int) -> None:
        """Write down what a device runs."""
        self._connection.execute(_devices.delete().where(_devices.c.device == device))
        row = {"device": device, "model": model, "streak": streak}
        self._connection.execute(_devices.insert().values(**row))

    def heartbeats(self) -> dict[str, int]:
        """When each process last said that it lives."""
        return {r["id"]: r["beat"] for r in self._rows(_executors.select())}

    def put_heartbeat(self, executor: str, beat: int) -> None:
        """Write down that a process lives."""
        self._connection.execute(_executors.delete().where(_executors.c.id == executor))
        self._connection.execute(_executors.insert().values(id=executor, beat=beat))

    def drop_executor(self, executor: str) -> None:
        """Forget a process and its entries."""
        self._connection.execute(_entries.delete().where(_entries.c.executor == executor))
        self._connection.execute(_executors.delete().where(_executors.c.id == executor))

    def request(self, caller: str, request_id: str) -> tuple[str, str] | None:
        """The job of a request, and the request's fingerprint."""
        mine = _requests.c.caller == caller, _requests.c.request_id == request_id
        rows = self._rows(_requests.select().where(*mine))
        return (rows[0]["job_id"], rows[0]["fingerprint"]) if rows else None

    def put_request(self, **values: Any) -> None:
        """Add a request."""
        self._connection.execute(_requests.insert().values(**values))

    def drop_requests_before(self, created: int) -> int:
        """Forget the requests that are older; how many there were."""
        return self._connection.execute(
            _requests.delete().where(_requests.c.made < created)
        ).rowcount

    def recoveries(self, job_id: str) -> int:
        """How often the job was taken up because its process had died."""
        query = sa.select(_recoveries.c.count).where(_recoveries.c.job_id == job_id)
        return self._connection.execute(query).scalar() or 0

    def put_recoveries(self, job_id: str, count: int) -> None:
        """Write down how often the job was taken up."""
        self._put(_recoveries, {"job_id": job_id}, count=count)

    def drop_recoveries(self, job_id: str) -> None:
        """Forget how often the job was taken up."""
        self._connection.execute(_recoveries.delete().where(_recoveries.c.job_id == job_id))

    def remote_id(self, key: str) -> str:
        """The engine's id of a request; empty where none is known."""
        query = sa.select(_remote_jobs.c.remote_id).where(_remote_jobs.c.key == key)
        return self._connection.execute(query).scalar() or ""

    def put_remote_job(self, key: str, job_id: str, provider: str, remote_id: str) -> None:
        """Write down the engine's id of a request."""
        values = {"job_id": job_id, "provider": provider, "remote_id": storable(remote_id)}
        self._put(_remote_jobs, {"key": key}, **values)

    def remote_jobs(self, job_ids: Collection[str]) -> list[tuple[str, str]]:
        """Provider and engine's id of all that is done for these jobs."""
        query = _remote_jobs.select().where(_remote_jobs.c.job_id.in_(job_ids))
        return [(r["provider"], r["remote_id"]) for r in self._rows(query)]

    def drop_remote_jobs(self, job_ids: Collection[str]) -> None:
        """Forget what engines do for these jobs."""
        self._connection.execute(_remote_jobs.delete().where(_remote_jobs.c.job_id.in_(job_ids)))

    def put_cancel(self, job_id: str) -> None:
        """Write down that a job is to stop, whoever runs it."""
        self._put(_cancels, {"job_id": job_id})

    def cancels(self, job_ids: Collection[str]) -> set[str]:
        """Which of these jobs are to stop."""
        flagged = sa.select(_entries.c.job_id).where(
            _entries.c.job_id.in_(job_ids), _entries.c.cancel
        )  # as version 2 says it
        asked = sa.select(_cancels.c.job_id).where(_cancels.c.job_id.in_(job_ids))
        return set(self._connection.execute(asked.union(flagged)).scalars())

    def drop_cancels(self, job_ids: Collection[str]) -> None:
        """Forget that these jobs were to stop."""
        self._connection.execute(_cancels.delete().where(_cancels.c.job_id.in_(job_ids)))

    def translations(self) -> dict[str, tuple[str, int]]:
        """The jobs whose translation was begun: spec and due time by id."""
        return {r["job_id"]: (r["spec"], r["due"]) for r in self._rows(_translations.select())}

    def put_translation(self, job_id: str, spec: str, due: int) -> None:
        """Keep a translated job until it is on the queue."""
        self._put(_translations, {"job_id": job_id}, spec=storable(spec), due=due)

    def drop_translation(self, job_id: str) -> None:
        """Forget a translated job."""
        self._connection.execute(_translations.delete().where(_translations.c.job_id == job_id))


def _entry(job_id: str, owner: str) -> list[sa.ColumnElement[bool]]:
    conditions = [_entries.c.job_id == job_id]
    return [*conditions, _entries.c.executor == owner] if owner else conditions


SCHEMA = LockedSchema(_metadata, _GATE, Tables)
