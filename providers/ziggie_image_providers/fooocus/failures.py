"""Say what the errors of Fooocus-API mean, in our classes and in sentences that lead on."""

from __future__ import annotations

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    EngineGone,
    InvalidOutput,
    ModelMissing,
    OutOfMemory,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    WrongService,
    duration,
    quote,
)
from ziggie_image_mcp.provider.error_rules import Rule

FULL_SECONDS = 30.0
"""After which a full queue is asked again."""

ERRORS = (
    Rule(
        status=(401, 403),
        error=AuthenticationFailed,
        message="Fooocus-API wants the key of its --apikey: name the variable that holds it as"
        " keyName",
    ),
    Rule(status=422, error=RequestRejected, message="Fooocus-API refused the request"),
    Rule(
        match=r"out of memory|OutOfMemory|not enough memory",
        error=OutOfMemory,
        message="Fooocus ran out of memory; ask for a smaller picture, or start it with"
        " --always-low-vram",
    ),
    Rule(status=500, error=ProviderError, message="Fooocus-API failed; look at its console"),
)
"""500 is how it says that a request failed: the server itself goes on."""


def wrong_service(provider: str, url: str) -> WrongService:
    """Say that what answers there is no Fooocus-API."""
    what = f"what answers at {url} is no Fooocus-API"
    return WrongService(provider, f"{what}; set providers.{provider}.baseUrl")


def missing(provider: str, what: str, name: str, near: str) -> ModelMissing:
    """Say that it does not have a file."""
    return ModelMissing(provider, f"Fooocus does not have the {what} {name!r}{near}")


def queue_full(provider: str) -> RateLimited:
    """Say that it takes no more jobs now."""
    return RateLimited(
        provider,
        f"the queue of Fooocus-API is full; try again in {duration(FULL_SECONDS)}, or start it with"
        " a larger --queue-size",
        retry_after=FULL_SECONDS,
        scope="provider",
    )


def lost(provider: str) -> EngineGone:
    """Say that it knows a job no longer, which it keeps in memory alone."""
    what = "Fooocus-API was restarted, and knows the job no longer"
    return EngineGone(provider, what)


def silent(provider: str, url: str) -> EngineGone:
    """Say that it went away during a job."""
    return EngineGone(provider, f"Fooocus-API at {url} went away during the job")


def job_failed(provider: str, status: str) -> OutOfMemory | ProviderError:
    """Say that a job failed. Why, Fooocus-API tells its console alone."""
    at = f" at: {status}" if status else ""
    what = f"Fooocus gave the job up{at}"
    then = "its console says why, mostly that the memory did not do, or that a download failed"
    return ProviderError(provider, f"{what}; {then}")


def nothing_came(provider: str) -> ProviderError:
    """Say that a job ended well, and gave no picture, as one does that was stopped."""
    what = "Fooocus ended the job without a picture: somebody stopped it there"
    return ProviderError(provider, what)


def not_finished(provider: str, reason: str) -> ProviderError:
    """The error of a result whose finish_reason is not SUCCESS."""
    if reason == "QUEUE_IS_FULL":
        return queue_full(provider)
    if reason == "USER_CANCEL":
        return nothing_came(provider)
    return job_failed(provider, "")


def too_late(provider: str, seconds: float) -> ProviderTimeout:
    """Say that a job took too long."""
    return ProviderTimeout(
        provider,
        f"Fooocus did not finish within {duration(seconds)} of work, so the job was stopped; ask"
        f" for less, or set providers.{provider}.timeout",
    )


def another_model(provider: str, model: str, used: str) -> InvalidOutput:
    """Say that Fooocus took its default model for the one that was asked for."""
    what = f"Fooocus made the picture with {quote(used)}, and not with {model}"
    return InvalidOutput(provider, f"{what}; see whether the file is still in its folder")
