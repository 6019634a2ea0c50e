"""Say what SwarmUI's errors mean, in our classes and in sentences that lead on."""

from __future__ import annotations

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    EngineGone,
    InvalidOutput,
    ModelMissing,
    ModelUnusable,
    NotReady,
    OutcomeUnknown,
    OutOfMemory,
    ProviderError,
    RateLimited,
    RequestRejected,
    WrongService,
    quote,
)
from ziggie_image_mcp.provider.error_rules import Rule

BAD_SESSION = "invalid_session_id"

ERRORS = (
    Rule(
        code=BAD_SESSION,
        error=EngineGone,
        message="SwarmUI was restarted, and knows the session of the job no longer",
    ),
    Rule(
        match=r"invalid or unauthorized|invalid_login",
        error=AuthenticationFailed,
        message="SwarmUI wants an account: make a token in its page User, Swarm Auth Tokens, and"
        " name the variable that holds it as keyName",
    ),
    Rule(
        match=r"bad_permissions|you lack permissions|do not have permission",
        error=AuthenticationFailed,
        message="the account at SwarmUI may not do this; give it the permission in Server, Users",
    ),
    Rule(
        match=r"out of memory|OutOfMemory|not enough memory|allocation on device",
        error=OutOfMemory,
        message="SwarmUI ran out of memory; ask for a smaller picture, fewer at once, or a smaller"
        " model",
    ),
    Rule(
        match=r"invalid model value|does not have that (model|lora)|failed to load model"
        r"|option does not exist",
        error=ModelMissing,
        message="SwarmUI does not have a file that the request names; refresh its lists",
    ),
    Rule(
        match=r"all backends failed|no backends|backends? (is|are) (not )?available"
        r"|no matching.*backend|requires flag|unsupported model",
        error=ModelUnusable,
        message="no backend of SwarmUI can make this; look at its page Server, Backends",
    ),
    Rule(
        match=r"all backends are occupied",
        error=RateLimited,
        message="all backends of SwarmUI are busy",
    ),
    Rule(
        match=r"invalid (integer|decimal|boolean|image)? ?value|must be between",
        error=RequestRejected,
        message="SwarmUI refused the request",
    ),
    Rule(
        match=r"interrupted",
        error=ProviderError,
        message="the job was interrupted in SwarmUI",
    ),
    Rule(
        match=r"no images were generated|something went wrong|failed to save",
        error=ProviderError,
        message="SwarmUI failed; its page Server, Logs says why",
    ),
)


def wrong_service(provider: str, url: str) -> WrongService:
    """Say that what answers there is no SwarmUI."""
    what = f"what answers at {url} is no SwarmUI"
    return WrongService(provider, f"{what}; set providers.{provider}.baseUrl")


def no_backend(provider: str, url: str, status: str) -> NotReady:
    """Say that no backend of it works."""
    if status == "loading":
        return NotReady(provider, f"the backends of SwarmUI at {url} are starting; try again soon")
    what = f"SwarmUI at {url} has no backend that works"
    return NotReady(provider, f"{what}; add or repair one in its page Server, Backends")


def missing(provider: str, what: str, name: str, near: str) -> ModelMissing:
    """Say that it does not have a file."""
    return ModelMissing(provider, f"SwarmUI does not have the {what} {name!r}{near}")


def gone(provider: str, url: str, *, paid: bool) -> ProviderError:
    """Say that the socket of a job broke: its pictures went through it alone."""
    what = f"the connection to SwarmUI at {url} broke during the job"
    if paid:
        return OutcomeUnknown(provider, f"{what}; its vendor may have charged it")
    return EngineGone(provider, f"{what}; see whether it still runs")


def nothing_came(provider: str) -> OutOfMemory:
    """Say that a job ended well, and gave no picture."""
    what = "SwarmUI ended the job without a picture and without an error"
    return OutOfMemory(
        provider, f"{what}; its page Server, Logs says why, mostly for lack of memory"
    )


def another_model(provider: str, model: str, used: str) -> InvalidOutput:
    """Say that it took another model than was asked for, as it does with names that are alike."""
    what = f"SwarmUI made the picture with {quote(used)}, and not with {model}"
    return InvalidOutput(provider, f"{what}; refresh its list of models, and rename one of the two")
