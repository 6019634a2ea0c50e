"""Show stored pictures as resources: by id, the newest ones as a list, and ids completed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import (
    INTERNAL_ERROR,
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    Resource,
    ResourceTemplateReference,
)
from pydantic import Field

from ziggie_image_mcp.app import reports
from ziggie_image_mcp.errors import ImageError, ImageNotFound, ImageTooLarge
from ziggie_image_mcp.routing.request_checks import MAX_VIEW_SIDE
from ziggie_image_mcp.server.callers import caller, for_caller
from ziggie_image_mcp.server.downloads import Downloads, where
from ziggie_image_mcp.server.mcp_server import ImageServer, Open

NEWEST = 20
COMPLETIONS = 100
"""The protocol's most."""
_MEDIA = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}


async def listed(opener: Open) -> list[Resource]:
    """The caller's newest pictures."""
    try:
        pictures = await (await opener()).newest(NEWEST, caller())
    except ImageError as e:
        raise MCPError(INTERNAL_ERROR, for_caller(f"[{e.code}] {e}")) from e
    return [
        Resource(
            uri=f"image://{picture.id}",
            name=picture.name,
            description=picture.description or None,
            mime_type=_MEDIA.get(picture.suffix),
            size=picture.bytes,
        )
        for picture in pictures
    ]


def show_pictures(server: ImageServer, opener: Open, downloads: Downloads) -> None:
    """Add the pictures, a prompt, and the completions of both."""

    @server.resource(
        "image://{image_id}{?max}",
        name="image",
        title="Picture",
        description="A stored picture by its id; with max, at most so many pixels long.",
        mime_type="image/png",
    )
    async def image(image_id: str, ctx: Context[Open], max: str = "") -> bytes:  # pyright: ignore[reportUnusedFunction]
        try:
            service = await ctx.request_context.lifespan_context()
            if not max:
                return await service.read(image_id, caller())
            if not (max.isascii() and max.isdigit() and 32 <= int(max[:9]) <= MAX_VIEW_SIDE):
                raise ResourceError(f"max={max[:20]!r}: 32 to {MAX_VIEW_SIDE} pixels.")
            preview, _ = await service.view(image_id, int(max), caller())
            return preview.data
        except ImageNotFound as e:
            raise ResourceNotFoundError(str(e)) from e
        except ImageTooLarge as e:
            place = where(downloads, ctx, e.image_id, e.path)
            raise ResourceError(f"[{e.code}] {e} {place}") from e
        except ImageError as e:
            raise ResourceError(for_caller(f"[{e.code}] {e}")) from e

    @server.prompt(title="Make a picture", description="Make a picture of something.")
    def make_picture(  # pyright: ignore[reportUnusedFunction]
        subject: Annotated[str, Field(description="What it shows.")],
        model: Annotated[str, Field(description="Which model; else the best.")] = "",
        provider: Annotated[str, Field(description="Which provider; else the best.")] = "",
    ) -> str:
        named = {"model": model, "provider": provider}
        rest = " and ".join(f"{name} {value!r}" for name, value in named.items() if value)
        using = f" with {rest}" if rest else ""
        return (
            f"Call generate_image{using} to make this picture: {subject}\n"
            "Then show it, and say where the file is, what it cost and why that route was taken."
        )

    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        known = context.arguments if context and context.arguments else {}
        try:
            values = await _values(opener, ref, argument.name, known)
        except ImageError as e:
            raise MCPError(INTERNAL_ERROR, for_caller(f"[{e.code}] {e}")) from e
        return _matching(values, argument.value)

    add_completion: Any = server.completion  # it has no types
    add_completion()(complete)


async def _values(
    opener: Open,
    ref: PromptReference | ResourceTemplateReference,
    name: str,
    known: dict[str, str],
) -> Iterable[str]:
    if isinstance(ref, ResourceTemplateReference):
        if name != "image_id" or not ref.uri.startswith("image://"):
            return []
        pictures = await (await opener()).newest(COMPLETIONS, caller())
        return [picture.id for picture in pictures]
    if ref.name != "make_picture" or name not in ("model", "provider"):
        return []
    report = await reports.models(await opener())
    makers = [row for row in report.models if "text_to_image" in row.features]
    rows = [row for row in makers if known.get("provider") in (None, "", row.provider)]
    return [row.id for row in rows] if name == "model" else [row.provider for row in makers]


def _matching(values: Iterable[str], text: str) -> Completion:
    """Those that begin so, then those that hold it, each once."""
    part = text.strip().lower().removeprefix("image://")
    fitting = [value for value in dict.fromkeys(values) if part in value.lower()]
    fitting.sort(key=lambda value: not value.lower().startswith(part))
    total = len(fitting)
    return Completion(values=fitting[:COMPLETIONS], total=total, has_more=total > COMPLETIONS)
