"""Pictures of the unfinished work on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ziggie_image_mcp.cli.preview import COLUMNS, Preview
from ziggie_image_mcp.provider.testing import picture


def shown(preview: Preview) -> str:
    out = io.StringIO()
    Console(file=out, force_terminal=True, color_system="truecolor", width=80).print(
        preview, end=""
    )
    return out.getvalue()


def test_a_picture_is_two_pixels_a_character_in_its_colours() -> None:
    preview = Preview()

    preview.show("job", picture(200, 100, "red"))

    lines = shown(preview).splitlines()
    assert len(lines) == COLUMNS // 4
    assert all(line.count("\u2580") == COLUMNS for line in lines)
    assert "38;2;255;0;0;48;2;255;0;0" in lines[0]


@pytest.mark.parametrize("data", [b"", b"no picture", picture(8, 8)[:40]])
def test_what_is_no_picture_leaves_the_last_one(data: bytes) -> None:
    preview = Preview()
    preview.show("job", picture(64, 64, "blue"))
    before = shown(preview)

    preview.show("job", data)

    assert shown(preview) == before
    assert shown(Preview()) == ""
