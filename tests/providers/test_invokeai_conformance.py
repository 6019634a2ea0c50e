"""The suite of all providers, against an InvokeAI that answers as recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest

from tests.support.fake_invokeai import DENIED, ENQUEUE_FAILED, INVALID, NO_NODE, FakeInvokeAI
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    Model,
    ModelUnusable,
    OutOfMemory,
    Provider,
    ProviderError,
    RequestRejected,
)
from ziggie_image_mcp.provider.testing import Reply, Seen
from ziggie_image_mcp.provider.testing.conformance import ProviderConformance
from ziggie_image_mcp.provider.testing.rig import Rig, sizes_in
from ziggie_image_providers.invokeai import InvokeAI

FULL = Reply(
    body={"queue_id": "default", "enqueued": 0, "requested": 1, "priority": 0, "item_ids": []}
)


class TestInvokeAI(ProviderConformance):
    provider_type = InvokeAI
    tried: ClassVar[tuple[str, ...]] = ("dreamshaper", "4x-UltraSharp")
    max_answer_bytes = 2**22
    option_values: ClassVar[Mapping[Any, tuple[Any, Any]]] = {"sampler": ("euler", "heun")}
    refusals = (
        (INVALID, RequestRejected),
        (NO_NODE, ModelUnusable),
        (DENIED, AuthenticationFailed),
        (ENQUEUE_FAILED, ProviderError),
        (FULL, ProviderError),
        (Reply(status=500, body={"detail": "CUDA out of memory."}), OutOfMemory),
    )
    can_be_lost = True
    """Whether a batch whose answer is no good counts as failed."""

    def rig(
        self, *, timeout: float | None = None, **section: Any
    ) -> AbstractAsyncContextManager[Rig]:
        """With a queue of its own: all runs of the suite have one key, and here that finds jobs."""
        self.fake = FakeInvokeAI()
        return super().rig(timeout=timeout, **section)

    def setup_method(self) -> None:
        self.fake = FakeInvokeAI()

    def test_an_endless_answer_is_not_read_whole(self) -> None:
        """Nor is one to a batch, which is then looked for, found, and goes on."""
        self.can_be_lost = False
        super().test_an_endless_answer_is_not_read_whole()

    def reply(self, seen: Seen) -> Reply:
        return self.fake(seen)

    def is_submit(self, seen: Seen) -> bool:
        return self.can_be_lost and seen.path.endswith("/enqueue_batch")

    def wire(self, seen: Seen) -> object:
        """The batch with the pictures themselves in place of the names that they got."""
        text = seen.content.decode()
        for name, data in self.fake.images.items():
            text = text.replace(name, str(hash(data)))
        return text

    def size_of(self, seen: Seen) -> tuple[int, int] | None:
        nodes = seen.body["batch"]["graph"]["nodes"].values()
        return next((size for node in nodes if (size := sizes_in(node))), None)

    def mask_of(self, seen: Seen) -> bytes | None:
        if not seen.path.endswith("/enqueue_batch"):
            return None
        node = seen.body["batch"]["graph"]["nodes"].get("mask")
        return self.fake.images[node["mask"]["image_name"]] if node else None

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [model for model in await provider.list_models() if model.id in self.tried]


@pytest.mark.soak
class TestFlux(TestInvokeAI):
    """Another form of graph: size, seed and guidance stand in the sampler."""

    tried = ("flux-dev", "z-image-base")
