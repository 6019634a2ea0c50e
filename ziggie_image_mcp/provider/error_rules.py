"""Say what a backend's failing answers mean: the backend's own rules first, then the usual ones."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    Scope,
    duration,
)

_KEYS = re.compile(
    r"\b(sk|key|sess|r8|hf|rpa|ak|as|wk|ws|fal|gsk|tgp|AIza)[-_]?[\w*.-]{6,}", re.IGNORECASE
)
_TOKEN = re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])[\w-]{32,}\b")
_PAGE = 2**16
_HTML = re.compile(r"<(!doctype|html|head|body|title|h\d|p|div|center)\b", re.IGNORECASE)
_TAGS = re.compile(
    r"<(script|style|title)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL
)
_READ = 4000
"""Characters of a message that are looked at."""

QUOTED = 200
"""Characters of a backend's own words."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a failing answer says of itself."""

    status: int
    """0 for what an answer of success says of a job that failed."""
    codes: tuple[str, ...] = ()
    """Its stable words: code, type, name, and the field that is wrong."""
    message: str = ""
    retry_after: float | None = None
    """Seconds."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of a backend's table of errors. What is not given does not matter."""

    error: type[ProviderError]
    status: int | tuple[int, ...] = ()
    code: str | tuple[str, ...] = ()
    """One of the answer's stable words is one of these; case does not matter."""
    match: str = ""
    """A regular expression that the message, or a code, must contain; case does not matter."""
    message: str = ""
    """Ours, before the backend's own words: what happened, and what to do."""
    scope: Scope | None = None
    """Where it is not the usual one of the class."""
    charged: int | None = 0
    """1e-6 USD; None: charged, and nobody tells how much."""
    wait: float | None = None
    """Seconds, where the answer does not say."""
    quoted: bool = True
    """Whether the backend's own words are repeated: False where a part of the key is in them."""

    def applies(self, problem: Problem) -> bool:
        """Whether this rule is about such an answer."""
        if self.status and problem.status not in _several(self.status):
            return False
        codes = {code.casefold() for code in problem.codes}
        if self.code and codes.isdisjoint(code.casefold() for code in _several(self.code)):
            return False
        said = " ".join((*problem.codes, problem.message))
        return not self.match or re.search(self.match, said, re.IGNORECASE) is not None


USUAL: tuple[Rule, ...] = (
    Rule(
        status=(401, 403),
        error=AuthenticationFailed,
        message="refused access; check the key or the headers",
    ),
    Rule(status=402, error=PaymentRequired, message="wants the account topped up"),
    Rule(status=429, error=RateLimited, message="asks to wait"),
    Rule(status=(408, 504, 524), error=ProviderTimeout, message="answered too late"),
    Rule(
        status=(400, 406, 409, 411, 413, 414, 415, 422),
        error=RequestRejected,
        message="refused the request",
    ),
    Rule(
        status=(404, 405, 410),
        error=ProviderUnavailable,
        message="is not there; check the base URL",
    ),
    Rule(
        status=tuple(range(300, 400)),
        error=ProviderUnavailable,
        message="leads elsewhere; correct the base URL",
    ),
    Rule(
        status=tuple(range(500, 600)),
        error=ProviderUnavailable,
        message="failed; look at the server's log, or try later",
    ),
)


def error_of(
    provider: str, where: str, problem: Problem, rules: Sequence[Rule], secrets: Iterable[str] = ()
) -> ProviderError:
    """The error that an answer stands for.

    Args:
        provider: The provider's name.
        where: The address that was asked, fit for a message.
        problem: What the answer says.
        rules: The backend's own.
        secrets: What may stand in no message.
    """
    rule = next((r for r in (*rules, *USUAL) if r.applies(problem)), None)
    quoted = scrub(problem.message, secrets)
    words = f": {quoted}" if quoted and (rule is None or rule.quoted) else ""
    status = f" (HTTP {problem.status})" if problem.status else ""
    if rule is None:
        message = (
            f"{where} answered HTTP {problem.status}{words}" if status else f"it failed{words}"
        )
        return _with_status(ProviderError(provider, message), problem)
    wait = problem.retry_after if problem.retry_after is not None else rule.wait
    message = f"{where} {rule.message or 'failed'}{status}{words}"
    if rule in rules and rule.message:
        message = f"{rule.message}{status}{words}"
    if issubclass(rule.error, RateLimited):
        message += f"; try again in {duration(wait)}" if wait is not None else "; try again later"
    error = rule.error(provider, message, charged=rule.charged, retry_after=wait, scope=rule.scope)
    return _with_status(error, problem)


