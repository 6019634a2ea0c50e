"""Show a picture on a terminal: two pixels a character, one above the other."""

from __future__ import annotations

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

COLUMNS = 40
"""Of the terminal; half as many rows at most."""
MOST_PIXELS = 4096 * 4096


class Preview:
    """The latest picture of the unfinished work; nothing until there is one."""

    def __init__(self) -> None:
        self._rows: list[list[tuple[Color, Color]]] = []

    def show(self, job_id: str, data: bytes) -> None:
        """Take a picture as an engine made it. One that cannot be read is passed over."""
        from PIL import Image

        from ziggie_image_mcp.provider import pictures

        try:
            picture = pictures.on_white(pictures.decode(data, max_pixels=MOST_PIXELS))
        except ValueError:
            return
        picture.thumbnail((COLUMNS, COLUMNS), Image.Resampling.BILINEAR)
        width, height = picture.width, picture.height - picture.height % 2
        pixels = picture.tobytes()

        def colour(x: int, y: int) -> Color:
            start = 3 * (y * width + x)
            return Color.from_rgb(*pixels[start : start + 3])

        self._rows = [
            [(colour(x, y), colour(x, y + 1)) for x in range(width)] for y in range(0, height, 2)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for row in self._rows:
            for above, below in row:
                yield Segment("\u2580", Style(color=above, bgcolor=below))
            yield Segment.line()
