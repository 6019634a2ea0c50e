"""The options that every command has, wherever they stand on the line."""

from __future__ import annotations

import copy
from typing import Any, cast

import typer
from typer.core import TyperGroup

from ziggie_image_mcp.cli.console import fail
from ziggie_image_mcp.errors import ImageError


class OptionsAnywhere(TyperGroup):
    """The group of all commands: each takes `--config` too, as the group does before them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        option = copy.copy(next(p for p in self.params if p.name == "config_file"))
        option.expose_value = False
        option.callback = cast(Any, _remember)
        _give(self, option)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what it did not say itself of an anticipated error is said here."""
        try:
            return super().invoke(ctx)
        except ImageError as e:
            fail(e)


def _give(group: TyperGroup, option: Any) -> None:
    for command in group.commands.values():
        command.params.append(option)
        if isinstance(command, TyperGroup):
            _give(command, option)


def _remember(ctx: typer.Context, _: object, value: object) -> None:
    """Keep it where `console.config_option` looks."""
    if value is not None:
        ctx.find_root().params["config_file"] = value
