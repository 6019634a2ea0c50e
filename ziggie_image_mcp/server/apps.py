"""Show results in hosts that have MCP Apps: one page, and the tools that it belongs to.

The page stands in `result_app/`, as HTML, style and scripts; hosts get it as one file, since their
default sandbox loads nothing. Hosts without the extension are told of nothing.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from mcp.server.apps import Apps, client_supports_apps
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

RESULT_APP = "ui://ziggie/result.html"
"""The page that shows results."""

SHOWN = frozenset(("generate_image", "edit_image", "process_image", "view_image", "get_job"))
"""Tools whose answers the page shows."""

_SCRIPTS = ("bridge.js", "results.js", "actions.js", "parts.js", "view.js")


def result_apps() -> Apps:
    """The extension, with the page that shows results.

    It asks for no origin and no permission: the host's default sandbox is enough.
    """
    apps = Apps()
    apps.add_html_resource(
        RESULT_APP,
        result_page(),
        name="result",
        title="Pictures",
        description="Shows the pictures of a call, with buttons for what comes next.",
        prefers_border=True,
    )
    return apps


def result_page() -> str:
    """The page as one file: no request is made for any part of it."""
    folder = files(__package__ or "") / "result_app"
    page = (folder / "page.html").read_text(encoding="utf-8")
    style = (folder / "style.css").read_text(encoding="utf-8")
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return page.replace("/* style */", style).replace("/* script */", script)


async def name_app(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Answer; in the list of tools for a client that shows Apps, name the page of each."""
    answer = await call_next(ctx)
    if ctx.method == "tools/list" and isinstance(answer, dict) and client_supports_apps(ctx):
        for tool in answer["tools"]:
            if tool["name"] in SHOWN:
                tool["_meta"] = {**tool.get("_meta", {}), "ui": {"resourceUri": RESULT_APP}}
    return answer
