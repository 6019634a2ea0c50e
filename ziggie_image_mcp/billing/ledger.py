"""Keep the money: hold it before a paid job is sent, settle it after, let no cap be passed.

A hold goes one way, and every step of it is one durable transaction:

    reserved -> submitted -> settled
       |            |-> unknown -> settled | released, once the provider tells
       |            '-> released, when the provider says that it charged nothing
       '-> released

Send a job only after `submit` returned True. After a crash, never send it again: ask the provider
by the hold's id, or move the hold to `unknown`, which counts as spent.

All amounts are integers of 1e-6 USD; days and months are UTC. SQLAlchemy is imported on first use.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ziggie_image_mcp.billing.caps import Caps, check_caps, check_group
from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.billing.types import (
    QUESTION,
    QUESTION_TIME,
    Hold,
    HoldState,
    OpenCharge,
    Spending,
)
from ziggie_image_mcp.billing.witness import Witness, WitnessedSchema
from ziggie_image_mcp.config.config import data_dir
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.storage.database import Database, Schema, sqlite_file

if TYPE_CHECKING:
    from ziggie_image_mcp.billing.ledger_tables import Tables

OPEN: tuple[HoldState, ...] = ("reserved", "submitted")
"""The states in which a process still works on a hold."""


class NoSuchHold(LookupError):
    """Raised when no hold has this id. A bug of the caller."""


class IllegalMove(ValueError):
    """Raised when a hold cannot go from its state to the one asked for. A bug of the caller."""

    def __init__(self, hold: Hold, to: str) -> None:
        super().__init__(f"hold {hold.id} is {hold.state} and cannot be {to}")
        self.hold = hold


def default_file() -> Path:
    """Where the ledger stands when the config names no database."""
    return data_dir() / "ledger.sqlite3"


def _schema(witness: Witness | None) -> Schema[Tables]:
    from ziggie_image_mcp.billing import ledger_tables

    return ledger_tables if witness is None else WitnessedSchema(ledger_tables, witness)


class Ledger:
    """Every hold of every process that uses the same database.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        lock_timeout: Seconds to wait while other processes write.
        witness_folder: Where an SQLite ledger's witness stands; None: it has none.
    """

    def __init__(
        self,
        database: str | Path,
        *,
        lock_timeout: float = 30,
        witness_folder: Path | None = None,
    ) -> None:
        file = sqlite_file(database)
        self._witness = None
        if witness_folder is not None and file is not None:
            self._witness = Witness(witness_folder, file)
        schema = partial(_schema, self._witness)
        self._rows = Database(database, schema, "ledger", lock_timeout=lock_timeout)

    async def reserve(
        self,
        hold_id: str,
        *,
        provider: str,
        model: str,
        images: int,
        estimate: int,
        caps: Caps,
        owner: str,
        now: datetime,
        group: tuple[str, int] | None = None,
    ) -> Hold:
        """Set money aside. The same id again gives back the stored hold, whatever its state.

        All holds whose ids begin with the first part of `group` may cost its second together.

        Raises:
            OverBudget: A cap would be passed; nothing was set aside.
            ValueError: The id is taken by a hold with other facts, or an argument makes no sense.
            StorageError: The database cannot be used.
        """
        if images < 1 or estimate < 0:
            raise ValueError(f"images={images} and estimate={estimate} make no hold")
        new = Hold(
            id=hold_id,
            provider=provider,
            model=model,
            images=images,
            estimate=estimate,
            actual=None,
            state="reserved",
            remote_id="",
            created=_utc(now),
            owner=owner,
        )

        def work(holds: Tables) -> Hold:
            stored = holds.find(hold_id)
            if stored is not None:
                _check_same(stored, new)
                return stored
            self._check_witness(holds, self._known())
            check_caps(new, caps, holds.sums(new.created))
            if group is not None:
                check_group(new, group[1], holds.total(group[0]))
            return holds.insert(new)

        return await self._rows.write(work)

    async def submit(self, hold_id: str, *, owner: str | None = None) -> bool:
        """Claim the right to send the job: True for exactly one caller, ever.

        `owner` is the process that sends it, where it is not the one that reserved.

        Raises:
            NoSuchHold: There is no such hold.
            StorageError: The database cannot be used. Do not send the job.
        """

        def work(holds: Tables) -> bool:
            hold = _get(holds, hold_id)
            return holds.claim(hold, owner or hold.owner)

        return await self._rows.write(work)

    async def take(self, hold_id: str, new_id: str, *, owner: str, now: datetime) -> bool:
        """Make a reserved hold the caller's own, under a new id: True for exactly one caller.

        A question that was open too long cannot be taken: its money may be another's by now.

        Raises:
            StorageError: The database cannot be used.
        """
        moment = _utc(now)

        def work(holds: Tables) -> bool:
            hold = holds.find(hold_id)
            if hold is None or is_expired(hold, moment):
                return False
            return holds.rename(hold_id, new_id, owner)

        return await self._rows.write(work)

    async def remote(self, hold_id: str, remote_id: str) -> Hold:
        """Keep the provider's id of the job.

        Raises:
            NoSuchHold: There is no such hold.
            IllegalMove: The job was not sent, is over, or has another id.
            StorageError: The database cannot be used.
        """

        def work(holds: Tables) -> Hold:
            hold = _get(holds, hold_id)
            if hold.remote_id == remote_id:
                return hold
            if hold.remote_id or hold.state not in ("submitted", "unknown"):
                raise IllegalMove(hold, f"given the remote id {remote_id}")
            return holds.change(hold, remote_id=remote_id)

        return await self._rows.write(work)

    async def keep_cost(self, hold_id: str, actual: int) -> Hold:
        """Keep what the vendor told of a job that was sent, before its pictures are kept.

        So it is known to whoever settles after a crash. Where the job is over, nothing is changed.

        Raises:
            NoSuchHold: There is no such hold.
            StorageError: The database cannot be used.
        """

        def work(holds: Tables) -> Hold:
            hold = _get(holds, hold_id)
            return holds.change(hold, actual=actual) if hold.state == "submitted" else hold

        return await self._rows.write(work)

    async def settle(self, hold_id: str, actual: int, *, disputed: str = "") -> Hold:
        """Write down what the job cost, also when that is more than was held.

        `disputed` is what the vendor claims, for people, where that does not count.

        Raises:
            NoSuchHold: There is no such hold.
            IllegalMove: The job was not sent, or is settled at another price, or released.
            ValueError: The amount is negative.
            StorageError: The database cannot be used.
        """
        if actual < 0:
            raise ValueError(f"actual={actual} is no amount")

        def work(holds: Tables) -> Hold:
            hold = _get(holds, hold_id)
            if hold.state == "settled" and hold.actual == actual:
                return hold
            if hold.state not in ("submitted", "unknown"):
                raise IllegalMove(hold, f"settled at {usd(actual)}")
            drift = ""
            if actual > hold.estimate:
                drift = (
                    f"Price drift: cost {usd(actual)}, estimated {usd(hold.estimate)}; "
                    f"the price of {hold.provider}/{hold.model} is out of date."
                )
            if disputed:
                holds.dispute(hold_id, disputed)
            note = _joined(hold.note, drift)
            return holds.change(hold, state="settled", actual=actual, note=note)

        return await self._rows.write(work)

    async def release(self, hold_id: str, note: str, *, not_charged: bool = False) -> Hold:
        """Give the money back: the job was never sent, or the provider says it charged nothing.

        Raises:
            NoSuchHold: There is no such hold.
            IllegalMove: The job was sent and `not_charged` is not given, or it is settled.
            StorageError: The database cannot be used.
        """
        sources: tuple[HoldState, ...] = ("reserved",)
        if not_charged:
            sources = ("reserved", "submitted", "unknown")
        return await self._rows.write(
            lambda holds: _move(holds, hold_id, "released", sources, note)
        )

    async def unknown(self, hold_id: str, note: str) -> Hold:
        """Say that nobody knows whether the job was charged. It counts as spent.

        Raises:
            NoSuchHold: There is no such hold.
            IllegalMove: The job was not sent, or its end is known.
            StorageError: The database cannot be used.
        """
        return await self._rows.write(
            lambda holds: _move(holds, hold_id, "unknown", ("submitted",), note)
        )

    async def spending(self, now: datetime, without: Collection[str] = ()) -> Spending:
        """What is spent and held in the UTC day and month of `now`; unknown ones of all times.

        The holds named by `without` do not count: those that the asker would use himself.

        Raises:
            StorageError: The database cannot be used.
        """
        moment = _utc(now)

        def work(holds: Tables) -> Spending:
            self._check_witness(holds, self._known())  # before anything is read
            sums = holds.sums(moment, without)
            days = {s.provider: s.spent_day + s.held_day for s in sums}
            months = {s.provider: s.spent_month + s.held_month for s in sums}
            return Spending(
                day=sum(days.values()),
                month=sum(months.values()),
                by_provider_day=days,
                by_provider_month=months,
                unknown=holds.count("unknown"),
            )

        return await self._rows.read(work)

    @property
    def held(self) -> str | None:
        """Why it is being waited for just now: another process holds it."""
        return self._rows.held

    async def check(self) -> None:
        """Find out whether this is the ledger that its witness knows. Makes none.

        Raises:
            StorageError: It is not, or the database cannot be used.
        """
        if self._known():
            await self.spending(datetime.now(UTC))

    def _known(self) -> int:
        return 0 if self._witness is None else self._witness.read()

    def _check_witness(self, holds: Tables, known: int) -> None:
        if self._witness is not None:
            self._witness.check(holds.last(), known)

    async def holds(
        self, since: datetime | None = None, states: Collection[HoldState] | None = None
    ) -> list[Hold]:
        """The holds made at or after `since` and now in one of `states`, newest first.

        Raises:
            StorageError: The database cannot be used.
        """
        earliest = None if since is None else _utc(since)
        return await self._rows.read(lambda holds: holds.select(earliest, states))

    async def open_charges(self) -> list[OpenCharge]:
        """What is not settled for good: held, unknown and disputed, newest first.

        Raises:
            StorageError: The database cannot be used.
        """

        def work(holds: Tables) -> list[OpenCharge]:
            disputes = holds.disputes()
            found = holds.select(None, (*OPEN, "unknown"))
            found += [h for hold_id in disputes if (h := holds.find(hold_id)) is not None]
            found.sort(key=lambda hold: hold.created, reverse=True)
            return [OpenCharge(hold=h, disputed=disputes.get(h.id, "")) for h in found]

        return await self._rows.read(work)

    async def settle_by_hand(self, hold_id: str, amount: int | None, now: datetime) -> Hold:
        """End what is open, unknown or disputed as a person says; None: nothing was charged.

        What was sent stays known as sent, at a cost of 0, so that nobody sends it again.

        Raises:
            InvalidRequest: There is no such hold, or it is settled for good.
            StorageError: The database cannot be used.
        """
        words = "nothing was charged" if amount is None else f"it cost {usd(amount)}"
        note = f"Ended by hand on {_utc(now):%Y-%m-%d}: {words}."

        def work(holds: Tables) -> Hold:
            hold = holds.find(hold_id)
            if hold is None:
                raise InvalidRequest("ID", hold_id, "`ziggie-image-mcp spend --open` lists them")
            disputed = hold_id in holds.disputes()
            if hold.state == "released" or (hold.state == "settled" and not disputed):
                fix = f"it is {hold.state} for good, and nothing of it is open"
                raise InvalidRequest("ID", hold_id, fix)
            holds.end_dispute(hold_id)
            told = _joined(hold.note, note)
            if hold.state == "reserved":
                if amount:
                    fix = "it was never sent, so it cost nothing: say none"
                    raise InvalidRequest("AMOUNT", usd(amount), fix)
                return holds.change(hold, state="released", note=told)
            return holds.change(hold, state="settled", actual=amount or 0, note=told)

        return await self._rows.write(work)

    async def find(self, hold_id: str) -> Hold | None:
        """The hold of this id.

        Raises:
            StorageError: The database cannot be used.
        """
        return await self._rows.read(lambda holds: holds.find(hold_id))

    async def open_holds(self) -> list[Hold]:
        """The holds on which a process works, or worked when it died.

        Raises:
            StorageError: The database cannot be used.
        """
        return await self.holds(states=OPEN)

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next call of another method reopens."""
        await self._rows.aclose()


def is_expired(hold: Hold, now: datetime) -> bool:
    """Whether it waits for a person's answer, and waited too long: it counts no more."""
    return hold.id.startswith(QUESTION) and now - hold.created > QUESTION_TIME


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be put into a day")
    return moment.astimezone(UTC)


def _joined(*notes: str) -> str:
    return " ".join(note for note in notes if note)


def _get(holds: Tables, hold_id: str) -> Hold:
    hold = holds.find(hold_id)
    if hold is None:
        raise NoSuchHold(f"there is no hold {hold_id}")
    return hold


def _move(
    holds: Tables, hold_id: str, to: HoldState, sources: Sequence[HoldState], note: str
) -> Hold:
    hold = _get(holds, hold_id)
    if hold.state == to:
        return hold
    if hold.state not in sources:
        raise IllegalMove(hold, to)
    return holds.change(hold, state=to, actual=None, note=_joined(hold.note, note))


def _check_same(stored: Hold, new: Hold) -> None:
    for name in ("provider", "model", "images", "estimate"):
        have, want = getattr(stored, name), getattr(new, name)
        if have != want:
            raise ValueError(f"hold {stored.id} has {name}={have!r} and was asked with {want!r}")
