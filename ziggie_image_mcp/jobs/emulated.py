"""Give a route's pictures what its model lacks: alpha by keying or cutting out, edges that meet.

Between the provider's answer and `persist`, which checks the files. Everything that is done is
deterministic by the pictures, so that a job that is taken up comes to the same ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from ziggie_image_mcp.assets.keying import (
    BEYOND,
    KeyedPicture,
    check_alpha,
    describe_alpha,
    is_cut_out,
    remove_flat_ground,
)
from ziggie_image_mcp.assets.region import put_back, whole
from ziggie_image_mcp.assets.tiling import made_seamless
from ziggie_image_mcp.errors import InvalidOutput, ProviderError
from ziggie_image_mcp.provider import pictures
from ziggie_image_mcp.provider.bounds import most_pixels
from ziggie_image_mcp.provider.nouns import (
    GeneratedImage,
    Generation,
    Model,
    ProviderRequest,
    options_of,
)
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.provider.seams import seam
from ziggie_image_mcp.provider.sizes import Size
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Candidate

if TYPE_CHECKING:
    from PIL import Image

LEAST_CONFIDENCE = 0.6
"""Of keying: below it what is taken for the ground may be a part of the picture. Of 400 drawn
scenes the least sure has 0.94."""

MAX_REROLLS = 2
"""Further pictures of a free route in place of one that does not tile."""

Call = Callable[[ProviderRequest, Model, str], Awaitable[Generation]]
"""A further call that costs nothing: what is asked, of which model, under which name."""

Keep = Callable[[bytes, int], Awaitable[str]]
"""Keeps a PNG that is paid for, by its place among the pictures, and gives its id."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What further work is done with."""

    call: Call
    keep: Keep
    has_time: Callable[[], bool]
    """Whether the deadline leaves room for another call."""


async def emulate(
    generation: Generation, request: ImageRequest, route: Candidate, tools: Tools
) -> Generation:
    """The pictures with alpha and with edges that meet, where that was asked, and notes on how.

    Of an edit they are what the model gave.

    Raises:
        InvalidOutput: A ground could be neither keyed nor cut out; of pictures that are paid for,
            all of them.
    """
    wants = request.transparent, request.seamless
    if not any(wants) or route.request.task != "text_to_image":
        return generation
    images: list[GeneratedImage] = []
    failures: list[InvalidOutput] = []
    notes = list(generation.notes)
    for place, image in enumerate(generation.images):
        one = _Picture(image, place, request, route, tools)
        try:
            images.append(await one.finish(transparent=wants[0], seamless=wants[1]))
        except InvalidOutput as e:
            if is_free(route.model.prices):
                raise
            failures.append(e)
            continue
        prefix = f"picture {place + 1}: " if len(generation.images) > 1 else ""
        notes += [prefix + note for note in one.notes]
    if not images and failures:
        said = list(dict.fromkeys(map(str, failures)))  # each has the id of what is kept
        raise InvalidOutput(route.model.provider, " ".join(said))
    notes += [str(e) for e in failures]
    return replace(generation, images=tuple(images), notes=tuple(notes))


