"""The use cases in the user's words, and the composition root.

`Service` has the use cases, `application.build_service` puts everything together. What programs
that embed it need is named here, and imported where it is used: `docs/ziggie.md` has an example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ziggie_image_mcp.app.application import Application
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.errors import ImageError
    from ziggie_image_mcp.jobs.records import Result
    from ziggie_image_mcp.routing.errors import NoRoute
    from ziggie_image_mcp.routing.request import ImageRequest

__all__ = ["Application", "ImageError", "ImageRequest", "NoRoute", "Result", "Service"]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use: a server starts without most of them."""
    match name:
        case "Application":
            from ziggie_image_mcp.app.application import Application

            return Application
        case "Service":
            from ziggie_image_mcp.app.service import Service

            return Service
        case "ImageError":
            from ziggie_image_mcp.errors import ImageError

            return ImageError
        case "ImageRequest":
            from ziggie_image_mcp.routing.request import ImageRequest

            return ImageRequest
        case "NoRoute":
            from ziggie_image_mcp.routing.errors import NoRoute

            return NoRoute
        case "Result":
            from ziggie_image_mcp.jobs.records import Result

            return Result
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
