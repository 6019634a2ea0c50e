"""Providers that answer what a test tells them to, for our tests and for authors of providers."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from datetime import date
from functools import cache
from typing import Any, ClassVar, cast

import anyio

from ziggie_image_mcp.errors import OutcomeUnknown, ProviderError
from ziggie_image_mcp.provider.capabilities import FreeSize, Option, SizeRule, Task, TaskCapability
from ziggie_image_mcp.provider.contract import ProviderContext, ProviderInfo
from ziggie_image_mcp.provider.delivery import InProcess
from ziggie_image_mcp.provider.nouns import (
    Balance,
    CancelOutcome,
    Defaults,
    GeneratedImage,
    Generation,
    Model,
    Probe,
    ProviderRequest,
    RemoteJob,
    Resolution,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.pricing import (
    FREE,
    OWN_PRICE,
    Cost,
    Estimate,
    PriceBook,
    Prices,
    Rate,
    estimate,
)
from ziggie_image_mcp.provider.settings import ProviderSettings

OPTIONS: frozenset[Option] = frozenset(("negative_prompt", "seed", "steps", "guidance_scale"))

TASKS: tuple[Task, ...] = ("text_to_image",)


@cache
def picture(width: int = 64, height: int = 64, colour: str = "teal") -> bytes:
    """A plain PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def model(
    provider: str = "fake",
    id: str = "model",
    *,
    price: int | None = 0,
    price_as_of: date | None = None,
    tasks: Collection[str] = TASKS,
    options: Collection[str] = OPTIONS,
    sizes: SizeRule | None = None,
    max_images: int = 16,
    steps: int | None = 20,
    guidance_scale: float | None = 5.0,
    capability: dict[str, Any] | None = None,
    **facts: Any,
) -> Model:
    """A model that is there and can do much; facts override the defaults.

    Args:
        provider: Of which provider.
        id: Its id.
        price: For one picture, micro-USD; 0 is FREE where it is local and elsewhere as the user
            set it, None is unknown.
        price_as_of: When that was read.
        tasks: What it does, each with the same capability.
        options: What it honours.
        sizes: Its size rule.
        max_images: In one request.
        steps: By default.
        guidance_scale: By default.
        capability: Further fields of its capabilities.
        facts: Further fields of Model.
    """
    able = TaskCapability(
        sizes=sizes or FreeSize(),
        options=cast("frozenset[Option]", frozenset(options)),
        max_images=max_images,
        **(capability or {}),
    )
    prices: Prices
    if price is None:
        prices = PriceBook(rates=())
    elif price == 0 and facts.get("where", "this_machine") != "vendor":
        prices = FREE
    else:
        prices = PriceBook(
            rates=(Rate(unit="image", micro_usd=price),),
            as_of=price_as_of,
            source="" if price else OWN_PRICE,
        )
    values: dict[str, Any] = {
        "id": id,
        "provider": provider,
        "where": "this_machine",
        "tasks": dict.fromkeys(tasks, able),
        "prices": prices,
        "defaults": Defaults(steps=steps, guidance_scale=guidance_scale),
        "seconds": 4.0,
    }
    return Model(**(values | facts))


class StubProvider(InProcess):
    """What a provider in a test need not say: it is there, and costs what its models say."""

    contract: ClassVar[int] = 1
    info: ClassVar[ProviderInfo] = ProviderInfo(summary="a fake")
    Settings: ClassVar[type[ProviderSettings]] = ProviderSettings

    async def probe(self) -> Probe:
        """Be there."""
        return Probe(state="ready")

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """What the price book says."""
        return estimate(request, model)

    async def balance(self) -> Balance | None:
        """It has no account."""
        return None

    async def aclose(self) -> None:
        """Nothing is open."""


