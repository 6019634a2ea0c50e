"""Give a request the bytes of the pictures that it works from, cut and scaled for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets.region import Placement, cut_out, whole
from ziggie_image_mcp.provider import pictures
from ziggie_image_mcp.provider.nouns import Control, ProviderRequest
from ziggie_image_mcp.provider.sizes import Size
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.input_images import opened

if TYPE_CHECKING:
    from PIL import Image


def with_pictures(
    artifacts: ArtifactStore, request: ProviderRequest, placement: Placement | None
) -> ProviderRequest:
    """The request with its pictures as PNG: the image and its mask as cut out and scaled for it.

    Raises:
        StorageError: One is gone.
    """
    image = mask = None
    size = Size(request.width, request.height)
    if request.image_id:
        picture = opened(artifacts, request.image_id)
        over = opened(artifacts, request.mask_id) if request.mask_id else None
        part, part_mask = cut_out(
            picture,
            over,
            placement or whole(Size(*picture.size)),
            size,
        )
        image = pictures.to_png(part)
        mask = None if part_mask is None else pictures.to_png(part_mask)
    return replace(
        request,
        image=image,
        mask=mask,
        references=tuple(pictures.to_png(opened(artifacts, i)) for i in request.reference_ids),
        control=tuple(
            replace(c, image=control_picture(opened(artifacts, c.image_id), c, placement, size))
            for c in request.control
        ),
    )


def control_picture(
    picture: Image.Image, control: Control, placement: Placement | None, size: Size
) -> bytes:
    """A picture that guides the composition, as PNG of the size that is made.

    One of the size of the picture that is edited lies on it, and is cut as it is; another is scaled
    to cover the size, and its sides are cut off evenly. Edges are drawn here.
    """
    from PIL import ImageOps

    if placement is not None and picture.size == (placement.image_width, placement.image_height):
        part, _ = cut_out(picture, None, placement, size)
    else:
        part = ImageOps.fit(pictures.on_white(picture), size)
    if control.kind == "canny" and not control.compute:
        from ziggie_image_mcp.assets.edges import find_edges

        part = find_edges(part)
    return pictures.to_png(part)
