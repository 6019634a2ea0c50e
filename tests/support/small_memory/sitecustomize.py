"""On the path of a diffusers worker: the real program, beside a card with little memory.

SMALL_MEMORY is how many bytes of weights the card takes at once. The processor stands in for it:
what would come there at once is a pipeline, its largest part, or its largest layer.
"""

import os
import sys

if "ziggie_image_providers.diffusers.worker" in getattr(sys, "orig_argv", []):
    from collections.abc import Callable, Iterator
    from typing import Any

    from ziggie_image_providers.diffusers.light_imports import import_libraries

    torch, diffusers, _ = import_libraries()
    LIMIT = int(os.environ["SMALL_MEMORY"])
    inside: list[str] = []
    """The methods that run: one that offloads moves the pipeline away from the card first."""

    def size(module: Any, recurse: bool = True) -> int:
        return sum(p.numel() * p.element_size() for p in module.parameters(recurse))

    def parts(pipe: Any) -> Iterator[Any]:
        return (p for p in pipe.components.values() if isinstance(p, torch.nn.Module))

    def limited(name: str, most: Callable[[Any], int]) -> None:
        """Let a method of pipelines run out of memory."""
        method = getattr(diffusers.DiffusionPipeline, name)

        def within(pipe: Any, *args: Any, **named: Any) -> Any:
            if not inside and (needed := most(pipe)) > LIMIT:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {needed} B.")
            inside.append(name)
            try:
                return method(pipe, *args, **named)
            finally:
                inside.pop()

        setattr(diffusers.DiffusionPipeline, name, within)

    limited("to", lambda pipe: sum(map(size, parts(pipe))))
    limited("enable_model_cpu_offload", lambda pipe: max(map(size, parts(pipe))))
    limited(
        "enable_group_offload",
        lambda pipe: max(size(layer, False) for part in parts(pipe) for layer in part.modules()),
    )
