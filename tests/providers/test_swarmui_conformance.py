"""The suite of all providers, against a SwarmUI that answers as read in its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tests.support.fake_swarmui import DENIED, INVALID_SESSION, SD15, FakeSwarm
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    Model,
    ModelMissing,
    OutOfMemory,
    Provider,
    ProviderError,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.testing import Reply, Seen
from ziggie_image_mcp.provider.testing.conformance import ProviderConformance
from ziggie_image_providers.swarmui import SwarmUI


def told(error: str) -> Reply:
    """An error as the socket tells it: in a message like any other."""
    return Reply(body=[{"error": error}])


class TestSwarmUI(ProviderConformance):
    provider_type = SwarmUI
    secrets: ClassVar[Mapping[str, str]] = {"SWARM_TOKEN": "6c6f63616c.0123456789abcdef.fedcba98"}
    settings: ClassVar[Mapping[str, Any]] = {"keyName": "SWARM_TOKEN"}
    lists_by_post = True
    max_answer_bytes = 2**22
    refusals = (
        (told("CUDA out of memory. Tried to allocate 12.00 GiB"), OutOfMemory),
        (Reply(body=[{"discard_indices": []}]), OutOfMemory),
        (told("Invalid value for parameter Steps: ... must be between 0 and 500"), RequestRejected),
        (told("Invalid model value for param Model - 'x' - are you sure?"), ModelMissing),
        (told("Timeout! All backends are occupied with other tasks."), RateLimited),
        (told("Something went wrong while generating images."), ProviderError),
        (told("You do not have permission to use parameter Sampler."), AuthenticationFailed),
        (DENIED, AuthenticationFailed),
        (INVALID_SESSION, ProviderError),
    )

    def setup_method(self) -> None:
        self.fake = FakeSwarm(token=self.secrets["SWARM_TOKEN"])

    def reply(self, seen: Seen) -> Reply:
        return self.fake(seen)

    def is_submit(self, seen: Seen) -> bool:
        return "generatetext2image" in seen.path.lower()

    def wire(self, seen: Seen) -> object:
        body: dict[str, Any] = seen.body
        return seen.path, {k: v for k, v in body.items() if k != "session_id"}

    def mask_of(self, seen: Seen) -> bytes | None:
        from ziggie_image_mcp.provider.testing.rig import decoded, fields_of

        return decoded(fields_of(seen).get("maskimage"))

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [model for model in await provider.list_models() if model.id == SD15]
