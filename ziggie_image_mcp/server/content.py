"""Write results and jobs as MCP content."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Literal, cast

from mcp.types import (
    Annotations,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ResourceLink,
    TextContent,
)
from pydantic import BaseModel, ConfigDict

from ziggie_image_mcp.app.answers import job_data, outcome_data
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import ImageError, ProviderError
from ziggie_image_mcp.inventory.types import Rejection
from ziggie_image_mcp.jobs.errors import GenerationFailed, attempts_of
from ziggie_image_mcp.jobs.outcomes import error_of
from ziggie_image_mcp.jobs.records import JobView
from ziggie_image_mcp.provider.redaction import hidden
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.storage.artifact_store import PREVIEW_SIDE
from ziggie_image_mcp.storage.types import Preview, StoredImage


def base64_text(data: bytes) -> str:
    """Bytes as the protocol carries them."""
    return base64.b64encode(data).decode()


Link = Callable[[str, str], str | None]
"""Gives where the caller downloads the picture of an id, or the file of that suffix beside it."""

META = "ziggie-image/result"
ERROR_META = "ziggie-image/error"
MOST_REASONS = 60
PREVIEW_SIDE_MANY = 512
MOST_PREVIEWS = 16
"""More pictures are listed, and not shown."""


async def job_answer(service: Service, view: JobView, link: Link) -> CallToolResult:
    """The pictures of a job, or how far it is; over HTTP, with links to the whole pictures."""
    if view.outcome is None:
        data = job_data(view)
        return CallToolResult(content=[text_content(data)], _meta={META: data})
    if not view.outcome.results:
        error = error_of(view.outcome)
        error.job_id, error.spent = view.id, view.outcome.cost_micro_usd
        raise error
    data = outcome_data(view)
    _add_links(data, link)
    content: list[ContentBlock] = [text_content(data)]
    images = [image for result in view.outcome.results for image in result.images]
    side = PREVIEW_SIDE if len(images) == 1 else PREVIEW_SIDE_MANY
    shown = images[:MOST_PREVIEWS] if service.config.output.previews else []
    for image in shown:
        content.append(image_content(await service.preview(image.id, side=side, share=len(shown))))
    content += [link_content(image) for image in images]
    return CallToolResult(content=content, _meta={META: data})


def data_answer(data: dict[str, Any]) -> CallToolResult:
    """Data for programs, and the same as compact text for the model."""
    return CallToolResult(content=[text_content(data)], structured_content=data)


def _add_links(value: object, link: Link) -> None:
    """Say of each picture in a result where it can be downloaded, with what belongs to it."""
    if isinstance(value, list):
        for part in cast(list[object], value):
            _add_links(part, link)
    elif isinstance(value, dict):
        parts = cast(dict[str, object], value)
        for name, part in parts.items():
            if name == "images" and isinstance(part, list):
                for image in cast(list[dict[str, Any]], part):
                    if url := link(image["id"], ""):
                        image["download"] = url
                        stem = PurePath(image["path"]).stem
                        names = [PurePath(path).name for path in image.get("files", ())]
                        urls = [link(image["id"], name.removeprefix(stem)) for name in names]
                        image |= {"file_downloads": urls} if urls else {}
            else:
                _add_links(part, link)


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


class ErrorReason(BaseModel):
    """Why one model, or one provider (`model` is null), was left out."""

    model_config = ConfigDict(extra="forbid")

    provider: str
    model: str | None
    code: str
    have: str
    need: str
    fix: str


class ErrorAttempt(BaseModel):
    """A route that was tried."""

    model_config = ConfigDict(extra="forbid")

    provider: str
    model: str
    code: str
    """Empty where it went well."""
    message: str
    milliseconds: int
    charged: float
    """US dollars."""


class ErrorData(BaseModel):
    """What an error says to programs, in `_meta` under `ERROR_META`."""

    model_config = ConfigDict(extra="forbid")

    code: str
    reasons: list[ErrorReason]
    attempts: list[ErrorAttempt]
    charged: float | None
    """US dollars that the call cost all the same; null where nobody knows."""
    retry_after: float | None
    """Seconds after which the same call may go well; null where that is not known."""
    job_id: str


def error_answer(error: ImageError) -> CallToolResult:
    """An error in words for the model, its code in brackets, and as data for programs."""
    data = error_data(error).model_dump(mode="json")
    text = TextContent(type="text", text=f"[{error.code}] {hidden(str(error))}")
    return CallToolResult(content=[text], is_error=True, _meta={ERROR_META: data})


def error_data(error: ImageError) -> ErrorData:
    """An error as programs read it."""
    attempts = attempts_of(error)
    rejected: tuple[Rejection, ...] = ()
    charged: float | None = error.spent
    retry_after = None
    if isinstance(error, GenerationFailed):
        charged = max(error.spent, sum(a.cost_micro_usd for a in attempts))
    if isinstance(error, GenerationFailed | NoRoute):
        rejected = error.rejected
    if isinstance(error, ProviderError):
        retry_after = error.retry_after
        charged = None if error.charged is None else max(error.spent, error.charged)
    reasons = [
        ErrorReason(
            provider=rejection.provider,
            model=rejection.model,
            code=reason.code,
            have=hidden(reason.have),
            need=reason.need,
            fix=hidden(reason.fix),
        )
        for rejection in rejected
        for reason in rejection.reasons
    ]
    return ErrorData(
        code=error.code,
        reasons=reasons[:MOST_REASONS],
        attempts=[
            ErrorAttempt(
                provider=a.provider,
                model=a.model,
                code=a.error_code,
                message=hidden(a.error),
                milliseconds=a.milliseconds,
                charged=a.cost_micro_usd / 1e6,
            )
            for a in attempts
        ],
        charged=None if charged is None else charged / 1e6,
        retry_after=retry_after,
        job_id=error.job_id,
    )
