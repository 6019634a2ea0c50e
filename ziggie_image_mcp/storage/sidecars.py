"""Read the JSON file that stands beside a stored picture; anybody may have changed it."""

from __future__ import annotations

import json
from typing import cast


def facts_in(sidecar: bytes | None) -> dict[str, object]:
    """What a sidecar says; nothing where there is none, or it is damaged."""
    try:
        facts: object = json.loads(sidecar or b"{}")
    except (ValueError, RecursionError):
        return {}
    return cast(dict[str, object], facts) if isinstance(facts, dict) else {}
