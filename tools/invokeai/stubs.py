"""The environment's `sitecustomize`: lets torchvision, a CUDA build, load beside CPU torch."""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height,"
    " int pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool(Tensor input, Tensor rois, float spatial_scale, int pooled_height,"
    " int pooled_width) -> (Tensor, Tensor)",
)
"""Of the operators that torchvision registers fakes for when it is imported."""

_kept: list[Any] = []


class Definer(importlib.abc.MetaPathFinder):
    """Defines the operators when torchvision is looked for, and finds nothing."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "torchvision" and not _kept:
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for schema in SCHEMAS:
                library.define(schema)
            _kept.append(library)
        return None


sys.meta_path.insert(0, Definer())
