"""Make pictures with models on Replicate."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, cast

import anyio
import httpx2
from pydantic import BaseModel

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    DependencyMissing,
    ProviderTimeout,
    RequestRejected,
)
from ziggie_image_mcp.provider import http as _http
from ziggie_image_mcp.provider.contract import ProviderContext
from ziggie_image_mcp.provider.types import (
    Feature,
    GeneratedImage,
    Generation,
    Model,
    Progress,
    ProviderRequest,
    Submission,
)
from ziggie_image_providers.replicate import download, failures
from ziggie_image_providers.replicate import settings as section
from ziggie_image_providers.replicate.client import ENDED, Client, Prediction, Refused, read
from ziggie_image_providers.replicate.settings import Row

DEFAULT_SECONDS = 300.0
STOP_SECONDS = 1.8
"""What stopping a job may take; the contract allows two seconds."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 3.0
SIDE_TOLERANCE = 0.06
"""How far a side may be from the one that was asked for, where a model takes only shapes."""


class Replicate:
    """Replicate: a prediction is ordered, asked after, and its pictures fetched."""

    Settings: ClassVar[type[BaseModel]] = section.Settings
    summary: ClassVar[str] = "Replicate: FLUX, Ideogram and any other model that it hosts"
    automatic: ClassVar[bool] = False
    key_name: ClassVar[str] = failures.KEY_NAME

    def __init__(
        self,
        name: str,
        settings: section.Settings,
        context: ProviderContext,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: download.Sleep = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        resolve: download.Resolve = download.addresses,
    ) -> None:
        self.name = name
        self._context = context
        self._rows = section.rows(settings)
        self._seconds = settings.timeout or context.timeout or DEFAULT_SECONDS
        self._client = Client(name, settings.base_url, transport)
        self._loopback = _http.is_loopback(settings.base_url)
        self._sleep, self._clock, self._resolve = sleep, clock, resolve

    async def models(self) -> Sequence[Model]:
        """List the models of the table and of the config. Asks nobody but for the token."""
        self._client.check()
        await self._token()
        return [self._model(id, row) for id, row in self._rows.items()]

    async def submit(self, request: ProviderRequest, model: Model, key: str) -> Submission:
        """Order a prediction. Replicate takes no idempotency key, so it is done once."""
        token = await self._token()
        inputs = payload(request, self._row(model), self.name)
        try:
            made = await self._client.create(model.id, inputs, token)
        except Refused as e:
            raise failures.refused(self.name, model.id, e.answer, token) from e
        except _http.NOT_SENT as e:
            raise _http.transport_error(self.name, e, self._client.base_url) from e
        except httpx2.RequestError as e:
            what = f"Replicate did not answer the order ({type(e).__name__})"
            raise failures.unknown(self.name, what) from e
        if made is None:
            raise failures.unknown(self.name, "Replicate's answer to the order cannot be read")
        return Submission(remote_id=made.id)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        """Ask after the prediction until it ended, and fetch its pictures at once."""
        if not re.fullmatch(r"[\w-]+", remote_id, re.ASCII):
            raise failures.unknown(self.name, "this is no id of a prediction")
        try:
            token = await self._token()
        except AuthenticationFailed as e:  # any other error would say that nothing was charged
            what = f"Replicate cannot be asked after the job: {e}"
            raise failures.unknown(self.name, what, remote_id) from e
        with suppress(DependencyMissing):  # without it a job cannot be stopped, but still fetched
            await self._client.load()
        try:
            prediction = await self._end(remote_id, token, progress)
        except anyio.get_cancelled_exc_class():
            await self._stop(remote_id, token)
            raise
        if prediction is None:
            prediction = await self._too_late(remote_id, token)
        if prediction.status != "succeeded":
            raise failures.ended(self.name, prediction, token)
        await progress(0.9, "Replicate: fetching the pictures")
        return await self._generation(prediction, request, model)

    async def find(self, key: str) -> str | None:
        """Nothing to look up: an order has no place for a key of ours.

        Its body takes input and webhook alone; a foreign input is refused by the model, and a
        webhook would be called. The list of predictions shows inputs, but this is asked by key.
        """
        raise failures.unknown(self.name, "Replicate cannot look up an order by our key")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _row(self, model: Model) -> Row:
        return self._rows.get(model.id, Row())

    def _model(self, id: str, row: Row) -> Model:
        features: set[Feature] = {"text_to_image"}
        for wish in row.inputs:
            if wish != "num_images":
                features.add(wish)
        return Model(
            id=id,
            provider=self.name,
            local=False,
            family=row.family,
            title=row.title,
            aliases=row.aliases,
            features=frozenset(features),
            native_width=row.native_width,
            native_height=row.native_height,
            min_side=row.min_side,
            max_side=row.max_side,
            multiple_of=row.multiple_of,
            max_images=row.max_images if "num_images" in row.inputs else 1,
            default_steps=row.default_steps,
            default_guidance=row.default_guidance,
            distilled=row.distilled,
            license=row.license,
            commercial_use=row.commercial_use,
            price_micro_usd=None if row.price_usd is None else math.ceil(row.price_usd * 1e6),
            price_as_of=row.as_of,
        )

    async def _token(self) -> str:
        token = await self._context.secret(self.key_name)
        if not token:
            raise failures.no_token(self.name, f"there is no token in {self.key_name}")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise failures.no_token(self.name, f"what {self.key_name} holds is no token")
        return token

    async def _end(self, id: str, token: str, progress: Progress) -> Prediction | None:
        """The prediction once it has ended; None when that takes too long."""
        started, pause, status = self._clock(), FIRST_PAUSE, "waiting"
        while True:
            found, wait = await self._look(id, token)
            if found is not None:
                if found.status in ENDED:
                    return found
                status = found.status
            waiting = pause if wait is None else wait
            pause = min(pause * 1.5, LONGEST_PAUSE)
            while waiting > 0:
                spent = self._clock() - started
                if spent >= self._seconds:
                    return None
                await progress(0.85 * spent / (spent + 10), f"Replicate: {status}")
                step = min(waiting, LONGEST_PAUSE, self._seconds - spent)
                await self._sleep(step)
                waiting -= step

    async def _look(self, id: str, token: str) -> tuple[Prediction | None, float | None]:
        """What Replicate says of the prediction, and how long to wait before the next question."""
        try:
            answer = await self._client.look(id, token)
        except httpx2.RequestError:  # the job goes on; `_end` asks again until its time is over
            return None, None
        status = answer.status_code
        if answer.is_success:
            return read(answer), None
        if status in (408, 429) or status >= 500:
            wait = failures.asked_to_wait(answer)
            return None, None if wait is None else max(wait, FIRST_PAUSE)
        if status in (401, 403):
            what = f"Replicate does not tell of the job with this {self.key_name} (HTTP {status})"
        else:
            what = f"Replicate does not know the job any more (HTTP {status})"
        raise failures.unknown(self.name, what, id)

    async def _too_late(self, id: str, token: str) -> Prediction:
        """Stop a prediction that takes too long; it may have ended in the meantime."""
        stopped = await self._stop(id, token)
        if stopped is None or stopped.status not in ENDED:
            what = f"the job was not done after {self._seconds:g} s and could not be stopped"
            raise failures.unknown(self.name, what, id)
        if stopped.status == "succeeded":
            return stopped
        raise ProviderTimeout(
            self.name,
            f"Replicate did not finish within {self._seconds:g} s, so the job was stopped; ask for"
            f" less, or set providers.{self.name}.timeout",
        )

    async def _stop(self, id: str, token: str) -> Prediction | None:
        """Ask Replicate to stop, whatever happens to us; None when it does not say it did."""
        with anyio.move_on_after(STOP_SECONDS, shield=True):
            try:
                return await self._client.cancel(id, token)
            except (Refused, httpx2.RequestError, DependencyMissing):
                return None
        return None

    async def _generation(
        self, prediction: Prediction, request: ProviderRequest, model: Model
    ) -> Generation:
        urls = _urls(prediction.output)
        each = model.price_micro_usd or 0
        counted = prediction.metrics.image_count if prediction.metrics else None
        if not urls:
            removed = prediction.data_removed or prediction.output is None
            what = "it deleted the pictures after an hour" if removed else "it made none"
            charged = each * (counted or request.num_images)
            raise failures.lost(self.name, what, prediction.id, charged)
        images: list[GeneratedImage] = []
        row = self._row(model)
        for url in urls:
            try:
                data = await download.fetch(
                    self._client.http(),
                    url,
                    loopback=self._loopback,
                    resolve=self._resolve,
                    sleep=self._sleep,
                )
            except download.Lost as e:
                charged = each * (counted or len(urls))
                raise failures.lost(self.name, f"its pictures {e}", prediction.id, charged) from e
            seed = _seed(request, row) if "seed" in row.inputs else None
            images.append(GeneratedImage(data=data, seed=seed))
        return Generation(
            images=tuple(images),
            notes=tuple(self._notes(request, row, len(images))),
            cost_micro_usd=each * (counted or len(images)),
        )

    def _notes(self, request: ProviderRequest, row: Row, made: int) -> list[str]:
        since = f" of {row.as_of}" if row.as_of else " in your config"
        notes = [f"cost: the list price{since}; Replicate does not tell what it charges"]
        if row.price_usd is None:
            notes = ["cost: unknown, because this model has no price; set priceUsd for it"]
        if made < request.num_images:
            notes.append(f"{self.name} made {made} of {request.num_images} pictures")
        if made > 1 and "seed" in row.inputs:
            notes.append("one seed made all pictures of this batch; none can be made alone by it")
        if "seed" not in row.inputs:
            notes.append("this model takes no seed: the one given here does not make it again")
        return notes


