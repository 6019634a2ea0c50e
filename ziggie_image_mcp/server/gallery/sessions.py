"""Know who signed in to the gallery: by a token or a one-time code, remembered in a cookie."""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping

from ziggie_image_mcp.jobs.owners import OWNER
from ziggie_image_mcp.server.callers import name_of_token

COOKIE = "ziggie_gallery"
SESSION_SECONDS = 7 * 24 * 3600
CODE_SECONDS = 600
_VALUE = re.compile(r"([0-9a-f]{2,400})\.([0-9]{1,12})\.([0-9a-f]{64})")


class Sessions:
    """Sessions of those who have a token. The cookie is sealed, so that no server keeps a list.

    Args:
        tokens: Who may come in, by name; empty where nobody is asked.
        clock: Seconds since 1970.
    """

    def __init__(self, tokens: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self._tokens, self._clock = tokens, clock
        self._codes: dict[str, float] = {}

    @property
    def asked(self) -> bool:
        """Whether one must sign in."""
        return bool(self._tokens)

    def name_of_token(self, token: str) -> str | None:
        """Whose token it is; None where it is nobody's."""
        return name_of_token(self._tokens, token)

    def new_code(self) -> str:
        """A code by which this machine's owner signs in once, within ten minutes."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = self._clock() + CODE_SECONDS
        return code

    def name_of_code(self, code: str) -> str | None:
        """The owner's name for a code that is good; it is used up by this."""
        expiry = self._codes.pop(code, 0.0)
        return OWNER if OWNER in self._tokens and self._clock() < expiry else None

    def cookie(self, name: str) -> str:
        """What the browser keeps of who signed in."""
        text = f"{name.encode().hex()}.{int(self._clock()) + SESSION_SECONDS}"
        return f"{text}.{self._seal(name, text)}"

    def name_of_cookie(self, value: str) -> str | None:
        """Who signed in; None where the cookie is none of this server's, or its time is over.

        It is none any more where the token of that name was exchanged.
        """
        match = _VALUE.fullmatch(value)
        if match is None:
            return None
        try:
            name = bytes.fromhex(match[1]).decode()
        except ValueError:
            return None
        text = f"{match[1]}.{match[2]}"
        good = name in self._tokens and hmac.compare_digest(match[3], self._seal(name, text))
        return name if good and self._clock() < int(match[2]) else None

    def _seal(self, name: str, text: str) -> str:
        key = hmac.digest(self._tokens[name].encode(), b"ziggie-image-mcp gallery", "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()
