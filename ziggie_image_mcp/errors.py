"""The errors that every package may raise, and the words that their messages share.

The whole tree; those marked with a package stand there, because they carry its nouns:

ImageError                      anything that a caller can act on
├── ConfigError                 config.json or the environment does not make sense
├── InvalidRequest              one field of the request cannot be honoured by anybody
├── InvalidArguments (routing)  arguments are unknown, missing, or of another kind
├── NoRoute (routing)           no model passed the filters; carries every reason
├── GenerationFailed (jobs)     every route was tried; carries the attempts
├── OverBudget                  a cap on spending would be passed
├── ConsentRequired             money or privacy asks for a yes that was not given
│   └── ConsentDeclined         a person was asked, and said no
├── StorageError                a picture could not be written or read
│   └── ImageNotFound           no picture has this id
├── JobNotFound (jobs)          no job has this id
├── JobCancelled (jobs)         somebody cancelled the job
├── JobLost (jobs)              it cannot be finished, again and again
└── ProviderError               one provider failed
    ├── ProviderUnavailable     it does not answer, or not as itself
    ├── ProviderTimeout         it answered too late
    ├── DependencyMissing       a Python package it needs is not installed
    ├── AuthenticationFailed    it refused the key, or has none
    ├── RateLimited             it asks us to wait
    ├── RequestRejected         it refused the parameters
    ├── ModelMissing            it does not have the model, or a file of it
    ├── ModelUnusable           the model's file is damaged or of a kind it cannot run
    ├── OutOfMemory             the job did not fit
    ├── EngineCrashed           its process died or the job was lost
    │   └── EngineGone          it went away during the job, and may come back
    ├── InvalidOutput           what came back is no usable picture
    ├── PaymentRequired         the account with it has no credit
    ├── ProviderBroken          its code has a bug, or it keeps not to the contract
    ├── ContentRefused          its safety filter said no; never shopped around
    └── OutcomeUnknown          a paid job was sent and nobody knows what became of it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar, Literal, cast

Scope = Literal["request", "model", "account", "provider"]
"""What an error stands against: whatever else of the provider is asked will go as before, or not.

`request`: another request may go well. `model`: no request to this model. `account`: none under
this key. `provider`: none at all.
"""


class ImageError(Exception):
    """Raised for anything that a caller can act on; the message says what to do next."""

    code: ClassVar[str] = "IMAGE_ERROR"
    """Stable, and of one class only; a class without one of its own is known by its parent's."""
    job_id: str = ""
    """Of the job that ended so, where there is one. Not recorded, as the next is not."""
    spent: int = 0
    """What that job cost all the same, 1e-6 USD."""
    attempts: tuple[object, ...] = ()
    """Of a request that ended so, each a record that `jobs` keeps: this attempt, and those before.
    Recorded."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Register the class under its code.

        Raises:
            TypeError: Another class has this code, or it is no text.
        """
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            return
        if not isinstance(cast(object, cls.code), str):
            raise TypeError(f"{cls.__qualname__}: the code {cls.code!r} is no text")
        owner = _CLASSES.setdefault(cls.code, cls)
        if (owner.__module__, owner.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"{cls.__qualname__}: the code {cls.code} is {owner.__qualname__}'s")
        _CLASSES[cls.code] = cls


_SPANS = (("min", 60), ("h", 3600))
_CLASSES: dict[str, type[ImageError]] = {ImageError.code: ImageError}


def known_class(code: str) -> type[ImageError] | None:
    """The class that has this code; None where no class of this process has it."""
    return _CLASSES.get(code)


class ConfigError(ImageError):
    """Raised when config.json or an environment variable does not make sense."""

    code = "CONFIG_INVALID"


class InvalidRequest(ImageError):
    """Raised when one field of the request cannot be honoured by anybody."""

    code = "INVALID_REQUEST"

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"{field}={quote(repr(value))} cannot be used: {fix}")
        self.field = field
        self.value = value
        self.fix = fix


class OverBudget(ImageError):
    """Raised when a cap on spending would be passed. Nothing was sent."""

    code = "OVER_BUDGET"


class ConsentRequired(ImageError):
    """Raised when a paid route needs a yes that was not given. Nothing was sent."""

    code = "PAID_CONSENT_REQUIRED"


class ConsentDeclined(ConsentRequired):
    """Raised when a person was asked about the money and said no. Nothing was sent."""

    code = "PAID_DECLINED"


class StorageError(ImageError):
    """Raised when a picture, or the ledger, could not be written or read."""

    code = "STORAGE_FAILED"


class ImageNotFound(StorageError):
    """Raised when no picture has this id."""

    code = "IMAGE_NOT_FOUND"


class ImageTooLarge(StorageError):
    """Raised when a picture is too large for the way that it was asked for."""

    code = "IMAGE_TOO_LARGE"

    def __init__(self, message: str, image_id: str, path: str) -> None:
        super().__init__(message)
        self.image_id, self.path = image_id, path


