"""What is known of models that only vendors serve, by the names that people use for them."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ziggie_image_mcp.inventory.model_facts import plain


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
    text = (resources.files("ziggie_image_mcp.inventory") / "hosted_models.json").read_text(
        encoding="utf-8"
    )
    rows: list[dict[str, Any]] = json.loads(text)["models"]
    return {
        plain(name): HostedModel(what=row["what"], provider=row["provider"])
        for row in rows
        for name in row["names"]
    }