class FakeProvider(StubProvider):
    """Gives its answers in turn: bytes is a picture, an error is raised, None hangs.

    When the answers are used up it draws plain pictures of the size asked for. `seen` holds the
    requests that it was given; `cancelled` counts those that were cancelled.
    """

    def __init__(
        self,
        name: str = "fake",
        settings: ProviderSettings | None = None,
        context: ProviderContext | None = None,
        *,
        models: Sequence[Model] | None = None,
        answers: Sequence[bytes | BaseException | None] = (),
        down: Exception | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.seen: list[ProviderRequest] = []
        self.cancelled = 0
        self.closed = 0
        self._models = [model(name)] if models is None else list(models)
        self._answers = list(answers)
        self._down = down
        self._notes = tuple(notes)

    async def probe(self) -> Probe:
        """Be there, or be down."""
        if self._down is not None:
            return Probe(state="unreachable", message=str(self._down))
        return Probe(state="ready")

    async def list_models(self) -> Sequence[Model]:
        """List the models it was given, or be down."""
        if self._down is not None:
            raise self._down
        return self._models

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Give the next answer."""
        self.seen.append(request)
        answer = self._answers.pop(0) if self._answers else picture(request.width, request.height)
        await run.progress(0.5, "halfway")
        if answer is None:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                self.cancelled += 1
                raise
        if isinstance(answer, BaseException):
            raise answer
        assert answer is not None
        await run.progress(1.0, "done")
        images = [
            GeneratedImage(data=answer, seed=request.seed + i) for i in range(request.num_images)
        ]
        return Generation(images=tuple(images), notes=self._notes)

    async def aclose(self) -> None:
        """Count the call."""
        self.closed += 1


class FakePaidProvider(StubProvider):
    """Takes money for plain pictures. `charged` is its own log: what it charged under which key.

    Answers in turn: an error is raised (OutcomeUnknown after charging), None hangs in `collect`.
    `costs` are what its answers say that they cost; without them it tells the price.
    """

    def __init__(
        self,
        name: str = "paid",
        *,
        price: int = 40_000,
        answers: Sequence[Exception | None] = (),
        costs: Sequence[Cost] = (),
        **facts: Any,
    ) -> None:
        self.name = name
        self.charged: dict[str, int] = {}
        self.submitted: list[str] = []
        self.cancelled: list[str] = []
        self._jobs: dict[str, ProviderRequest] = {}
        self._answers = list(answers)
        self._costs = list(costs)
        self._price = price
        self._facts: dict[str, Any] = {"where": "vendor", "price": price} | facts

    def reprice(self, price: int) -> None:
        """Cost so much from now on, 1e-6 USD a picture."""
        self._price, self._facts = price, self._facts | {"price": price}

    async def list_models(self) -> Sequence[Model]:
        """List its one model."""
        return [model(self.name, "model", **self._facts)]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Charge, unless the next answer is an error that says nothing was sent."""
        key = run.key
        self.submitted.append(key)
        answer = self._answers.pop(0) if self._answers else picture()
        if isinstance(answer, BaseException) and not isinstance(answer, OutcomeUnknown):
            if isinstance(answer, ProviderError) and answer.charged:
                self.charged[key] = int(answer.charged)
            raise answer
        self.charged[key] = self._price * request.num_images
        if isinstance(answer, OutcomeUnknown):
            raise answer
        self._jobs[key] = request
        return RemoteJob(id="hang" if answer is None else key)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Give plain pictures, or hang."""
        await run.progress(0.5, "halfway")
        if remote_id == "hang":
            await anyio.sleep_forever()
        images = [
            GeneratedImage(data=picture(request.width, request.height), seed=None)
            for _ in range(request.num_images)
        ]
        cost = Cost(micro_usd=self.charged[remote_id], basis="exact")
        return Generation(images=tuple(images), cost=self._costs.pop(0) if self._costs else cost)

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Look the request up in the log."""
        if key in self.charged:
            return Resolution(state="finished", remote_id=remote_id or key)
        return Resolution(state="not_sent")

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """Stop, and charge all the same."""
        self.cancelled.append(remote_id)
        return CancelOutcome(state="stopped")
