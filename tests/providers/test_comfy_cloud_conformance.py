"""The suite of all providers, against a Comfy Cloud that answers as its specifications say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from tests.support.fake_comfy_cloud import FakeComfyCloud, is_poll, is_submit, job, refusal
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    Model,
    ModelMissing,
    OutcomeUnknown,
    OutOfMemory,
    PaymentRequired,
    Provider,
    RateLimited,
    RequestRejected,
    Task,
)
from ziggie_image_mcp.provider.testing import ProviderConformance, Reply, Seen
from ziggie_image_providers.comfyui.cloud import ComfyCloud

TRIED = "sd_xl_base_1.0.safetensors"
TASK: Task = "inpaint"
"""It has all the stages of the others; text to image and upscaling stand in test_comfy_cloud.py."""

OOM = {"code": "OOMError", "message": "Allocation failed", "class_type": "KSampler"}


class Hasty(ComfyCloud):
    """Does not pause."""

    fetch_pauses = (0.0, 0.0)
    stop_seconds = 0.3


class TestComfyCloud(ProviderConformance):
    provider_type = Hasty
    settings: ClassVar[Mapping[str, Any]] = {"priceUsd": 0.05, "pricePerSecondUsd": 0.001}
    secrets: ClassVar[Mapping[str, str]] = {
        "COMFY_API_KEY": "comfyui-0123456789abcdef0123456789abcdef"
    }
    refusals = (
        (refusal(401, "unauthorized"), AuthenticationFailed),
        (refusal(402, "insufficient_credits"), PaymentRequired),
        (refusal(403, "forbidden"), AuthenticationFailed),
        (refusal(422, "invalid_workflow", "Node 12: 'model' is not connected"), RequestRejected),
        (refusal(422, "invalid_workflow", "ckpt_name: value_not_in_list"), ModelMissing),
        (refusal(422, "idempotency_key_reuse"), OutcomeUnknown),
        (refusal(429, "queue_full", **{"retry-after": "9"}), RateLimited),
        (refusal(500, "upstream_error"), OutcomeUnknown),
        (Reply(body=job("failed", error=OOM)), OutOfMemory),
    )

    cloud: FakeComfyCloud

    def setup_method(self) -> None:
        self.cloud = FakeComfyCloud()

    def reply(self, seen: Seen) -> Reply:
        return self.cloud(seen)

    def is_submit(self, seen: Seen) -> bool:
        return is_submit(seen)

    def gets(self, seen: Seen, reply: Reply) -> bool:
        return is_poll(seen) if reply.status == 200 else is_submit(seen)

    def mask_of(self, seen: Seen) -> bytes | None:
        nodes: list[dict[str, Any]] = [*seen.body["workflow"].values()] if is_submit(seen) else []
        masks = [n["inputs"]["image"] for n in nodes if n["class_type"] == "LoadImageMask"]
        return self.cloud.uploads[masks[0]["info"]["id"]] if masks else None

    async def models(self, provider: Provider) -> Sequence[Model]:
        listed = {model.id: model for model in await provider.list_models()}
        tried = listed[TRIED]
        return [replace(tried, tasks={TASK: tried.tasks[TASK]})]
