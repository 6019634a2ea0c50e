"""Let a UNet look at reference pictures by an IP-Adapter. Imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.faults import Problem, first_line
from ziggie_image_providers.diffusers.ladder import MODEL_OFFLOAD, parse
from ziggie_image_providers.diffusers.loading import held, transformers

SCALE = 0.6
"""How much the references count beside the prompt: what the adapters' authors draw with both."""


class _Laid:
    def __init__(self) -> None:
        self.pipe: Any = None
        self.key: tuple[str, int] | None = None


_laid = _Laid()


def lay(adapter: wire.IpAdapter | None) -> None:
    """Have this adapter in the model, or none.

    Raises:
        Problem: It does not fit the model, which is as before then, or cannot be read.
    """
    if _laid.pipe is not held.pipe:
        _laid.pipe, _laid.key = held.pipe, None
    key = None if adapter is None else (adapter.path, Path(adapter.path).stat().st_mtime_ns)
    if key == _laid.key:
        return
    held.edits = {}  # they know the parts as they were
    if _laid.key is not None:
        _take_off()
        _laid.key = None
    if adapter is not None:
        _load(adapter)
    _laid.key = key


def words(references: tuple[Any, ...]) -> dict[str, Any]:
    """The references in the words of a pipeline's call."""
    return {"ip_adapter_image": references[0] if len(references) == 1 else [list(references)]}


def _load(adapter: wire.IpAdapter) -> None:
    path, pipe = Path(adapter.path), held.pipe
    try:
        encoder = transformers.CLIPVisionModelWithProjection.from_pretrained(
            adapter.encoder, dtype=held.dtype, local_files_only=True
        )
        pipe.register_modules(image_encoder=encoder.eval())
        pipe.load_ip_adapter(
            str(path.parent), subfolder="", weight_name=path.name, image_encoder_folder=None
        )
    except MemoryError:
        _take_off()
        raise
    except Exception as e:  # keys, shapes, files: each has errors of its own
        _take_off()
        if type(e).__name__ == "OutOfMemoryError":
            raise
        raise Problem(
            "model_unusable",
            f"The IP-Adapter {path.name} cannot be used with this model ({first_line(e)}). Get it "
            "again, or leave out references.",
        ) from e
    pipe.set_ip_adapter_scale(SCALE)
    if parse(held.rung).offload == MODEL_OFFLOAD:
        pipe.enable_model_cpu_offload(device=held.device)
    else:
        encoder.to(held.device)


def _take_off() -> None:
    held.pipe.unload_ip_adapter()
    if parse(held.rung).offload == MODEL_OFFLOAD:
        held.pipe.enable_model_cpu_offload(device=held.device)
