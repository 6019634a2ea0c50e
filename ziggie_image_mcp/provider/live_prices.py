"""Keep a vendor's own price list for a day, so that its prices are today's at no cost."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import anyio.to_thread
from pydantic import ValidationError

from ziggie_image_mcp.errors import ProviderError
from ziggie_image_mcp.provider.pricing import PriceBook, Unit
from ziggie_image_mcp.provider.settings import RateRow, RowT, Section
from ziggie_image_mcp.provider.systems import put_in_place

Rates = Mapping[str, Sequence[RateRow]]
"""By the id of a model: all its rates, or it is not there."""

FRESH = timedelta(days=1)
LONGEST = timedelta(days=7)
"""For so long a list is used that cannot be read anew."""
READ_SECONDS = 3.0
PAUSE_SECONDS = 600.0
"""After a list that could not be read, until it is asked for again."""
MOST_MICRO_USD = 1_000 * 1_000_000
"""No unit costs more: what does is misread."""

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What reading a list raises that is not in the vendor's words."""


_MADE: tuple[Unit, ...] = ("request", "image", "megapixel", "second", "image_token_out")
"""What a picture is priced by: free of charge it is not."""


class _Kept(Section):
    url: str
    read_at: datetime
    rates: dict[str, tuple[RateRow, ...]]


class LivePrices:
    """The price list of one vendor.

    Args:
        file: Where it is kept.
        url: Whose it is; what was kept of another address is not used.
        read: Asks the vendor, by GETs that cost nothing.
    """

    def __init__(self, file: Path, url: str, read: Callable[[], Awaitable[Rates]]) -> None:
        self._file, self._url, self._read = file, url, read
        self._kept: _Kept | None = None
        self._looked = False
        self._again_at = 0.0

    async def books(self) -> Mapping[str, PriceBook]:
        """The prices by model; of what is not there, the table's are the latest known."""
        if not self._looked:
            self._kept = await anyio.to_thread.run_sync(self._load)
            self._looked = True
        now = datetime.now(UTC)
        if self._age(now) >= FRESH and time.monotonic() >= self._again_at:
            self._again_at = time.monotonic() + PAUSE_SECONDS
            await self._renew(now)
        if self._kept is None or self._age(now) >= LONGEST:
            return {}
        source = f"{self._url}, read {self._kept.read_at:%Y-%m-%d %H:%M} UTC"
        return {
            id: PriceBook(
                rates=tuple(row.rate() for row in rows),
                as_of=self._kept.read_at.date(),
                source=source,
                live=True,
            )
            for id, rows in self._kept.rates.items()
        }

    def _age(self, now: datetime) -> timedelta:
        if self._kept is None:
            return timedelta.max
        age = now - self._kept.read_at
        return age if age >= timedelta(0) else timedelta.max  # written by a clock that was ahead

    async def _renew(self, now: datetime) -> None:
        rates: Rates = {}
        with anyio.move_on_after(READ_SECONDS):
            try:
                rates = await self._read()
            except (ProviderError, *UNREADABLE):
                return  # the list before, or the table, is the latest known
        usable = {id: tuple(rows) for id, rows in rates.items() if _is_price(rows)}
        if usable:
            self._kept = _Kept(url=self._url, read_at=now, rates=usable)
            await anyio.to_thread.run_sync(self._save, self._kept)

    def _load(self) -> _Kept | None:
        try:
            kept = _Kept.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return None
        return kept if kept.url == self._url else None

    def _save(self, kept: _Kept) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            put_in_place(self._file, kept.model_dump_json(by_alias=True).encode(), 0o600)
        except OSError:
            return  # a full disk costs the cache, not the prices


async def asked_apart(
    rows: Mapping[str, RowT], ask: Callable[[str, RowT], Awaitable[Sequence[RateRow]]]
) -> Rates:
    """A list out of a question for each model, all at once; who does not answer is left out."""
    found: dict[str, Sequence[RateRow]] = {}

    async def read(id: str, row: RowT) -> None:
        try:
            rates = await ask(id, row)
        except (ProviderError, *UNREADABLE):
            return  # this one keeps the table's
        if rates:
            found[id] = rates

    async with anyio.create_task_group() as group:
        for id, row in rows.items():
            group.start_soon(read, id, row)
    return found


def _is_price(rows: Sequence[RateRow]) -> bool:
    """Whether these could be the rates of a model that is paid for."""
    amounts = [row.micro_usd for row in rows]
    odd = any(not math.isfinite(a) or a > MOST_MICRO_USD for a in amounts)
    made = [row.micro_usd for row in rows if row.unit in _MADE]
    return bool(made) and not odd and all(amount > 0 for amount in made)


def near(price: float, known: float) -> bool:
    """Whether a price whose unit nobody documents may be read as one in the unit of the table.

    Five times more or less is another unit, or another thing that is priced.
    """
    return known / 5 <= price <= known * 5
