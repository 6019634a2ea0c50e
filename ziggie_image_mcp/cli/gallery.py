"""The command gallery: the page of pictures, jobs and money, in a browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer

from ziggie_image_mcp.cli.console import config_option, err, print_plain, run

if TYPE_CHECKING:
    from ziggie_image_mcp.server.transport import Addresses

app = typer.Typer()


@app.command("gallery")
def gallery_(
    ctx: typer.Context,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; 0 is any that is free.")
    ] = 8766,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address, and open no browser.")
    ] = False,
) -> None:
    """Show pictures, jobs, spending and models in a browser, until stopped.

    Only this machine reaches it. Where ZIGGIE_IMAGE_TOKEN is set, the address carries a code that
    signs in once.
    """
    from ziggie_image_mcp.server.transport import serve_http

    def listening(at: Addresses) -> None:
        address = at.gallery + at.code
        print_plain(address)
        sys.stdout.flush()
        err.print("Stop with Ctrl-C.")
        if not no_open and _has_browser():
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    run(partial(serve_http, config_option(ctx), port=port, listening=listening))


def _has_browser() -> bool:
    """Whether a window can open here: without a display a browser would take the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"))
