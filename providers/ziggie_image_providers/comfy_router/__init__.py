"""Make pictures with the partners' models of Comfy Router, by its queue."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, cast

import anyio

from ziggie_image_mcp.provider import (
    STOP_SECONDS,
    UNKNOWN_COST,
    AuthenticationFailed,
    CancelOutcome,
    ContentRefused,
    Cost,
    Defaults,
    Generation,
    Model,
    OutcomeUnknown,
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
    SameAsInput,
    SizeRule,
    Submission,
    Task,
    TaskCapability,
    options_of,
)
from ziggie_image_mcp.provider.bounds import answer_bytes
from ziggie_image_mcp.provider.capabilities import FreeSize
from ziggie_image_mcp.provider.delivery import RemoteStatus
from ziggie_image_mcp.provider.error_rules import Problem, Rule, error_of, scrub
from ziggie_image_mcp.provider.http import READ_SECONDS, Answer, KeyHeader
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.pricing import is_free, whole
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings, table
from ziggie_image_mcp.provider.vendor import PolledVendor, from_base64, to_data_url
from ziggie_image_providers.comfy_router import settings as section
from ziggie_image_providers.comfy_router.errors import (
    ENDS,
    JOB_ENDS,
    SUBMITS,
    RouterClient,
    credits_used,
)
from ziggie_image_providers.comfy_router.paths import put, values
from ziggie_image_providers.comfy_router.settings import MODEL_ID, Row, Wish

CREDITS_PER_USD = 211

MAX_BODY_BYTES = 20 * section.MIB
"""Of one request, its pictures in base64 included."""

QUERY = "fallback_provider=false&reject_unknown_fields=true"
"""No other partner than the model's own draws it, and no field is let pass unread."""

PICTURES = (
    "result.sample",
    "result.urls[]",
    "result.image_url",
    "data[].b64_json",
    "data[].url",
    "output.choices[].message.content[].image",
)
"""Where the answers of the partners have their pictures."""

ANY_FAILURE = tuple(range(400, 600))

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_REMOTE_ID = re.compile(rf"({MODEL_ID})/requests/({_UUID})", re.ASCII)

_STATES: Mapping[str, Literal["waiting", "running", "succeeded"]] = {
    "IN_QUEUE": "waiting",
    "IN_PROGRESS": "running",
    "COMPLETED": "succeeded",
}

_OPTIONS: tuple[Wish, ...] = (
    "negative_prompt",
    "seed",
    "steps",
    "guidance_scale",
    "quality",
    "transparent",
)


