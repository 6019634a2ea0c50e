"""This provider's section of config.json."""

from __future__ import annotations

from pydantic import Field

from ziggie_image_mcp.provider.settings import Folder, ProviderSettings


class Settings(ProviderSettings):
    """What may be set; the keys are camelCase in the file."""

    model_dirs: tuple[Folder, ...] = ()
    """Folders to look in for networks that cut subjects out (.onnx, as rembg uses them), before
    rembg's own folder."""
    idle_seconds: float = Field(default=300, ge=0)
    """After so long without work the weights leave the memory, some 100 MB."""
