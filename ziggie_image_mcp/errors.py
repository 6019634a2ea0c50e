"""The errors.

ImageError                      anything that a caller can act on
├── ConfigError                 config.json or the environment does not make sense
├── InvalidRequest              one field of the request cannot be honoured by anybody
├── NoRoute                     no model passed the filters; carries every reason
├── GenerationFailed            every route was tried; carries the attempts
├── OverBudget                  a cap on spending would be passed
├── ConsentRequired             money or privacy asks for a yes that was not given
├── StorageError                a picture could not be written or read
│   └── ImageNotFound           no picture has this id
├── JobNotFound                 no job has this id
├── JobCancelled                somebody cancelled the job
├── JobLost                     it cannot be finished, again and again
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
    ├── InvalidOutput           what came back is no usable picture
    ├── PaymentRequired         the account with it has no credit
    ├── ContentRefused          its safety filter said no; never shopped around
    └── OutcomeUnknown          a paid job was sent and nobody knows what became of it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ziggie_image_mcp.types import Attempt, Rejection


class ImageError(Exception):
    """Raised for anything that a caller can act on; the message says what to do next."""

    code: ClassVar[str] = "IMAGE_ERROR"


class ConfigError(ImageError):
    """Raised when config.json or an environment variable does not make sense."""

    code = "CONFIG_INVALID"


class InvalidRequest(ImageError):
    """Raised when one field of the request cannot be honoured by anybody."""

    code = "INVALID_REQUEST"

    def __init__(self, field: str, value: object, fix: str) -> None:
        shown = repr(value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        super().__init__(f"{field}={shown} cannot be used: {fix}")
        self.field = field
        self.value = value
        self.fix = fix


class NoRoute(ImageError):
    """Raised when no model passed the filters."""

    code = "NO_ROUTE"

    def __init__(self, rejected: Sequence[Rejection], hint: str = "") -> None:
        lines = ["No model can make this picture now."]
        for rejection in rejected[:12]:
            subject = rejection.provider + (f"/{rejection.model}" if rejection.model else "")
            for reason in rejection.reasons:
                fix = f" Fix: {reason.fix}" if reason.fix else ""
                lines.append(
                    f"- {subject}: {reason.code}: needs {reason.need}, have {reason.have}.{fix}"
                )
        if len(rejected) > 12:
            lines.append(f"- and {len(rejected) - 12} more; list_models shows all.")
        if hint:
            lines.append(hint)
        super().__init__("\n".join(lines))
        self.rejected = tuple(rejected)


class GenerationFailed(ImageError):
    """Raised when every allowed route was tried and failed."""

    code = "GENERATION_FAILED"

    def __init__(
        self, attempts: Sequence[Attempt], rejected: Sequence[Rejection] = (), hint: str = ""
    ) -> None:
        lines = ["Every allowed route failed:"]
        for a in attempts:
            paid = f" ({a.cost_micro_usd / 1e6:.4f} USD charged)" if a.cost_micro_usd else ""
            lines.append(f"- {a.provider}/{a.model}: {a.error_code}: {a.error}{paid}")
        if hint:
            lines.append(hint)
        super().__init__("\n".join(lines))
        self.attempts = tuple(attempts)
        self.rejected = tuple(rejected)


class OverBudget(ImageError):
    """Raised when a cap on spending would be passed. Nothing was sent."""

    code = "OVER_BUDGET"


class ConsentRequired(ImageError):
    """Raised when a paid route needs a yes that was not given. Nothing was sent."""

    code = "PAID_CONSENT_REQUIRED"


class StorageError(ImageError):
    """Raised when a picture, or the ledger, could not be written or read."""

    code = "STORAGE_FAILED"


class ImageNotFound(StorageError):
    """Raised when no picture has this id."""

    code = "IMAGE_NOT_FOUND"


class JobNotFound(ImageError):
    """Raised when no job has this id."""

    code = "JOB_NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id[:80]!r}. generate_image returns job ids.")


class JobCancelled(ImageError):
    """Raised for whoever waits for a job that somebody cancelled."""

    code = "CANCELLED"


class JobLost(ImageError):
    """Raised when a job cannot be finished: it failed in a way that nobody foresaw."""

    code = "JOB_LOST"


class ProviderError(ImageError):
    """Raised by a provider. `fallback` says whether the next route may be tried."""

    code = "PROVIDER_FAILED"
    fallback: ClassVar[bool] = True
    charged: int = 0
    """What the provider charged all the same, 1e-6 USD: made, and then lost or unusable."""

    def __init__(self, provider: str, message: str) -> None:
        super().__init__(message)
        self.provider = provider


class ProviderUnavailable(ProviderError):
    """Raised when the provider does not answer, or what answers is something else."""

    code = "PROVIDER_UNAVAILABLE"


class ProviderTimeout(ProviderError):
    """Raised when the provider answered too late."""

    code = "PROVIDER_TIMEOUT"


class DependencyMissing(ProviderError):
    """Raised when a Python package that the provider needs is not installed."""

    code = "DEPENDENCY_MISSING"


class AuthenticationFailed(ProviderError):
    """Raised when the provider refused the key, or there is none."""

    code = "AUTHENTICATION_FAILED"


class RateLimited(ProviderError):
    """Raised when the provider asks us to wait; `retry_after` in seconds, None when not said."""

    code = "RATE_LIMITED"

    def __init__(self, provider: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(provider, message)
        self.retry_after = retry_after


class RequestRejected(ProviderError):
    """Raised when the provider refused the parameters."""

    code = "REQUEST_REJECTED"


class ModelMissing(ProviderError):
    """Raised when the provider does not have the model, or a file that it needs."""

    code = "MODEL_MISSING"


class ModelUnusable(ProviderError):
    """Raised when the model's file is damaged or of a kind that the provider cannot run."""

    code = "MODEL_UNUSABLE"


class OutOfMemory(ProviderError):
    """Raised when the job did not fit into GPU or main memory."""

    code = "OUT_OF_MEMORY"


class EngineCrashed(ProviderError):
    """Raised when the provider's process died, or it lost the job."""

    code = "ENGINE_CRASHED"


class InvalidOutput(ProviderError):
    """Raised when what came back is no usable picture; `charged` in 1e-6 USD."""

    code = "INVALID_OUTPUT"

    def __init__(self, provider: str, message: str, charged: int = 0) -> None:
        super().__init__(provider, message)
        self.charged = charged


class ContentRefused(ProviderError):
    """Raised when the provider's safety filter said no. The next provider is not asked."""

    code = "CONTENT_REFUSED"
    fallback = False


class PaymentRequired(ProviderError):
    """Raised when the account with the provider has no credit left."""

    code = "PAYMENT_REQUIRED"


class OutcomeUnknown(ProviderError):
    """Raised when a paid job was sent and nobody knows whether it was made and charged.

    It is never sent again, and the money stays counted as spent until the provider tells.
    """

    code = "OUTCOME_UNKNOWN"
    fallback = False


def revive(
    code: str, message: str, provider: str = "", attempts: Sequence[Attempt] = ()
) -> ImageError:
    """The error that had this code and message, from a record: without its other fields."""
    kinds: list[type[ImageError]] = [ImageError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    kind = next((k for k in kinds if k.code == code), ImageError)
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    if isinstance(error, ProviderError):
        error.provider = provider
    if isinstance(error, RateLimited):
        error.retry_after = None
    if isinstance(error, GenerationFailed):
        error.attempts, error.rejected = tuple(attempts), ()
    return error
