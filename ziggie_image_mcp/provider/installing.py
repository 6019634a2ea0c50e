"""Say by which command a package comes into the environment that this runs in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal

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


def _has_pip() -> bool:
    """Whether this environment has pip.

    Not by `importlib.util.find_spec`: below Python 3.12 setuptools takes a look for pip as a run of
    pip, and can no longer be imported itself; torch's compiler needs it.
    """
    return PathFinder.find_spec("pip") is not None


CURRENT_ENVIRONMENT = PythonEnvironment(
    kind=environment_kind(Path(sys.prefix), _has_pip()),
    python=sys.executable,
)
"""The one that this process runs in."""


def install_command(
    *requirements: str,
    index: str = "",
    again: bool = False,
    environment: PythonEnvironment = CURRENT_ENVIRONMENT,
) -> str:
    """The command that brings packages, or an extra of ours.

    Args:
        requirements: As ziggie-image-mcp[local] or torchao.
        index: The URL of the index to take it from; empty for the usual one.
        again: Replace what is there of it.
        environment: Where to; this one by default.
    """
    quoted = [f'"{one}"' if {*"[<>"} & {*one} else one for one in requirements]
    what = " ".join(quoted)
    if environment.kind == "uvx":  # what is added there is lost: install it for good
        own = what if what.startswith(f'"{PACKAGE}[') else _tool(quoted)
        return f"uv tool install --index {index} {own}" if index else f"uv tool install {own}"
    starts = {
        "pip": f'"{environment.python}" -m pip install',
        "uv": f'uv pip install -p "{environment.python}"',
        "pipx": f"pipx runpip {PACKAGE} install",
    }
    anew = "--reinstall" if environment.kind == "uv" else "--force-reinstall"
    options = [anew if again else "", what, f"--index-url {index}" if index else ""]
    return " ".join(part for part in (starts[environment.kind], *options) if part)


def _tool(requirements: Sequence[str]) -> str:
    """This package and others, as uv tool install takes them; what the extra has stays."""
    more = " ".join(f"--with {one}" for one in requirements)
    return f'{more} "{PACKAGE}[local]"'
