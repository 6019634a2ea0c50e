"""Read an environment variable as people, and the clients that start us, set it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\$\{(user_config|input|env)[.:][^{}]*\}")


def setting(env: Mapping[str, str], name: str) -> str:
    """A variable's text, without blanks around it; empty where it is as good as unset."""
    return answered(env.get(name, "").strip())


def answered(text: str) -> str:
    """The text, but nothing for the placeholder of an answer that a client's user did not give."""
    return "" if _PLACEHOLDER.fullmatch(text.strip()) else text
