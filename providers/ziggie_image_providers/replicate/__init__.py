"""Make pictures with models on Replicate."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, ClassVar, cast

import anyio
import anyio.to_thread
from pydantic import BaseModel, Field, ValidationError

from ziggie_image_mcp.provider import (
    CANCEL_SECONDS,
    NO_COST,
    AuthenticationFailed,
    CancelOutcome,
    ContentRefused,
    Cost,
    DependencyMissing,
    EngineCrashed,
    Generation,
    InvalidOutput,
    Model,
    ModelMissing,
    OutcomeUnknown,
    OutOfMemory,
    PaymentRequired,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RemoteJob,
    RequestRejected,
    Run,
    Submission,
    TaskCapability,
    options_of,
)
from ziggie_image_mcp.provider.delivery import Polled, RemoteStatus
from ziggie_image_mcp.provider.error_rules import Problem, Rule, error_of
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.pricing import is_free, list_cost
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings, table
from ziggie_image_mcp.provider.vendor import Vendor
from ziggie_image_providers.replicate import settings as section
from ziggie_image_providers.replicate.settings import Row, Wish

ANSWER_SECONDS = 30.0
"""What one answer may take; a job takes as long as it may."""

_STATES: Mapping[str, Any] = {
    "starting": "waiting",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
    "aborted": "failed",
}

_ENDS = (
    Rule(
        code="canceled",
        error=EngineCrashed,
        message="Replicate stopped the job before it was done; ask again",
    ),
    Rule(
        code="aborted",
        error=EngineCrashed,
        message="Replicate gave the job up before it started; ask again, or later",
    ),
    Rule(
        match=r"\bNSFW\b|\bE005\b|\bflagged\b|(?<!case-)(?<!case )\bsensitive\b",
        error=ContentRefused,
        message="the model's safety filter refused this",
    ),
    Rule(
        match="out of memory",
        error=OutOfMemory,
        message="the job did not fit Replicate's GPU; ask for less",
    ),
    Rule(
        match=r"\bE006\b|\binvalid\b|validation|must be\b|not allowed",
        error=RequestRejected,
        message="the model refused its input",
    ),
    Rule(error=EngineCrashed, message="the model failed on Replicate"),
)
"""What it means how a prediction ended."""


class Metrics(BaseModel):
    """What a finished prediction took."""

    image_count: Any = None


class Prediction(BaseModel):
    """The state of a prediction, as much of it as we need."""

    id: str = Field(min_length=1)
    status: str
    output: Any = None
    error: Any = None
    metrics: Metrics | None = None


class Replicate(Polled, Vendor):
    """A prediction is ordered, asked after, and its pictures fetched."""

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Replicate: FLUX, Ideogram and any other model that it hosts",
        key_names=("REPLICATE_API_TOKEN",),
        home_page="https://replicate.com",
        extra="replicate",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = section.Settings
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, Row)
    probe_path: ClassVar[str] = "v1/account"
    trusted_hosts: ClassVar[tuple[str, ...]] = ("replicate.delivery",)
    errors: ClassVar[tuple[Rule, ...]] = (
        Rule(
            status=401,
            error=AuthenticationFailed,
            message="the token was refused; set a valid one with `ziggie-image-mcp keys set`",
            quoted=False,
        ),
        Rule(
            status=402,
            error=PaymentRequired,
            message="the account has no credit left; add some on replicate.com",
        ),
        Rule(
            status=404,
            error=ModelMissing,
            message="Replicate has no such model that can be run by this name",
        ),
    )

    async def list_models(self) -> Sequence[Model]:
        """List the rows of the table and of the config. Asks nobody but for the token.

        Raises:
            DependencyMissing: The SDK is not installed.
            AuthenticationFailed: There is no token.
        """
        if importlib.util.find_spec("replicate") is None:
            raise self._missing("is not installed")
        return await super().list_models()

    def capability(self, row: Row) -> TaskCapability:
        """What the row has inputs for."""
        return replace(
            super().capability(row),
            options=frozenset(wish for wish in row.inputs if wish != "num_images"),
            max_images=row.max_images if "num_images" in row.inputs else 1,
        )

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """Say the request in the words of one model's input."""
        row = self._row(model)
        inputs: dict[str, Any] = {"prompt": request.prompt, **row.always}
        if row.shapes:
            inputs[row.shape_input] = request.bucket
        else:
            inputs |= {"width": request.width, "height": request.height}
        values: dict[Wish, Any] = {
            "negative_prompt": request.negative_prompt or None,
            "seed": request.seed % (row.max_seed + 1),
            "steps": request.steps,
            "guidance_scale": request.guidance_scale,
            "num_images": request.num_images,
        }
        for wish, name in row.inputs.items():
            if values[wish] is not None:
                inputs[name] = values[wish]
        return inputs

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Order a prediction. Replicate takes no idempotency key, so it is done once.

        Raises:
            OutcomeUnknown: It was sent, and no answer came with the id of a prediction.
            ProviderError: It was refused.
        """
        bridge = await self._bridge()
        paid = not is_free(model.prices)
        await run.progress(0.05, f"sent to {self.name}")
        inputs, seconds = self.payload(request, model), min(ANSWER_SECONDS, self.seconds)
        answer = await bridge.create(self.http, model.id, inputs, paid=paid, seconds=seconds)
        prediction = _prediction(answer)
        if prediction is None:
            raise self.http.lost("took the request, but did not name a prediction", paid=paid)
        return RemoteJob(id=prediction.id)

    async def look(self, remote_id: str) -> RemoteStatus:
        """Ask after a prediction."""
        if not _is_id(remote_id):
            raise self._gone("this is no id of a prediction", "")
        try:
            answer = await self.http.get(
                f"v1/predictions/{remote_id}",
                accept=(404, 410),
                seconds=min(ANSWER_SECONDS, self.seconds),
            )
        except (AuthenticationFailed, ProviderUnavailable, ProviderTimeout, RateLimited):
            raise  # the job goes on, and another question may be answered
        except ProviderError as e:
            raise self._gone(str(e), remote_id) from e
        if not answer.ok:
            what = f"Replicate does not know the job any more (HTTP {answer.status})"
            raise self._gone(what, remote_id)
        prediction = _prediction(answer)
        if prediction is None:
            raise ProviderUnavailable(self.name, "Replicate's answer cannot be read")
        return RemoteStatus(
            state=_STATES.get(prediction.status, "running"),
            answer=answer,
            message=f"Replicate: {prediction.status}",
            error=await self._end_error(prediction),
        )

    async def finish(
        self, remote_id: str, status: RemoteStatus, request: ProviderRequest, model: Model
    ) -> Generation:
        """Fetch the pictures, which are kept for an hour."""
        if status.answer is None:
            raise self._gone("Replicate does not tell where the pictures are", remote_id)
        try:
            return await self.generation(status.answer, request, model)
        except InvalidOutput as e:
            what = f"{e}; pictures are kept for an hour; look at prediction {remote_id}"
            raise InvalidOutput(self.name, what, charged=e.charged, fallback=e.fallback) from e

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """Where the pictures are: one address, or several."""
        output = Prediction.model_validate_json(answer.content).output
        several = cast("list[object]", output if isinstance(output, list) else [output])
        return [url for url in several if isinstance(url, str) and url]

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """The list price of what Replicate counted; it does not tell what it charges."""
        metrics = Prediction.model_validate_json(answer.content).metrics
        count: object = metrics.image_count if metrics else None
        if type(count) is not int or count < 1:  # what can be no count says nothing of the pictures
            count = images
        return list_cost(request, model, count)

    def seed(self, request: ProviderRequest, model: Model, index: int) -> int | None:
        """The seed that the model was given: some take smaller ones only."""
        if "seed" not in options_of(model, request.task) or index:
            return None
        return request.seed % (self._row(model).max_seed + 1)

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """Ask Replicate to stop."""
        if not _is_id(remote_id):
            return CancelOutcome(state="unsupported")
        prediction = None
        with anyio.move_on_after(CANCEL_SECONDS - 0.2):
            try:
                bridge = await self._bridge()
                answer = await bridge.cancel(self.http, remote_id, seconds=CANCEL_SECONDS)
            except ProviderError:
                return CancelOutcome(state="unsupported")
            prediction = _prediction(answer)
        if prediction is None or prediction.status in ("starting", "processing"):
            return CancelOutcome(state="unsupported")
        if prediction.status == "aborted":  # it never began
            return CancelOutcome(state="stopped", cost=NO_COST)
        return CancelOutcome(state="stopped" if prediction.status == "canceled" else "too_late")

    async def _end_error(self, prediction: Prediction) -> ProviderError | None:
        """What it means that a prediction ended without success; None where it did not."""
        if _STATES.get(prediction.status) != "failed":
            return None
        error = prediction.error if isinstance(prediction.error, str) else ""
        problem = Problem(status=0, codes=(prediction.status,), message=error)
        return error_of(self.name, self.http.url, problem, _ENDS, await self.http.keys())

    def _row(self, model: Model) -> Row:
        row: Row = self.rows.get(model.id, Row())
        return row

    async def _bridge(self) -> ModuleType:
        """The module that needs the SDK, loaded beside the event loop.

        Raises:
            DependencyMissing: The SDK cannot be loaded.
        """

        def load() -> ModuleType:
            from ziggie_image_providers.replicate import bridge

            return bridge

        try:
            return await anyio.to_thread.run_sync(load, abandon_on_cancel=True)
        except Exception as e:
            raise self._missing(f"cannot be loaded ({type(e).__name__})") from e

    def _missing(self, what: str) -> DependencyMissing:
        return DependencyMissing(
            self.name,
            f"the package replicate {what}; install it with"
            ' `pip install "ziggie-image-mcp[replicate]"`',
        )

    def _gone(self, what: str, id: str) -> OutcomeUnknown:
        where = f"prediction {id}" if id else "the list of predictions"
        return OutcomeUnknown(
            self.name,
            f"{what}. It may be charged, so it is not ordered again; look at {where} on"
            " replicate.com.",
        )


def _prediction(answer: Answer | None) -> Prediction | None:
    """The prediction in an answer; None when there is none in it."""
    try:
        return None if answer is None else Prediction.model_validate_json(answer.content)
    except ValidationError:
        return None


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[\w-]+", text, re.ASCII) is not None