def payload(request: ProviderRequest, row: Row, provider: str = "replicate") -> dict[str, Any]:
    """Say the job in the words of one model's input.

    Raises:
        RequestRejected: The model has no shape near the size of the job.
    """
    said: dict[str, Any] = {"prompt": request.prompt, **row.always}
    if row.shapes:
        said[row.shape_input] = _shape(request, row, provider)
    else:
        said |= {"width": request.width, "height": request.height}
    values: dict[section.Wish, Any] = {
        "negative_prompt": request.negative_prompt or None,
        "seed": _seed(request, row),
        "steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "num_images": request.num_images,
    }
    for wish, name in row.inputs.items():
        if values[wish] is not None:
            said[name] = values[wish]
    return said


def _shape(request: ProviderRequest, row: Row, provider: str) -> str:
    """The value of the model's shape input that is nearest to the job's size."""

    def apart(size: tuple[int, int]) -> float:
        return max(abs(size[0] / request.width - 1), abs(size[1] / request.height - 1))

    value, size = min(row.shapes.items(), key=lambda item: apart(item[1]))
    if apart(size) > SIDE_TOLERANCE:
        known = ", ".join(f"{w}x{h}" for w, h in list(row.shapes.values())[:12])
        more = len(row.shapes) - 12
        raise RequestRejected(
            provider,
            f"this model makes no {request.width}x{request.height}; ask for one of {known}"
            + (f" and {more} more" if more > 0 else ""),
        )
    return value


def _seed(request: ProviderRequest, row: Row) -> int:
    return request.seed % (row.max_seed + 1)


def _urls(output: Any) -> list[str]:
    if isinstance(output, str):
        return [output]
    if isinstance(output, list):
        return [item for item in cast(list[object], output) if isinstance(item, str)]
    return []
