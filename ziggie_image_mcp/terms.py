"""Say what a config demands of every order, and keep to the stricter where two configs meet."""

from __future__ import annotations

from typing import get_args

from ziggie_image_mcp.config import Config, Privacy
from ziggie_image_mcp.orders import Terms

_ALLOWED: tuple[str, ...] = ("never", "ask", "withinBudget")
_PRIVATE: tuple[str, ...] = get_args(Privacy)


def of(config: Config) -> Terms:
    """What this config demands of every order."""
    return Terms(
        privacy=config.privacy,
        commercial_use=config.commercial_use,
        provider=config.provider,
        allow_paid_fallback=config.allow_paid_fallback,
    )


def stricter(config: Config, accepted: Terms) -> Config:
    """This config, with the stricter of its own terms and those of the order."""
    own = of(config)
    if own == accepted:
        return config
    return config.model_copy(
        update={
            "privacy": max(own.privacy, accepted.privacy, key=_PRIVATE.index),
            "commercial_use": own.commercial_use or accepted.commercial_use,
            "provider": own.provider if own.provider != "auto" else accepted.provider,
            "allow_paid_fallback": min(
                own.allow_paid_fallback, accepted.allow_paid_fallback, key=_ALLOWED.index
            ),
        }
    )
