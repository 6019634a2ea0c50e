"""Hide what is secret in settings, addresses and messages, before anybody is shown them."""

from __future__ import annotations

import re
from typing import Any, cast

from ziggie_image_mcp.errors import plain_key

HIDDEN = "***"

_LOGIN = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s]*@", re.IGNORECASE)
"""To the last `@`: passwords may hold one, and slashes and quotes."""
_WHOLE_LOGIN = re.compile(r"([a-z][a-z0-9+.-]*://).*@", re.IGNORECASE | re.DOTALL)
"""Of a setting, whose value is one address: blanks are part of it."""
_WHOLE_QUERY = re.compile(
    r"([?&;][\w-]*(?:key|token|secret|pass|passwd|password|pwd|credential|signature|sig)=)[^&;#]+",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"([?&;][\w-]*(?:key|token|secret|pass|password|passwd|pwd|credential|signature|sig)=)[^&;#\s\"']+",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"\b(?:sk|rk|pk|sess|r8|hf|gsk|xai|tgp|fal|ghp|github_pat|AIza|AKIA)[-_]?(?=[\w-]*\d)[\w-]{12,}"
    r"|\bBearer\s+[\w.~+/=-]{8,}"
)
_LONG = re.compile(r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{32,}\b")
"""Names of files and models have other signs in between."""
_SECRET_NAME = re.compile(
    r"(?:key|token|secret|password|passwd|pwd|credential|authorization|cookie)s?$"
)


def is_secret(name: str, value: object) -> bool:
    """Whether a setting is one that must stand in no config: by its name, or by what it holds."""
    key = plain_key(name)
    by_name = key == "headers" or _SECRET_NAME.search(key) is not None
    return by_name or (isinstance(value, str) and _KEY.search(value) is not None)


def hidden(text: str) -> str:
    """A message without logins in its addresses, and without what is certainly a key."""
    text = _LOGIN.sub(rf"\g<1>{HIDDEN}@", text)
    return _KEY.sub(HIDDEN, _QUERY.sub(rf"\g<1>{HIDDEN}", text))


def hidden_settings(value: object, name: str = "", *, all_of_it: bool = False) -> Any:
    """Settings as they may be shown: no header, nothing under a name of secrets, and no key.

    Args:
        value: A value of JSON.
        name: Its key.
        all_of_it: Whether every text in it is a secret.
    """
    key = plain_key(name)
    all_of_it = all_of_it or key == "headers" or _SECRET_NAME.search(key) is not None
    if isinstance(value, str):
        value = _WHOLE_QUERY.sub(rf"\g<1>{HIDDEN}", _WHOLE_LOGIN.sub(rf"\g<1>{HIDDEN}@", value))
        return HIDDEN if all_of_it and value else _LONG.sub(HIDDEN, hidden(value))
    if isinstance(value, list | tuple):
        parts = cast(list[object], value)
        return [hidden_settings(part, name, all_of_it=all_of_it) for part in parts]
    if isinstance(value, dict):
        items = cast(dict[str, object], value).items()
        return {k: hidden_settings(v, k, all_of_it=all_of_it) for k, v in items}
    return value
