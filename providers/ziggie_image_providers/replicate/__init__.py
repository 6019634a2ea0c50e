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
    STOP_SECONDS,
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
    ProviderContext,
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
)
from ziggie_image_mcp.provider.delivery import MALFORMED, Polled, RemoteStatus
from ziggie_image_mcp.provider.error_rules import Problem, Rule, error_of
from ziggie_image_mcp.provider.fields import FieldVendor, Word
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_mcp.provider.json_paths import objects, values
from ziggie_image_mcp.provider.pricing import is_free, list_cost
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings, table
from ziggie_image_mcp.provider.vendor import Vendor, from_base64
from ziggie_image_providers.replicate import settings as section
from ziggie_image_providers.replicate.schema import Unreadable, row_from
from ziggie_image_providers.replicate.settings import Row

ANSWER_SECONDS = 30.0
"""What one answer may take; a job takes as long as it may."""

MAX_INLINE = 256_000
"""Characters of a picture that goes out in the body; Replicate wants larger ones as files."""

SCHEMA_SECONDS = 3.0

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


class Replicate(FieldVendor, Polled, Vendor):
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

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        super().__init__(name, settings, context)
        self._versions: dict[str, str] = {}
        """By the ids of models whose schema was read: what is ordered."""
        self._troubles: dict[str, str] = {}
        """By id: why a schema was of no use."""

    async def list_models(self) -> Sequence[Model]:
        """List the rows; of those of the config without inputs, Replicate is asked for a schema.

        Raises:
            DependencyMissing: The SDK is not installed.
            AuthenticationFailed: There is no token.
        """
        if importlib.util.find_spec("replicate") is None:
            raise self._missing("is not installed")
        await self.http.keys()
        unread = [id for id, row in self.rows.items() if not row.inputs and id not in self.table]
        async with anyio.create_task_group() as group:
            for id in unread:
                group.start_soon(self._read_schema, id)
        return [self.model(id, row) for id, row in self.rows.items()]

    def model(self, id: str, row: Row) -> Model:
        """Unusable where its schema was asked for and does not say enough."""
        listed = super().model(id, row)
        trouble = self._troubles.get(id)
        return listed if trouble is None else replace(listed, state="unusable", fix=trouble)

    def takes_size(self, words: Mapping[Word, str]) -> bool:
        """Width and height go out by their usual names where the row has no prompt of its own."""
        return "prompt" not in words or super().takes_size(words)

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """The row's words; the prompt and the size by their usual names where it has none."""
        row: Row = self.row(model)
        inputs = super().payload(request, model)
        if "prompt" in row.inputs or request.task in ("upscale", "remove_background"):
            return inputs
        usual: dict[str, Any] = {"prompt": request.prompt, **inputs}
        if row.shapes:
            return {row.shape_input: request.bucket, **usual}
        return {"width": request.width, "height": request.height, **usual}

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Order a prediction. Replicate takes no idempotency key, so it is done once.

        Raises:
            OutcomeUnknown: It was sent, and no answer came with the id of a prediction.
            ProviderError: It was refused.
        """
        bridge = await self._bridge()
        paid = not is_free(model.prices)
        await run.progress(0.05, f"sent to {self.name}")
        seconds = min(ANSWER_SECONDS, self.seconds)
        inputs = await self._uploaded(self.payload(request, model))
        id = self._versions.get(model.id, model.id)
        answer = await bridge.create(self.http, id, inputs, paid=paid, seconds=seconds)
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

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """Ask Replicate to stop."""
        if not _is_id(remote_id):
            return CancelOutcome(state="unsupported")
        prediction = None
        with anyio.move_on_after(STOP_SECONDS):
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

    async def _read_schema(self, id: str) -> None:
        """Fill in the row of a model by what Replicate tells of it, once."""
        if id in self._versions:
            return
        name, _, pinned = id.partition(":")
        path = f"v1/models/{name}" + (f"/versions/{pinned}" if pinned else "")
        try:
            with anyio.fail_after(SCHEMA_SECONDS):
                entry = await self.http.get_json(path)
            facts = next(objects({"entry": entry}, "entry"), None) or {}
            facts = {"latest_version": facts} if pinned else facts
            self.rows[id] = row_from(facts, self.rows[id])
        except (ProviderError, TimeoutError, Unreadable) as e:
            self._troubles[id] = str(e) or "Replicate did not tell its inputs in time; ask again"
            return
        except (*MALFORMED, ArithmeticError):
            self._troubles[id] = "its schema cannot be read; set `inputs` in its row"
            return
        self._troubles.pop(id, None)
        version = next(values(facts, "latest_version.id"), None)
        community = isinstance(version, str) and facts.get("is_official") is not True
        self._versions[id] = f"{name}:{version}" if community and not pinned else id

    async def _uploaded(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs whose large pictures lie at Replicate, where they are deleted after a day."""
        return {name: await self._placed(value) for name, value in inputs.items()}

    async def _placed(self, value: Any) -> Any:
        if isinstance(value, list):
            return [await self._placed(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        large = isinstance(value, str) and len(value) > MAX_INLINE
        data = from_base64(value) if large and value.startswith("data:") else None
        if data is None:
            return value
        files = [("content", ("picture.png", data, "image/png"))]
        answer = await self.http.post_once("v1/files", files=files, paid=False)
        for url in values(answer.data(), "urls.get"):
            return url
        raise ProviderUnavailable(self.name, "Replicate took a picture and did not say where it is")

    async def _end_error(self, prediction: Prediction) -> ProviderError | None:
        """What it means that a prediction ended without success; None where it did not."""
        if _STATES.get(prediction.status) != "failed":
            return None
        error = prediction.error if isinstance(prediction.error, str) else ""
        problem = Problem(status=0, codes=(prediction.status,), message=error)
        return error_of(self.name, self.http.url, problem, _ENDS, await self.http.keys())

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
            f"the package replicate {what}; install it with "
            f"`{install_command('ziggie-image-mcp[replicate]')}`",
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