class ComfyRouter(PolledVendor):
    """Comfy Router: one key for many partners, whose bodies and answers are their own.

    A job is remembered as `partner/model/requests/ID`, which is where the queue tells of it.
    """

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Comfy Router: FLUX.2, Seedream, Qwen Image, GPT Image, Bria by one Comfy key",
        key_names=("COMFY_API_KEY",),
        home_page="https://platform.comfy.org",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = section.Settings
    auth: ClassVar[tuple[KeyHeader, ...]] = (KeyHeader("X-API-Key", prefix=""),)
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, Row)
    probe_path: ClassVar[str] = "v2/models?limit=1"
    errors: ClassVar[tuple[Rule, ...]] = SUBMITS
    result_pauses: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0)
    """Before each try to fetch the result of a job that is done, seconds."""

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        super().__init__(name, settings, context)
        self._router = RouterClient(
            name,
            settings,
            context,
            auth=self.auth,
            key_names=(settings.key_name,) if settings.key_name else (),
            rules=self.errors,
            read_seconds=self.seconds,
        )
        self.http = self._router

    # What the models can do

    def tasks(self, row: Row) -> Mapping[Task, TaskCapability]:
        """What the row says that it works at."""
        return {task: self._capability(row, task) for task in sorted(row.works)}

    def defaults(self, row: Row) -> Defaults:
        """The quality too."""
        return replace(super().defaults(row), quality=row.default_quality)

    def _capability(self, row: Row, task: Task) -> TaskCapability:
        able = replace(
            self.capability(row),
            options=frozenset(wish for wish in _OPTIONS if wish in row.inputs),  # type: ignore[misc]
            max_images=row.max_images if "num_images" in row.inputs else 1,
        )
        if task == "text_to_image":
            return replace(able, max_references=row.max_inputs if row.images else 0)
        if task in ("upscale", "remove_background"):
            return replace(able, sizes=_same_size(able.sizes), options=frozenset(), max_prompt=None)
        others = row.max_inputs - 1 if row.edits_with_references else 0
        polarity = row.mask_polarity if row.mask and task in ("inpaint", "outpaint") else None
        return replace(able, max_references=others, mask=polarity)

    # A request

    def path(self, request: ProviderRequest, model: Model) -> str:
        """The model's own queue."""
        return f"v2/models/{model.id}/requests?{QUERY}"

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """Say the request in the words of the model's partner."""
        row, options = self._row(model), options_of(model, request.task)
        body: dict[str, Any] = {}
        first = () if request.image is None else (request.image,)
        for index, picture in enumerate((*first, *request.references)):
            put(body, row.images[min(index, len(row.images) - 1)], _encoded(picture, row))
        if request.mask is not None and row.mask:
            put(body, row.mask, _encoded(convert_mask(request.mask, row.mask_polarity), row))
        wishes: dict[Wish, Any] = {
            "prompt": request.prompt,
            "width": request.width,
            "height": request.height,
            "size": f"{request.width}{row.size_separator}{request.height}",
            "bucket": request.bucket or None,
            "num_images": request.num_images,
            "negative_prompt": request.negative_prompt or None,
            "seed": request.seed % (row.max_seed + 1),
            "steps": request.steps,
            "guidance_scale": request.guidance_scale,
            "quality": request.quality or None,
            "transparent": row.transparent_word if request.transparent else None,
        }
        for wish, where in row.inputs.items():
            if wishes[wish] is not None and (wish not in _OPTIONS or wish in options):
                put(body, where, wishes[wish])
        for where, value in row.always.items():
            put(body, where, value)
        return body

    async def send(self, request: ProviderRequest, model: Model, run: Run) -> Answer:
        """One POST under the run's key, for which Comfy charges once at most.

        Raises:
            RequestRejected: A picture is too large to be sent.
        """
        row = self._row(model)
        self._check_pictures(request, row)
        body = self.payload(request, model)
        if len(json.dumps(body).encode()) > MAX_BODY_BYTES:
            raise self._too_large("all the pictures together are", MAX_BODY_BYTES * 3 // 4)
        await run.progress(0.05, f"sent to {self.name}")
        return await self.http.post_once(
            self.path(request, model),
            json=body,
            headers={"Idempotency-Key": run.key},
            paid=not is_free(model.prices),
        )

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """One POST, which names the job.

        Raises:
            OutcomeUnknown: It was sent, and no answer came with the id of a job.
            ProviderError: It was refused.
        """
        try:
            job = await super().submit(request, model, run)
        except ContentRefused as e:
            await self._look_up_charge(e, model.id)
            raise
        assert isinstance(job, RemoteJob), "a polled vendor gives a job"
        return RemoteJob(id=f"{model.id}/requests/{job.id}")

    def job_id(self, answer: Answer) -> str:
        """The id of the request in the queue."""
        id: str = answer.json()["request_id"]
        return id if re.fullmatch(_UUID, id, re.ASCII) else ""

    # A job

    async def look(self, remote_id: str) -> RemoteStatus:
        """One GET; of a job that failed one more, which tells why.

        Raises:
            OutcomeUnknown: Nobody will tell any more.
        """
        if not _REMOTE_ID.fullmatch(remote_id):
            raise OutcomeUnknown(self.name, "this is no id of a job at Comfy Router")
        seconds = min(READ_SECONDS, self.seconds)
        try:
            answer = await self.http.get(f"v2/models/{remote_id}/status", seconds=seconds)
        except (AuthenticationFailed, ProviderUnavailable, ProviderTimeout, RateLimited):
            raise  # the job goes on, and another question may be answered
        except ProviderError as e:
            raise OutcomeUnknown(self.name, f"{e}; look at the usage on platform.comfy.org") from e
        body = answer.json()
        state, kind = _STATES.get(body["status"], "running"), body.get("error_type")
        if state == "succeeded" and isinstance(kind, str) and kind:
            error = await self._end_error(remote_id, kind)
            if error is not None:
                return RemoteStatus(state="failed", answer=answer, error=error)
        ahead = body.get("queue_position")
        waits = state == "waiting" and type(ahead) is int
        words = f"in Comfy's queue, {ahead} ahead" if waits else f"Comfy Router: {state}"
        return RemoteStatus(state=state, answer=answer, message=words)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Wait for the job, and fetch its pictures at once.

        Raises:
            OutcomeUnknown: Comfy Router no longer tells.
            ProviderError: The job failed, and cost its `charged`.
        """
        try:
            return await super().collect(remote_id, request, model, run)
        except ContentRefused as e:
            await self._look_up_charge(e, model.id)
            raise

    async def finish(
        self, remote_id: str, status: RemoteStatus, request: ProviderRequest, model: Model
    ) -> Generation:
        """Fetch the result, and the pictures that it names.

        Raises:
            OutcomeUnknown: The job is done, and its result cannot be had.
        """
        why = ""
        for pause in self.result_pauses:
            await anyio.sleep(pause)
            try:
                answer = await self.http.get(
                    f"v2/models/{remote_id}",
                    accept=ANY_FAILURE,
                    seconds=self.seconds,
                    max_bytes=answer_bytes(request),
                )
            except (ProviderUnavailable, ProviderTimeout, RateLimited) as e:
                why = str(e)
                continue
            if answer.status == 200:
                return await self.generation(answer, request, model)
            problem = self.http.problem(answer)
            if JOB_ENDS.intersection(problem.codes):
                raise await self._error(problem)
            why = f"HTTP {answer.status}"
            if answer.status == 410:
                break
        raise OutcomeUnknown(
            self.name,
            f"the job is done and may be charged, but Comfy Router does not give its result"
            f" ({why}); it is not ordered again. Look at {remote_id} on platform.comfy.org.",
        )

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """One PUT, which is a wish, and a look at what came of it.

        A job that was withdrawn may be charged all the same, and nobody tells.
        """
        if not _REMOTE_ID.fullmatch(remote_id):
            return CancelOutcome(state="unsupported")
        with anyio.move_on_after(STOP_SECONDS):
            try:
                answer = await self._router.put(f"v2/models/{remote_id}/cancel")
                if answer.status != 202:
                    return CancelOutcome(state="too_late")
                while True:
                    status = await self._look(remote_id)
                    if status.state in ("succeeded", "failed"):
                        break
                    await anyio.sleep(0.3)
            except ProviderError:
                return CancelOutcome(state="too_late")
            if status.state == "failed":
                charged = status.error.charged if status.error else None
                cost = UNKNOWN_COST if charged is None else Cost(micro_usd=charged, basis="exact")
                return CancelOutcome(state="stopped", cost=cost)
        return CancelOutcome(state="too_late")

    # What an answer says

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """The pictures, or where Comfy or the partner has put them.

        Raises:
            ContentRefused: The partner says that it is none for us to see.
        """
        body = answer.json()
        for path in PICTURES:
            texts = [text for text in values(body, path) if isinstance(text, str) and text]
            if texts:
                return [text if _is_address(text) else from_base64(text) or b"" for text in texts]
        if False in list(values(body, "data[].is_image_safe")):
            what = "the model's partner made the picture, and its filter kept it back"
            raise ContentRefused(self.name, what, charged=None)
        return ()

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """What the header tells. Without it nobody does: a missing one means not reported."""
        used = credits_used(answer.headers)
        if used is None:
            return UNKNOWN_COST
        return Cost(micro_usd=whole(used / CREDITS_PER_USD * 1e6), basis="exact")

    def seed(self, request: ProviderRequest, model: Model, index: int) -> int | None:
        """The seed that the model was given: some take smaller ones only."""
        if "seed" not in options_of(model, request.task) or index:
            return None
        return request.seed % (self._row(model).max_seed + 1)

    def notes(self, answer: Answer, request: ProviderRequest, model: Model) -> Sequence[str]:
        """Which fields were not read, and who drew it where it was another partner."""
        notes: list[str] = []
        dropped = answer.headers.get("x-comfy-router-dropped-params", "")
        if dropped:
            notes.append(f"Comfy Router left out {scrub(_listed(dropped))}")
        other = answer.headers.get("x-comfy-router-fallback-provider", "")
        if other:
            notes.append(f"drawn by {scrub(other)}, another partner than the model's own")
        return notes

    # Steps

    async def _end_error(self, remote_id: str, kind: str) -> ProviderError | None:
        """Why a job failed; None where it has a result all the same, which is charged."""
        problem = Problem(status=0)
        seconds = min(READ_SECONDS, self.seconds)
        try:
            path = f"v2/models/{remote_id}"
            answer = await self.http.get(path, accept=ANY_FAILURE, seconds=seconds)
        except ProviderError:
            pass  # the status has said enough
        else:
            if answer.status == 200:
                return None
            problem = self.http.problem(answer)
        return await self._error(problem if problem.codes else replace(problem, codes=(kind,)))

    async def _error(self, problem: Problem) -> ProviderError:
        return error_of(self.name, self.http.url, problem, ENDS, await self.http.keys())

    async def _look_up_charge(self, refusal: ContentRefused, model_id: str) -> None:
        """Write down that a refusal cost nothing, where the catalogue says so of the model."""
        if refusal.charged is not None:
            return
        try:
            entry = await self.http.get_json(f"v2/models/{model_id}")
        except ProviderError:
            return  # then nobody tells
        if "no" in list(values(entry, "billing.charges_on_policy_rejection")):
            refusal.charged = 0

    def _check_pictures(self, request: ProviderRequest, row: Row) -> None:
        pictures = [] if request.image is None else [request.image]
        for picture in (*pictures, *request.references):
            if len(picture) > row.max_input_bytes:
                raise self._too_large("a picture to work from is", row.max_input_bytes)
            most = row.max_input_pixels
            if most is not None and _pixels(picture) > most:
                what = f"a reference has more than {most / 1e6:.1f} million pixels; scale it down"
                raise RequestRejected(self.name, what)
        if request.mask is not None and row.mask:
            mask = convert_mask(request.mask, row.mask_polarity)
            if len(mask) > row.max_mask_bytes:
                raise self._too_large("the mask is", row.max_mask_bytes)

    def _too_large(self, what: str, most: int) -> RequestRejected:
        message = f"{what} larger than the {most / section.MIB:.3g} MiB that {self.name} takes"
        return RequestRejected(self.name, f"{message}; use smaller ones. Nothing was sent.")

    def _row(self, model: Model) -> Row:
        row: Row = self.rows.get(model.id, Row())
        return row


def _encoded(picture: bytes, row: Row) -> str:
    if row.encoding == "data_url":
        return to_data_url(picture)
    return base64.b64encode(picture).decode()


def _pixels(png: bytes) -> int:
    """Of a PNG, by its head; 0 of anything else."""
    if len(png) < 24 or not png.startswith(b"\x89PNG"):
        return 0
    width, height = struct.unpack(">II", png[16:24])
    return int(width * height)


def _is_address(text: str) -> bool:
    return "://" in text[:16] and not text.startswith("data:")


def _listed(header: str) -> str:
    """The sentences of a header that holds a JSON list of them."""
    try:
        sentences: object = json.loads(header)
    except ValueError:
        return header
    if not isinstance(sentences, list):
        return header
    return "; ".join(map(str, cast("list[object]", sentences)))


def _same_size(sizes: SizeRule) -> SizeRule:
    return SameAsInput(accepts=sizes) if isinstance(sizes, FreeSize) else sizes