class ProviderError(ImageError):
    """Raised when a provider failed.

    A class says what is usual for it; an instance may know better.

    Args:
        provider: The provider's name.
        message: What happened and what to do, for the caller. No key, no token.
        charged: What the provider says that it charged all the same, 1e-6 USD; None: it charged,
            and does not tell how much, so that what was reserved counts as spent.
        retry_after: Seconds that the provider asks us to wait; None when it does not say.
        scope: What the error stands against.
        fallback: Whether the next route may be tried.
    """

    code = "PROVIDER_FAILED"
    fallback: bool = True
    scope: Scope = "model"
    charged: float | None = 0
    retry_after: float | None = None
    status: int | None = None
    """Of the HTTP answer behind it, where there is one. Not recorded."""

    def __init__(
        self,
        provider: str,
        message: str,
        *,
        charged: float | None = 0,
        retry_after: float | None = None,
        scope: Scope | None = None,
        fallback: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.charged = charged
        self.retry_after = retry_after
        if scope is not None:
            self.scope = scope
        if fallback is not None:
            self.fallback = fallback


class ProviderUnavailable(ProviderError):
    """Raised when the provider does not answer, or what answers is something else."""

    code = "PROVIDER_UNAVAILABLE"
    scope = "provider"


class WrongService(ProviderUnavailable):
    """Raised when something answers that is another service, or not one for pictures."""

    code = "WRONG_SERVICE"


class NotReady(WrongService):
    """Raised when the right engine answers, started so that it makes no pictures for us."""

    code = "ENGINE_NOT_READY"


class ProviderTimeout(ProviderError):
    """Raised when the provider answered too late."""

    code = "PROVIDER_TIMEOUT"


class DependencyMissing(ProviderError):
    """Raised when a Python package that the provider needs is not installed."""

    code = "DEPENDENCY_MISSING"
    scope = "provider"


class AuthenticationFailed(ProviderError):
    """Raised when the provider refused the key, or there is none."""

    code = "AUTHENTICATION_FAILED"
    scope = "account"


class RateLimited(ProviderError):
    """Raised when the provider asks us to wait; `retry_after` in seconds, None when not said."""

    code = "RATE_LIMITED"


class RequestRejected(ProviderError):
    """Raised when the provider refused the parameters."""

    code = "REQUEST_REJECTED"
    scope = "request"


class ModelMissing(ProviderError):
    """Raised when the provider does not have the model, or a file that it needs."""

    code = "MODEL_MISSING"


class ModelUnusable(ProviderError):
    """Raised when the model's file is damaged or of a kind that the provider cannot run."""

    code = "MODEL_UNUSABLE"


class OutOfMemory(ProviderError):
    """Raised when the job did not fit into GPU or main memory."""

    code = "OUT_OF_MEMORY"
    scope = "request"


class EngineCrashed(ProviderError):
    """Raised when the provider's process died, or it lost the job."""

    code = "ENGINE_CRASHED"


class EngineGone(EngineCrashed):
    """Raised when the engine went away during a job, or was restarted and no longer has it.

    Where that cost nothing it is waited for, and the job is sent again.
    """

    code = "ENGINE_GONE"


class InvalidOutput(ProviderError):
    """Raised when what came back is no usable picture, or none of what was asked for."""

    code = "INVALID_OUTPUT"


class ContentRefused(ProviderError):
    """Raised when the provider's safety filter said no. The next provider is not asked."""

    code = "CONTENT_REFUSED"
    scope = "request"
    fallback = False


class PaymentRequired(ProviderError):
    """Raised when the account with the provider has no credit left."""

    code = "PAYMENT_REQUIRED"
    scope = "account"


class ProviderBroken(ProviderError):
    """Raised for a provider whose code has a bug, or that keeps not to the contract."""

    code = "PROVIDER_BROKEN"
    scope = "provider"


class OutcomeUnknown(ProviderError):
    """Raised when a paid job was sent and nobody knows whether it was made and charged.

    It is never sent again, and the money stays counted as spent until the provider tells.
    """

    code = "OUTCOME_UNKNOWN"
    fallback = False


def in_utf8(text: str) -> str:
    """What can be sent: names of files and prompts may hold half a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode()


def quote(text: str, limit: int = 80) -> str:
    """A text as messages quote it: cut, with dots, where it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def duration(seconds: float) -> str:
    """A span of time as people read it: 0.42 s, 90 s, 40 min, 3.5 h, 12 days."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    unit, size = next(
        ((unit, size) for unit, size in _SPANS if seconds < 120 * size), ("days", 86_400)
    )
    value = seconds / size
    return f"{value:.2g} {unit}" if value < 10 else f"{value:.0f} {unit}"


def plain_key(key: str) -> str:
    """A key without case and separators, so that spellings meet."""
    return key.replace("_", "").replace("-", "").lower()


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that a typo most likely meant, or None."""
    return next(iter(nearest_words(word, known, most=1, cutoff=cutoff)), None)


def nearest_words(
    word: str, known: Iterable[str], *, most: int = 3, cutoff: float = 0.4
) -> list[str]:
    """The known words that are most like this one, the nearest first."""
    by_plain = {plain_key(k): k for k in known}
    close = difflib.get_close_matches(plain_key(word), by_plain, n=most, cutoff=cutoff)
    return [by_plain[c] for c in close]


def suggestion(word: str, known: Iterable[str]) -> str:
    """The question whether the nearest known word was meant, with a blank before it; or nothing."""
    near = nearest(word, known)
    return f" Did you mean {near!r}?" if near else ""
