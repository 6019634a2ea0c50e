"""Whether a model can be compiled here, and how it is held then; looked up without torch.

Compiled are the repeated blocks of the denoiser (`compile_repeated_blocks`), which takes less of
the minutes that a whole model would, and gains as much. torch makes C++ of them for a processor,
and Triton for a card. No GPU has run it yet.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.ladder import FULL, MODEL_OFFLOAD

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

HELD = ("cpu", FULL, MODEL_OFFLOAD)
"""The rungs whose layers run as they are; those of others move or unpack their weights first."""

NOTE = "the model was compiled: pictures differ slightly, and the first of a size took longer"

COMPILERS = {"darwin": "clang++", "win32": "cl"}
INSTALL = {
    "darwin": "xcode-select --install",
    "win32": "install the Build Tools for Visual Studio",
}
"""By `sys.platform`; elsewhere g++, by the system's packages."""


def why_not_on(
    device: str,
    *,
    find_program: Callable[[str], str | None] = shutil.which,
    is_installed: Callable[[str], bool] | None = None,
    headers: Path | None = None,
) -> str:
    """Say what a device lacks to run compiled models, with what helps; empty where nothing.

    Args:
        device: As torch names it.
        find_program: Gives the path of a program; None where it is not here.
        is_installed: Says whether there is a package; None: by looking.
        headers: The folder of Python's own; None: of this Python.
    """
    kind = device.partition(":")[0]
    if kind == "mps":
        return "nobody has tried it on mps"
    if kind != "cpu" and not (is_installed or _is_installed)("triton"):
        name = "triton-windows" if sys.platform == "win32" else "triton"
        return f"Triton is not installed: {install_command(name)}"
    compiler = os.environ.get("CXX") or COMPILERS.get(sys.platform, "g++")
    install = INSTALL.get(sys.platform, "apt install g++, or what it is called here")
    if find_program(compiler.split()[0]) is None:
        return f"there is no compiler {compiler}: {install}"
    headers = headers or Path(sysconfig.get_paths()["include"])
    if not (headers / "Python.h").exists():
        return f"Python's headers are not in {headers}: apt install python3-dev"
    return ""


def why_not_used(request: wire.WorkerRequest, rung: str, cached: bool, blocks: bool) -> str:
    """Say why a request is run as if nothing were compiled; empty where it is not.

    Args:
        request: What is asked for.
        rung: How the model is held.
        cached: Its steps are cached.
        blocks: Its denoiser has blocks that can be compiled.
    """
    if not blocks:
        return "diffusers names no blocks of it that repeat"
    if rung not in HELD:
        return f"it is held by {rung}"
    if cached:
        return "its steps are cached"
    if request.loras or request.ip_adapter is not None:
        return "what is laid over it would be compiled anew for each request"
    return ""


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
