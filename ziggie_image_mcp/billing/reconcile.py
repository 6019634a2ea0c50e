"""Close the holds of processes that died: what was not sent is released, the rest asked about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from ziggie_image_mcp.billing.ledger import Ledger
from ziggie_image_mcp.billing.owners import Owners
from ziggie_image_mcp.billing.types import Hold
from ziggie_image_mcp.errors import OutcomeUnknown, ProviderError
from ziggie_image_mcp.provider.contract import AnyProvider, PaidProvider

GRACE = timedelta(minutes=10)
"""How long a call may still be on its way to a vendor that does not know it yet."""

JOB_PREFIXES = ("job-", "batch-")
"""How the ids of durable jobs begin, and so those of their holds."""

MEMORY = timedelta(days=30)
"""How far back unknown outcomes are asked about again."""


async def reconcile(ledger: Ledger, owners: Owners, providers: Mapping[str, AnyProvider]) -> None:
    """Find out what became of every hold whose process is no more.

    Raises:
        StorageError: The ledger cannot be used.
    """
    now = datetime.now(UTC)
    for hold in await ledger.open_holds():
        if await owners.alive(hold.owner) is not False or _its_job_returns(hold, now):
            continue
        if hold.state == "reserved":
            await ledger.release(hold.id, "its process died before it was sent")
        else:
            await _ask(ledger, hold, providers, now)
    for hold in await ledger.holds(since=now - MEMORY, states=["unknown"]):
        await _ask(ledger, hold, providers, now)


def _its_job_returns(hold: Hold, now: datetime) -> bool:
    """Whether a durable job holds it, which another process will take up where it was left."""
    return hold.id.startswith(JOB_PREFIXES) and now - hold.created <= GRACE


async def _ask(
    ledger: Ledger, hold: Hold, providers: Mapping[str, AnyProvider], now: datetime
) -> None:
    """Ask the provider what became of a call for which nobody waits any more."""
    try:
        remote_id = hold.remote_id or await _look_up(providers, hold)
    except (OutcomeUnknown, ProviderError) as e:
        if hold.state != "unknown":
            await ledger.unknown(hold.id, f"nobody saw its end: {e}")
        return
    if remote_id is not None:
        if not hold.remote_id:
            await ledger.remote(hold.id, remote_id)
        await ledger.settle(hold.id, hold.estimate)
    elif now - hold.created > GRACE:
        note = "nobody saw its end; the provider has no such job"
        await ledger.release(hold.id, note, not_charged=True)
    elif hold.state != "unknown":
        await ledger.unknown(hold.id, "nobody saw its end; it may still be on its way")


async def _look_up(providers: Mapping[str, AnyProvider], hold: Hold) -> str | None:
    provider = providers.get(hold.provider)
    if not isinstance(provider, PaidProvider):
        raise OutcomeUnknown(hold.provider, f"{hold.provider} is no longer configured")
    return await provider.find(hold.id)
