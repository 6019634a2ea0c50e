"""Hold the pictures of a route to their asset contract."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets.contract import AssetContract, read_contract
from ziggie_image_mcp.errors import InvalidOutput
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.types import StoredImage

if TYPE_CHECKING:
    from PIL import Image


def keep_contract(picture: Image.Image, contract: AssetContract, provider: str) -> Image.Image:
    """The picture as the contract asks for it.

    Raises:
        InvalidOutput: A property cannot be had of it.
    """
    from ziggie_image_mcp.assets.fulfilment import fulfilled
    from ziggie_image_mcp.assets.proof import Unproved

    try:
        return fulfilled(picture, contract)
    except Unproved as e:
        raise _broken(provider, e) from e


def prove_contract(data: bytes, contract: AssetContract, provider: str) -> str:
    """What was measured on the bytes that are to be kept.

    Raises:
        InvalidOutput: A property failed.
    """
    from PIL import Image

    from ziggie_image_mcp.assets.proof import Unproved, prove

    with Image.open(io.BytesIO(data)) as image:
        try:
            return prove(image, contract)
        except Unproved as e:
            raise _broken(provider, e) from e


def measured(
    images: list[StoredImage], artifacts: ArtifactStore, request: ImageRequest
) -> list[StoredImage]:
    """Stored pictures with what is measured of their contract, as when they were kept.

    Raises:
        InvalidOutput, StorageError: One is not what it was, or is gone.
    """
    contract = contract_of(request)
    if contract is None:
        return images
    return [
        replace(i, proof=prove_contract(artifacts.original(i.id), contract, "the store"))
        for i in images
    ]


def contract_of(request: ImageRequest) -> AssetContract | None:
    """What each picture of a request must be; None where nothing is said."""
    return read_contract(request.asset) if request.asset else None


def _broken(provider: str, e: Exception) -> InvalidOutput:
    return InvalidOutput(provider, f"the picture of {provider} cannot keep the asset's {e}.")
