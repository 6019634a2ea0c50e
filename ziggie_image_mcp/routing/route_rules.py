"""Find the rule of `routes` in the config that a request comes under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ziggie_image_mcp.config.config import Preference, RouteCondition, RouteRule
from ziggie_image_mcp.routing.request import ImageRequest, task_of
from ziggie_image_mcp.routing.types import Bulk

NAMES_NONE = (None, "auto")
"""Providers of a request that names none."""


@dataclass(frozen=True, kw_only=True)
class AppliedRule:
    """What a rule of `routes` decides of one request: what the request leaves open."""

    name: str
    """As routes[1]: its place in the config, counted from 0 as in JSON's paths."""
    use: str = "auto"
    preference: Preference | None = None

    def __str__(self) -> str:
        says = [f"use {self.use}"] if self.use != "auto" else []
        says += [f"preference {self.preference}"] if self.preference else []
        return f"{self.name}: {', '.join(says)}"


def bulk_of(requests: Iterable[ImageRequest], *, batch: bool = False) -> Bulk:
    """These requests together."""
    return Bulk(pictures=sum(request.num_images for request in requests), batch=batch)


def apply_routes(
    rules: Sequence[RouteRule], request: ImageRequest, bulk: Bulk | None
) -> AppliedRule | None:
    """What the first rule that fits decides; None where that is nothing, or none fits.

    Args:
        rules: Of the config, in its order.
        request: What the caller asked for.
        bulk: What it is asked for together with; None where it is alone.
    """
    bulk = bulk or bulk_of([request])
    for place, rule in enumerate(rules):
        if _fits(rule.when, request, bulk):
            use = rule.use if request.provider in NAMES_NONE else "auto"
            preference = rule.preference if request.preference is None else None
            if use == "auto" and preference is None:
                return None
            return AppliedRule(name=f"routes[{place}]", use=use, preference=preference)
    return None


def _fits(when: RouteCondition, request: ImageRequest, bulk: Bulk) -> bool:
    if when.task is not None and task_of(request) not in when.task:
        return False
    if when.quality is not None and request.quality not in when.quality:
        return False
    if isinstance(when.batch, bool):
        return bulk.batch == when.batch
    return when.batch is None or bulk.pictures >= when.batch
