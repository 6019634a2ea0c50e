"""Make and edit pictures with the FLUX models of Black Forest Labs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import httpx2

from ziggie_image_mcp.provider import (
    Balance,
    ContentRefused,
    Cost,
    EngineCrashed,
    Generation,
    Model,
    PaymentRequired,
    ProviderInfo,
    ProviderRequest,
    ProviderUnavailable,
    RateLimited,
)
from ziggie_image_mcp.provider.addresses import origin
from ziggie_image_mcp.provider.delivery import RemoteStatus
from ziggie_image_mcp.provider.error_rules import Rule, scrub
from ziggie_image_mcp.provider.fields import FieldRow, FieldVendor
from ziggie_image_mcp.provider.http import READ_SECONDS, Answer, KeyHeader
from ziggie_image_mcp.provider.json_paths import number, values
from ziggie_image_mcp.provider.pricing import list_cost, whole
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings, settings_for, table
from ziggie_image_mcp.provider.vendor import PolledVendor, sources_at

MICRO_USD_PER_CREDIT = 10_000


class Bfl(FieldVendor, PolledVendor):
    """Black Forest Labs: a job is asked after at the address that it was given.

    It is remembered as that address, and behind a blank the credits that it was said to cost.
    """

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Black Forest Labs: FLUX 3 Image, FLUX.2, FLUX.1 Kontext, Fill, FLUX1.1 pro",
        key_names=("BFL_API_KEY",),
        home_page="https://bfl.ai",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = settings_for(
        "https://api.bfl.ai", key="BFL_API_KEY", row=FieldRow
    )
    auth: ClassVar[tuple[KeyHeader, ...]] = (KeyHeader("x-key", prefix=""),)
    api_hosts: ClassVar[tuple[str, ...]] = ("api.bfl.ai", "api.eu.bfl.ai", "api.us.bfl.ai")
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, FieldRow)
    post: ClassVar[str] = "v1/{model}"
    probe_path: ClassVar[str] = "v1/credits"
    errors: ClassVar[tuple[Rule, ...]] = (
        Rule(
            status=402,
            error=PaymentRequired,
            message="the account at Black Forest Labs has too few credits; add some on bfl.ai",
        ),
        Rule(
            status=429,
            error=RateLimited,
            message="as many jobs are under way as the account may have",
            scope="account",
            wait=10,
        ),
    )

    def job_id(self, answer: Answer) -> str:
        """The address of the job, and what it costs."""
        body = answer.json()
        id: str = body["id"]
        address, home = httpx2.URL(body.get("polling_url") or ""), httpx2.URL(self.http.url)
        if origin(address) != origin(home) and address.host not in self.api_hosts:
            address = httpx2.URL(f"{self.http.url}/v1/get_result", params={"id": id})
        credits = _credits(body)
        return f"{address}" if credits is None else f"{address} {credits:g}"

    async def look(self, remote_id: str) -> RemoteStatus:
        """One GET of the address as it was given.

        Raises:
            ProviderUnavailable: There is no such job, or it is not at a host of the vendor's.
        """
        address = remote_id.partition(" ")[0]
        answer = await self.http.get(address, seconds=min(READ_SECONDS, self.seconds))
        return replace(await self.status(answer), answer=answer)

    async def status(self, answer: Answer) -> RemoteStatus:
        """Where a job stands; a word that is not known counts as running."""
        body = answer.json()
        words, share = str(body["status"]), body.get("progress")
        credits = _credits(body)
        charged = None if credits is None else whole(credits * MICRO_USD_PER_CREDIT)
        match words.lower():
            case "ready":
                return RemoteStatus(state="succeeded")
            case "request moderated" | "content moderated":
                what = f"Black Forest Labs's filter refused it ({words})"
                refused = ContentRefused(self.name, what, charged=charged)
                return RemoteStatus(state="failed", error=refused)
            case "error":
                details = scrub(str(body.get("details") or "without a word"))
                what = f"the job failed: {details}"
                failed = EngineCrashed(self.name, what, charged=charged)
                return RemoteStatus(state="failed", error=failed)
            case "task not found":
                missing = ProviderUnavailable(self.name, "Black Forest Labs has no such job")
                missing.status = 404
                raise missing
            case "pending":
                return RemoteStatus(state="waiting", message="Black Forest Labs: pending")
            case _:
                fraction = share if isinstance(share, int | float) else None
                message = f"Black Forest Labs: {scrub(words.lower())}"
                return RemoteStatus(state="running", message=message, fraction=fraction)

    async def finish(
        self, remote_id: str, status: RemoteStatus, request: ProviderRequest, model: Model
    ) -> Generation:
        """Fetch the picture; what it cost stands in the last answer, else in the first."""
        generation = await super().finish(remote_id, status, request, model)
        told = remote_id.partition(" ")[2]
        if generation.cost.basis == "exact" or not told:
            return generation
        cost = Cost(micro_usd=whole(float(told) * MICRO_USD_PER_CREDIT), basis="exact")
        return replace(generation, cost=cost)

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """Where the picture lies, for some minutes."""
        return sources_at(answer.json(), ("result.sample",))

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """What was settled, where the answer tells it."""
        credits = _credits(answer.data())
        if credits is None:
            return list_cost(request, model, images)
        return Cost(micro_usd=whole(credits * MICRO_USD_PER_CREDIT), basis="exact")

    async def balance(self) -> Balance | None:
        """The credits that are left.

        Raises:
            ProviderError: It does not tell.
        """
        return await self.balance_at(self.probe_path, "credits", MICRO_USD_PER_CREDIT)


def _credits(body: object) -> float | None:
    """What an answer says that a job costs; None where it says nothing."""
    told = map(number, (*values(body, "cost"), *values(body, "result.cost")))
    return next((amount for amount in told if amount is not None and amount >= 0), None)
