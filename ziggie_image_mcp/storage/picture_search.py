"""Say which stored pictures are asked for, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, kw_only=True)
class IndexedPicture:
    """What is known of a picture without opening it."""

    id: str
    day: str
    """Its folder."""
    made: str
    """UTC, ISO 8601, to the millisecond; earlier versions told it to the second."""
    name: str
    """Of its file."""
    sidecar: str
    prompt: str
    provider: str
    model: str


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which pictures are asked for. What is empty or None excludes none."""

    words: str = ""
    """Parts of the prompt, all of which stand in it."""
    model: str = ""
    """As provider/model."""
    first: date | None = None
    """The first day (UTC), as `last` the last one."""
    last: date | None = None
    owner: str | None = None
    """The mark of whose pictures, as `picture_ids.owner_of` tells it."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the pictures that a search is for."""

    pictures: tuple[IndexedPicture, ...]
    total: int
    """Of all pages."""


@dataclass(frozen=True, kw_only=True)
class ModelCount:
    """How many pictures are of a model."""

    provider: str
    model: str
    pictures: int


def conditions(search: Search) -> tuple[str, tuple[str, ...]]:
    """What a search asks, in SQL, and its values."""
    conditions, values = list[str](), list[str]()

    def also(condition: str, *own: str) -> None:
        conditions.append(condition)
        values.extend(own)

    if search.owner is not None:
        also("owner = ?", search.owner)
    if search.model:
        provider, _, model = search.model.partition("/")
        also("provider = ? AND model = ?", provider, model)
    if search.first is not None:
        also("made >= ?", search.first.isoformat())
    if search.last is not None:
        also("made < ?", (search.last + timedelta(days=1)).isoformat())
    for word in search.words.casefold().split():
        # Read through: for 10,000 prompts that takes 2 ms, where FTS5 with trigrams takes 9.
        also("instr(words, ?)", word)
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), tuple(values)
