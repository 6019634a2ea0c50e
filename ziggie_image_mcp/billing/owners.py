"""What the ledger asks of whoever knows the processes that share it."""

from __future__ import annotations

from typing import Protocol


class Owners(Protocol):
    """The processes that hold money."""

    async def acquire(self) -> str:
        """The name of this process, as no other ever had it.

        Raises:
            StorageError: It cannot be kept.
        """
        ...

    async def alive(self, owner: str) -> bool | None:
        """Whether the process of that name lives; None where it cannot be told."""
        ...
