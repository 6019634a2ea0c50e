"""Write results and jobs as MCP content."""

from __future__ import annotations

import base64
import json
from pathlib import PurePath
from typing import Any, Literal

from mcp.types import (
    Annotations,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ResourceLink,
    TextContent,
)

from ziggie_image_mcp.app.answers import job_data, outcome_data
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.jobs.outcomes import error_of
from ziggie_image_mcp.jobs.records import JobView
from ziggie_image_mcp.storage.artifact_store import PREVIEW_SIDE
from ziggie_image_mcp.storage.types import Preview, StoredImage


def base64_text(data: bytes) -> str:
    """Bytes as the protocol carries them."""
    return base64.b64encode(data).decode()


META = "ziggie-image/result"
PREVIEW_SIDE_MANY = 512


async def job_answer(service: Service, view: JobView) -> CallToolResult:
    """The pictures of a job, or how far it is."""
    if view.outcome is None:
        data = job_data(view)
        return CallToolResult(content=[text_content(data)], _meta={META: data})
    if not view.outcome.results:
        raise error_of(view.outcome)
    data = outcome_data(view)
    content: list[ContentBlock] = [text_content(data)]
    images = [image for result in view.outcome.results for image in result.images]
    side = PREVIEW_SIDE if len(images) == 1 else PREVIEW_SIDE_MANY
    for image in images:
        content.append(image_content(await service.preview(image.id, side=side, share=len(images))))
    content += [link_content(image) for image in images]
    return CallToolResult(content=content, _meta={META: data})


def text_content(data: dict[str, Any]) -> TextContent:
    """JSON as one text block, no longer than it must be."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return TextContent(type="text", text=text)


def image_content(preview: Preview) -> ImageContent:
    """A preview as an image block."""
    data = base64_text(preview.data)
    return ImageContent(type="image", data=data, mime_type=preview.media_type)


def link_content(image: StoredImage) -> ResourceLink:
    """A link to the whole picture."""
    audience: list[Literal["user", "assistant"]] = ["user"]
    return ResourceLink(
        type="resource_link",
        uri=f"image://{image.id}",
        name=PurePath(image.path).name,
        mime_type=image.media_type,
        size=image.bytes,
        annotations=Annotations(audience=audience),
    )
