"""Let transformers 5 read the safety checker of DeepFloyd IF. Imports diffusers."""

from __future__ import annotations

import importlib
from typing import Any

MODULE = "diffusers.pipelines.deepfloyd_if.safety_checker"


def complete_checker() -> None:
    """End the making of a checker as transformers 5 wants it of its models.

    Diffusers 0.42.1 does so for the checker of Stable Diffusion alone; without it none is read.
    """
    kind: Any = importlib.import_module(MODULE).IFSafetyChecker
    begin = kind.__init__
    if begin.__module__ != MODULE:
        return

    def complete(self: Any, config: Any) -> None:
        begin(self, config)
        if not hasattr(self, "all_tied_weights_keys"):
            self.post_init()

    kind.__init__ = complete
