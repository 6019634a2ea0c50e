"""Make pictures with a function of the user's own that runs on Modal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urljoin

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
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
from ziggie_image_mcp.provider.delivery import RemoteStatus
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.fields import FieldVendor
from ziggie_image_mcp.provider.http import Answer, KeyHeader
from ziggie_image_mcp.provider.json_paths import number, values
from ziggie_image_mcp.provider.pictures import is_picture
from ziggie_image_mcp.provider.pricing import computed_cost, is_free, list_cost, whole
from ziggie_image_mcp.provider.settings import VendorSettings
from ziggie_image_mcp.provider.vendor import PolledVendor, sources_at
from ziggie_image_providers.modal import settings as section

SEE_OTHER = 303

MOST_BYTES = 256 * 2**20
"""Of an answer whose request is not at hand: a job that another process took up."""

PICTURES = (
    "images[]",
    "images[].b64_json",
    "images[].url",
    "data[].b64_json",
    "data[].url",
    "image",
)
"""Where an answer may have its pictures: as our own contract has it, and as OpenAI's."""


class Modal(FieldVendor, PolledVendor):
    """One request; after 150 seconds Modal names an address where the answer will be.

    That address is remembered as the job, so that another process can go on waiting.
    """

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Modal: a web function of your own, by our contract or OpenAI's",
        key_names=("MODAL_KEY", "MODAL_SECRET"),
        home_page="https://modal.com",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = section.Settings
    auth: ClassVar[tuple[KeyHeader, ...]] = (
        KeyHeader("Modal-Key", prefix=""),
        KeyHeader("Modal-Secret", prefix=""),
    )
    accept: ClassVar[tuple[int, ...]] = (SEE_OTHER,)
    errors: ClassVar[tuple[Rule, ...]] = (
        Rule(
            status=401,
            error=AuthenticationFailed,
            message="the function wants a proxy token; set MODAL_KEY (wk-...) and MODAL_SECRET"
            " (ws-...), not the SDK's ak- and as- tokens",
            quoted=False,
        ),
        Rule(
            status=404,
            match="app.*stopped|not found",
            error=ProviderUnavailable,
            message="Modal has no such function; deploy it, or correct the base URL",
        ),
    )

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        super().__init__(name, settings, context)
        self._path, self._openai = settings.path, settings.contract == "openai"

    def path(self, request: ProviderRequest, model: Model) -> str:
        """The row's own, or the section's."""
        return super().path(request, model) or self._path

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """The row's words in our contract, or in OpenAI's."""
        body = {"model": model.id, **super().payload(request, model)}
        if self._openai:
            width, height = body.pop("width", request.width), body.pop("height", request.height)
            body |= {"n": body.pop("num_images", 1), "size": f"{width}x{height}"}
            body["response_format"] = "b64_json"
        return body

    def headers(self, request: ProviderRequest, model: Model, run: Run) -> Mapping[str, str]:
        """The same if a request should ever come twice."""
        return {"Idempotency-Key": run.key}

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """The pictures; or the job, where they take longer than 150 seconds."""
        answer = await self.send(request, model, run)
        if answer.status == SEE_OTHER:
            if not answer.location:
                paid = not is_free(model.prices)
                raise self.http.lost("leads on, but not where to", paid=paid)
            return RemoteJob(id=urljoin(f"{self.http.url}/", answer.location))
        return await self.generation(answer, request, model)

    async def look(self, remote_id: str) -> RemoteStatus:
        """One GET, which Modal holds open until there is an answer or 150 seconds are over.

        Raises:
            OutcomeUnknown: The function's answer is an error, or what it names is not Modal's.
        """
        if not self.http.may_ask(remote_id):
            raise OutcomeUnknown(self.name, "this is no address of the function's")
        try:
            answer = await self.http.get(
                remote_id, accept=(SEE_OTHER,), seconds=self.seconds, max_bytes=MOST_BYTES
            )
        except (AuthenticationFailed, ProviderUnavailable, ProviderTimeout, RateLimited):
            raise
        except ProviderError as e:
            return RemoteStatus(state="failed", error=e)
        if answer.status == SEE_OTHER:
            return RemoteStatus(state="running", answer=answer, message="Modal: running")
        return RemoteStatus(state="succeeded", answer=answer)

    async def generation(
        self, answer: Answer, request: ProviderRequest, model: Model
    ) -> Generation:
        """The pictures, with the seed where the answer tells it.

        Raises:
            InvalidOutput: There is none.
        """
        made = await super().generation(answer, request, model)
        told = next(values(answer.data(), "seed"), None)
        if type(told) is int and made.images:
            first = replace(made.images[0], seed=told)
            return replace(made, images=(first, *made.images[1:]))
        return made

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """The body itself where it is a picture; else what it names."""
        if is_picture(answer.content):
            return [answer.content]
        return sources_at(answer.json(), PICTURES)

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """What the function tells, in dollars or seconds; else the user's own price."""
        usd = number(next(values(answer.data(), "cost_usd"), None))
        if usd is not None and usd > 0:
            return Cost(micro_usd=whole(usd * 1e6), basis="exact")
        seconds = number(next(values(answer.data(), "seconds"), None))
        if seconds is not None and seconds > 0:
            return computed_cost([("second", seconds)], request, model)
        return list_cost(request, model, images)
