"""What is known of models that only vendors serve, by the names that people use for them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ziggie_image_mcp.inventory.model_facts import data_beside, plain


@dataclass(frozen=True, kw_only=True)
class HostedModel:
    """A model that no engine of one's own can have."""

    what: str
    """A sentence without its full stop."""
    provider: str
    """The type of provider that reaches it; empty where none can."""


def hosted_model(name: str) -> HostedModel | None:
    """What this name stands for; None where it is no name of a hosted model."""
    return _by_name().get(plain(name)) or _by_name().get(plain(name.rpartition("/")[2]))


@functools.cache
def _by_name() -> dict[str, HostedModel]:
    return {
        plain(name): HostedModel(what=row["what"], provider=row["provider"])
        for row in data_beside("hosted_models.json")["models"]
        for name in row["names"]
    }
