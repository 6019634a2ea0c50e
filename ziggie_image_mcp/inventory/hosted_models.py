"""What is known of models that only vendors serve, by the names that people use for them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fnmatch import fnmatchcase

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


@functools.lru_cache(maxsize=5_000)
def hosted_quality(id: str) -> float | None:
    """How good a vendor's model is, 0 to 10, by its id; None where nobody has judged it.

    Source: a judgement, see `qualityFrom` in hosted_models.json.
    """
    tries = (plain(id), *(plain(id[at + 1 :]) for at, sign in enumerate(id) if sign == "/"))
    for pattern, quality in data_beside("hosted_models.json")["quality"]:
        if any(fnmatchcase(name, pattern) for name in tries):
            return float(quality)
    return None


@functools.cache
def _by_name() -> dict[str, HostedModel]:
    return {
        plain(name): HostedModel(what=row["what"], provider=row["provider"])
        for row in data_beside("hosted_models.json")["models"]
        for name in row["names"]
    }
