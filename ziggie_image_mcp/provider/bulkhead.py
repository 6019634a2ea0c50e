"""Call a provider's code, and hold what it gives or raises to the contract.

Foreign code may do anything. What its callers see is a value of the contract, in all its parts, or
a ProviderError whose attributes are those of the contract.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar, cast, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ziggie_image_mcp.errors import (
    ConfigError,
    OutcomeUnknown,
    ProviderBroken,
    ProviderError,
    Scope,
)
from ziggie_image_mcp.provider.contract import Provider, ProviderInfo
from ziggie_image_mcp.provider.nouns import (
    Balance,
    CancelOutcome,
    Generation,
    Model,
    Probe,
    Resolution,
    Submission,
)
from ziggie_image_mcp.provider.pricing import Estimate

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Answer(Generic[T]):
    """What one method of a provider may give.

    Args:
        kind: A tuple of one noun of the contract, or of several: the rules reach only what is
            inside of something.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def check(self, value: object) -> T:
        """The value, if it is one of the contract's in all its parts.

        Raises:
            ValueError: It is not; the message names the part.
        """
        try:
            self._adapter.validate_python((value,))
        except ValidationError as e:
            problems = e.errors(include_url=False, include_context=False, include_input=False)
            problem = max(problems, key=lambda p: len(p["loc"]))  # of a union, the nearest member
            where = ".".join(str(part) for part in problem["loc"][1:])
            raise ValueError(f"{where}: {problem['msg']}" if where else problem["msg"]) from None
        return cast(T, value)

    @cached_property
    def _adapter(self) -> TypeAdapter[tuple[T]]:
        rules = ConfigDict(strict=True, revalidate_instances="always", allow_inf_nan=False)
        return TypeAdapter(self._kind, config=rules)


ESTIMATE: Answer[Estimate | None] = Answer(tuple[Estimate | None])
SUBMISSION: Answer[Submission] = Answer(tuple[Submission])
GENERATION: Answer[Generation] = Answer(tuple[Generation])
RESOLUTION: Answer[Resolution] = Answer(tuple[Resolution])
CANCELLED: Answer[CancelOutcome] = Answer(tuple[CancelOutcome])
PROBE: Answer[Probe] = Answer(tuple[Probe])
BALANCE: Answer[Balance | None] = Answer(tuple[Balance | None])
MODEL: Answer[Model] = Answer(tuple[Model])
INFO: Answer[ProviderInfo] = Answer(tuple[ProviderInfo])
NOTHING: Answer[None] = Answer(tuple[None])
LISTING: Answer[Sequence[object]] = Answer(tuple[list[Any] | tuple[Any, ...]])
"""Of models, each of which is to be checked by itself."""


async def call(provider: str, work: Callable[[], Awaitable[object]], answer: Answer[T]) -> T:
    """What a provider gives.

    Raises:
        ProviderBroken: It gave what is none of the contract's, or raised what is none.
        ProviderError: It said so.
    """
    with _guarded(provider):
        given = await work()
    return _by_contract(provider, given, answer)


def call_now(provider: str, work: Callable[[], object], answer: Answer[T]) -> T:
    """The same, of what is no coroutine."""
    with _guarded(provider):
        given = work()
    return _by_contract(provider, given, answer)


def build(provider: str, work: Callable[[], T]) -> T:
    """What a provider's code makes, unchecked; its ConfigError passes.

    Raises:
        ConfigError: A section of the config is wrong.
        ProviderBroken: It raised something else.
    """
    with _guarded(provider):
        try:
            return work()
        except ConfigError as e:
            wrong = e
    raise wrong  # it is the user's, and no bug to be logged


@contextlib.contextmanager
def _guarded(provider: str) -> Generator[None]:
    try:
        yield
    except ProviderError as e:
        _make_sound(provider, e)
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as e:
        if isinstance(e, asyncio.CancelledError) and _is_cancelled():
            raise
        _log.warning("The provider %s has a bug", provider, exc_info=True)
        message = f"{provider} has a bug ({type(e).__name__}); the server's log tells it"
        raise ProviderBroken(provider, message, charged=None) from e


def _by_contract(provider: str, given: object, answer: Answer[T]) -> T:
    try:
        return answer.check(given)
    except ValueError as e:
        _log.warning("The provider %s gave what is none of the contract's: %s", provider, e)
        message = f"{provider} gave an answer that keeps not to the contract: {e}"
        raise ProviderBroken(provider, message, charged=None) from e


async def resolve(provider: Provider, key: str, remote_id: str) -> Resolution:
    """What became of a request, by its provider; unknowable where that has a bug."""
    try:
        found = await call(provider.name, lambda: provider.resolve(key, remote_id), RESOLUTION)
    except ProviderError as e:
        return Resolution(state="unknowable", remote_id=remote_id, reason=str(e))
    if found.state in ("running", "finished") and not (found.remote_id or remote_id):
        reason = f"{provider.name} does not tell where it is"
        return Resolution(state="unknowable", reason=reason)
    return found


async def cancel(provider: Provider, remote_id: str) -> CancelOutcome:
    """What came of asking a provider to stop a request; unsupported where that has a bug."""
    try:
        return await call(provider.name, lambda: provider.cancel(remote_id), CANCELLED)
    except ProviderError:
        return CancelOutcome(state="unsupported")


async def close(provider: Provider) -> None:
    """Close a provider; what it raises is in the log."""
    with contextlib.suppress(ProviderError):
        await call(provider.name, provider.aclose, NOTHING)


def _is_cancelled() -> bool:
    """Whether somebody cancelled this task, as against code that raises CancelledError alone."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _make_sound(provider: str, error: ProviderError) -> None:
    """Give the error attributes of the contract: what is none of it becomes what is safest."""
    given: dict[str, Any] = vars(error)
    error.provider = provider
    charged = given.get("charged", 0)
    if charged is not None and type(charged) is not int:
        error.charged = None
    retry_after = given.get("retry_after")
    if retry_after is not None and not _is_duration(retry_after):
        error.retry_after = None
    if cast(object, error.scope) not in get_args(Scope):
        error.scope = "model"
    error.fallback = bool(error.fallback) and not isinstance(error, OutcomeUnknown)


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0