class _Picture:
    """One picture of an answer, on its way."""

    def __init__(
        self,
        image: GeneratedImage,
        place: int,
        request: ImageRequest,
        route: Candidate,
        tools: Tools,
    ) -> None:
        self.notes: list[str] = []
        self._image = image
        self._place = place
        self._request = request
        self._route = route
        self._tools = tools

    async def finish(self, *, transparent: bool, seamless: bool) -> GeneratedImage:
        """The picture as it is to be kept. One that cannot be decoded is left to `persist`."""
        picture = await self._decoded(self._image.data)
        if picture is None:
            return self._image
        before = picture
        if seamless:
            picture = await self._with_edges(picture)
        if transparent:
            picture = await self._with_alpha(picture)
        if seamless and self._route.emulation.seam and not await _tiles(picture):
            picture = await anyio.to_thread.run_sync(made_seamless, picture)
            self.notes.append("its edges were faded into each other")
        if picture is before:
            return self._image
        data = await anyio.to_thread.run_sync(pictures.to_png, picture)
        return replace(self._image, data=data)

    async def _with_edges(self, picture: Image.Image) -> Image.Image:
        if await _tiles(picture):
            return picture
        if self._route.emulation.seam == "inpaint":
            return await self._repainted(picture)
        if not self._route.emulation.seam:
            return await self._rerolled(picture)
        return picture

    async def _rerolled(self, picture: Image.Image) -> Image.Image:
        """One of the next seeds that tiles; else the first, and why."""
        sent, seed = self._route.request, self._image.seed
        if not is_free(self._route.model.prices):
            self.notes.append("its edges do not meet; another try would be charged again")
            return picture
        if seed is None or self._request.seed is not None:
            self.notes.append("its edges do not meet; other seeds are tried where none is given")
            return picture
        for number in range(1, MAX_REROLLS + 1):
            if not self._tools.has_time():
                self.notes.append("its edges do not meet, and there was no time for another try")
                return picture
            other = (seed + number * sent.num_images) % 2**32
            asked = replace(sent, num_images=1, seed=other)
            made = await self._called(asked, self._route.model, f"reroll{number}")
            if made is None:
                return picture
            if await _tiles(made[1]):
                self.notes.append(f"seed {seed} did not tile: this is seed {other}")
                self._image = made[0]
                return made[1]
        self.notes.append(f"its edges do not meet, nor did those of {MAX_REROLLS} further seeds")
        return picture

    async def _repainted(self, picture: Image.Image) -> Image.Image:
        """Its edges, offset into it, painted anew by the same model."""
        from ziggie_image_mcp.assets.offset import mask_of, passes, rolled

        made = pictures.on_white(picture)
        across = down = 0
        for number, one in enumerate(passes(*made.size)):
            if not self._tools.has_time():
                self.notes.append("there was no time to paint its edges anew")
                return picture
            across, down = across + one.across, down + one.down
            moved = rolled(made, one.across, one.down)
            mask = mask_of(one, moved.size)
            asked = _inpaint_request(self._route, moved, mask, self._image.seed)
            answer = await self._called(asked, self._route.model, f"edges{number + 1}")
            if answer is None or answer[1].size != moved.size:
                return picture
            made = put_back(moved, mask, answer[1].convert("RGB"), whole(Size(*moved.size)))
        self.notes.append("its edges were offset into it and painted anew")
        return rolled(made, -across, -down)

    async def _with_alpha(self, picture: Image.Image) -> Image.Image:
        """The picture with real alpha, and the measured shares."""
        if is_cut_out(picture):
            self.notes.append(f"native alpha: {describe_alpha(check_alpha(picture))}")
            return picture
        keyed = await anyio.to_thread.run_sync(remove_flat_ground, picture)
        if isinstance(keyed, KeyedPicture) and keyed.confidence >= LEAST_CONFIDENCE:
            red, green, blue = keyed.ground or (0, 0, 0)
            self.notes.append(
                f"keyed on #{red:02x}{green:02x}{blue:02x}: {describe_alpha(keyed.alpha)}; {BEYOND}"
            )
            return keyed.image
        why = (
            f"only {keyed.confidence:.0%} sure of its ground"
            if isinstance(keyed, KeyedPicture)
            else keyed.message
        )
        return await self._cut_out(picture, why)

    async def _cut_out(self, picture: Image.Image, why: str) -> Image.Image:
        """The subject as a model cuts it out, where its ground cannot be keyed.

        Raises:
            InvalidOutput: There is none, or it gave no alpha.
        """
        model = self._route.emulation.cut_out
        if model is not None:
            asked = ProviderRequest(
                task="remove_background",
                prompt="",
                width=picture.width,
                height=picture.height,
                image=await anyio.to_thread.run_sync(pictures.to_png, picture),
            )
            answer = await self._called(asked, model, "cutout")
            if answer is not None and is_cut_out(answer[1]):
                shares = describe_alpha(check_alpha(answer[1]))
                self.notes.append(
                    f"cut out by {model.provider} {model.id}: {shares} (not keyed: {why})"
                )
                return answer[1]
            why += f"; {model.provider} {model.id} gave no cut-out"
        provider = self._route.model.provider
        message = f"{provider} made a picture of which nothing is transparent, not keyed: {why}."
        step = "process_image remove_background with a provider that cuts out"
        if is_free(self._route.model.prices):
            raise InvalidOutput(provider, f"{message} Or leave out transparent, then {step}.")
        kept = await self._tools.keep(pictures.to_png(picture), self._place)
        raise InvalidOutput(provider, f"{message} It is kept, opaque, as {kept}: {step}.")

    async def _called(
        self, asked: ProviderRequest, model: Model, name: str
    ) -> tuple[GeneratedImage, Image.Image] | None:
        """The picture of a further call; None, and a note, where it came to nothing."""
        try:
            generation = await self._tools.call(asked, model, f"{name}.{self._place}")
        except ProviderError as e:
            self.notes.append(f"a further call of {model.provider} {model.id} failed: {e}")
            return None
        for image in generation.images:
            if (picture := await self._decoded(image.data)) is not None:
                return image, picture
        return None

    async def _decoded(self, data: bytes) -> Image.Image | None:
        decode = partial(pictures.decode, data, max_pixels=most_pixels(self._route.request))
        try:
            return await anyio.to_thread.run_sync(decode)
        except pictures.NotAPicture:
            return None


def _inpaint_request(
    route: Candidate, picture: Image.Image, mask: Image.Image, seed: int | None
) -> ProviderRequest:
    """The request of the route as the same model paints a part of its picture anew."""
    sent, options = route.request, options_of(route.model, "inpaint")
    return replace(
        sent,
        task="inpaint",
        num_images=1,
        seed=sent.seed if seed is None else seed,
        negative_prompt=sent.negative_prompt if "negative_prompt" in options else "",
        steps=sent.steps if "steps" in options else None,
        guidance_scale=sent.guidance_scale if "guidance_scale" in options else None,
        sampler=sent.sampler if "sampler" in options else None,
        scheduler=sent.scheduler if "scheduler" in options else None,
        strength=1.0 if "strength" in options else None,
        image=pictures.to_png(picture),
        mask=pictures.to_png(mask),
    )


async def _tiles(picture: Image.Image) -> bool:
    return (await anyio.to_thread.run_sync(seam, picture)).tiles
