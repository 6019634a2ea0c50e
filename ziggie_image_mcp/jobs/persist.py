"""Keep the pictures of one attempt, so that keeping them twice is keeping them once."""

from __future__ import annotations

import hashlib
from datetime import date
from functools import partial

import anyio.to_thread

from ziggie_image_mcp.errors import InvalidOutput, StorageError
from ziggie_image_mcp.provider.types import Generation
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Candidate
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.types import Recipe, StoredImage


async def persist(
    artifacts: ArtifactStore,
    generation: Generation,
    name: str,
    day: date,
    request: ImageRequest,
    route: Candidate,
) -> tuple[list[StoredImage], tuple[str, ...]]:
    """Check and save what the attempt called `name` gave; the pictures, and notes about them.

    Raises:
        InvalidOutput: There are too many or too few pictures, or one is none.
        StorageError: One could not be written.
    """
    model, sent = route.model, route.request
    count, expected = len(generation.images), sent.num_images
    if not 1 <= count <= expected:
        raise InvalidOutput(
            model.provider, f"{model.provider} returned {count} pictures of {expected}."
        )
    notes = generation.notes
    if count < expected:
        notes = (f"{count} of {expected} pictures were made", *notes)
    extra = {
        "Sampler": sent.sampler,
        "Schedule type": sent.scheduler,
        "Denoising strength": "" if sent.strength is None else f"{sent.strength:g}",
        "Image": sent.image_id,
        "Mask": sent.mask_id,
    }
    images: list[StoredImage] = []
    for i, image in enumerate(generation.images):
        recipe = Recipe(
            prompt=sent.prompt,
            negative_prompt=sent.negative_prompt,
            provider=model.provider,
            model=model.id,
            seed=image.seed,
            steps=sent.steps,
            guidance_scale=sent.guidance_scale,
            width=sent.width,
            height=sent.height,
            extra={key: value for key, value in extra.items() if value},
        )
        save = partial(
            artifacts.save,
            image.data,
            recipe,
            format=request.output_format,
            hint=request.file_name,
            image_id=_image_id(name, i, day),
        )
        images.append(await anyio.to_thread.run_sync(save))
    return images, notes


async def find_persisted(
    artifacts: ArtifactStore, name: str, day: date, route: Candidate
) -> list[StoredImage] | None:
    """The pictures that an earlier process saved for this attempt, when all are there."""
    images: list[StoredImage] = []
    for i in range(route.request.num_images):
        seed = (route.request.seed + i) % 2**32 if "seed" in route.model.features else None
        try:
            find = partial(artifacts.stored, _image_id(name, i, day), seed)
            images.append(await anyio.to_thread.run_sync(find))
        except (StorageError, InvalidOutput):
            return None
    return images


def _image_id(name: str, index: int, day: date) -> str:
    """The same for the same picture of the same attempt, in whatever process."""
    token = hashlib.sha256(f"{name}.{index}".encode()).hexdigest()[:16]
    return f"{day:%Y%m%d}-{token}"
