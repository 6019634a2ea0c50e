"""Say what InvokeAI's errors mean, in our classes and in sentences that lead on."""

from __future__ import annotations

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    EngineCrashed,
    EngineGone,
    InvalidOutput,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
)
from ziggie_image_mcp.provider.error_rules import Rule

ERRORS = (
    Rule(
        status=(401, 403),
        error=AuthenticationFailed,
        message="InvokeAI runs for several users, and wants a login; put EMAIL:PASSWORD of one into"
        " a variable, and name it as keyName",
    ),
    Rule(
        match=r"OutOfMemory|out of memory|not enough memory|can't allocate memory",
        error=OutOfMemory,
        message="InvokeAI ran out of memory; ask for a smaller picture or a smaller model, or set"
        " enable_partial_loading in invokeai.yaml",
    ),
    Rule(
        match=r"unknown (model|lora)|UnknownModel",
        error=ModelMissing,
        message="InvokeAI does not have a model any more that it listed",
    ),
    Rule(
        match=r"offline|LocalEntryNotFound|Max retries exceeded|Name or service not known"
        r"|getaddrinfo|couldn't connect to|Connection error|Failed to resolve",
        error=ModelMissing,
        message="InvokeAI could not download a file that it gets on first use; let it onto the"
        " internet once",
    ),
    Rule(
        match=r"SafetensorError|HeaderTooLarge|deserializing header|size mismatch",
        error=ModelUnusable,
        message="a model's file is damaged, cut short, or not of the kind that InvokeAI takes it"
        " for; download it again",
    ),
    Rule(
        status=422,
        match=r"expected tags|does not match any of the expected",
        error=ModelUnusable,
        message="this InvokeAI lacks a node that the request needs; another version of it is"
        " wanted (6.14 was tried)",
    ),
    Rule(
        status=(400, 422),
        error=RequestRejected,
        message="InvokeAI refused the graph",
    ),
    Rule(
        status=(415,),
        error=RequestRejected,
        message="InvokeAI could not read a picture",
    ),
    Rule(
        status=500,
        error=ProviderError,
        message="InvokeAI failed; look at its log",
    ),
)
"""500 is how it says that a call failed: the server itself goes on."""


def other_words(provider: str, url: str) -> ProviderUnavailable:
    """Say that its answers are not those of the versions that are known."""
    what = f"InvokeAI at {url} answers in other words than version 6 does"
    return ProviderUnavailable(provider, f"{what}; update it")


def bad_login(provider: str, key_name: str) -> AuthenticationFailed:
    """Say that InvokeAI knows no such user."""
    what = f"InvokeAI refused the login in {key_name}"
    how = f"set it to EMAIL:PASSWORD with `ziggie-image-mcp keys set {key_name}`"
    return AuthenticationFailed(provider, f"{what}; {how}")


def missing(provider: str, what: str, name: str, near: str) -> ModelMissing:
    """Say that InvokeAI does not have a model."""
    return ModelMissing(provider, f"InvokeAI does not have the {what} {name!r}{near}")


def stopped(provider: str) -> EngineCrashed:
    """Say that somebody else ended the job."""
    what = "the job was stopped in InvokeAI by somebody else, or by its restart"
    return EngineCrashed(provider, f"{what}; ask again")


def restarted(provider: str) -> EngineGone:
    """Say that the server ended the job as it started anew."""
    return EngineGone(provider, "InvokeAI was restarted during the job; ask again")


def lost(provider: str) -> EngineGone:
    """Say that the server does not know the job."""
    return EngineGone(provider, "the job was taken off InvokeAI's queue; ask again")


def silent(provider: str, url: str) -> EngineGone:
    """Say that the server went away in the middle of the job."""
    what = f"InvokeAI at {url} stopped answering during the job; see whether it still runs"
    return EngineGone(provider, what, scope="provider")


def gone(provider: str) -> InvalidOutput:
    """Say that a picture was made and taken away."""
    return InvalidOutput(provider, "InvokeAI finished the job, but its picture is gone")
