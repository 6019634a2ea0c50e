"""Make pictures with Runware: one address, to which lists of tasks go."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    Balance,
    ContentRefused,
    Cost,
    EngineCrashed,
    Model,
    ModelMissing,
    PaymentRequired,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    Resolution,
    Run,
)
from ziggie_image_mcp.provider.delivery import RemoteStatus
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.fields import FieldRow, FieldVendor
from ziggie_image_mcp.provider.http import READ_SECONDS, Answer, HttpClient
from ziggie_image_mcp.provider.json_paths import number, objects
from ziggie_image_mcp.provider.live_prices import Rates, asked_apart
from ziggie_image_mcp.provider.pricing import list_cost, whole
from ziggie_image_mcp.provider.settings import ModelRow, RateRow, VendorSettings, table
from ziggie_image_mcp.provider.vendor import PolledVendor, sources_at
from ziggie_image_providers.runware import settings as section
from ziggie_image_providers.runware.prices import rates_of

PICTURES = ("data[].imageURL", "data[].imageBase64Data", "data[].imageDataURI")

ANY_FAILURE = tuple(range(400, 600))

_TASKS = uuid.UUID("5b1f2a0e-8c1c-4f2e-9d57-0a4f5c1f7e11")
"""The namespace of our tasks' ids."""


_GONE = re.compile("not ?found|invalid ?task ?uuid|expired", re.IGNORECASE)
_NO_END = re.compile(f"rate ?limit|too ?many|{_GONE.pattern}", re.IGNORECASE)
"""Codes that are about the question, and not about the task."""


