"""Make and edit pictures with the models on fal, by its queue."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import anyio
import httpx2

from ziggie_image_mcp.provider import (
    CancelOutcome,
    ContentRefused,
    Cost,
    Generation,
    Model,
    OutcomeUnknown,
    Probe,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    Run,
)
from ziggie_image_mcp.provider.delivery import RemoteStatus
from ziggie_image_mcp.provider.error_rules import Rule, error_of
from ziggie_image_mcp.provider.fields import FieldVendor
from ziggie_image_mcp.provider.http import READ_SECONDS, Answer, KeyHeader
from ziggie_image_mcp.provider.json_paths import values
from ziggie_image_mcp.provider.live_prices import Rates
from ziggie_image_mcp.provider.pricing import list_cost, whole
from ziggie_image_mcp.provider.settings import ModelRow, RateRow, VendorSettings, table
from ziggie_image_mcp.provider.vendor import PolledVendor, sources_at
from ziggie_image_providers.fal import settings as section
from ziggie_image_providers.fal.errors import ENDS, SUBMITS, is_models_word, with_headers
from ziggie_image_providers.fal.prices import LISTED, rates_of, unit_price
from ziggie_image_providers.fal.settings import PRICES, Row

PICTURES = ("images[].url", "image.url")
ANY_FAILURE = tuple(range(400, 600))

_REMOTE_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*/requests/[\w-]+(/response)?", re.ASCII)
_STATES: Mapping[str, Literal["waiting", "running", "succeeded"]] = {
    "IN_QUEUE": "waiting",
    "IN_PROGRESS": "running",
    "COMPLETED": "succeeded",
}


class Fal(FieldVendor, PolledVendor):
    """Models on fal, whose words are their own.

    A job is remembered by the path of its result, which the answer to a request tells: it is not
    that of the model.
    """

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="fal: FLUX, Nano Banana 2, Qwen-Image, Seedream, Recraft, Ideogram and others",
        key_names=("FAL_KEY",),
        home_page="https://fal.ai",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = section.Settings
    auth: ClassVar[tuple[KeyHeader, ...]] = (KeyHeader(prefix="Key "),)
    api_hosts: ClassVar[tuple[str, ...]] = (httpx2.URL(PRICES).host,)
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, Row)
    errors: ClassVar[tuple[Rule, ...]] = SUBMITS
    settings: section.Settings
    result_pauses: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0)
    """Before each try to fetch the result of a job that is done, seconds."""

    async def try_key(self) -> Probe:
        """By the price of one model: the queue tells nothing for nothing."""
        address = self.settings.prices_at()
        if not address:
            return await super().try_key()
        await self.http.get(address, params={"endpoint_id": next(iter(self.rows))})
        return Probe(state="ready")

    async def read_prices(self) -> Rates:
        """What a unit of each model costs today."""
        address, found = self.settings.prices_at(), dict[str, Sequence[RateRow]]()
        ids = list(self.rows) if address else []
        for start in range(0, len(ids), LISTED):
            asked = ",".join(ids[start : start + LISTED])
            body = await self.http.get_json(address, params={"endpoint_id": asked})
            for entry in body["prices"]:
                row = self.rows.get(entry["endpoint_id"])
                if row and entry["currency"] == "USD" and (rates := rates_of(row, entry)):
                    found[entry["endpoint_id"]] = rates
        return found

    # A request

    def path(self, request: ProviderRequest, model: Model) -> str:
        """The model's own queue, or that of its edits."""
        row: Row = self.row(model)
        has_pictures = request.image is not None or bool(request.references)
        return (row.edit_path if has_pictures else "") or row.path or model.id

    def headers(self, request: ProviderRequest, model: Model, run: Run) -> Mapping[str, str]:
        """The queue shall not try again by itself, nor keep the pictures for ever."""
        lifetime = {"expiration_duration_seconds": self.settings.output_seconds}
        return {
            "x-fal-no-retry": "1",
            "X-Fal-Object-Lifecycle-Preference": json.dumps(lifetime),
        }

    def job_id(self, answer: Answer) -> str:
        """The path of the job's result, whatever host it is said to be at."""
        path = httpx2.URL(answer.json()["response_url"]).path.lstrip("/")
        return path if _REMOTE_ID.fullmatch(path) else ""

    # A job

    async def look(self, remote_id: str) -> RemoteStatus:
        """One GET; of a job that failed one more, which tells why.

        Raises:
            OutcomeUnknown: This is no id of a job.
        """
        seconds = min(READ_SECONDS, self.seconds)
        answer = await self.http.get(self._job(remote_id, "status"), seconds=seconds)
        body = answer.json()
        state = _STATES.get(body["status"], "running")
        if state == "succeeded" and body.get("error"):
            error = await self._why(remote_id, answer)
            if error is not None:
                return RemoteStatus(state="failed", answer=answer, error=error)
        ahead = body.get("queue_position")
        waits = state == "waiting" and type(ahead) is int
        words = f"in fal's queue, {ahead} ahead" if waits else f"fal: {state}"
        return RemoteStatus(state=state, answer=answer, message=words)

    async def finish(
        self, remote_id: str, status: RemoteStatus, request: ProviderRequest, model: Model
    ) -> Generation:
        """Fetch the result, which may be a failure, and the pictures that it names.

        Raises:
            OutcomeUnknown: The job is done, and its result cannot be had.
            ProviderError: The model failed, and said so.
        """
        why = ""
        for pause in self.result_pauses:
            await anyio.sleep(pause)
            try:
                answer = await self._result(remote_id)
            except (ProviderUnavailable, ProviderTimeout) as e:
                why = str(e)
                continue
            if answer.ok:
                return await self.generation(answer, request, model)
            if is_models_word(answer):
                error = await self._error(answer)
                units = _units(answer)
                if units is not None and (price := unit_price(model, self.row(model))):
                    error.charged = whole(units * price)
                raise error
            why = f"HTTP {answer.status}"
        raise OutcomeUnknown(
            self.name,
            f"the job is done and may be charged, but fal does not give its result ({why}); it is"
            f" not ordered again. Look at {remote_id} on fal.ai/dashboard.",
        )

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """One PUT, which is a wish, and a look at what came of it."""
        if not _REMOTE_ID.fullmatch(remote_id):
            return CancelOutcome(state="unsupported")
        return await self.cancel_by_put(self._job(remote_id, "cancel"), remote_id)

    # What an answer says

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """Where the pictures lie, but for those that were blackened.

        Raises:
            ContentRefused: All of them were.
        """
        body = answer.json()
        sources = sources_at(body, PICTURES)
        flags = list(values(body, "has_nsfw_concepts[]"))
        seen = [s for i, s in enumerate(sources) if i >= len(flags) or flags[i] is not True]
        if sources and not seen:
            what = "fal's filter blackened what the model made; it is charged"
            raise ContentRefused(self.name, what, charged=None)
        return seen

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """What the header counts, at the price of a unit; else the list price of what was made."""
        units, price = _units(answer), unit_price(model, self.row(model))
        if units and price:
            return Cost(micro_usd=whole(units * price), basis="computed")
        made = len(sources_at(answer.data(), PICTURES))
        return list_cost(request, model, max(images, made))

    def notes(self, answer: Answer, request: ProviderRequest, model: Model) -> Sequence[str]:
        """How many pictures were kept back."""
        kept = sum(flag is True for flag in values(answer.data(), "has_nsfw_concepts[]"))
        return [f"fal's filter kept back {kept} of the pictures"] if kept else []

    # Steps

    def _job(self, remote_id: str, what: str) -> str:
        if not _REMOTE_ID.fullmatch(remote_id):
            raise OutcomeUnknown(self.name, "this is no id of a job at fal")
        return f"{remote_id.removesuffix('/response')}/{what}"

    async def _result(self, remote_id: str) -> Answer:
        return await self.http.get(remote_id, accept=ANY_FAILURE, seconds=self.seconds)

    async def _why(self, remote_id: str, status: Answer) -> ProviderError | None:
        """Why a job failed, by its result; None where it has pictures all the same."""
        try:
            answer = await self._result(remote_id)
        except ProviderError:
            answer = status
        else:
            if answer.ok:
                return None
            answer = answer if is_models_word(answer) else status
        return await self._error(answer, status.data().get("error_type"))

    async def _error(self, answer: Answer, kind: object = None) -> ProviderError:
        problem = with_headers(self.http.problem(answer), answer.headers, kind)
        return error_of(self.name, self.http.url, problem, ENDS, await self.http.keys())


def _units(answer: Answer) -> float | None:
    """How many units fal bills for an answer; None where it does not tell."""
    try:
        units = float(answer.headers.get("x-fal-billable-units", ""))
    except ValueError:
        return None
    return units if math.isfinite(units) and units >= 0 else None
