"""State what a config demands of every job, and keep to the stricter where two configs meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ziggie_image_mcp.config.config import Config, Privacy, RouteRule


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What the config said when a job was accepted. Whoever runs it keeps to these too."""

    privacy: str
    commercial_use: bool
    provider: str
    allow_paid_fallback: str
    routes: tuple[RouteRule, ...] = ()


_PAYING: tuple[str, ...] = ("never", "ask", "withinBudget")
_PRIVACY: tuple[str, ...] = get_args(Privacy)


def falls_back(wishes: Config | Constraints) -> bool:
    """Whether `provider: "local"` leaves a way out: what is paid, after all that is local."""
    return wishes.provider == "local" and wishes.allow_paid_fallback != "never"


def constraints_of(config: Config) -> Constraints:
    """What this config demands of every job."""
    return Constraints(
        privacy=config.privacy,
        commercial_use=config.commercial_use,
        provider=config.provider,
        allow_paid_fallback=config.allow_paid_fallback,
        routes=config.routes,
    )


def apply_constraints(config: Config, accepted: Constraints) -> Config:
    """This config, with the stricter of its own constraints and those of the job.

    Of `routes` those of the job hold, where it has any: of two lists neither is stricter.
    """
    own = constraints_of(config)
    if own == accepted:
        return config
    return config.model_copy(
        update={
            "privacy": max(own.privacy, accepted.privacy, key=_PRIVACY.index),
            "commercial_use": own.commercial_use or accepted.commercial_use,
            "provider": own.provider if own.provider != "auto" else accepted.provider,
            "allow_paid_fallback": min(
                own.allow_paid_fallback, accepted.allow_paid_fallback, key=_PAYING.index
            ),
            "routes": accepted.routes or own.routes,
        }
    )
