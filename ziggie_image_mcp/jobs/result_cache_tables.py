"""Tables of the result cache, the same for SQLite and Postgres.

Imports SQLAlchemy, so `result_cache` imports this module only when it is first used.
"""

from __future__ import annotations

import sqlalchemy as sa

from ziggie_image_mcp.storage.engine import LockedSchema, TableRows, storable

_LOCK = 0x7A69_6767_6978
"""Postgres' advisory lock of the one that writes. On SQLite, BEGIN IMMEDIATE does its work."""

_metadata = sa.MetaData()

_results = sa.Table(
    "experience_1_results",
    _metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("image_ids", sa.Text, nullable=False),  # with blanks between
    sa.Column("made", sa.BigInteger, nullable=False, index=True),
)


class Tables(TableRows):
    """Cached results, inside one transaction. It decides nothing."""

    def result(self, key: str) -> tuple[str, ...] | None:
        """The ids of the pictures that this key led to."""
        query = sa.select(_results.c.image_ids).where(_results.c.key == storable(key))
        image_ids: str | None = self._connection.execute(query).scalar()
        return tuple(image_ids.split()) if image_ids else None

    def put_result(self, key: str, image_ids: tuple[str, ...], created: int) -> None:
        """Add a result, or change it."""
        self._put(_results, {"key": key}, image_ids=storable(" ".join(image_ids)), made=created)

    def drop_result(self, key: str) -> None:
        """Forget one result."""
        self._connection.execute(_results.delete().where(_results.c.key == storable(key)))

    def drop_results_before(self, created: int) -> None:
        """Forget the results that are older than that."""
        self._connection.execute(_results.delete().where(_results.c.made < created))


SCHEMA = LockedSchema(_metadata, _LOCK, Tables)
