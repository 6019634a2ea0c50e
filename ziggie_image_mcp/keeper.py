"""Keep the pictures of one try, so that keeping them twice is keeping them once."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from functools import partial

import anyio.to_thread

from ziggie_image_mcp.errors import InvalidOutput, StorageError
from ziggie_image_mcp.store import Store
from ziggie_image_mcp.types import Candidate, Generation, ImageRequest, Recipe, StoredImage


class Keeper:
    """Puts pictures into a store under ids that follow from the try that made them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(
        self, generation: Generation, name: str, day: date, request: ImageRequest, route: Candidate
    ) -> tuple[Generation, list[StoredImage]]:
        """Check and save what the try called `name` made, with its recipe.

        Raises:
            InvalidOutput: There are too many or too few pictures, or one is none.
            StorageError: One could not be written.
        """
        model, job = route.model, route.job
        count, wanted = len(generation.images), job.num_images
        if not 1 <= count <= wanted:
            said = f"{model.provider} returned {count} pictures of {wanted}."
            raise InvalidOutput(model.provider, said)
        if count < wanted:
            few = f"{count} of {wanted} pictures were made"
            generation = replace(generation, notes=(few, *generation.notes))
        images: list[StoredImage] = []
        for i, made in enumerate(generation.images):
            extra = {
                "Sampler": job.sampler,
                "Schedule type": job.scheduler,
                "Denoising strength": "" if job.strength is None else f"{job.strength:g}",
                "Image": job.image_id,
                "Mask": job.mask_id,
            }
            recipe = Recipe(
                prompt=job.prompt,
                negative_prompt=job.negative_prompt,
                provider=model.provider,
                model=model.id,
                seed=made.seed,
                steps=job.steps,
                guidance_scale=job.guidance_scale,
                width=job.width,
                height=job.height,
                extra={key: value for key, value in extra.items() if value},
            )
            save = partial(
                self._store.save,
                made.data,
                recipe,
                format=request.output_format,
                hint=request.file_name,
                image_id=_image_id(name, i, day),
            )
            images.append(await anyio.to_thread.run_sync(save))
        return generation, images

    async def kept(self, name: str, day: date, route: Candidate) -> list[StoredImage] | None:
        """The pictures that an earlier process saved for this try, when all are there."""
        images: list[StoredImage] = []
        for i in range(route.job.num_images):
            seed = (route.job.seed + i) % 2**32 if "seed" in route.model.features else None
            try:
                find = partial(self._store.stored, _image_id(name, i, day), seed)
                images.append(await anyio.to_thread.run_sync(find))
            except (StorageError, InvalidOutput):
                return None
        return images


def _image_id(name: str, index: int, day: date) -> str:
    """The same for the same picture of the same try, in whatever process."""
    token = hashlib.sha256(f"{name}.{index}".encode()).hexdigest()[:16]
    return f"{day:%Y%m%d}-{token}"
