"""Say in plain data what the gallery plots: spending, break-even, measured speed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ziggie_image_mcp.app.reports import measured
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing import payback, spend_report
from ziggie_image_mcp.billing.types import Hold
from ziggie_image_mcp.jobs import owners

MOST_DAYS = 366


async def money(service: Service, caller: str | None, days: int) -> dict[str, Any]:
    """What the caller spent by day and wallet, what the caps still allow, when a GPU would pay.

    The caps are told to this machine's owner; others see what they spent themselves.

    Raises:
        StorageError: The ledger cannot be read.
    """
    now = datetime.now(UTC)
    ledger = service.billing.ledger
    since = min(
        spend_report.first_moment(now.date(), days),
        now - timedelta(days=payback.LOOK_BACK_DAYS),
    )
    is_owner = caller in (None, owners.OWNER)
    holds = [
        hold
        for hold in await ledger.holds(since)
        if is_owner or owners.job_belongs(hold.id, caller)
    ]
    summary = spend_report.summarize(holds, today=now.date(), days=days)
    length = (summary.last - summary.first).days + 1
    data: dict[str, Any] = {
        "days": [(summary.first + timedelta(days=n)).isoformat() for n in range(length)],
        "wallets": [
            {
                "name": group.name,
                "usd": [amount / 1e6 for amount in group.daily],
                **group.amounts.as_data(),
            }
            for group in summary.groups
        ],
        "total_usd": (summary.total.settled + summary.total.unknown) / 1e6,
        "caps": [],
        "break_even": _break_even(holds, now),
    }
    if is_owner:
        caps = service.billing.reservations.caps
        rows = spend_report.allowances(caps, await ledger.spending(now))
        data["caps"] = [row.as_data() for row in rows]
    return data


def _break_even(holds: Sequence[Hold], now: datetime) -> dict[str, Any]:
    advice = payback.advise(payback.usage(holds, now))
    return {
        "text": advice.text,
        "assumed": advice.usage is None,
        "lines": [
            {"label": line.label, "usd": [round(value, 2) for value in line.usd]}
            for line in payback.cumulative(advice)
        ],
        "source": f"{payback.REPORT} {payback.REPORT_DATE}",
    }


async def speeds(service: Service) -> list[dict[str, Any]]:
    """What was measured of models, sizes and steps on this machine, the most often seen first."""
    return [
        {"model": x.model, "what": x.what, "seconds": round(x.seconds, 3), "runs": x.runs}
        for x in measured(await service.history.snapshot())
    ]
