"""On the path of a diffusers worker: the real program, with an engine that needs no torch."""

import sys

if "ziggie_image_providers.diffusers.worker" in getattr(sys, "orig_argv", []):
    import importlib

    engine = importlib.import_module("stand_in_engine")
    for name in ("loading", "pipeline"):
        sys.modules[f"ziggie_image_providers.diffusers.{name}"] = engine
    sys.modules["diffusers.pipelines.pipeline_utils"] = engine  # which the worker imports ahead
