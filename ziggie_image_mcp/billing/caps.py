"""Say what may be spent, and refuse what would pass it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ziggie_image_mcp.billing.money import micro_usd, usd
from ziggie_image_mcp.billing.types import Hold
from ziggie_image_mcp.config.config import Budget
from ziggie_image_mcp.errors import OverBudget

if TYPE_CHECKING:
    from ziggie_image_mcp.billing.ledger_tables import Sums


@dataclass(frozen=True, kw_only=True)
class WindowCaps:
    """What may be spent in a window of time, 1e-6 USD. None: no cap."""

    per_day: int | None = None
    per_month: int | None = None


@dataclass(frozen=True, kw_only=True)
class Caps:
    """What may be spent, 1e-6 USD. None: no cap."""

    per_image: int | None = None
    per_day: int | None = None
    per_month: int | None = None
    per_provider: Mapping[str, WindowCaps] = field(default_factory=dict[str, WindowCaps])


def caps_from(budget: Budget, providers: Mapping[str, Budget] | None = None) -> Caps:
    """The config's dollars as caps; `providers` has those of single providers."""
    return Caps(
        per_image=_cap(budget.per_image),
        per_day=_cap(budget.per_day),
        per_month=_cap(budget.per_month),
        per_provider={
            name: WindowCaps(per_day=_cap(own.per_day), per_month=_cap(own.per_month))
            for name, own in (providers or {}).items()
        },
    )


def _cap(dollars: float | None) -> int | None:
    return None if dollars is None else micro_usd(dollars)


def check_caps(hold: Hold, caps: Caps, sums: Sequence[Sums]) -> None:
    """Refuse a hold that would pass a cap.

    Raises:
        OverBudget: It would; the message names the setting.
    """
    need = hold.estimate
    if caps.per_image is not None and need > caps.per_image * hold.images:
        raise OverBudget(
            f"budget.perImage is {usd(caps.per_image)}, and {hold.provider}/{hold.model} costs up "
            f"to {usd(-(-need // hold.images))} a picture. Choose a cheaper model or a smaller "
            "size, or raise budget.perImage in config.json."
        )
    day, month = f"on {hold.created:%Y-%m-%d} (UTC)", f"in {hold.created:%Y-%m} (UTC)"
    own = [s for s in sums if s.provider == hold.provider]
    own_caps = caps.per_provider.get(hold.provider, WindowCaps())
    own_setting = f"providers.{hold.provider}.budget"
    for setting, per_day, per_month, who, counted in (
        ("budget", caps.per_day, caps.per_month, "", sums),
        (own_setting, own_caps.per_day, own_caps.per_month, f"by {hold.provider} ", own),
    ):
        spent, held = sum(s.spent_day for s in counted), sum(s.held_day for s in counted)
        _check_cap(f"{setting}.perDay", per_day, who + day, spent, held, need)
        spent, held = sum(s.spent_month for s in counted), sum(s.held_month for s in counted)
        _check_cap(f"{setting}.perMonth", per_month, who + month, spent, held, need)


def check_group(hold: Hold, cap: int, used: int) -> None:
    """The same for what a group of holds may cost together, of which `used` is gone.

    Raises:
        OverBudget: It would be passed.
    """
    if used + hold.estimate > cap:
        raise OverBudget(
            f"The budget of this batch is {usd(cap)}: {usd(used)} is spent or held, and this needs "
            f"{usd(hold.estimate)}. Run it again with a larger --budget to go on."
        )


def _check_cap(
    setting: str, cap: int | None, window: str, spent: int, held: int, need: int
) -> None:
    if cap is not None and need > 0 and spent + held + need > cap:
        raise OverBudget(
            f"{setting} is {usd(cap)}: {usd(spent)} spent and {usd(held)} held {window}, and this "
            f"needs {usd(need)}. Choose a cheaper model, wait, or raise {setting} in config.json."
        )
