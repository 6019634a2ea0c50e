"""An engine of the user's own that draws what a test hands it, and may cut out or repaint."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from ziggie_image_mcp.provider import (
    GeneratedImage,
    Generation,
    Model,
    ProviderRequest,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.pictures import to_png
from ziggie_image_mcp.provider.testing import FakeProvider

Draw = Callable[[ProviderRequest, int], Image.Image | bytes]
"""Draws the picture of a request: the request, and the picture's place in it."""


def always(made: Image.Image | bytes) -> Draw:
    """Draws this, whatever is asked."""

    def draw(request: ProviderRequest, place: int) -> Image.Image | bytes:
        return made

    return draw


class StandInEngine(FakeProvider):
    """Draws by a function; `seen` holds its requests."""

    def __init__(self, name: str, models: list[Model], draw: Draw) -> None:
        super().__init__(name, models=models)
        self._draw = draw

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Draw the pictures of a request."""
        self.seen.append(request)
        images: list[GeneratedImage] = []
        for place in range(request.num_images):
            made = self._draw(request, place)
            data = made if isinstance(made, bytes) else to_png(made)
            seed = (request.seed + place) % 2**32
            images.append(GeneratedImage(data=data, seed=seed))
        return Generation(images=tuple(images))
