"""Ask the providers that run models from folders what lies in one, named in the config or not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from ziggie_image_mcp.errors import InvalidRequest, ProviderError
from ziggie_image_mcp.inventory.registry import Registry, silent_provider
from ziggie_image_mcp.inventory.survey import checked
from ziggie_image_mcp.inventory.types import Rejection, Survey
from ziggie_image_mcp.provider import bulkhead
from ziggie_image_mcp.provider.contract import ScansFolders
from ziggie_image_mcp.provider.nouns import Model


@dataclass(frozen=True, kw_only=True)
class FolderScan:
    """What lies in a folder, by the providers that were asked."""

    survey: Survey
    keys: tuple[str, ...]
    """The settings in which the folder can be named, as providers.diffusers.modelDirs."""


async def scan_folder(registry: Registry, folder: Path) -> FolderScan:
    """Ask each provider that runs models from folders.

    Raises:
        InvalidRequest: There is no such folder.
        ConfigError: A provider's section of the config is wrong.
    """
    if not await anyio.Path(folder).is_dir():
        raise InvalidRequest("DIR", str(folder), "it is no folder here")
    await registry.open()
    models: list[Model] = []
    rejected: list[Rejection] = []
    keys: list[str] = []
    for name, provider in registry.providers().items():
        if not isinstance(provider, ScansFolders):
            continue
        keys.append(f"providers.{name}.{provider.folders_key}")
        scan = partial(provider.scan, folder)
        try:
            listed = await bulkhead.call(name, scan, bulkhead.LISTING)
        except ProviderError as e:
            rejected.append(silent_provider(name, e.code, str(e)))
        else:
            models += checked(name, listed, rejected, is_here=registry.is_here(name))
    if not keys:
        rejected += registry.switched_off()
    survey = Survey(
        models=tuple(m for m in models if m.role == "model"),
        additions=tuple(m for m in models if m.role != "model"),
        rejected=tuple(rejected),
        configured=registry.configured(),
    )
    return FolderScan(survey=survey, keys=tuple(keys))
