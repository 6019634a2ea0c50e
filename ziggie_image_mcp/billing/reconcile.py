"""Close the holds of processes that died: what was not sent is released, the rest asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio

from ziggie_image_mcp.billing.claims import weigh
from ziggie_image_mcp.billing.ledger import Ledger
from ziggie_image_mcp.billing.owners import Owners
from ziggie_image_mcp.billing.types import Hold
from ziggie_image_mcp.provider import bulkhead
from ziggie_image_mcp.provider.contract import Provider
from ziggie_image_mcp.provider.nouns import Resolution

GRACE = timedelta(minutes=10)
"""How long a call may still be on its way to a vendor that does not know it yet."""

JOB_PREFIXES = ("job-", "batch-")
"""How the ids of durable jobs begin, and so those of their holds."""

ANSWER_SECONDS = 5.0
"""What a provider may take to say what became of one call."""

MEMORY = timedelta(days=30)
"""How far back unknown outcomes are asked about again."""


async def reconcile(ledger: Ledger, owners: Owners, providers: Mapping[str, Provider]) -> None:
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
    ledger: Ledger, hold: Hold, providers: Mapping[str, Provider], now: datetime
) -> None:
    """Ask the provider what became of a call for which nobody waits any more, and have it stopped.

    What is known to have been made counts as what was reserved, unless the provider tells a cost.
    """
    outcome = await _look_up(providers, hold)
    if outcome.state == "unknowable":
        if hold.state != "unknown":
            await ledger.unknown(hold.id, f"nobody saw its end: {outcome.reason}")
    elif outcome.state == "not_sent":
        if now - hold.created > GRACE:
            note = "nobody saw its end; the provider has no such job"
            await ledger.release(hold.id, note, not_charged=True)
        elif hold.state != "unknown":
            await ledger.unknown(hold.id, "nobody saw its end; it may still be on its way")
    else:
        if outcome.remote_id and not hold.remote_id:
            await ledger.remote(hold.id, outcome.remote_id)
        cost = outcome.cost.micro_usd
        if outcome.state == "failed" and cost == 0:
            note = f"nobody saw its end; it failed, and was not charged: {outcome.reason}"
            await ledger.release(hold.id, note, not_charged=True)
        else:
            counted = weigh(cost, hold.estimate)
            await ledger.settle(hold.id, counted.micro_usd, disputed=counted.disputed)


async def _look_up(providers: Mapping[str, Provider], hold: Hold) -> Resolution:
    provider = providers.get(hold.provider)
    if provider is None:
        reason = f"{hold.provider} is no longer configured"
        return Resolution(state="unknowable", remote_id=hold.remote_id, reason=reason)
    outcome = Resolution(state="unknowable", remote_id=hold.remote_id, reason="no answer")
    with anyio.move_on_after(ANSWER_SECONDS):
        outcome = await bulkhead.resolve(provider, hold.id, hold.remote_id)
        if outcome.state == "running" and outcome.remote_id:
            stopped = await bulkhead.cancel(provider, outcome.remote_id)
            if stopped.state == "stopped":
                outcome = replace(outcome, cost=stopped.cost)
    return outcome
