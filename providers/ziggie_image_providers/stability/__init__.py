"""Make, edit and enlarge pictures with Stability AI."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ziggie_image_mcp.provider import (
    Balance,
    ContentRefused,
    Generation,
    Model,
    PaymentRequired,
    ProviderInfo,
    ProviderRequest,
    RateLimited,
    RequestRejected,
    Run,
    Submission,
    options_of,
)
from ziggie_image_mcp.provider.delivery import RemoteStatus
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.fields import MIB, FieldRow, FieldVendor, Word
from ziggie_image_mcp.provider.http import READ_SECONDS, Answer
from ziggie_image_mcp.provider.pictures import MAX_BYTES
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings, settings_for, table
from ziggie_image_mcp.provider.vendor import PolledVendor, from_base64

MICRO_USD_PER_CREDIT = 10_000

JSON: Mapping[str, str] = {"Accept": "application/json"}
"""Else the picture comes as it is, and what became of it in headers."""


class Row(FieldRow):
    """The facts of one model. In config.json only what differs need be given."""

    polled: bool = False
    """Whether its answer names a job, which is asked after."""


class Stability(FieldVendor, PolledVendor):
    """Stability AI: most models answer with the picture, one with the id of a job."""

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Stability AI: Stable Image, SD 3.5, edits, upscalers, background removal",
        key_names=("STABILITY_API_KEY",),
        home_page="https://platform.stability.ai",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = settings_for(
        "https://api.stability.ai", key="STABILITY_API_KEY", row=Row
    )
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, Row)
    probe_path: ClassVar[str] = "v1/user/balance"
    form: ClassVar[bool] = True
    max_body_bytes: ClassVar[int | None] = 10 * MIB
    errors: ClassVar[tuple[Rule, ...]] = (
        Rule(
            status=402,
            error=PaymentRequired,
            message="the account at Stability has too few credits; add some on its website",
        ),
        Rule(
            status=403,
            code="content_moderation",
            error=ContentRefused,
            message="Stability's filter refused the request, and charges nothing",
        ),
        Rule(
            status=422,
            code="public_figure",
            error=ContentRefused,
            message="Stability sees a public figure in the picture, and does not change it",
        ),
        Rule(
            status=422,
            code="invalid_language",
            error=RequestRejected,
            message="Stability reads English alone; translate the prompt",
        ),
        Rule(
            status=429,
            error=RateLimited,
            message="more than 150 requests in 10 seconds",
            scope="account",
            wait=60,
        ),
    )
    first_pause = 10.0
    longest_pause = 10.0
    """Seconds: it refuses who asks more often."""

    def headers(self, request: ProviderRequest, model: Model, run: Run) -> Mapping[str, str]:
        """What the answer shall be."""
        return JSON

    def values(self, request: ProviderRequest, model: Model) -> dict[Word, Any]:
        """The usual words; a seed of 0 means any to Stability."""
        values = super().values(request, model)
        values["seed"] = values["seed"] or None
        return values

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """One POST, which is answered by the picture or by the id of a job."""
        if self.row(model).polled:
            return await super().submit(request, model, run)
        return await self.generation(await self.send(request, model, run), request, model)

    def job_id(self, answer: Answer) -> str:
        """The id of a generation."""
        id: str = answer.json()["id"]
        return id if re.fullmatch(r"[\w-]+", id, re.ASCII) else ""

    def status_path(self, remote_id: str) -> str:
        """Where the only kind of job has its result, for 24 hours."""
        return f"v2beta/stable-image/upscale/creative/result/{remote_id}"

    async def look(self, remote_id: str) -> RemoteStatus:
        """One GET, which gives the picture once it is there."""
        answer = await self.http.get(
            self.status_path(remote_id),
            headers=JSON,
            seconds=min(READ_SECONDS, self.seconds),
            max_bytes=MAX_BYTES * 4 // 3,
        )
        return replace(await self.status(answer), answer=answer)

    async def status(self, answer: Answer) -> RemoteStatus:
        """Done, unless it says 202."""
        return RemoteStatus(state="running" if answer.status == 202 else "succeeded")

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """The picture.

        Raises:
            ContentRefused: It was blurred, and nobody tells whether that is charged.
        """
        body = answer.json()
        if body.get("finish_reason") == "CONTENT_FILTERED":
            what = "Stability made the picture, and its filter blurred it"
            raise ContentRefused(self.name, what, charged=None)
        return [from_base64(body["image"]) or b""]

    async def generation(
        self, answer: Answer, request: ProviderRequest, model: Model
    ) -> Generation:
        """The picture, with the seed that the answer tells."""
        generation = await super().generation(answer, request, model)
        seed: object = answer.data().get("seed")
        if "seed" not in options_of(model, request.task) or type(seed) is not int:
            return generation
        return replace(generation, images=tuple(replace(i, seed=seed) for i in generation.images))

    async def balance(self) -> Balance | None:
        """The credits that are left.

        Raises:
            ProviderError: It does not tell.
        """
        return await self.balance_at(self.probe_path, "credits", MICRO_USD_PER_CREDIT)