class Runware(FieldVendor, PolledVendor):
    """A task is named by us, asked after by that name, and its pictures are fetched.

    The name comes from the run's key, so that a task whose answer was lost is found again.
    """

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Runware: FLUX 1 to 3, fills, background removal",
        key_names=("RUNWARE_API_KEY",),
        home_page="https://my.runware.ai",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = section.Settings
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, FieldRow)
    trusted_hosts: ClassVar[tuple[str, ...]] = ("runware.ai",)
    errors: ClassVar[tuple[Rule, ...]] = (
        Rule(
            match=r"contentpolicy|nsfw|promptblocked|imageblocked|moderation|safety",
            error=ContentRefused,
            message="Runware, or the model's vendor, refused this prompt or picture",
            charged=None,
        ),
        Rule(
            match=r"credit|quota|\bbalance\b|paymentrequired",
            error=PaymentRequired,
            message="the account at Runware has no credit left; add some on my.runware.ai",
        ),
        Rule(
            match=r"invalidapikey|missingapikey|unauthori",
            error=AuthenticationFailed,
            message="the key was refused; set a valid one with `ziggie-image-mcp keys set runware`",
            quoted=False,
        ),
        Rule(match=r"ratelimit|toomany", error=RateLimited, message="Runware asks to wait"),
        Rule(
            match=r"timeout",
            error=ProviderTimeout,
            message="the model's vendor was too slow",
            charged=None,
        ),
        Rule(match=r"invalidmodel|modelnotfound|unknownmodel", error=ModelMissing),
        Rule(
            match=r"^(invalid|missing|unsupported)|\b(invalid|missing|unsupported)[A-Z]",
            error=RequestRejected,
            message="Runware refused the request",
        ),
        Rule(
            match=r"provider|inferenceerror|noavailableserver|servererror|internal",
            error=ProviderUnavailable,
            message="Runware, or the model's vendor, failed",
            charged=None,
        ),
    )

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        super().__init__(name, settings, context)
        prices = settings.model_copy(update={"base_url": settings.prices_url, "headers": {}})
        self._catalogue = HttpClient(name, prices, context)

    async def try_key(self) -> Probe:
        """Ask for the account, which shows whether the key is right."""
        answer = await self._ask(_account())
        if error := await self._error_in(answer):
            raise error
        if not list(objects(answer.data(), "data[]")):
            what = f"something else answers at {self.http.url}"
            return Probe(state="wrong_service", message=what)
        return Probe(state="ready")

    def path(self, request: ProviderRequest, model: Model) -> str:
        """All goes to one address."""
        return ""

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """A task of the kind that the model does."""
        kinds = {"upscale": "upscale", "remove_background": "removeBackground"}
        kind = kinds.get(request.task, "imageInference")
        return {"taskType": kind, "model": model.id, **super().payload(request, model)}

    def wrapped(self, body: dict[str, Any], run: Run) -> object:
        """The list of tasks, of which there is one, by the name that the run gives it."""
        return [{**body, "taskUUID": task_id(run.key)}]

    async def send(self, request: ProviderRequest, model: Model, run: Run) -> Answer:
        """One POST, whose answer may be an error behind a status of success.

        Raises:
            ProviderError: Runware said no.
        """
        answer = await super().send(request, model, run)
        if error := await self._error_in(answer, task_id(run.key)):
            raise error
        return answer

    def job_id(self, answer: Answer) -> str:
        """The name that it repeats."""
        named = (item.get("taskUUID") for item in objects(answer.json(), "data[]"))
        return next((id for id in named if isinstance(id, str)), "")

    async def look(self, remote_id: str) -> RemoteStatus:
        """One POST that costs nothing, since all goes to one address that way."""
        try:
            answer = await self._ask({"taskType": "getResponse", "taskUUID": remote_id})
        except EngineCrashed as e:
            raise ProviderUnavailable(self.name, str(e)) from e
        return replace(await self.status(answer), answer=answer)

    async def status(self, answer: Answer) -> RemoteStatus:
        """Of a task that failed by its error; of one that is done by its picture."""
        items = list(objects(answer.json(), "data[]"))
        if sources_at({"data": items}, PICTURES):
            return RemoteStatus(state="succeeded")
        for told in objects(answer.json(), "errors[]"):
            if told.get("taskType") == "getResponse" or _NO_END.search(str(told.get("code"))):
                gone = _GONE.search(f"{told.get('code')} {told.get('message')}")
                silent = ProviderUnavailable(
                    self.name, f"Runware does not tell: {told.get('code')}"
                )
                silent.status = 404 if gone else None
                raise silent
        if error := await self._error_in(answer):
            return RemoteStatus(state="failed", error=error)
        done = [item for item in items if item.get("status") == "success"]
        if done:
            flagged = any(item.get("NSFWContent") is True for item in done)
            what = "Runware's filter kept the picture back" if flagged else "no picture came"
            cost = _told(done)
            kind = ContentRefused if flagged else ProviderError
            return RemoteStatus(state="failed", error=kind(self.name, what, charged=cost))
        if not items:
            raise ValueError("neither data nor errors")
        share = number(items[0].get("progress"))
        words = "Runware: processing" if share is None else f"Runware: {share:.0f} %"
        return RemoteStatus(state="running", message=words)

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        """Look it up by the name that the run's key gives."""
        return await super().resolve(key, remote_id or task_id(key))

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """Where they lie, for an hour."""
        return sources_at(answer.json(), PICTURES)

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """What the answer tells of each picture, to the fraction of a cent."""
        told = _told(objects(answer.data(), "data[]"))
        return Cost(micro_usd=told, basis="exact") if told else list_cost(request, model, images)

    def notes(self, answer: Answer, request: ProviderRequest, model: Model) -> Sequence[str]:
        """Whether its filter took exception to the picture."""
        flagged = any(i.get("NSFWContent") is True for i in objects(answer.data(), "data[]"))
        return ("Runware's filter marked this picture as not safe for work",) if flagged else ()

    async def balance(self) -> Balance | None:
        """What the account has; asked by a POST that costs nothing."""
        answer = await self._ask(_account())
        for item in objects(answer.data(), "data[]"):
            told = item.get("balance")
            amounts = [number(told), *(number(b.get("amount")) for b in objects(item, "balance"))]
            for amount in amounts:
                if amount is not None:
                    return Balance(micro_usd=round(amount * 1e6))
        return None

    async def read_prices(self) -> Rates:
        """The prices of the models listed here, from the public catalogue, without the key."""

        async def ask(id: str, row: FieldRow) -> Sequence[RateRow]:
            entry = await self._catalogue.get_json(f"models/{quote(id, safe='')}/pricing")
            return rates_of(entry, id, row)

        return await asked_apart(self.rows, ask)

    async def aclose(self) -> None:
        """Close the connections."""
        await super().aclose()
        await self._catalogue.aclose()

    async def _ask(self, task: Mapping[str, Any]) -> Answer:
        """Ask for something that costs nothing."""
        seconds = min(READ_SECONDS, self.seconds)
        return await self.http.post_once("", json=[task], paid=False, seconds=seconds)

    async def _error_in(self, answer: Answer, id: str = "") -> ProviderError | None:
        """The error of a task in an answer of success; None where there is none."""
        for item in objects(answer.data(), "errors[]"):
            if id and item.get("taskUUID") not in (None, id):
                continue
            code, message = item.get("code"), item.get("message")
            parameter = item.get("parameter")
            words = f"{message} ({parameter})" if parameter else str(message or "")
            return await self.http.job_error(words, str(code or ""))
        for item in objects(answer.data(), "data[]"):
            for error in objects(item, "error"):
                words, code = str(error.get("message") or ""), str(error.get("code") or "")
                return await self.http.job_error(words, code)
        return None


def task_id(key: str) -> str:
    """The name of a run's task: the same in whatever process goes on with it."""
    return str(uuid.uuid5(_TASKS, key))


def _account() -> Mapping[str, str]:
    id = str(uuid.uuid4())
    return {"taskType": "accountManagement", "taskUUID": id, "operation": "getDetails"}


def _told(items: Any) -> int | None:
    """The sum of what items say that they cost, micro-USD; None where one says nothing."""
    costs = [number(item.get("cost")) for item in items]
    known = [cost for cost in costs if cost is not None and cost >= 0]
    return whole(sum(known) * 1e6) if known and len(known) == len(costs) else None
