"""Import onnxruntime so that it tells nobody what it does."""

from __future__ import annotations

import functools
import importlib
import os
import threading
from typing import Any

_SILENT = "ORT_DISABLE_TELEMETRY"
_importing = threading.Lock()


def load_onnx_runtime() -> Any:
    """Import onnxruntime, silent: nothing about this machine or its work goes to Microsoft.

    Its own builds send what sessions they open, with a number for this machine that they keep in
    the cache directory, unless a variable tells them before they are first used (its Privacy.md).
    They read it as they are imported, which was tried with 1.32 on Linux: so it stands in the
    environment of this process, and of its children, no longer than that. The call is for the
    builds that do not read the variable. Whatever package brings onnxruntime along is imported
    after this.

    Raises:
        ImportError: It is not installed, or cannot be loaded.
    """
    with _importing:  # of two threads one would keep the variable that the other set
        return _load()


@functools.cache
def _load() -> Any:
    before = os.environ.get(_SILENT)
    os.environ[_SILENT] = "1"
    try:
        runtime = importlib.import_module("onnxruntime")
        runtime.disable_telemetry_events()
    finally:
        if before is None:
            del os.environ[_SILENT]
        else:
            os.environ[_SILENT] = before
    return runtime
