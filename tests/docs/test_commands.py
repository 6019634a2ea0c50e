"""Every command line of the pages is one that the command line takes.

Nothing is run here but the parser: names of commands, options and their values. The test of a page
that runs its commands stands beside the page's subject.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer import TyperException

from tools.packages.manifests import ROOT
from ziggie_image_mcp.cli.main import app

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "providers/*.md", "tools/packages/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
PROGRAM = "ziggie-image-mcp"
LINE = re.compile(rf"^(?: {{4,}}|\t)?(?:\S*/|.*(?:&& |\| ))?{PROGRAM} (?=[a-z-])(.*)$")
INLINE = re.compile(rf"`{PROGRAM} ([^`]*)`")
COMMAND: Any = typer.main.get_command(app)


def lines(path: Path) -> Iterator[tuple[str, bool]]:
    """A page's command lines, without the program; whether each stands on a line of its own."""
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("    ") and (found := LINE.match(line)):
            yield found[1], True
    for match in INLINE.finditer(" ".join(text.split())):
        yield match[1], False


def is_run_at_once(line: str) -> bool:
    """Whether parsing it would do it: those options write for the shell that asks."""
    return line.startswith(("--install-completion", "--show-completion"))


def words(line: str) -> list[str]:
    """A line as a shell would hand it over, without comment, redirection and what follows it."""
    line = re.split(r"\s{3,}| < | > | \| | && |;", line)[0]  # what is set apart tells about it
    return shlex.split(line, comments=True)


def parse(words: list[str]) -> None:
    """Parse a command line, and run nothing.

    Raises:
        TyperException: No such command or option, or a value that it does not take.
    """
    command, context = COMMAND, COMMAND.make_context(PROGRAM, list(words), resilient_parsing=False)
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


EVERY = [
    (path.relative_to(ROOT).as_posix(), line, alone)
    for path in PAGES
    for line, alone in lines(path)
    if not is_run_at_once(line)
]


def test_the_pages_have_command_lines() -> None:
    assert len(EVERY) > 100
    assert any(line.startswith("models pull") for _, line, _ in EVERY)


@pytest.mark.parametrize("page", sorted({page for page, _, _ in EVERY}))
def test_the_command_line_takes_what_the_page_says(page: str) -> None:
    refused: list[str] = []
    for _, line, alone in (row for row in EVERY if row[0] == page):
        try:
            parse(words(line))
        except (TyperException, ValueError) as e:
            is_short = type(e).__name__ == "MissingParameter" and not alone
            if not is_short:  # a command that a sentence names need not have its arguments
                refused.append(f"{line}: {getattr(e, 'message', e)}")

    assert refused == []


@pytest.mark.parametrize(
    "line", ["generat x", "generate x --no-such", "serve --port many", "models pul x", "jobs show"]
)
def test_a_line_that_is_wrong_is_seen(line: str) -> None:
    with pytest.raises(TyperException):
        parse(words(line))
