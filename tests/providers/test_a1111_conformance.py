"""The suite of all providers, against servers of the family that answer as recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tests.support.fake_a1111 import DENIED, FORGE_OOM, INVALID, NANS, NO_SCRIPT, OOM, FakeWebUI
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    InvalidOutput,
    Model,
    ModelUnusable,
    OutOfMemory,
    Provider,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.testing import Reply, Seen
from ziggie_image_mcp.provider.testing.conformance import ProviderConformance
from ziggie_image_providers.a1111 import A1111

SUBMITS = ("txt2img", "img2img", "extra-single-image")


class TestA1111(ProviderConformance):
    provider_type = A1111
    flavour: ClassVar[str] = "a1111"
    tried: ClassVar[tuple[str, ...]] = ("v1-5-pruned-emaonly.safetensors", "R-ESRGAN 4x+")
    max_answer_bytes = 2**22
    option_values: ClassVar[Mapping[Any, tuple[Any, Any]]] = {
        "sampler": ("euler", "dpmpp_2m"),
        "scheduler": ("simple", "karras"),
    }
    refusals = (
        (OOM, OutOfMemory),
        (FORGE_OOM, OutOfMemory),
        (NANS, InvalidOutput),
        (INVALID, RequestRejected),
        (NO_SCRIPT, ModelUnusable),
        (DENIED, AuthenticationFailed),
        (Reply(status=429, headers={"retry-after": "9"}), RateLimited),
        (Reply(body={"images": [], "parameters": {}, "info": "{}", "image": ""}), OutOfMemory),
    )

    def setup_method(self) -> None:
        self.fake = FakeWebUI(flavour=self.flavour)

    def reply(self, seen: Seen) -> Reply:
        return self.fake(seen)

    def is_submit(self, seen: Seen) -> bool:
        return seen.method == "POST" and seen.path.endswith(SUBMITS)

    def size_of(self, seen: Seen) -> tuple[int, int] | None:
        body = seen.body
        if "enable_hr" in body:  # drawn smaller first
            return body["hr_resize_x"], body["hr_resize_y"]
        return super().size_of(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [model for model in await provider.list_models() if model.id in self.tried]


class TestStableDiffusionCpp(TestA1111):
    flavour = "sd-server"
    tried = ("v1-5-pruned-emaonly.safetensors",)
    option_values: ClassVar[Mapping[Any, tuple[Any, Any]]] = {
        "sampler": ("euler", "dpmpp_2m"),
        "scheduler": ("discrete", "karras"),
    }

    def setup_method(self) -> None:
        self.fake = FakeWebUI(flavour=self.flavour, models=["v1-5-pruned-emaonly.safetensors"])
