"""Hold the pictures of a route to their asset contract."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets.contract import AssetContract, read_contract
from ziggie_image_mcp.errors import InvalidOutput
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.picture_ids import hint_in
from ziggie_image_mcp.storage.types import StoredImage

if TYPE_CHECKING:
    from PIL import Image

    from ziggie_image_mcp.assets.export import Export


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


class SheetFiles:
    """The files beside a picture whose contract names some: where its frames stand, and a motion.

    Args:
        contract: Of the picture.
        finish: Gives the picture as it is kept.
        notes: Are told what was measured on the files, and what they cannot hold.
    """

    def __init__(
        self,
        contract: AssetContract,
        finish: Callable[[Image.Image], Image.Image],
        notes: list[str],
    ) -> None:
        self._notes = notes
        self._contract = contract
        self._finish = finish
        self._picture: Image.Image | None = None

    def finish(self, picture: Image.Image) -> Image.Image:
        """The picture as it is kept."""
        self._picture = self._finish(picture)
        return self._picture

    def files(self, name: str) -> Mapping[str, bytes]:
        """By their suffixes.

        Raises:
            InvalidOutput: One differs from what it should hold.
        """
        from ziggie_image_mcp.assets.export import export
        from ziggie_image_mcp.assets.frames import Frame

        contract, picture = self._contract, self._picture
        if picture is None or not (contract.sheet or contract.animation):
            return {}
        frame = Frame(name=hint_in(name), image=picture)
        exported = export([frame], _export_of(contract))[0]
        self._notes.extend(exported.proofs)
        return exported.side_files(name)


def measured(
    images: list[StoredImage], artifacts: ArtifactStore, request: ImageRequest
) -> list[StoredImage]:
    """Stored pictures with what is measured of their contract, and its files, as they were kept.

    Raises:
        InvalidOutput, StorageError: One is not what it was, or is gone.
    """
    contract = contract_of(request)
    if contract is None:
        return images
    return [
        replace(
            image,
            proof=prove_contract(artifacts.original(image.id), contract, "the store"),
            files=tuple(artifacts.side_path(image.id, suffix) for suffix in _suffixes(contract)),
        )
        for image in images
    ]


def _suffixes(contract: AssetContract) -> tuple[str, ...]:
    """Of the files beside each picture."""
    return _export_of(contract).suffixes if contract.sheet or contract.animation else ()


def _export_of(contract: AssetContract) -> Export:
    from ziggie_image_mcp.assets.export import Export
    from ziggie_image_mcp.assets.frames import read_slice

    rows = contract.frames // contract.columns
    return Export(
        slice=read_slice(f"{contract.columns}x{rows}"),
        formats=contract.sheet,
        align=False,
        columns=contract.columns if contract.sheet else None,
        animation=contract.animation,
        fps=contract.fps,
        pixel_art=contract.is_pixel_art,
    )


def contract_of(request: ImageRequest) -> AssetContract | None:
    """What each picture of a request must be; None where nothing is said."""
    return read_contract(request.asset) if request.asset else None


def _broken(provider: str, e: Exception) -> InvalidOutput:
    return InvalidOutput(provider, f"the picture of {provider} cannot keep the asset's {e}.")
