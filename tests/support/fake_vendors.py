"""What vendors say, as recorded; their published specs stand in `specs`."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

from tests.support.specs import NO_SPECS, SPECS, has_specs, problems, unknown_fields
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture

__all__ = [
    "NO_SPECS",
    "PNG",
    "SPECS",
    "Answer",
    "FakeVendor",
    "Reply",
    "Seen",
    "has_specs",
    "openai_answer",
    "openai_error",
    "openai_pictures",
    "painted",
    "predicting",
    "prediction",
    "problems",
    "unknown_fields",
]

Answer = Reply

PNG = b"\x89PNG\r\n\x1a\n and so on"


# What the vendors say, as recorded in the project's notes on paid providers


def openai_answer(pictures: int = 1) -> dict[str, Any]:
    return {
        "created": 1_795_000_000,
        "data": [{"b64_json": "iVBORw0KGgogYW5kIHNvIG9u"} for _ in range(pictures)],
        "background": "opaque",
        "output_format": "png",
        "size": "1024x1024",
        "quality": "medium",
        "usage": {
            "input_tokens": 20,
            "output_tokens": 440 * pictures,
            "total_tokens": 20 + 440 * pictures,
            "input_tokens_details": {"text_tokens": 20, "image_tokens": 0},
        },
    }


def openai_pictures(data: bytes) -> dict[str, Any]:
    return openai_answer() | {"data": [{"b64_json": base64.b64encode(data).decode()}]}


def painted(seen: Seen) -> Answer:
    """OpenAI makes a picture."""
    return Answer(body=openai_pictures(picture(1024, 1024)))


def openai_error(code: str | None, kind: str = "invalid_request_error", said: str = "No.") -> Any:
    return {"error": {"message": said, "type": kind, "code": code, "param": None}}


def prediction(status: str = "starting", url: str = "", **more: Any) -> dict[str, Any]:
    base = url or "https://api.replicate.com"
    return {
        "id": "gm3qorzdhgbfurvjtvhg6dckhu",
        "model": "black-forest-labs/flux-schnell",
        "version": "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
        "input": {"prompt": "a cat"},
        "logs": "",
        "output": None,
        "data_removed": False,
        "error": None,
        "status": status,
        "created_at": "2026-11-23T12:00:00.000Z",
        "urls": {
            "web": "https://replicate.com/p/gm3qorzdhgbfurvjtvhg6dckhu",
            "get": f"{base}/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu",
            "cancel": f"{base}/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu/cancel",
        },
        **more,
    }


def predicting(ready: threading.Event) -> Callable[[Seen], Answer]:
    """Replicate, whose prediction has its picture from the moment on that `ready` is set."""

    def script(seen: Seen) -> Answer:
        url = f"http://{seen.headers['host']}"
        if seen.path == "/picture.png":
            return Answer(body=picture(1024, 1024))
        state = prediction("processing", url)
        if ready.is_set():
            state = prediction("succeeded", url, output=[f"{url}/picture.png"])
        return Answer(status=201 if seen.method == "POST" else 200, body=state)

    return script
