"""Read what came of a batch: its pictures in the order of their seeds, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ziggie_image_mcp.provider import (
    GeneratedImage,
    InvalidOutput,
    ProviderError,
    ProviderRequest,
)
from ziggie_image_mcp.provider.bounds import picture_bytes
from ziggie_image_providers.invokeai import failures
from ziggie_image_providers.invokeai.server import Server
from ziggie_image_providers.invokeai.wire import Item


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What came of a batch."""

    images: tuple[GeneratedImage, ...]
    notes: tuple[str, ...]
    litter: tuple[str, ...]
    """All pictures of the batch that the server has."""
    inputs: tuple[str, ...]
    """Those of them that are not the results."""


class Fetcher:
    """Fetches the pictures of batches from one server.

    Args:
        name: The provider's name.
        server: Which made them.
    """

    def __init__(self, name: str, server: Server) -> None:
        self._name = name
        self._server = server

    async def fetch(self, id: str, request: ProviderRequest) -> Collection:
        """The pictures of a batch that has ended; those that failed become notes.

        Args:
            id: Of the batch, and its destination.
            request: What was asked.

        Raises:
            InvalidOutput: A picture is gone.
            ProviderError: None was made; the first one's error.
        """
        items = in_order(await self._server.items(id), request.seed)[: request.num_images]
        images: list[GeneratedImage] = []
        results: set[str] = set()
        failed: list[tuple[int, ProviderError]] = []
        for number, item in enumerate(items, 1):
            if item.status != "completed":
                failed.append((number, await self._error(item)))
                continue
            if not item.picture:
                raise InvalidOutput(self._name, "InvokeAI finished the job, but made no picture")
            data = await self._server.picture(item.picture, picture_bytes(request))
            images.append(GeneratedImage(data=data, seed=item.seed))
            results.add(item.picture)
        if not images:
            raise failed[0][1] if failed else failures.lost(self._name)
        names = {name for item in items for name in item.pictures()}
        return Collection(
            images=tuple(images),
            notes=tuple(f"picture {number} failed: {error}" for number, error in failed),
            litter=tuple(sorted(names)),
            inputs=tuple(sorted(names - results)),
        )

    async def _error(self, item: Item) -> ProviderError:
        if item.status == "canceled":
            return failures.stopped(self._name)
        lines = (item.error_message or "InvokeAI does not say why").strip().splitlines()
        last = lines[-1 if "Traceback (most recent call last)" in lines[0] else 0]
        words = f"{item.error_type or 'error'}: {last}"
        return await self._server.http.job_error(words, item.error_type or "")


def in_order(items: Sequence[Item], seed: int) -> list[Item]:
    """The items of a batch by their seeds, as the pictures were asked for.

    InvokeAI numbers them the other way round, or as it likes. Of two with one seed the newer
    counts.
    """
    newest = {item.seed: item for item in sorted(items, key=lambda item: item.item_id)}
    return sorted(newest.values(), key=lambda item: ((item.seed or 0) - seed) % 2**32)
