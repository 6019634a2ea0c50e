"""Compare a prompt with how much of it a model reads."""

from __future__ import annotations

import re
from functools import lru_cache

from ziggie_image_mcp.inventory.types import Reason
from ziggie_image_mcp.provider.nouns import Model
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.emulation import sent_prompt
from ziggie_image_mcp.routing.rules_money import reason


def prompt_length(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models whose vendor would refuse so long a prompt."""
    capability = model.tasks.get(ctx.task)
    limit = capability.max_prompt if capability is not None else None
    if limit is None or limit.beyond != "refused":
        return None
    longest = max(sent_prompt(model, ctx), ctx.request.negative_prompt, key=len)
    length = len(longest) if limit.unit == "characters" else most_tokens(longest)
    if length <= limit.count:
        return None
    have = f"at most {limit.count:,} {limit.unit}"
    return reason("PROMPT_TOO_LONG", have, f"{length:,}", "shorten the prompt")


def is_cut(model: Model, ctx: RoutingContext) -> bool:
    """Whether the engine might not read the whole prompt, by an upper estimate of its tokens."""
    capability = model.tasks.get(ctx.task)
    limit = capability.max_prompt if capability is not None else None
    if limit is None or limit.beyond != "cut":
        return False
    text = sent_prompt(model, ctx)
    return (len(text) if limit.unit == "characters" else most_tokens(text)) > limit.count


@lru_cache(maxsize=64)
def most_tokens(text: str) -> int:
    """More tokens than a text has for the text encoders of picture models, mostly by a third.

    A word of Latin letters counts as one token and one more for each further four letters, all
    else by its bytes. An estimate for choosing, not for cutting.
    """
    words = re.findall(r"[A-Za-z]+|[^A-Za-z\s]", text)
    return sum(
        1 + (len(w) - 1) // 4 if w[0].isascii() and w[0].isalpha() else len(w.encode())
        for w in words
    )
