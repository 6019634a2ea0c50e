"""A provider that answers what a test tells it to, for our tests and for authors of providers."""

from __future__ import annotations

import io
from collections.abc import Sequence

import anyio

from ziggie_image_mcp.errors import OutcomeUnknown, ProviderError
from ziggie_image_mcp.provider.types import (
    Feature,
    GeneratedImage,
    Generation,
    Model,
    Progress,
    ProviderRequest,
    Submission,
)

ALL_FEATURES: frozenset[Feature] = frozenset(
    ("text_to_image", "negative_prompt", "seed", "steps", "guidance_scale")
)


def picture(width: int = 64, height: int = 64, colour: str = "teal") -> bytes:
    """A plain PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def model(provider: str = "fake", id: str = "model", **facts: object) -> Model:
    """A model that is there and can do everything; facts override the defaults."""
    values: dict[str, object] = {
        "id": id,
        "provider": provider,
        "local": True,
        "features": ALL_FEATURES,
        "default_steps": 20,
        "default_guidance": 5.0,
        "seconds": 4.0,
    }
    return Model(**(values | facts))  # type: ignore[arg-type]


class FakePaidProvider:
    """Takes money for plain pictures. `charged` is its own log: what it charged under which key.

    Answers in turn: an error is raised (OutcomeUnknown after charging), None hangs in `collect`.
    """

    def __init__(
        self,
        name: str = "paid",
        *,
        price: int = 40_000,
        answers: Sequence[ProviderError | None] = (),
        **facts: object,
    ) -> None:
        self.name = name
        self.charged: dict[str, int] = {}
        self.submitted: list[str] = []
        self.cancelled = 0
        self._jobs: dict[str, ProviderRequest] = {}
        self._answers = list(answers)
        self._price = price
        self._facts: dict[str, object] = {"local": False, "price_micro_usd": price} | facts

    async def models(self) -> Sequence[Model]:
        """List its one model."""
        return [model(self.name, "model", **self._facts)]

    async def submit(self, request: ProviderRequest, model: Model, key: str) -> Submission:
        """Charge, unless the next answer is an error that says nothing was sent."""
        self.submitted.append(key)
        answer = self._answers.pop(0) if self._answers else picture()
        if isinstance(answer, ProviderError) and not isinstance(answer, OutcomeUnknown):
            if answer.charged:
                self.charged[key] = answer.charged
            raise answer
        self.charged[key] = self._price * request.num_images
        if isinstance(answer, OutcomeUnknown):
            raise answer
        self._jobs[key] = request
        return Submission(remote_id="hang" if answer is None else key)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        """Give plain pictures, or hang."""
        await progress(0.5, "halfway")
        if remote_id == "hang":
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                self.cancelled += 1
                raise
        images = [
            GeneratedImage(data=picture(request.width, request.height), seed=None)
            for _ in range(request.num_images)
        ]
        return Generation(images=tuple(images), cost_micro_usd=self.charged[remote_id])

    async def find(self, key: str) -> str | None:
        """Look the job up in the log."""
        return key if key in self.charged else None

    async def aclose(self) -> None:
        """Nothing is open."""


class FakeProvider:
    """Gives its answers in turn: bytes is a picture, an error is raised, None hangs.

    When the answers are used up it draws plain pictures of the size asked for. `seen` holds the
    jobs that it was given; `cancelled` counts the generations that were cancelled.
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        models: Sequence[Model] | None = None,
        answers: Sequence[bytes | ProviderError | None] = (),
        down: ProviderError | None = None,
    ) -> None:
        self.name = name
        self.seen: list[ProviderRequest] = []
        self.cancelled = 0
        self.closed = 0
        self._models = [model(name)] if models is None else list(models)
        self._answers = list(answers)
        self._down = down

    async def models(self) -> Sequence[Model]:
        """List the models it was given, or be down."""
        if self._down is not None:
            raise self._down
        return self._models

    async def generate(
        self, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        """Give the next answer."""
        self.seen.append(request)
        answer = self._answers.pop(0) if self._answers else picture(request.width, request.height)
        await progress(0.5, "halfway")
        if answer is None:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                self.cancelled += 1
                raise
        if isinstance(answer, ProviderError):
            raise answer
        assert answer is not None
        await progress(1.0, "done")
        images = [
            GeneratedImage(data=answer, seed=request.seed + i) for i in range(request.num_images)
        ]
        return Generation(images=tuple(images))

    async def aclose(self) -> None:
        """Count the call."""
        self.closed += 1
