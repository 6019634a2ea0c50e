"""The command gallery: the page of pictures, jobs and money, in a browser."""

from __future__ import annotations

import html
import os
import sys
import webbrowser
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer

from ziggie_image_mcp.cli.console import config_option, err, print_plain, run
from ziggie_image_mcp.config import config

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
            shown = _page_that_leads_to(address) if at.code else address
            Thread(target=webbrowser.open, args=(shown,), daemon=True).start()

    serve = partial(serve_http, only_gallery=True, port=port, listening=listening)
    run(partial(serve, config_option(ctx)))


def _page_that_leads_to(address: str) -> str:
    """A file that only this user can read: with what a browser is started, every user can."""
    page = config.data_dir() / "gallery.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.unlink(missing_ok=True)
    goal = html.escape(address)
    with os.fdopen(os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={goal}">')
        file.write(f'<title>Gallery</title><a href="{goal}">Gallery</a>')
    return page.as_uri()


def _has_browser() -> bool:
    """Whether a window can open here: without a display a browser would take the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"))
