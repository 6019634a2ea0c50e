"""Make pictures with the partners' models of Comfy Router, by its queue."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, cast

import anyio

from ziggie_image_mcp.provider import (
    UNKNOWN_COST,
    AuthenticationFailed,
    CancelOutcome,
    ContentRefused,
    Cost,
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
    Run,
    Submission,
)
from ziggie_image_mcp.provider.bounds import answer_bytes
from ziggie_image_mcp.provider.delivery import RemoteStatus
from ziggie_image_mcp.provider.error_rules import Problem, Rule, error_of, scrub
from ziggie_image_mcp.provider.fields import MIB, FieldVendor
from ziggie_image_mcp.provider.http import READ_SECONDS, Answer, KeyHeader
from ziggie_image_mcp.provider.json_paths import values
from ziggie_image_mcp.provider.pricing import whole
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings, table
from ziggie_image_mcp.provider.vendor import PolledVendor, sources_at
from ziggie_image_providers.comfy_router import settings as section
from ziggie_image_providers.comfy_router.errors import (
    ENDS,
    JOB_ENDS,
    SUBMITS,
    RouterClient,
    credits_used,
)
from ziggie_image_providers.comfy_router.settings import MODEL_ID, Row

CREDITS_PER_USD = 211

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


class ComfyRouter(FieldVendor, PolledVendor):
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
    max_body_bytes: ClassVar[int | None] = 20 * MIB
    result_pauses: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0)
    """Before each try to fetch the result of a job that is done, seconds."""

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        super().__init__(name, settings, context)
        self.http = RouterClient(
            name,
            settings,
            context,
            auth=self.auth,
            key_names=(settings.key_name,) if settings.key_name else (),
            rules=self.errors,
            read_seconds=self.seconds,
        )

    # A request

    def path(self, request: ProviderRequest, model: Model) -> str:
        """The model's own queue."""
        return f"v2/models/{model.id}/requests?{QUERY}"

    def headers(self, request: ProviderRequest, model: Model, run: Run) -> Mapping[str, str]:
        """The run's key, for which Comfy charges once at most."""
        return {"Idempotency-Key": run.key}

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
        return await self.cancel_by_put(f"v2/models/{remote_id}/cancel", remote_id)

    # What an answer says

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """The pictures, or where Comfy or the partner has put them.

        Raises:
            ContentRefused: The partner says that it is none for us to see.
        """
        body = answer.json()
        if sources := sources_at(body, PICTURES):
            return sources
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


def _listed(header: str) -> str:
    """The sentences of a header that holds a JSON list of them."""
    try:
        sentences: object = json.loads(header)
    except ValueError:
        return header
    if not isinstance(sentences, list):
        return header
    return "; ".join(map(str, cast("list[object]", sentences)))
