"""Say what the errors of these servers mean, in our classes and in sentences that lead on."""

from __future__ import annotations

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    InvalidOutput,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    ProviderError,
    RequestRejected,
    quote,
)
from ziggie_image_mcp.provider.error_rules import Rule

MEMORY = "ran out of memory; ask for a smaller picture, fewer at once, or a smaller model"

ERRORS = (
    Rule(
        status=(401, 403),
        error=AuthenticationFailed,
        message="the server wants the login of its --api-auth: write USER:PASSWORD@ before the host"
        " in baseUrl, or name the variable that holds USER:PASSWORD as keyName",
    ),
    Rule(
        match=r"NansException|all NaNs",
        error=InvalidOutput,
        message="the model gave NaNs, which would be a black picture; start the server with"
        " --no-half-vae or --no-half, or use another VAE",
    ),
    Rule(
        match=r"OutOfMemory|out of memory|not enough memory|can't allocate memory",
        error=OutOfMemory,
        message=f"the server {MEMORY}, or start it with --medvram",
    ),
    Rule(
        status=422,
        match=r"script .*not found",
        error=ModelUnusable,
        message="the server lacks an extension that the request needs",
    ),
    Rule(
        status=(400, 404),
        match=r"sampler not found|init image|upscaler|invalid lora|lora\.path",
        error=RequestRejected,
        message="the server refused the request",
    ),
    Rule(
        status=500,
        error=ProviderError,
        message="the server failed; look at its log",
    ),
)
"""500 is how all of them say that a job failed: the server itself goes on."""


def missing(provider: str, server: str, what: str, name: str, near: str) -> ModelMissing:
    """Say that the server does not have a file."""
    return ModelMissing(provider, f"{server} does not have the {what} {name!r}{near}")


def nothing_came(provider: str, server: str) -> OutOfMemory:
    """Say that an answer of success has no picture, as SD.Next gives it after its own errors."""
    what = f"{server} answered without a picture and without an error"
    return OutOfMemory(provider, f"{what}; mostly it {MEMORY}, and its log says what it was")


def another_model(provider: str, server: str, model: str, used: str) -> InvalidOutput:
    """Say that the server took another model than it was asked for."""
    what = f"{server} made the picture with {quote(used)}, and not with {model}"
    return InvalidOutput(provider, f"{what}; its list of models may be old: refresh it there")
