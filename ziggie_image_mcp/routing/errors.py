"""Errors of a decision that carry its nouns."""

from __future__ import annotations

from collections.abc import Sequence

from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.inventory.types import Rejection, reason_sentence


class NoRoute(ImageError):
    """Raised when no model passed the filters."""

    code = "NO_ROUTE"

    def __init__(self, rejected: Sequence[Rejection], hint: str = "") -> None:
        lines = ["No model can make this picture now."]
        for rejection in rejected[:12]:
            subject = rejection.provider + (f"/{rejection.model}" if rejection.model else "")
            lines += [f"- {subject}: {reason_sentence(reason)}" for reason in rejection.reasons]
        if len(rejected) > 12:
            lines.append(f"- and {len(rejected) - 12} more; list_models shows all.")
        if hint:
            lines.append(hint)
        super().__init__("\n".join(lines))
        self.rejected = tuple(rejected)
