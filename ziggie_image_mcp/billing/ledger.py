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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ziggie_image_mcp.billing.money import micro_usd, usd
from ziggie_image_mcp.billing.types import Hold, HoldState, Spending
from ziggie_image_mcp.config.config import Budget, data_dir
from ziggie_image_mcp.errors import OverBudget
from ziggie_image_mcp.storage.database import Database, Schema

if TYPE_CHECKING:
    from ziggie_image_mcp.billing.ledger_tables import Sums, Tables

OPEN: tuple[HoldState, ...] = ("reserved", "submitted")
"""The states in which a process still works on a hold."""


class NoSuchHold(LookupError):
    """Raised when no hold has this id. A bug of the caller."""


class IllegalMove(ValueError):
    """Raised when a hold cannot go from its state to the one asked for. A bug of the caller."""

    def __init__(self, hold: Hold, to: str) -> None:
        super().__init__(f"hold {hold.id} is {hold.state} and cannot be {to}")
        self.hold = hold


@dataclass(frozen=True, kw_only=True)
class WindowCaps:
    """What may be spent in a window of time, 1e-6 USD. None: no cap."""

    per_day: int | None = None
    per_month: int | None = None


@dataclass(frozen=True, kw_only=True)
class Caps:
    """What may be spent, 1e-6 USD. None: no cap."""

    per_image: int | None = None
    per_day: int | None = None
    per_month: int | None = None
    per_provider: Mapping[str, WindowCaps] = field(default_factory=dict[str, WindowCaps])


def caps_from(budget: Budget, providers: Mapping[str, Budget] | None = None) -> Caps:
    """The config's dollars as caps; `providers` has those of single providers."""
    return Caps(
        per_image=_cap(budget.per_image),
        per_day=_cap(budget.per_day),
        per_month=_cap(budget.per_month),
        per_provider={
            name: WindowCaps(per_day=_cap(own.per_day), per_month=_cap(own.per_month))
            for name, own in (providers or {}).items()
        },
    )


def default_file() -> Path:
    """Where the ledger stands when the config names no database."""
    return data_dir() / "ledger.sqlite3"


def _schema() -> Schema[Tables]:
    from ziggie_image_mcp.billing import ledger_tables

    return ledger_tables


class Ledger:
    """Every hold of every process that uses the same database.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        lock_timeout: Seconds to wait while other processes write.
    """

    def __init__(self, database: str | Path, *, lock_timeout: float = 30) -> None:
        self._rows = Database(database, _schema, "ledger", lock_timeout=lock_timeout)

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
            _check_caps(new, caps, holds.sums(new.created))
            if group is not None:
                _check_group(new, group[1], holds.total(group[0]))
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

    async def take(self, hold_id: str, new_id: str, *, owner: str) -> bool:
        """Make a reserved hold the caller's own, under a new id: True for exactly one caller.

        Raises:
            StorageError: The database cannot be used.
        """
        return await self._rows.write(lambda holds: holds.rename(hold_id, new_id, owner))

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

    async def settle(self, hold_id: str, actual: int) -> Hold:
        """Write down what the job cost, also when that is more than was held.

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

    async def holds(
        self, since: datetime | None = None, states: Collection[HoldState] | None = None
    ) -> list[Hold]:
        """The holds made at or after `since` and now in one of `states`, newest first.

        Raises:
            StorageError: The database cannot be used.
        """
        earliest = None if since is None else _utc(since)
        return await self._rows.read(lambda holds: holds.select(earliest, states))

    async def open_holds(self) -> list[Hold]:
        """The holds on which a process works, or worked when it died.

        Raises:
            StorageError: The database cannot be used.
        """
        return await self.holds(states=OPEN)

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next call of another method reopens."""
        await self._rows.aclose()


def _cap(dollars: float | None) -> int | None:
    return None if dollars is None else micro_usd(dollars)


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
    return holds.change(hold, state=to, note=_joined(hold.note, note))


def _check_same(stored: Hold, new: Hold) -> None:
    for name in ("provider", "model", "images", "estimate"):
        have, want = getattr(stored, name), getattr(new, name)
        if have != want:
            raise ValueError(f"hold {stored.id} has {name}={have!r} and was asked with {want!r}")


def _check_caps(hold: Hold, caps: Caps, sums: Sequence[Sums]) -> None:
    need = hold.estimate
    if caps.per_image is not None and need > caps.per_image * hold.images:
        raise OverBudget(
            f"budget.perImage is {usd(caps.per_image)}, and {hold.provider}/{hold.model} costs up "
            f"to {usd(-(-need // hold.images))} a picture. Choose a cheaper model or a smaller "
            "size, or raise budget.perImage in config.json."
        )
    day, month = f"on {hold.created:%Y-%m-%d} (UTC)", f"in {hold.created:%Y-%m} (UTC)"
    own = [s for s in sums if s.provider == hold.provider]
    own_caps = caps.per_provider.get(hold.provider, WindowCaps())
    own_setting = f"providers.{hold.provider}.budget"
    for setting, per_day, per_month, who, counted in (
        ("budget", caps.per_day, caps.per_month, "", sums),
        (own_setting, own_caps.per_day, own_caps.per_month, f"by {hold.provider} ", own),
    ):
        spent, held = sum(s.spent_day for s in counted), sum(s.held_day for s in counted)
        _check_cap(f"{setting}.perDay", per_day, who + day, spent, held, need)
        spent, held = sum(s.spent_month for s in counted), sum(s.held_month for s in counted)
        _check_cap(f"{setting}.perMonth", per_month, who + month, spent, held, need)


def _check_group(hold: Hold, cap: int, used: int) -> None:
    if used + hold.estimate > cap:
        raise OverBudget(
            f"The budget of this batch is {usd(cap)}: {usd(used)} is spent or held, and this needs "
            f"{usd(hold.estimate)}. Run it again with a larger --budget to go on."
        )


def _check_cap(
    setting: str, cap: int | None, window: str, spent: int, held: int, need: int
) -> None:
    if cap is not None and need > 0 and spent + held + need > cap:
        raise OverBudget(
            f"{setting} is {usd(cap)}: {usd(spent)} spent and {usd(held)} held {window}, and this "
            f"needs {usd(need)}. Choose a cheaper model, wait, or raise {setting} in config.json."
        )
