"""The suite of all providers, against a ComfyUI that answers as recorded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tests.support.fake_comfyui import FILES, NODES, OOM, PNG, STATS
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    Model,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    Provider,
    RateLimited,
)
from ziggie_image_mcp.provider.testing import Reply, Seen
from ziggie_image_mcp.provider.testing.conformance import ProviderConformance
from ziggie_image_providers.comfyui import ComfyUI

CHECKPOINTS = [*FILES["checkpoints"], "sdxl_lightning_4step.safetensors"]
TRIED = ("sd_xl_base_1.0.safetensors",)
"""All that the graphs of other families have beside is tested by their graphs."""
MISSING: dict[str, Any] = {
    "error": {"type": "prompt_outputs_failed_validation", "message": "."},
    "node_errors": {
        "model": {
            "class_type": "CheckpointLoaderSimple",
            "errors": [
                {
                    "type": "value_not_in_list",
                    "extra_info": {"input_name": "ckpt_name", "input_config": [CHECKPOINTS, {}]},
                }
            ],
        }
    },
}
NO_NODE = {"error": {"type": "missing_node_type", "extra_info": {"class_type": "FluxGuidance"}}}
OUTPUT = {"save": {"images": [{"filename": "a.png", "subfolder": "ziggie", "type": "output"}]}}


class TestComfyUI(ProviderConformance):
    provider_type = ComfyUI
    refusals = (
        (Reply(status=400, body=MISSING), ModelMissing),
        (Reply(status=400, body=NO_NODE), ModelUnusable),
        (Reply(status=401), AuthenticationFailed),
        (Reply(status=429, headers={"retry-after": "9"}), RateLimited),
        (Reply(body={"id": "1", "status": "failed", "execution_error": OOM}), OutOfMemory),
    )

    posted: set[str]
    uploads: dict[str, bytes]
    can_be_lost = True
    """Whether a prompt whose answer is no good counts as failed."""

    def setup_method(self) -> None:
        self.posted, self.uploads = set(), {}

    def mask_of(self, seen: Seen) -> bytes | None:
        if not self.is_submit(seen):
            return None
        nodes = seen.body["prompt"].values()
        names = [n["inputs"]["image"] for n in nodes if n["class_type"] == "LoadImageMask"]
        return (
            self.uploads[names[0].removeprefix("ziggie/").removesuffix(" [temp]")]
            if names
            else None
        )

    def test_an_endless_answer_is_not_read_whole(self) -> None:
        """Nor is one to a prompt, which is then looked for, found, and goes on."""
        self.can_be_lost = False
        super().test_an_endless_answer_is_not_read_whole()

    def reply(self, seen: Seen) -> Reply:
        path = seen.path.partition("?")[0].removeprefix("/api/")
        answers: dict[str, Any] = {
            "system_stats": STATS,
            "object_info": NODES,
            "embeddings": [],
            "jobs": {"jobs": []},
            "queue": {"queue_running": [], "queue_pending": []},
            "view": PNG,
            "models/checkpoints": CHECKPOINTS,
            **{f"models/{name}": FILES[name] for name in FILES if name != "checkpoints"},
        }
        if path == "upload/image":
            [(name, data)] = re.findall(
                rb'filename="([^"]+)"\r\n.*?\r\n\r\n(.*)\r\n--', seen.content, re.DOTALL
            )
            self.uploads[name.decode()] = data
            return Reply(body={"name": name.decode(), "subfolder": "ziggie", "type": "temp"})
        if seen.method == "POST" and path == "prompt":
            id = seen.body["prompt_id"]
            self.posted.add(id)
            return Reply(body={"prompt_id": id, "number": 1, "node_errors": {}})
        if path == "ws":
            return Reply(status=204)  # no websocket: all goes on by polling
        if path == "prompt":
            return Reply(body={"exec_info": {"queue_remaining": 0}})
        if path.removeprefix("jobs/") in self.posted:
            return Reply(body={"id": path, "status": "completed", "outputs": OUTPUT})
        if path in answers:
            return Reply(body=answers[path])
        return Reply(status=404, body=b"404: Not Found")

    def is_submit(self, seen: Seen) -> bool:
        return self.can_be_lost and seen.method == "POST" and seen.path == "/api/prompt"

    def gets(self, seen: Seen, reply: Reply) -> bool:
        if reply.status == 200:  # a job that failed is told of when it is asked for
            return seen.path.startswith("/api/jobs/")
        return self.is_submit(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [model for model in await provider.list_models() if model.id in TRIED]
