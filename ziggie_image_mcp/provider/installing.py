"""Say by which command a package comes into the environment that this runs in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal

from ziggie_image_mcp.provider.shell import shell_command

PACKAGE = "ziggie-image-mcp"

EnvironmentKind = Literal["pip", "uv", "pipx", "uvx"]


@dataclass(frozen=True, kw_only=True)
class PythonEnvironment:
    """Where packages are installed, and by what."""

    kind: EnvironmentKind
    """pip and uv: an environment with pip of its own, or without; pipx: one that pipx keeps; uvx:
    one that uv makes for a run and may delete."""
    python: str
    """The path of its interpreter."""


def environment_kind(prefix: Path, has_pip: bool) -> EnvironmentKind:
    """Tell by what pipx 1.18 and uv 0.13 leave in an environment.

    Args:
        prefix: Its folder.
        has_pip: Whether it has a pip of its own.
    """
    if (prefix / "pipx_metadata.json").is_file():
        return "pipx"
    if "archive-v0" in prefix.parts:  # uv's cache
        return "uvx"
    return "pip" if has_pip else "uv"


# By way of importlib.util.find_spec, setuptools would take it for a run of pip and refuse to be
# imported in this process (before Python 3.12), which torch's compiler needs.
CURRENT_ENVIRONMENT = PythonEnvironment(
    kind=environment_kind(Path(sys.prefix), PathFinder.find_spec("pip") is not None),
    python=sys.executable,
)
"""The one that this process runs in."""


def install_command(
    *requirements: str,
    index: str = "",
    again: bool = False,
    environment: PythonEnvironment = CURRENT_ENVIRONMENT,
    system: str = sys.platform,
) -> str:
    """The command that brings packages, or an extra of ours.

    Args:
        requirements: As ziggie-image-mcp[local] or torchao.
        index: The URL of the index to take it from; empty for the usual one.
        again: Replace what is there of it.
        environment: Where to; this one by default.
        system: Whose shell it is for, as `sys.platform` has it.
    """
    if environment.kind == "uvx":  # what is added there is lost: install it for good
        return shell_command(
            *("uv", "tool", "install"),
            *(("--index", index) if index else ()),
            *_tool(requirements),
            system=system,
        )
    anew = "--reinstall" if environment.kind == "uv" else "--force-reinstall"
    return shell_command(
        *_pip(environment, "install"),
        *([anew] if again else ()),
        *requirements,
        *(("--index-url", index) if index else ()),
        system=system,
    )


def uninstall_command(
    package: str,
    environment: PythonEnvironment = CURRENT_ENVIRONMENT,
    system: str = sys.platform,
) -> str:
    """The command that takes a package out of the environment, or makes one without it."""
    if environment.kind == "uvx":
        return install_command(f"{PACKAGE}[local]", environment=environment, system=system)
    sure = () if environment.kind == "uv" else ("-y",)  # uv does not ask
    return shell_command(*_pip(environment, "uninstall"), *sure, package, system=system)


def _pip(environment: PythonEnvironment, action: str) -> tuple[str, ...]:
    """The first words of a command of pip, by what the environment is kept with."""
    if environment.kind == "uv":
        return "uv", "pip", action, "-p", environment.python
    if environment.kind == "pipx":
        return "pipx", "runpip", PACKAGE, action
    return environment.python, "-m", "pip", action


def _tool(requirements: Sequence[str]) -> tuple[str, ...]:
    """This package and others, as uv tool install takes them; what the extra has stays."""
    if requirements[0].startswith(f"{PACKAGE}["):
        return tuple(requirements)
    return (*(word for one in requirements for word in ("--with", one)), f"{PACKAGE}[local]")