def _with_status(error: ProviderError, problem: Problem) -> ProviderError:
    error.status = problem.status or None
    return error


def problem_in(status: int, body: object, retry_after: float | None = None) -> Problem:
    """What the usual forms of an error's body say; nothing where it has none of them.

    Known: `{"error": {"message", "code", "type"}}`, `{"error": "..."}`, `{"detail": ...}`,
    `{"title", "detail"}`, `{"message", "code"}`, `{"errors": [...]}`, `{"name", "errors"}`; and a
    text, which is no JSON.
    """
    codes: list[str] = []
    messages: list[str] = []
    _collect(body, codes, messages, depth=0)
    unique = "; ".join(dict.fromkeys(m for m in messages if m))
    return Problem(
        status=status,
        codes=tuple(dict.fromkeys(codes)),
        message=unique,
        retry_after=retry_after,
    )


def page_text(content: bytes) -> str:
    """What a body says that is no JSON: a page's title, or else its text; nothing of a binary."""
    text = content[:_PAGE].decode("utf-8", "replace")
    if "\0" in text or text.count("\ufffd") > 3:
        return ""
    if _HTML.search(text[:_READ]) is None:
        return text
    title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
    words = title.group(1) if title else _TAGS.sub(" ", text)
    return html.unescape(words).strip() or html.unescape(_TAGS.sub(" ", text))


def scrub(text: object, secrets: Iterable[str] = ()) -> str:
    """A backend's own words, fit for a message: one short line without any key or address."""
    line = " ".join(text[:_READ].split()) if isinstance(text, str) else ""
    line = "".join(c for c in line if c.isprintable())
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len)[::-1]:
        line = re.sub(r"\s*".join(map(re.escape, form)), "***", line, flags=re.IGNORECASE)
    line = re.sub(r"([a-z][a-z0-9+.-]*://)[^\s/@]+@", r"\1", line, flags=re.IGNORECASE)
    line = re.sub(r"(https?://[^\s?#]+)[?#]\S*", r"\1", line)
    line = _TOKEN.sub("***", _KEYS.sub("***", line))
    return line if len(line) <= QUOTED else line[: QUOTED - 3] + "..."


def _forms(secret: str) -> Iterable[str]:
    """A secret as it may be repeated: as it is, as part of an address, or half of a login."""
    for part in (secret, *secret.split(":", 1)):
        if len(part) >= 4:
            yield part
            yield quote(part, safe="")


_CODES = ("code", "type", "name", "reason", "param", "moderation_stage", "limit_source")
"""Where bodies have their stable words."""
_WORDS = (
    *("error", "message", "msg", "title", "detail", "errors", "invalid_fields"),
    *("innererror", "inner_error", "moderation_details", "metadata"),
)
"""What holds messages, or more codes."""


def _collect(body: object, codes: list[str], messages: list[str], *, depth: int) -> None:
    if isinstance(body, str):
        messages.append(body)
    elif isinstance(body, list) and depth < 4:
        for item in cast("list[object]", body)[:3]:
            _collect(item, codes, messages, depth=depth + 1)
    elif isinstance(body, dict) and depth < 4:
        facts = cast(dict[str, Any], body)
        codes += [str(facts[k]) for k in _CODES if _plain(facts.get(k))]
        place, field = facts.get("loc"), ""
        if isinstance(place, list):  # FastAPI's path to a field
            words = map(str, cast("list[object]", place))
            field = ".".join(word for word in words if word != "body")
        for key in _WORDS:
            if key == "msg" and field and isinstance(facts.get(key), str):
                messages.append(f"{field}: {facts[key]}")
            elif facts.get(key):
                _collect(facts[key], codes, messages, depth=depth + 1)


def _plain(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _several(value: int | str | tuple[Any, ...]) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
