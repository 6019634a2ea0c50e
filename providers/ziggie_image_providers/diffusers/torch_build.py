"""Tell what the installed torch was built for, without importing it."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from pathlib import Path

_BUILT_FOR = re.compile(r"^(?:cuda|hip|xpu)\b[^=\n]*=\s*['\"]", re.MULTILINE)


@functools.cache
def uses_gpus() -> bool:
    """Whether it was built for a GPU; True where that cannot be told.

    Many an NVIDIA card has a torch for the CPU beside it: on Windows pip installs that.
    """
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None or sys.platform == "darwin":
        return True
    try:
        text = Path(torch.origin).with_name("version.py").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return True
    return is_for_gpus(text)


def is_for_gpus(version: str) -> bool:
    """The same by the text of torch/version.py, which says None of what it was not built for."""
    return "cuda" not in version or _BUILT_FOR.search(version) is not None
