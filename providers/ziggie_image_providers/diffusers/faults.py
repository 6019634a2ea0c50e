"""Name what went wrong in the worker, from the exception alone."""

from __future__ import annotations

from typing import Literal

from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_providers.diffusers.wire import Failed, Fault

EXTRA = "ziggie-image-mcp[local]"

LONGEST = 240
"""Characters of somebody else's message."""

_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "alloc_failed",
    "bad allocation",
    "bad_alloc",
)
_NO_FILE = (
    "no file named",
    "does not appear to have a file",
    "neither a valid local path",
    "cannot find the requested files",
    "offline mode is enabled",
    "no such file",
)


class Stopped(BaseException):
    """Raised inside a pipeline to stop it; no `except Exception` of a pipeline may keep it."""


class Problem(Exception):
    """Raised by our own code in the worker, with the name already known."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault: Fault = fault


def failed(error: BaseException, stage: Literal["load", "run"]) -> Failed:
    """Turn an exception into the message for the provider."""
    line = first_line(error)
    fault, advice = _name(error, stage)
    if isinstance(error, Problem | Stopped):
        return Failed(fault=fault, message=line)
    what = f"{type(error).__name__}: {line.rstrip(' .:')}."
    return Failed(fault=fault, message=f"{what} {advice}".strip())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of a card or of the machine."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(sign in str(error).lower() for sign in _NO_MEMORY)


def first_line(error: BaseException) -> str:
    """Shorten a message to its first line, without numbers out of tensors."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0].split("tensor(")[0] if lines else type(error).__name__
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def _name(error: BaseException, stage: Literal["load", "run"]) -> tuple[Fault, str]:
    text = str(error).lower()
    if isinstance(error, Problem):
        return error.fault, ""
    if isinstance(error, Stopped):
        return "cancelled", ""
    if is_out_of_memory(error):
        return "out_of_memory", "Use a smaller model or size."
    if isinstance(error, ImportError):
        return "dependency_missing", f"Run: {install_command(EXTRA)}"
    if isinstance(error, RuntimeWarning) and "invalid value" in text:
        return "invalid_output", "The model computed what is no number; its weights may be damaged."
    if stage == "run":
        return ("rejected", "") if isinstance(error, ValueError | TypeError) else ("crashed", "")
    if isinstance(error, FileNotFoundError) or any(sign in text for sign in _NO_FILE):
        return "model_missing", "Download the model again."
    return "model_unusable", "The model is damaged, or of a kind that diffusers cannot run."
