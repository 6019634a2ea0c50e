"""The suite of all providers, against a Fooocus-API that answers as read in its source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tests.support.fake_fooocus import FORBIDDEN, INVALID, JUGGERNAUT, UNKNOWN_JOB, FakeFooocus
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    EngineGone,
    Model,
    Provider,
    ProviderError,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.testing import Reply, Seen
from ziggie_image_mcp.provider.testing.conformance import ProviderConformance
from ziggie_image_mcp.provider.testing.rig import decoded, fields_of
from ziggie_image_providers.fooocus import Fooocus
from ziggie_image_providers.fooocus.listing import UPSCALER

FULL = Reply(
    body={
        **UNKNOWN_JOB,
        "job_result": [{"base64": None, "url": None, "seed": "", "finish_reason": "QUEUE_IS_FULL"}],
    }
)
FAILED = {**UNKNOWN_JOB, "job_id": "job-1", "job_status": "Loading models ..."}
STOPPED: dict[str, Any] = {
    **FAILED,
    "job_stage": "SUCCESS",
    "job_status": "Finished",
    "job_result": [],
}


class TestFooocus(ProviderConformance):
    provider_type = Fooocus
    secrets: ClassVar[Mapping[str, str]] = {"FOOOCUS_KEY": "fooocus-0123456789abcdef"}
    settings: ClassVar[Mapping[str, Any]] = {"keyName": "FOOOCUS_KEY"}
    max_answer_bytes = 2**23
    refusals = (
        (FULL, RateLimited),
        (INVALID, RequestRejected),
        (FORBIDDEN, AuthenticationFailed),
        (Reply(status=500, body={"detail": "Internal Server Error"}), ProviderError),
        (Reply(status=404, body=UNKNOWN_JOB), EngineGone),
        (Reply(body=FAILED), ProviderError),
        (Reply(body=STOPPED), ProviderError),
    )

    def setup_method(self) -> None:
        self.fake = FakeFooocus(key=self.secrets["FOOOCUS_KEY"])

    def reply(self, seen: Seen) -> Reply:
        return self.fake(seen)

    def is_submit(self, seen: Seen) -> bool:
        return seen.method == "POST" and not seen.path.endswith("/stop")

    def gets(self, seen: Seen, reply: Reply) -> bool:
        told_later = reply != FULL and "job_stage" in json.dumps(reply.body)
        return "query-job" in seen.path if told_later else self.is_submit(seen)

    def mask_of(self, seen: Seen) -> bytes | None:
        return decoded(fields_of(seen).get("input_mask"))

    def size_of(self, seen: Seen) -> tuple[int, int] | None:
        words = fields_of(seen).get("aspect_ratios_selection")
        if not isinstance(words, str):
            return None
        width, height = map(int, words.split("*"))
        return width, height

    async def models(self, provider: Provider) -> Sequence[Model]:
        listed = await provider.list_models()
        return [model for model in listed if model.id in (JUGGERNAUT, UPSCALER)]
