"""Errors of a decision that carry its nouns."""

from __future__ import annotations

from collections.abc import Sequence

from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.inventory.types import NO_KEY, Rejection, lacks_key, reason_sentence

MOST = 12
"""Rejections that are told one by one."""


class NoRoute(ImageError):
    """Raised when no model passed the filters."""

    code = "NO_ROUTE"

    def __init__(
        self,
        rejected: Sequence[Rejection],
        hint: str = "",
        *,
        lead: str = "No model can make this picture now.",
        shown: int | None = None,
    ) -> None:
        """The first so many `shown` are told, as far as there is room; all are carried."""
        shown = len(rejected) if shown is None else shown
        told = [r for r in rejected[:shown] if not lacks_key(r)]
        lines = [lead]
        for rejection in told[:MOST]:
            subject = rejection.provider + (f"/{rejection.model}" if rejection.model else "")
            lines += [f"- {subject}: {reason_sentence(reason)}" for reason in rejection.reasons]
        if len(told) > MOST:
            lines.append(f"- and {len(told) - MOST} more; list_models shows all.")
        lines += _without_keys([r for r in rejected[:shown] if lacks_key(r)])
        if hint:
            lines.append(hint)
        super().__init__("\n".join(lines))
        self.rejected = tuple(rejected)


def _without_keys(rejected: Sequence[Rejection]) -> list[str]:
    """One line for all of them: there may be a dozen."""
    if len(rejected) < 2:
        return [f"- {r.provider}: {reason_sentence(x)}" for r in rejected for x in r.reasons]
    names = ", ".join(r.provider for r in rejected)
    fix = rejected[0].reasons[0].fix
    return [f"- {names}: {NO_KEY}: each needs a key of its own, have none. Fix: as {fix}"]
