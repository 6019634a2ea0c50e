"""Divide the pictures of a request among prompts, and name these so that everybody finds them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

_IDS = uuid.UUID("5a1c1b1e-6f0e-4b57-9a37-6d0f5f6f7f10")
"""Of this project alone: what ids are derived in."""

COUNTS = (1, 2, 4, 8, 16)
"""How many pictures a prompt may make."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The pictures that one prompt makes."""

    id: str
    """Of the prompt."""
    start: int
    count: int = 1
    tiled: bool = False
    """Whether it is tried again in tiles, after the memory did not do."""


def prompt_id(key: str, start: int, count: int = 1, *, tiled: bool = False) -> str:
    """The id of a prompt of a run: the same in every process."""
    name = f"{key}.{start}" if count == 1 else f"{key}.{start}x{count}"
    return str(uuid.uuid5(_IDS, f"{name}.tiled" if tiled else name))


def client_id(key: str) -> str:
    """Whose events the prompts of a run are: the same for whoever goes on with it."""
    return str(uuid.uuid5(_IDS, f"{key}.client"))


def divide(key: str, num_images: int, most: int) -> list[Group]:
    """Put as many pictures into each prompt as it may make."""
    groups: list[Group] = []
    start = 0
    while start < num_images:
        left = num_images - start
        count = max(n for n in COUNTS if n <= min(left, most))
        groups.append(Group(id=prompt_id(key, start, count), start=start, count=count))
        start += count
    return groups


def smaller(key: str, group: Group) -> list[Group]:
    """What is tried where a prompt did not fit: halves, then tiles; nothing where it was both."""
    if group.count > 1:
        half = group.count // 2
        starts = (group.start, group.start + half)
        return [Group(id=prompt_id(key, s, half), start=s, count=half) for s in starts]
    if not group.tiled:
        id = prompt_id(key, group.start, tiled=True)
        return [replace(group, id=id, tiled=True)]
    return []


def write(groups: list[Group]) -> str:
    """The groups as a remote id."""
    return ",".join(g.id if g.count == 1 else f"{g.id}*{g.count}" for g in groups)


def read(remote_id: str) -> list[Group]:
    """The groups of a remote id."""
    groups: list[Group] = []
    start = 0
    for part in remote_id.split(","):
        id, _, count = part.partition("*")
        groups.append(Group(id=id, start=start, count=int(count or 1)))
        start += groups[-1].count
    return groups
