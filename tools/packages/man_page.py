"""Write the manual page, out of the command line's own texts.

python tools/packages/man_page.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ziggie_image_mcp import __version__
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.cli.main import app
from ziggie_image_mcp.config.config import ENV_FILE, ENV_PREFIX, ENV_TOKEN

PAGE = Path(__file__).with_name("ziggie-image-mcp.1")
NAME = "ziggie-image-mcp"


def page() -> str:
    """The whole page, as man reads it."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    program: Any = typer.main.get_command(app)
    yield f'.TH {_text(NAME.upper())} 1 "" "{NAME} {__version__}" "User Commands"'
    yield from (".SH NAME", rf"{_text(NAME)} \- make pictures on the best route this machine has")
    yield from (".SH SYNOPSIS", rf".B {_text(NAME)}", r"[\fICOMMAND\fR] [\fIOPTIONS\fR]")
    yield from (".SH DESCRIPTION", _text(program.help))
    yield ".SH COMMANDS"
    for words, command in _commands(program):
        yield from (f".SS {_text(' '.join(words))}", _text(_sentences(command.help)))
        for param in command.params:
            yield from _param(param)
    yield from (".SH EXIT STATUS",)
    for code in ExitCode:
        yield from (".TP", f".B {code.value}", _text(code.meaning))
    yield ".SH ENVIRONMENT"
    for variable, text in (
        (ENV_FILE, "The settings file."),
        (f"{ENV_PREFIX}*", "Each setting, as ZIGGIE_IMAGE_BUDGET__PER_DAY=2."),
        (ENV_TOKEN, "The token that the HTTP server asks for."),
    ):
        yield from (".TP", f".B {_text(variable)}", _text(text))


def _commands(group: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command that does something, with the words that call it."""
    for name, command in group.commands.items():
        words = (*above, name)
        if not command.hidden:
            yield words, command
            yield from _commands(command, words) if hasattr(command, "commands") else ()


def _param(param: Any) -> Iterator[str]:
    if getattr(param, "hidden", False):
        return
    if param.param_type_name == "argument":
        yield from (".TP", rf".I {_text((param.metavar or param.name).upper())}")
    else:
        names = ", ".join(rf"\fB{_text(name)}\fR" for name in [*param.opts, *param.secondary_opts])
        value = "" if param.is_flag else rf" \fI{_text(param.metavar or 'VALUE')}\fR"
        yield from (".TP", names + value)
    yield _text(param.help or "") or r"\&"


def _sentences(text: str | None) -> str:
    return " ".join((text or "").split())


def _text(text: str) -> str:
    """A text in which nothing is an instruction."""
    plain = _sentences(text).replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
