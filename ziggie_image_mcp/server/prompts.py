"""Prompts that a person picks from a host's menu. Each leads the model to one call of a tool."""

from __future__ import annotations

from typing import Annotated

from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS
from pydantic import Field

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.app.styles import unknown_style
from ziggie_image_mcp.assets.contract import read_contract
from ziggie_image_mcp.config.styles import style_named
from ziggie_image_mcp.errors import ImageError, InvalidRequest
from ziggie_image_mcp.jobs import prompts
from ziggie_image_mcp.routing.request_checks import MAX_IMAGES
from ziggie_image_mcp.server.callers import for_caller
from ziggie_image_mcp.server.mcp_server import ImageServer, Open

AFTERWARDS = "Then show it, and say where the file is, what it cost and why that route was taken."

Subject = Annotated[str, Field(description="What it shows.")]
Style = Annotated[str, Field(description="A style of config.json.")]
Model = Annotated[str, Field(description="Which model; else the best.")]
Provider = Annotated[str, Field(description="Which provider; else the best.")]


def add_prompts(server: ImageServer) -> None:
    """Add the prompts to a server."""
    for name, title, prompt in (
        ("make_picture", "Make a picture", make_picture),
        ("make_assets", "Make a set of assets", make_assets),
        ("make_in_style", "Make a picture in a style", make_in_style),
    ):
        server.prompt(name=name, title=title, description=prompt.__doc__)(prompt)


async def make_picture(
    ctx: Context[Open],
    subject: Subject,
    model: Model = "",
    provider: Provider = "",
    style: Style = "",
    aspect_ratio: Annotated[str, Field(description="As 16:9; else a square.")] = "",
    loras: Annotated[str, Field(description="As name:0.8, other.")] = "",
) -> str:
    """Make a picture of something."""
    values = {
        "model": model,
        "provider": provider,
        "style": await _style(ctx, style),
        "aspect_ratio": aspect_ratio,
        "loras": loras,
    }
    return f"Call generate_image{_with(values)} to make this picture: {subject}\n{AFTERWARDS}"


async def make_assets(
    ctx: Context[Open],
    subjects: Annotated[str, Field(description="What they show, with commas between.")],
    kind: Annotated[str, Field(description="sprite, icon, tile or background.")] = "sprite",
    size: Annotated[str, Field(description="As 32x32.")] = "",
    palette: Annotated[str, Field(description="As pico-8.")] = "",
    style: Style = "",
) -> str:
    """Make sprites, icons or tiles that go together, each measured when it is finished."""
    each = [subject.strip() for subject in subjects.split(",") if subject.strip()]
    pairs = {"kind": kind, "size": size, "palette": palette}
    asset = " ".join(f"{key}={_quoted(value)}" for key, value in pairs.items() if value.strip())
    try:
        if not 1 <= len(each) <= MAX_IMAGES:
            raise InvalidRequest("subjects", subjects, f"1 to {MAX_IMAGES}, with commas between")
        read_contract(asset)
        together = each[0] if len(each) == 1 else f"{{{'|'.join(each)}}}"
        if prompts.count(together) != len(set(each)):
            fix = "words and commas; braces, bars and signs of code are read otherwise"
            raise InvalidRequest("subjects", subjects, fix)
    except InvalidRequest as e:
        raise _refused(e) from e
    values = _with({"asset": asset, "style": await _style(ctx, style)})
    several = "It makes one of each. " if len(each) > 1 else ""
    return (
        f"Call generate_image once{values} and this prompt, to the letter: {together}\n"
        f"{several}Add no words about size, colours or background: the asset says them. "
        "Then show what came, with the paths of the files, and name what failed with its reason."
    )


async def make_in_style(
    ctx: Context[Open],
    style: Annotated[str, Field(description="Its name in config.json.")],
    subject: Subject,
) -> str:
    """Make a picture that looks like the others of a style."""
    name = await _style(ctx, style)
    if not name:
        raise _refused(InvalidRequest("style", style, "give the name of a style"))
    return (
        f"Call generate_image{_with({'style': name})} to make this picture: {subject}\n"
        "Add no words about the look, and no model, size or seed: the style has what it needs. "
        f"{AFTERWARDS}"
    )


async def _style(ctx: Context[Open], text: str) -> str:
    """The style that is meant, by its own name; empty where none is."""
    if not text.strip():
        return ""
    styles = (await _service(ctx)).config.styles
    name = style_named(text, styles)
    if not name:
        raise _refused(unknown_style(text, (await _service(ctx)).config))
    return name


async def _service(ctx: Context[Open]) -> Service:
    try:
        return await ctx.request_context.lifespan_context()
    except ImageError as e:
        raise MCPError(INTERNAL_ERROR, for_caller(f"[{e.code}] {e}")) from e


def _refused(error: InvalidRequest) -> MCPError:
    return MCPError(INVALID_PARAMS, for_caller(f"[{error.code}] {error}"))


def _with(values: dict[str, str]) -> str:
    rest = " and ".join(f"{name} {value.strip()!r}" for name, value in values.items() if value)
    return f" with {rest}" if rest else ""


def _quoted(value: str) -> str:
    return f'"{value.strip()}"' if " " in value.strip() else value.strip()
