"""Start: `ziggie-image-mcp` alone speaks stdio, at once; everything else is the command line."""

from __future__ import annotations

import gc
import io
import sys


def main() -> None:
    """Serve stdio when there are no arguments, else hand over to the command line."""
    if sys.argv[1:] in ([], ["serve"]):
        gc.disable()  # what an import makes stays: looking for garbage in it costs a tenth of it
        import anyio

        from ziggie_image_mcp.server.transport import serve_stdio

        gc.freeze()
        gc.enable()
        anyio.run(serve_stdio)
        return
    from ziggie_image_mcp.cli.main import app

    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may hold half a character
        sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportUnknownMemberType]
    app()


if __name__ == "__main__":
    main()
